"""What a run has produced so far: its events, folded. No I/O."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from chat.run_events import Type
from events.event import Event

AFTER_A_PAUSE = frozenset({Type.APPROVAL_DECIDED, Type.TOOL_RESULT})


@dataclass(slots=True)
class Snapshot:
    """The state of an answer after its events up to `head`."""

    head: int = 0
    text: list[str] = field(default_factory=list)
    thought: list[str] = field(default_factory=list)
    sources: list[dict[str, Any]] = field(default_factory=list)
    tool_calls: list[dict[str, Any]] = field(default_factory=list)
    usage: dict[str, int] = field(default_factory=dict)
    open_block: tuple[str, int] | None = None
    """("text" or "reasoning", number) of the block that was started and not ended."""
    blocks: int = 0
    answered: set[str] = field(default_factory=set)
    """The calls whose results were told, by id."""
    result: dict[str, Any] | None = None
    """What a job came to."""
    is_waiting: bool = False
    """Whether nothing but decisions and what came of calls was written since it asked for approvals."""

    @classmethod
    def of(cls, events: Iterable[Event]) -> "Snapshot":
        """The fold of whole events in their order."""
        snapshot = cls()
        for event in events:
            snapshot.head = event.id.major
            snapshot.add(event.type, event.data)
        return snapshot

    def add(self, type: str, data: dict[str, Any]) -> None:
        """Folds one more event in."""
        family, _, part = type.partition(".")
        match part:
            case "start":
                self.open_block, self.blocks = (family, data["block"]), data["block"]
            case "delta":
                (self.text if family == "text" else self.thought).append(data["text"])
            case "end":
                self.open_block = None
        self.is_waiting = type == Type.APPROVAL_REQUESTED or (self.is_waiting and type in AFTER_A_PAUSE)
        match type:
            case Type.SOURCES:
                self.sources += data["sources"]
            case Type.USAGE:
                self.usage = data
            case Type.JOB_RESULT:
                self.result = data
        self._add_to_calls(type, data)

    def _add_to_calls(self, type: str, data: dict[str, Any]) -> None:
        match type:
            case Type.TOOL_CALL:
                self.tool_calls.append(data)
            case Type.TOOL_RESULT:
                self.answered.add(data["call_id"])
                self._change_call(data["call_id"], data)
            case Type.APPROVAL_REQUESTED:
                for each in data["approvals"]:
                    self._change_call(each["subject"], {"status": "awaiting_approval", "approval_id": each["approval_id"]})
            case Type.APPROVAL_DECIDED:
                self._change_call(data["subject"], {"status": data["status"]})

    def _change_call(self, call_id: str, change: dict[str, Any]) -> None:
        for place, call in enumerate(self.tool_calls):
            if call["call_id"] == call_id:
                # A new object: the old one is the event's own.
                self.tool_calls[place] = call | change
