import json
import re
from datetime import timedelta
from html import unescape

import pytest
from asgiref.sync import async_to_sync
from django.contrib import admin
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from chat.models import Application, ChatSession, Conversation, IdempotencyKey, Message, Participant, Run, Worker
from chat.services import claiming, sessions, workers
from events.broker.connect import connect
from events.event import START
from events.streams import Stream
from knowledge.models import Source
from tests.chat.conftest import ask
from workspaces.models import Workspace

pytestmark = pytest.mark.usefixtures("stores")

READ_ONLY = {
    "chatsession": ChatSession,
    "conversation": Conversation,
    "message": Message,
    "run": Run,
    "participant": Participant,
    "worker": Worker,
}


def page(client, address, **query):
    response = client.get(address, query)
    assert response.status_code == 200, response
    return unescape(response.content.decode())


@pytest.fixture
def answer(alice):
    session = sessions.resolve(caller=alice, name="abc")
    message = ask(alice, "<b>What?</b>", attachments=[{"name": "<i>", "text": "t"}], session=session)
    claiming.claim(message_id=message.pk, worker="host-7-abc")
    workers.beat(worker="host-7-abc")
    return message


@pytest.mark.parametrize("name", READ_ONLY)
def test_the_pages_open_and_nothing_can_be_written(admin_client, answer, name):
    pk = READ_ONLY[name].objects.first().pk
    count = READ_ONLY[name].objects.count()
    for address in (f"/admin/chat/{name}/", f"/admin/chat/{name}/?q=a", f"/admin/chat/{name}/{pk}/change/"):
        assert "<b>What" not in admin_client.get(address).content.decode()
        assert admin_client.get(address).status_code == 200
    assert admin_client.get(f"/admin/chat/{name}/add/").status_code == 403
    assert admin_client.post(f"/admin/chat/{name}/{pk}/change/", {"text": "x"}).status_code == 403
    assert admin_client.post(f"/admin/chat/{name}/{pk}/delete/", {"post": "yes"}).status_code == 403
    assert READ_ONLY[name].objects.count() == count


def found(client, name, text):
    return re.findall(r"(\d+) (?:runs?|messages?|conversations?)\s*\n", page(client, f"/admin/chat/{name}/", q=text))[-1:]


@pytest.mark.parametrize(
    ("name", "text", "count"),
    [
        ("run", "{message}", "1"),
        ("run", "{conversation}", "1"),
        ("run", "host-7", "1"),
        ("run", "alice", "1"),
        ("run", "user_alice", "1"),
        ("run", "ali", "0"),
        ("message", "{message}", "1"),
        ("message", "{conversation}", "2"),
        ("message", "alice", "1"),
        ("conversation", "{conversation}", "1"),
        ("conversation", "user_alice", "1"),
        ("conversation", "nobody", "0"),
        ("conversation", "{message}", "0"),
    ],
)
def test_rows_are_found_by_id_and_user(admin_client, answer, name, text, count):
    text = text.format(message=answer.pk, conversation=answer.conversation_id)
    assert found(admin_client, name, text) == [count]


def test_a_search_never_compares_an_id_as_text(admin_client, answer):
    for name in ("run", "message", "conversation"):
        for text in (str(answer.pk), "alice"):
            with CaptureQueriesContext(connection) as seen:
                page(admin_client, f"/admin/chat/{name}/", q=text)
            assert not [each["sql"] for each in seen if "UPPER(" in each["sql"] or "id::text" in each["sql"]]


def test_a_run_shows_its_state_and_links_to_message_and_stream(admin_client, answer):
    text = page(admin_client, f"/admin/chat/run/{answer.pk}/change/")
    assert "host-7-abc" in text
    (message,) = set(re.findall(r'href="(/admin/chat/message/[^"]+)"', text)) - {"/admin/chat/message/"}
    assert f"assistant {answer.pk}" in page(admin_client, message)
    (live,) = re.findall(r'href="(/admin/events/durablestream/live/\?[^"]+)"', text)
    assert "run.started" in page(admin_client, live)


def test_a_conversation_links_to_its_messages_and_names_its_people(admin_client, answer):
    text = page(admin_client, f"/admin/chat/conversation/{answer.conversation_id}/change/")
    assert "alice" in text
    (messages,) = re.findall(r'href="(/admin/chat/message/\?[^"]+)"', text)
    assert "2 messages" in page(admin_client, messages)


def test_runs_are_filtered_by_status(admin_client, alice, answer):
    ask(alice)
    assert "1 run\n" in page(admin_client, "/admin/chat/run/?status__exact=queued")


def test_a_worker_that_is_silent_is_not_living(admin_client, answer):
    assert "icon-yes" in page(admin_client, "/admin/chat/worker/")
    Worker.objects.update(beat_at=timezone.now() - timedelta(minutes=1))
    assert "icon-no" in page(admin_client, "/admin/chat/worker/")


@pytest.fixture
def source(alice, organization):
    return Source.objects.create(owner_id=alice.pk, organization=organization, name="Handbook")


@pytest.fixture
def application(admin_client, organization):
    """`application(**fields)`: edits one; the response and the row afterwards."""
    row = Application.objects.create(public_id="app_new", organization=organization, name="New")
    fields = {"public_id": "app_new", "organization": organization.pk, "name": "New", "engine": "extractive", "sources": ""}

    def edit(**changes):
        response = admin_client.post(f"/admin/chat/application/{row.pk}/change/", fields | changes)
        row.refresh_from_db()
        return response, row

    return edit


def test_an_application_is_added_and_found(admin_client, organization):
    body = {"public_id": "app_new", "organization": organization.pk, "name": "New", "engine": "extractive", "sources": ""}
    assert admin_client.post("/admin/chat/application/add/", body).status_code == 302
    row = Application.objects.get(public_id="app_new")
    assert (row.engine, row.tools, row.sources) == ("extractive", [], [])
    assert "app_new" in page(admin_client, "/admin/chat/application/", q="app_")


def test_an_application_takes_engine_model_prompt_tools_and_sources(application, source):
    fields = {"model": "m", "system_prompt": "Be brief.", "tools": ["calculator"], "sources": json.dumps([str(source.pk)])}
    response, row = application(**fields)
    assert response.status_code == 302, unescape(response.content.decode())
    assert (row.engine, row.model, row.system_prompt) == ("extractive", "m", "Be brief.")
    assert (row.tools, row.sources) == (["calculator"], [str(source.pk)])
    assert application()[1].sources == []


def test_a_workspace_is_told_of_what_is_made_changed_and_deleted(admin_client, organization, application):
    Workspace.objects.create(public_id="ws_1", organization=organization, name="W")
    application(name="Newer")
    admin_client.post(
        "/admin/chat/application/add/", {"public_id": "app_b", "organization": organization.pk, "name": "B", "sources": ""}
    )
    pks = list(Application.objects.order_by("pk").values_list("pk", flat=True))
    admin_client.post(f"/admin/chat/application/{pks[0]}/delete/", {"post": "yes"})
    admin_client.post("/admin/chat/application/", {"action": "delete_selected", "_selected_action": pks[1:], "post": "yes"})
    assert not Application.objects.exists()
    told = [event.data["payload"] for event in told_in("ws_1")]
    assert [(each["application_id"], each["action"]) for each in told] == [
        *(("app_new", "updated"), ("app_b", "added"), ("app_new", "deleted"), ("app_b", "deleted")),
    ]


def told_in(workspace_id):
    """The events of a workspace's stream."""
    stream = Stream("workspace", workspace_id)

    async def read():
        broker = connect()
        try:
            return (await broker.read([(stream, START)], limit=100))[0].events
        finally:
            await broker.close()

    return async_to_sync(read)()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"engine": "made-up"}, "made-up is not one of the available choices"),
        ({"tools": ["teleport"]}, "teleport is not one of the available choices"),
        ({"system_prompt": "x" * 20_001}, "at most 20000 are accepted"),
        ({"sources": '["nope"]'}, "not ids of sources that the organisation shares: nope"),
        ({"sources": '["00000000-0000-0000-0000-000000000000"]'}, "not ids of sources"),
        ({"sources": '"nope"'}, "as a JSON list of texts"),
        ({"sources": "[1]"}, "as a JSON list of texts"),
        ({"sources": "not json"}, "Enter a valid JSON"),
        ({"sources": json.dumps([str(number) for number in range(51)])}, "At most 50 sources"),
        ({"sources": '["a", "a"]'}, "once"),
        ({"organization": ""}, "This field is required"),
    ],
)
def test_an_application_that_would_fail_is_refused_when_saved(application, changes, words):
    response, row = application(**changes)
    assert response.status_code == 200
    assert words in unescape(response.content.decode())
    assert (row.engine, row.sources) == ("", [])


def test_a_source_of_one_user_alone_is_refused(application, source):
    Source.objects.update(organization=None)
    assert "Share them with it first" in unescape(application(sources=json.dumps([str(source.pk)]))[0].content.decode())


def test_a_tool_that_is_gone_is_shown_and_can_be_taken_away(application):
    Application.objects.update(tools=["gone"])
    assert "There is no tool called gone" in unescape(application(tools=["gone"])[0].content.decode())
    assert application(tools=[])[1].tools == []


def test_idempotency_keys_are_nobodys_business():
    assert not admin.site.is_registered(IdempotencyKey)
