"""Which proposer is chosen: a model where the engine can, rules where it cannot, and an error where neither is wanted."""

import pytest

from chat.editing.model.proposer import ModelProposer
from chat.editing.proposing import EditRequest
from chat.editing.rules.proposer import RulesProposer
from chat.engines.base import EngineError
from chat.services import documents, proposing


@pytest.fixture
def engines(settings):
    settings.CHAT_ENGINES = {
        "openai": {"BACKEND": "chat.engines.openai.OpenAIEngine", "OPTIONS": {"base_url": "http://127.0.0.1:9/v1"}},
        "unset": {"BACKEND": "chat.engines.openai.OpenAIEngine"},
        "extractive": {"BACKEND": "chat.engines.extractive.ExtractiveEngine"},
        "scripted": {"BACKEND": "chat.engines.scripted.ScriptedEngine"},
    }


@pytest.mark.parametrize(
    ("choice", "alias", "expected"),
    [
        ("auto", "openai", ModelProposer),
        ("auto", "extractive", RulesProposer),
        ("auto", "scripted", RulesProposer),
        ("model", "scripted", ModelProposer),
        ("rules", "openai", RulesProposer),
        ("", "openai", ModelProposer),
    ],
)
def test_the_setting_and_the_engine_decide(engines, settings, choice, alias, expected):
    settings.EDITING_PROPOSER = choice
    assert isinstance(proposing.proposer(alias=alias), expected)
    settings.CHAT_ENGINE = alias
    assert isinstance(proposing.proposer(), expected)


@pytest.mark.parametrize(("choice", "alias"), [("auto", "unset"), ("model", "unset"), ("maybe", "openai")])
def test_a_model_that_is_not_there_is_an_error_that_says_so(engines, settings, choice, alias):
    settings.EDITING_PROPOSER = choice
    with pytest.raises(EngineError) as refused:
        proposing.proposer(alias=alias)
    assert refused.value.code == "engine_not_configured"


def test_a_request_is_about_the_version_as_it_is_stored(alice):
    version = documents.store(caller=alice, html="<p>one</p>")
    request = proposing.edit_request(caller=alice, version_id=version.pk, message="x", options={"seed": 1})
    assert request == EditRequest("x", documents.load(version), (), {"seed": 1})
