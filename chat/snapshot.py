"""What a run has produced so far: its events, folded. No I/O."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from chat.run_events import Type
from events.event import Event


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
        match type:
            case Type.SOURCES:
                self.sources += data["sources"]
            case Type.TOOL_CALL:
                self.tool_calls.append(data)
            case Type.TOOL_RESULT:
                self._add_result(data)
            case Type.USAGE:
                self.usage = data

    def _add_result(self, data: dict[str, Any]) -> None:
        for place, call in enumerate(self.tool_calls):
            if call["call_id"] == data["call_id"]:
                # A new object: the old one is the event's own.
                self.tool_calls[place] = call | data
