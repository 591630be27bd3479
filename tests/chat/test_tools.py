"""The tools of an answer: offered, called, and what came of them told to the engine, with a real runner and real stores."""

import asyncio
import json

import pytest

from accounts.threads import in_thread
from chat.engines.base import Finish, TextDelta
from chat.models import Application
from chat.services import answers, runs
from plugins.tools.registry import Tool, ToolError, register, unregister
from tests.chat.conftest import answered, asked, journaled, run_of, texts, types, until
from tests.chat.raw_engine import ALIAS, RawEngine
from tests.patience import patiently
from tests.providers import StubProvider

SCHEMA = {
    "type": "object",
    "properties": {"x": {"type": "integer"}},
    "required": ["x"],
    "additionalProperties": False,
}


class Recorder:
    """Tools that note how they are called: add_one, fails, crashes, hangs, long."""

    def __init__(self):
        self.calls = []
        self.cancelled = 0
        self.meet = asyncio.Barrier(2)

    async def add_one(self, arguments, context):
        self.calls.append((arguments, context.caller.username))
        return {"sum": arguments["x"] + 1}

    async def fails(self, arguments, context):
        raise ToolError("The moon is in the wrong phase.")

    async def crashes(self, arguments, context):
        raise RuntimeError("a mistake in the tool")

    async def meets(self, arguments, context):
        async with asyncio.timeout(patiently(5)):
            await self.meet.wait()
        return "met"

    async def hangs(self, arguments, context):
        self.calls.append(arguments)
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise

    async def long(self, arguments, context):
        return "é" * 9_000


NAMES = ("add_one", "fails", "crashes", "meets", "hangs", "long")


@pytest.fixture
def recorder():
    recorder = Recorder()

    def tool(name):
        return lambda: Tool(name=name, description=f"It {name}s.", parameters=SCHEMA, run=getattr(recorder, name))

    for name in NAMES:
        register(name, tool(name))
    yield recorder
    for name in NAMES:
        unregister(name)


@pytest.fixture
def application(organization, recorder):
    return Application.objects.create(public_id="app_tools", organization=organization, name="Tools", tools=[*NAMES, "gone"])


def call(name, x=1, **fields):
    return {"tool_call": {"name": name, "arguments": {"x": x}} | fields}


async def made(runner, caller, *steps, **fields):
    return await answered(runner, await asked(caller, *steps, application_id="app_tools", **fields))


def results(events):
    return [event.data for event in events if event.type == "tool.result"]


async def test_a_call_is_made_for_who_asked_and_its_result_goes_back_to_the_engine(runner, alice, application, recorder):
    run, events = await made(
        runner, alice, {"text": "Wait."}, call("add_one", 41), {"results": True}, {"result": 1}, {"text": "!"}
    )
    assert recorder.calls == [({"x": 41}, "alice")]
    assert types(events) == [
        *("run.started", "text.start", "text.delta", "text.end", "tool.call", "tool.result"),
        *("text.start", "text.delta", "text.end", "run.completed"),
    ]
    assert run.message.text == 'Wait.\n\n{"sum":42}!'
    (told,) = results(events)
    assert (told["call_id"], told["name"], told["status"], told["content"]) == ("call_1", "add_one", "completed", {"sum": 42})
    (kept,) = run.message.tool_calls
    assert kept == {"call_id": "call_1", "name": "add_one", "arguments": {"x": 41}} | told


async def test_calls_of_one_round_are_made_side_by_side_and_have_ids_of_their_own(runner, alice, application):
    run, events = await made(runner, alice, call("meets"), call("meets"), {"results": True}, {"result": 1}, {"result": 2})
    assert run.message.text == "metmet"
    assert {data["call_id"] for data in results(events)} == {"call_1", "call_1-2"}


async def test_ids_are_not_used_again_in_a_later_round(runner, alice, application):
    run, _ = await made(
        runner, alice, call("add_one", 1), {"results": True}, call("add_one", 2), {"results": True}, {"result": 1}
    )
    assert [(each["call_id"], each["content"]) for each in run.message.tool_calls] == [
        ("call_1", {"sum": 2}),
        ("call_1-2", {"sum": 3}),
    ]
    assert run.message.text == '{"sum":3}'


@pytest.mark.parametrize(
    ("asked_for", "said"),
    [
        (call("nowhere"), "There is no tool called 'nowhere'. There are: add_one, fails"),
        (call("gone"), "There is no tool called 'gone'"),
        (call("add_one", "many"), "x: 'many' is not of type 'integer'."),
        ({"tool_call": {"name": "add_one"}}, "'x' is a required property"),
        (call("fails"), "The moon is in the wrong phase."),
        (call("crashes"), "failed unexpectedly"),
    ],
)
async def test_what_is_wrong_with_a_call_is_told_to_the_model_and_the_answer_goes_on(
    runner, alice, application, recorder, asked_for, said
):
    run, events = await made(runner, alice, asked_for, {"results": True}, {"text": "I see: "}, {"result": 1})
    assert run.status == "completed"
    (told,) = results(events)
    assert told["status"] == "error"
    assert said in told["error"]
    assert json.loads(run.message.text.removeprefix("I see: ")) == {"error": told["error"]}
    assert recorder.calls == []


async def test_a_request_may_restrict_the_tools_and_cannot_add_any(runner, alice, application, recorder):
    run, _ = await made(runner, alice, call("add_one"), call("fails"), {"results": True}, tools=["fails", "calculator"])
    said = {each["name"]: each["error"] for each in run.message.tool_calls}
    assert said["add_one"].endswith("There are: fails.")
    assert "moon" in said["fails"]


async def test_without_an_application_there_are_no_tools(runner, alice, recorder):
    run, _ = await answered(runner, await asked(alice, call("add_one"), {"results": True}, {"text": "well"}))
    assert run.message.tool_calls[0]["error"].endswith("There are: none.")
    assert run.message.text == "well"


async def test_there_is_an_end_to_asking(runner, alice, application, recorder, settings):
    settings.CHAT_TOOL_ROUNDS = 2
    steps = [call("add_one"), {"results": True}] * 5
    run, _ = await made(runner, alice, *steps)
    assert (run.status, run.error_code, run.retryable) == ("failed", "too_many_tool_rounds", False)
    assert len(recorder.calls) == 2


async def test_more_calls_at_once_than_allowed_are_told_and_not_made(runner, alice, application, recorder, settings):
    settings.CHAT_TOOL_CALLS_PER_ROUND = 2
    run, _ = await made(runner, alice, *[call("add_one", number) for number in range(3)], {"results": True}, {"text": "ok"})
    assert len(recorder.calls) == 2
    assert "At most 2 tools" in run.message.tool_calls[2]["error"]


async def test_arguments_that_are_too_long_are_told_and_not_kept(runner, alice, application, recorder, settings):
    settings.CHAT_TOOL_ARGUMENTS_MAX_CHARS = 100
    run, _ = await made(
        runner, alice, {"tool_call": {"name": "add_one", "arguments": {"x": "y" * 200}}}, {"results": True}, {"text": "ok"}
    )
    (kept,) = run.message.tool_calls
    assert "more than 100 characters" in kept["error"]
    assert kept["arguments"] == {}


async def test_a_long_result_is_shortened_for_readers_and_for_the_engine(runner, alice, application, settings):
    settings.CHAT_TOOL_RESULT_MAX_CHARS = 50
    run, events = await made(runner, alice, call("long"), {"results": True}, {"result": 1})
    assert run.message.text.startswith("é" * 50 + "\n(The result goes on: 8950 characters")
    (told,) = results(events)
    assert told["content_truncated"] is True
    assert len(told["content"]) == 24_000


async def test_a_stop_stops_the_call_and_the_answer(runner, alice, application, recorder):
    message = await asked(alice, {"text": "so far"}, call("hangs"), {"results": True}, application_id="app_tools")
    await runner.answer(message.pk)
    await until(lambda: recorder.calls)
    await in_thread(runs.request_stop, caller=alice, message_id=message.pk)
    run = await until(lambda: (run := run_of(message)).status == "cancelled" and run)
    assert recorder.cancelled == 1
    events = await in_thread(journaled, message)
    assert types(events)[-2:] == ["tool.call", "run.cancelled"]
    assert run.message.text == "so far"


async def test_what_all_rounds_used_is_added_up(runner, alice, application):
    used = {"usage": {"input_tokens": 10, "output_tokens": 1}}
    run, events = await made(runner, alice, call("add_one"), used, {"results": True}, {"text": "a"}, used)
    assert run.usage == {"input_tokens": 20, "output_tokens": 2}
    assert [event.data["input_tokens"] for event in events if event.type == "usage"] == [10, 20]


async def test_an_answer_that_was_cut_makes_no_calls(runner, alice, application, recorder):
    run, _ = await made(runner, alice, call("add_one"), {"finish": "length"})
    assert (run.status, run.finish_reason, recorder.calls) == ("completed", "length", [])


async def test_an_engine_that_takes_no_tools_is_offered_none(runner, alice, application, settings, monkeypatch):
    settings.CHAT_ENGINES = settings.CHAT_ENGINES | {"scripted": ALIAS}
    monkeypatch.setattr(RawEngine, "parts", [TextDelta("a"), Finish("stop")])
    monkeypatch.setattr(RawEngine, "requests", [])
    await made(runner, alice)
    assert RawEngine.requests[0].tools == ()
    monkeypatch.setattr(RawEngine, "takes_tools", True)
    await made(runner, alice)
    assert [offer.name for offer in RawEngine.requests[1].tools] == list(NAMES)


async def test_the_calls_of_an_ended_answer_are_told_after_pruning_too(runner, alice, application):
    run, events = await made(runner, alice, call("add_one"), {"results": True}, {"text": "a"})
    rebuilt = await in_thread(answers.rebuilt_events, run.message)
    for type_ in ("tool.call", "tool.result"):
        assert [each.data for each in rebuilt if each.type == type_] == [each.data for each in events if each.type == type_]


async def test_an_openai_compatible_endpoint_is_offered_the_tools_and_hears_what_they_said(
    runner, alice, application, recorder, settings
):
    pieces = [
        {"index": 0, "id": "c", "function": {"name": "add_one", "arguments": '{"x": '}},
        {"index": 0, "function": {"arguments": "41}"}},
        {"index": 1, "id": "c", "function": {"name": "add_one", "arguments": "{"}},
    ]
    steps = [
        {"text": "Wait."},
        *({"delta": {"tool_calls": [piece]}} for piece in pieces),
        *({"finish": "tool_calls"}, {"usage": [3, 5]}, {"done": True}, {"results": True}),
        *({"text": "It is 42."}, {"finish": "stop"}, {"usage": [10, 5]}, {"done": True}),
    ]
    async with StubProvider() as provider:
        provider.scripts["tools"] = steps
        options = {"base_url": provider.base_url, "model": "tools"}
        settings.CHAT_ENGINES = {"scripted": {"BACKEND": "chat.engines.openai.OpenAIEngine", "OPTIONS": options}}
        run, events = await answered(runner, await asked(alice, application_id="app_tools"))
        first, second = (request.body for request in provider.requests)
    assert run.message.text == "Wait.\n\nIt is 42."
    assert run.usage == {"input_tokens": 13, "output_tokens": 10}
    assert recorder.calls == [({"x": 41}, "alice")]
    assert first["tools"][0] == {
        "type": "function",
        "function": {"name": "add_one", "description": "It add_ones.", "parameters": SCHEMA},
    }
    assistant, *tools = second["messages"][len(first["messages"]) :]
    assert (assistant["role"], assistant["content"]) == ("assistant", "Wait.")
    assert [(each["id"], each["function"]["arguments"]) for each in assistant["tool_calls"]] == [
        ("c", '{"x": 41}'),
        ("c-2", "{}"),
    ]
    assert [(each["role"], each["tool_call_id"]) for each in tools] == [("tool", "c"), ("tool", "c-2")]
    assert tools[0]["content"] == '{"sum":42}'
    assert "not JSON" in json.loads(tools[1]["content"])["error"]
    assert texts(events) == run.message.text
