"""Where a run goes on that has asked for approvals: all that its next worker has to know, as JSON. No I/O."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chat.engines.base import EngineRequest, ToolCall, ToolRound


@dataclass(frozen=True, slots=True)
class Continuation:
    """A round of tools that could not be finished: what the engine wrote and asked for, and what has been answered.

    `rounds` are those before; `results` what the engine is to be told, by call id; `attachments` and `grounded` as in
    `EngineRequest`, kept because a second search might number the sources otherwise.
    """

    rounds: tuple[ToolRound, ...]
    text: str
    calls: tuple[ToolCall, ...]
    results: Mapping[str, str]
    attachments: tuple[tuple[str, str], ...] = ()
    grounded: bool = False

    def with_results(self, results: Mapping[str, str]) -> ToolRound:
        """The round, with what the missing calls came to."""
        whole = dict(self.results) | dict(results)
        return ToolRound(self.text, self.calls, tuple(whole[call.call_id] for call in self.calls))

    @property
    def waiting(self) -> list[ToolCall]:
        """The calls that have no result yet."""
        return [call for call in self.calls if call.call_id not in self.results]

    def as_json(self) -> dict[str, Any]:
        """For `of_json`."""
        return {
            "rounds": [_round_as_json(round_) for round_ in self.rounds],
            "text": self.text,
            "calls": [_call_as_json(call) for call in self.calls],
            "results": dict(self.results),
            "attachments": [list(pair) for pair in self.attachments],
            "grounded": self.grounded,
        }

    @classmethod
    def of_json(cls, kept: Mapping[str, Any]) -> "Continuation":
        """What `as_json` gave."""
        return cls(
            tuple(ToolRound(round_["text"], _calls_of(round_["calls"]), tuple(round_["results"])) for round_ in kept["rounds"]),
            kept["text"],
            _calls_of(kept["calls"]),
            kept["results"],
            tuple((name, text) for name, text in kept["attachments"]),
            kept["grounded"],
        )

    @classmethod
    def of(cls, request: EngineRequest, text: str, calls: tuple[ToolCall, ...], results: Mapping[str, str]) -> "Continuation":
        """That of an answer that was asked with `request`."""
        return cls(request.rounds, text, calls, results, request.attachments, request.grounded)


def _round_as_json(round_: ToolRound) -> dict[str, Any]:
    return {"text": round_.text, "calls": [_call_as_json(call) for call in round_.calls], "results": list(round_.results)}


def _call_as_json(call: ToolCall) -> dict[str, Any]:
    return {"call_id": call.call_id, "name": call.name, "arguments": call.arguments, "fault": call.fault}


def _calls_of(kept: Sequence[Mapping[str, Any]]) -> tuple[ToolCall, ...]:
    return tuple(ToolCall(**call) for call in kept)
