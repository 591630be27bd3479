import json

from chat.continuation import Continuation
from chat.engines.base import EngineRequest, ToolCall, ToolRound

CALLS = (ToolCall("a", "pay", {"x": 1}), ToolCall("b", "look", {}, fault="bad"))


def test_what_is_kept_as_json_comes_back_the_same() -> None:
    request = EngineRequest("q", rounds=(ToolRound("one", CALLS, ("r1", "r2")),), attachments=(("n", "t"),), grounded=True)
    continuation = Continuation.of(request, "two", CALLS, {"b": "seen"})
    assert Continuation.of_json(json.loads(json.dumps(continuation.as_json()))) == continuation


def test_the_calls_without_a_result_are_what_waits() -> None:
    continuation = Continuation.of(EngineRequest("q"), "two", CALLS, {"b": "seen"})
    assert continuation.waiting == [CALLS[0]]
    assert continuation.with_results({"a": "paid"}) == ToolRound("two", CALLS, ("paid", "seen"))
