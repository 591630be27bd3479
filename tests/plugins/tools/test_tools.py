"""The other built-in tools, and what a model may give to a tool."""

from datetime import UTC, datetime

import pytest

from accounts.verification import caller_of_user
from plugins.tools import registry
from plugins.tools.arguments import problem_of
from plugins.tools.registry import Tool, register, tools, unregister
from tests.knowledge.conftest import add_text, work_off


def test_the_time_in_a_zone(called):
    told = called("current_time", {"timezone": "Asia/Kolkata"}).content
    assert told["time"].endswith("+05:30")
    assert abs(datetime.fromisoformat(told["time"]).timestamp() - datetime.now(UTC).timestamp()) < 5
    assert told["weekday"] in {"Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"}
    assert called("current_time").content["timezone"] == "UTC"


@pytest.mark.parametrize("name", ["Mars/Base", "../../etc/passwd", "/etc/passwd", "\x00", "a" * 99, "Europe"])
def test_a_zone_that_is_none(called, name):
    assert "no time zone" in called("current_time", {"timezone": name}).error


@pytest.mark.usefixtures("_ready_source")
def test_sources_are_searched_as_the_one_who_asks(called, people):
    found = called("search_sources", {"query": "Which river flows through ten countries?"})
    assert found.ok
    assert "Danube" in found.content["passages"][0]["text"]
    assert found.content["passages"][0]["source"] == "Rivers"
    assert called("search_sources", {"query": "Danube"}, as_=caller_of_user(people["bob"].pk)).content == {"passages": []}
    assert not called("search_sources", {"query": " "}).ok
    assert not called("search_sources", {"query": "x", "limit": 99}).ok


@pytest.fixture
def _ready_source(people):
    text = "# Rivers\n\nThe Danube flows through ten countries.\n\n# Mountains\n\nThe Matterhorn stands in the Alps.\n"
    add_text(caller_of_user(people["alice"].pk), text, name="Rivers")
    work_off()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "'name' is a required property"),
        ({"name": 7}, "name: 7 is not of type 'string'"),
        ({"name": "x", "more": 1}, "'more' was unexpected"),
        ({"name": "x", "items": [{"n": "y"}]}, "items[0].n: 'y' is not of type 'integer'"),
        ([], "is not of type 'object'"),
        (None, "is not of type 'object'"),
    ],
)
def test_what_is_wrong_with_arguments_is_said_with_its_place(arguments, words):
    schema = {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "items": {"type": "array", "items": {"type": "object", "properties": {"n": {"type": "integer"}}}},
        },
        "required": ["name"],
        "additionalProperties": False,
    }
    assert words in problem_of(arguments, schema)
    assert problem_of({"name": "x", "items": [{"n": 1}]}, schema) == ""


def test_a_long_value_is_not_told_back_whole():
    assert len(problem_of({"x": "y" * 100_000}, {"type": "object", "properties": {"x": {"type": "integer"}}})) < 500


def test_cautions_of_a_tool():
    async def run(arguments, context):
        return None

    careful = Tool(
        "t", "", {}, run, needs_approval=True, idempotent=False, harmless=lambda arguments: arguments.get("dry") is True
    )
    assert careful.asks({})
    assert not careful.asks({"dry": True})
    assert not careful.may_repeat({})
    assert careful.may_repeat({"dry": True})
    plain = Tool("t", "", {}, run)
    assert not plain.asks({})
    assert plain.may_repeat({})


def test_a_name_is_registered_once():
    register("twice", lambda: None)
    try:
        with pytest.raises(ValueError, match="twice"):
            register("twice", lambda: None)
        assert "twice" not in tools()
    finally:
        unregister("twice")
    assert {"calculator", "current_time", "search_sources"} <= tools().keys()
    assert registry.tools()["calculator"].parameters["type"] == "object"
