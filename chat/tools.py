"""The tools of one answer: offered to its engine, called for it, and what came of each call."""

import asyncio
import uuid
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from accounts.caller import Caller
from accounts.threads import in_thread
from accounts.verification import caller_of_user
from chat.approvals.requesting import Batch, Item
from chat.conf import conf
from chat.engines.base import EngineError, ToolCall, ToolOffer
from chat.engines.text import clean_json
from chat.models import Approval
from chat.services.responding import message_stream
from events import journal
from events.event import to_json
from events.exceptions import translated
from plugins.tools.arguments import problem_of
from plugins.tools.calling import call as call_tool
from plugins.tools.claims import Permit
from plugins.tools.registry import Tool, tools

TOLD_CHARS = 24_000
"""How much of a result, or of the arguments of a call, is told in an event, in characters of its JSON. The record has all."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a call: `status` is completed, error, denied or expired; `error` is for the language model, too."""

    status: str
    content: Any = None
    error: str = ""
    execution_id: str = ""

    def told(self) -> str:
        """What the engine is told."""
        if self.status != "completed":
            return to_json({"error": self.error})
        text = self.content if isinstance(self.content, str) else to_json(self.content)
        most = conf.CHAT_TOOL_RESULT_MAX_CHARS
        return text if len(text) <= most else f"{text[:most]}\n(The result goes on: {len(text) - most} characters are left out.)"

    def event(self, call: ToolCall) -> dict[str, Any]:
        """The data of the event `tool.result`."""
        data = {"call_id": call.call_id, "name": call.name, "status": self.status}
        if self.execution_id:
            data["execution_id"] = self.execution_id
        if self.status == "completed":
            return data | shortened("content", self.content)
        return data | {"error": self.error[:TOLD_CHARS]}


def shortened(name: str, value: Any) -> dict[str, Any]:
    """A value as an event may hold it: whole, or as the beginning of its JSON beside `{name}_truncated`."""
    clean = clean_json(value)
    text = to_json(clean)
    return {name: clean} if len(text) <= TOLD_CHARS else {name: text[:TOLD_CHARS], f"{name}_truncated": True}


@dataclass(frozen=True, slots=True)
class Decided:
    """What was decided about a call."""

    approval: Approval | None

    @classmethod
    def of(cls, approval: Approval | None) -> "Decided":
        """None: it was never asked about, which is no permission."""
        return cls(approval)

    @property
    def approved(self) -> bool:
        """Whether it may be made."""
        return self.approval is not None and self.approval.status == Approval.Status.APPROVED

    @property
    def key(self) -> str:
        """The key under which it is made, once."""
        return str(self.approval.pk) if self.approval else ""

    def arguments(self, call: ToolCall) -> dict[str, Any]:
        """What it is made with: exactly what was approved."""
        if self.approval is None:
            return call.arguments
        edited = self.approval.edited_payload
        arguments: dict[str, Any] = self.approval.payload if edited is None else edited
        return arguments

    def refusal(self) -> Outcome:
        """What came of a call that must not be made."""
        if self.approval is not None and self.approval.status == Approval.Status.DENIED:
            said = f" They said: {self.approval.feedback}" if self.approval.feedback else ""
            return Outcome("denied", error=f"A human denied this call, so it was not made.{said}")
        return Outcome("expired", error="Nobody decided about this call in time, so it was not made.")


class Toolbox:
    """The tools that one run may call, and calling them for the one who asked."""

    def __init__(
        self, *, run_id: str, caller: Caller | None = None, known: dict[str, Tool] | None = None, permit: Permit | None = None
    ) -> None:
        self._run_id = run_id
        self._caller = caller
        self._known = known or {}
        self._permit = permit

    def offers(self) -> tuple[ToolOffer, ...]:
        """What the engine may ask for."""
        return tuple(ToolOffer(tool.name, tool.description, tool.parameters) for tool in self._known.values())

    def asks(self, call: ToolCall) -> bool:
        """Whether a human must decide about this call. One that cannot be made as it is needs nobody's time."""
        tool = self._known.get(call.name)
        return tool is not None and not self._fault_of(call, tool) and tool.asks(call.arguments)

    def batch(self, calls: Sequence[ToolCall]) -> Batch:
        """What humans are asked about calls; they may change the arguments to any that fit the tool."""
        items = [Item(call.call_id, call.name, call.arguments, self._known[call.name].parameters) for call in calls]
        return Batch(Approval.Kind.TOOL_CALL, items)

    async def call_all(self, calls: Mapping[str, ToolCall]) -> AsyncGenerator[tuple[ToolCall, Outcome], None]:
        """Makes calls side by side, each under its key; what comes of each, as it comes. Use it within `aclosing`."""
        tasks = [
            asyncio.create_task(self._call(key, call), name=f"tool {call.name} of {self._run_id}") for key, call in calls.items()
        ]
        try:
            for done in asyncio.as_completed(tasks):
                yield await done
        finally:
            # A stopped answer stops its calls, and waits until they have let go.
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _call(self, key: str, call: ToolCall) -> tuple[ToolCall, Outcome]:
        return call, await self.call(call, key=key)

    async def call(self, call: ToolCall, *, key: str) -> Outcome:
        """Makes one call; with the same `key` again, nothing is done twice.

        Whatever is wrong with it is for the model to know, and to do better. Raises `LeaseLost` when the run is someone else's.
        """
        tool = self._known.get(call.name)
        if tool is None or self._caller is None:
            return Outcome(
                "error", error=f"There is no tool called {call.name[:100]!r}. There are: {', '.join(self._known) or 'none'}."
            )
        fault = self._fault_of(call, tool)
        if fault:
            return Outcome("error", error=fault)
        result = await call_tool(
            name=call.name,
            arguments=call.arguments,
            caller=self._caller,
            run_id=self._run_id,
            call_id=call.call_id,
            idempotency_key=key,
            permit=self._permit,
        )
        status = "completed" if result.ok else "error"
        return Outcome(status, clean_json(result.content), clean_json(result.error), result.execution_id)

    def _fault_of(self, call: ToolCall, tool: Tool) -> str:
        return call.fault or problem_of(call.arguments, tool.parameters)


async def toolbox_of(*, message_id: uuid.UUID, lease: int, names: Sequence[str], requested_by: int | None) -> Toolbox:
    """The tools of these names that there are. Raises `EngineError` when the one who asked is gone.

    Calls are begun only under `lease`: a worker that wakes up after its run was given away, or ended, must not act for it.
    """
    run_id = str(message_id)
    if not names:
        return Toolbox(run_id=run_id)
    if requested_by is None:
        raise EngineError("context_forbidden", "The account that asked this is no longer there.", retryable=False)
    try:
        caller = await in_thread(caller_of_user, requested_by)
    except Exception as error:
        known = translated(error)
        if known is None:
            raise
        raise EngineError(f"context_{known.code}", known.message, retryable=known.http_status >= 500) from error
    there = tools()
    permit = partial(journal.hold, stream=message_stream(message_id), lease=lease)
    return Toolbox(run_id=run_id, caller=caller, known={name: there[name] for name in names if name in there}, permit=permit)


class CallNames:
    """Gives each call of a run an id of its own: models count from zero again in each round."""

    def __init__(self, taken: Sequence[str]) -> None:
        self._taken = set(taken)

    def named(self, call_id: str) -> str:
        """The id, or the id with a number."""
        base = call_id[:100] or "call"
        name, number = base, 1
        while name in self._taken:
            number += 1
            name = f"{base}-{number}"
        self._taken.add(name)
        return name
