"""What an application makes of the answers of its conversations."""

import pytest

from accounts.threads import in_thread
from chat.models import Application
from chat.services import claiming
from chat.services.applications import application_of, problems
from events.exceptions import NotFound
from knowledge.models import Source
from knowledge.services import sources
from tests.chat.conftest import answered, ask, texts
from tests.knowledge.conftest import add_text, ready


@pytest.fixture(autouse=True)
def _no_model(settings):
    settings.KNOWLEDGE_EMBEDDINGS = "hashing"
    settings.OPENAI_BASE_URL = settings.OPENAI_API_KEY = ""


@pytest.fixture
def handbook(alice, organization):
    """A source that the organisation shares."""
    return ready(add_text(alice, "Holidays are thirty days in each year.", name="Handbook", organization="org_tests"))


@pytest.fixture
def application(organization, handbook):
    return Application.objects.create(
        public_id="app_1",
        organization=organization,
        name="One",
        engine="extractive",
        model="the-model",
        system_prompt="Be brief.",
        sources=[str(handbook.pk)],
    )


def asked(caller, text="How many days are holidays in each year?", **fields):
    return ask(caller, text, application_id="app_1", **fields)


def test_its_engine_model_and_prompt_are_what_a_run_is_made_with(alice, application):
    claim = claiming.claim(message_id=asked(alice).pk, worker="w")
    assert claim.engine == "extractive"
    assert claim.request.options["model"] == "the-model"
    assert claim.request.system_prompt == "Be brief."


async def test_its_answers_rest_on_its_sources(alice, application, runner):
    run, events = await answered(runner, await in_thread(asked, alice))
    (told,) = [event.data["sources"] for event in events if event.type == "sources"]
    assert [each["title"] for each in told] == ["Handbook"]
    assert "thirty days" in texts(events)
    assert run.status == "completed"


async def test_what_the_user_attaches_counts_too_under_its_own_number(alice, application, runner):
    attached = [{"name": "note", "text": "The moon is made of stone and dust."}]
    _, events = await answered(runner, await in_thread(asked, alice, "What is the moon made of?", attachments=attached))
    (told,) = [event.data["sources"] for event in events if event.type == "sources"]
    assert told[-1].items() >= {"title": "note", "index": len(told)}.items()
    assert f"[{len(told)}]" in texts(events)


async def test_what_a_request_says_itself_goes_before_the_application(alice, application, runner):
    _, events = await answered(runner, await in_thread(asked, alice, grounding={"context_mode": "none"}))
    assert [event.data["sources"] for event in events if event.type == "sources"] == [[]]


async def test_a_source_that_is_no_longer_shared_is_missing(alice, application, runner, handbook):
    await in_thread(sources.delete, caller=alice, source_id=handbook.pk)
    _, events = await answered(runner, await in_thread(asked, alice))
    assert [event.data["missing"] for event in events if event.type == "sources"] == [[str(handbook.pk)]]


def test_members_of_its_organisation_use_it_and_nobody_else(alice, bob, application):
    assert application_of(caller=alice, application_id="app_1") == application
    for caller, id_ in ((bob, "app_1"), (alice, "app_2"), (alice, ""), (alice, "a\x00")):
        with pytest.raises(NotFound):
            application_of(caller=caller, application_id=id_)


def test_a_good_application_has_no_problems(organization, application, handbook):
    fields = {"engine": "extractive", "system_prompt": "x", "tools": ["calculator"], "sources": [str(handbook.pk)]}
    assert problems(organization=organization, fields=fields) == {}
    assert problems(organization=organization, fields={}) == {}


def test_a_problem_is_told_of_each_field(organization, handbook):
    Source.objects.update(purpose=Source.Purpose.ATTACHMENT)
    fields = {"engine": "x", "system_prompt": "x" * 20_001, "tools": ["y", 1], "sources": [str(handbook.pk)]}
    found = problems(organization=organization, fields=fields)
    assert set(found) == set(fields)
    assert "CHAT_ENGINES" in found["engine"]
    assert set(problems(organization=None, fields=fields)) == set(fields)
