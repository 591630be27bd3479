"""Driving one run: an engine's parts become canonical events."""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from chat.approvals.requesting import StopRequested, request
from chat.conf import conf
from chat.continuation import Continuation
from chat.editing_run import EditingRun, Pause
from chat.engines.base import (
    BaseEngine,
    EngineError,
    EnginePart,
    EngineRequest,
    Finish,
    ReasoningDelta,
    Sources,
    TextDelta,
    ToolCall,
    Usage,
)
from chat.engines.registry import engine, selected_engine
from chat.engines.text import TextStitcher, clean_json, clean_text
from chat.grounding import ground
from chat.run_events import Type
from chat.services.claiming import Claim, JobClaim
from chat.services.endings import CANCELLED, WORKER_DIED, Ending, settle
from chat.snapshot import Snapshot
from chat.tools import CallNames, Decided, Outcome, Toolbox, shortened, toolbox_of
from events.event import to_json
from events.exceptions import LeaseLost
from events.writer import NewEvent, StreamWriter, Writer

logger = logging.getLogger(__name__)

CUT_REASONS = frozenset({"length", "content_filter"})
"""An answer that ended so was not finished: the calls in it may not be what the model meant."""

NAME_CHARS = 200
PARAGRAPH = "\n\n"
"""Between what was written before and after tools were asked: readers join the texts of an answer."""


class Driver:
    """Drives the engine of one claimed run and writes its events, from the claim to the terminal event."""

    def __init__(self, *, claim: Claim, writer: Writer, stream: StreamWriter, snapshot: Snapshot) -> None:
        self.claim = claim
        self.started = False
        """Whether readers have seen anything of this answer; until then it can be handed back."""
        self._writer = writer
        self._stream = stream
        self._snapshot = snapshot
        self._stitcher = TextStitcher()
        self._chars = 0
        self._finish: Finish | None = None
        self._calls: list[ToolCall] = []
        """What the engine has asked for in this round."""
        self._is_later_round = False
        self._names = CallNames([call["call_id"] for call in snapshot.tool_calls])
        self._changed: dict[str, Any] = {"version_id": None, "changes_summary": ""}
        """What a job has done to its document."""
        self._used = Usage(0, 0)
        """What the rounds before this one have used."""
        self._engine: asyncio.Task[Pause | None] | None = None
        self._interrupted = False
        self._ending: Ending | None = None

    def interrupt(self, ending: Ending | None) -> None:
        """Stops the engine; the run then ends with `ending`, or with None stays open for someone else.

        Without effect once the engine is done: the end that is being written stands.
        """
        if not self._interrupted:
            self._interrupted, self._ending = True, ending
            if self._engine is not None:
                self._engine.cancel()

    async def drive(self) -> None:
        """Runs the engine to its end and ends the run. Raises `LeaseLost`."""
        outcome = await self._answer()
        if isinstance(outcome, Pause):
            await self._wait_for(outcome)
        elif outcome is not None:
            await self.end(outcome)

    async def _wait_for(self, pause: Pause) -> None:
        """Stores the run as waiting, and lets go of it: whoever claims it after the decision goes on."""
        also = request(message_id=self.claim.message_id, batch=pause.batch, continuation=pause.continuation)
        events = [*pause.proposed, (Type.APPROVAL_REQUESTED, pause.batch.event())]
        try:
            await self._writer.leave(self._stream, events=events, also=also)
        except StopRequested:
            await self.end(CANCELLED)

    async def end(self, ending: Ending) -> None:
        """Ends the run: closes an open block, then the one terminal event, with the run's final state."""
        self._close_block()
        events: list[NewEvent] = [(ending.type, ending.data(self.claim.conversation_id))]
        if self.claim.job is not None and ending.type is Type.COMPLETED:
            events = self._result(self.claim.job, events[0][1])
        also = settle(message_id=self.claim.message_id, ending=ending, snapshot=self._snapshot)
        self._snapshot.head = self._stream.next_id() + len(events) - 1
        await self._writer.end(self._stream, events=events, also=also)

    def _result(self, job: JobClaim, terminal: dict[str, Any]) -> list[NewEvent]:
        """The last events of a job that completed: its result, and the end, which tells of the account's month."""
        result = {"response": "".join(self._snapshot.text), "session_id": job.session, "usage": job.usage} | self._changed
        self._snapshot.add(Type.JOB_RESULT, result)
        return [(Type.JOB_RESULT, result), (Type.COMPLETED, terminal | {"usage": job.usage})]

    async def _answer(self) -> Ending | Pause | None:
        """How the run is to end, or what it waits for; None: it is left open."""
        if self._interrupted:
            return self._ending
        # A task of its own, so that stopping the engine cannot cut the writing of the end.
        self._engine = asyncio.create_task(self._run_engine(), name=f"engine {self.claim.message_id}")
        try:
            async with asyncio.timeout(conf.RUN_MAX_SECONDS) as clock:
                pause = await self._engine
        except LeaseLost:
            raise
        except asyncio.CancelledError as error:
            if self._interrupted:
                return self._ending
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            # The engine's own, of something that it waited for. Let through, the run would stay open while its worker lives.
            return self._failure(error, timed_out=False)
        except Exception as error:
            return self._failure(error, timed_out=clock.expired())
        if pause is not None:
            return pause
        if self._finish is None:
            return Ending(Type.FAILED, "engine_incomplete", "The engine ended without saying that it was done.", True)
        return Ending(Type.COMPLETED, finish_reason=self._finish.reason)

    def _failure(self, error: BaseException, *, timed_out: bool) -> Ending:
        if isinstance(error, EngineError):
            return Ending(Type.FAILED, error.code, error.message, error.retryable)
        if timed_out:
            return Ending(Type.FAILED, "run_timeout", f"The answer took longer than {conf.RUN_MAX_SECONDS:g} seconds.", True)
        logger.error("The engine of run %s failed.", self.claim.message_id, exc_info=error)
        return Ending(Type.FAILED, "engine_failed", "The engine failed unexpectedly. Ask again.", True)

    async def _run_engine(self) -> Pause | None:
        """Asks the engine, and again with what its tools have said, until it has nothing more to ask of them.

        None when it is done; else what must be approved first.
        """
        if self.claim.job is not None and self.claim.job.version_id is not None:
            return await self._edit()
        chosen = engine(self.claim.engine) if self.claim.engine else selected_engine()
        reason = chosen.check()
        if reason is not None:
            raise EngineError("engine_not_available", reason, retryable=False)
        toolbox = await self._toolbox(chosen)
        asked = await self._continued(toolbox) if self.claim.continuation else await self._grounded()
        asked = replace(asked, tools=toolbox.offers())
        while True:
            written = await self._round(chosen, asked)
            if not self._calls or self._finish is None or self._finish.reason in CUT_REASONS:
                return None
            if len(asked.rounds) >= conf.CHAT_TOOL_ROUNDS:
                message = f"The answer was not finished after {conf.CHAT_TOOL_ROUNDS} rounds of tools."
                raise EngineError("too_many_tool_rounds", message, retryable=False)
            calls = tuple(self._calls)
            waiting = [call for call in calls if toolbox.asks(call)]
            results = await self._call_tools(toolbox, {self._key(call): call for call in calls if call not in waiting})
            continuation = Continuation.of(asked, written, calls, results)
            if waiting:
                return Pause(toolbox.batch(waiting), continuation.as_json())
            asked = replace(asked, rounds=(*asked.rounds, continuation.with_results({})))

    async def _edit(self) -> Pause | None:
        """Has the job's document edited; the same as `_run_engine`."""
        self.started = True
        outcome = await EditingRun(self.claim, tell=self._append).work()
        if isinstance(outcome, Pause):
            return outcome
        self._changed = {"version_id": outcome.version_id, "changes_summary": outcome.summary}
        if outcome.usage:
            self._append(Type.USAGE, outcome.usage)
        self._take(TextDelta(outcome.response))
        self._finish = Finish("stop")
        return None

    async def _continued(self, toolbox: Toolbox) -> EngineRequest:
        """The request as it was, with what came of the calls that were decided about."""
        if not self._snapshot.is_waiting:
            # A worker before this one got further, and died in the middle of the engine's words.
            raise EngineError(WORKER_DIED.code, WORKER_DIED.message, retryable=WORKER_DIED.retryable)
        continuation = Continuation.of_json(self.claim.continuation or {})
        outcomes: dict[str, str] = {}
        approved: dict[str, ToolCall] = {}
        for call in continuation.waiting:
            decision = Decided.of(self.claim.decided.get(call.call_id))
            if decision.approved:
                approved[decision.key] = replace(call, arguments=decision.arguments(call))
            else:
                outcomes[call.call_id] = self._tell(call, decision.refusal())
        results = outcomes | await self._call_tools(toolbox, approved)
        return replace(
            self.claim.request,
            rounds=(*continuation.rounds, continuation.with_results(results)),
            attachments=continuation.attachments,
            grounded=continuation.grounded,
        )

    async def _toolbox(self, chosen: BaseEngine) -> Toolbox:
        names = self.claim.tools if chosen.takes_tools and conf.CHAT_TOOL_ROUNDS else ()
        claim = self.claim
        return await toolbox_of(message_id=claim.message_id, lease=claim.lease, names=names, requested_by=claim.requested_by)

    async def _round(self, chosen: BaseEngine, request: EngineRequest) -> str:
        """What the engine writes until it is done, or asks for tools; its text is given."""
        before = len(self._snapshot.text)
        self._finish, self._calls, self._is_later_round = None, [], bool(request.rounds)
        used = self._snapshot.usage
        self._used = Usage(used.get("input_tokens", 0), used.get("output_tokens", 0))
        # Closed whatever happens: a stopped answer must not keep its upstream connection.
        async with aclosing(chosen.stream(request)) as parts:
            async for part in parts:
                self.started = True
                self._take(part)
        self._close_block()
        return "".join(self._snapshot.text[before:]).removeprefix(PARAGRAPH)

    async def _call_tools(self, toolbox: Toolbox, calls: Mapping[str, ToolCall]) -> dict[str, str]:
        """Makes calls, each under its key; what the engine is to be told, by call id."""
        results = {}
        self.started = self.started or bool(calls)
        async with aclosing(toolbox.call_all(calls)) as outcomes:
            async for call, outcome in outcomes:
                results[call.call_id] = self._tell(call, outcome)
        return results

    def _tell(self, call: ToolCall, outcome: Outcome) -> str:
        """Tells readers what came of a call, unless a worker before this one has; what the engine is to be told."""
        if call.call_id not in self._snapshot.answered:
            self._append(Type.TOOL_RESULT, outcome.event(call))
        return outcome.told()

    def _key(self, call: ToolCall) -> str:
        return f"{self.claim.message_id}:{call.call_id}"

    async def _grounded(self) -> EngineRequest:
        """The request with what it is to be answered from; readers are told first, also when there is nothing."""
        request, wanted = self.claim.request, self.claim.grounding
        if wanted is None:
            return request
        found = await ground(query=request.question, wanted=wanted, user_pk=self.claim.requested_by)
        if wanted.get("keep_attachments"):
            # An application's sources do not displace what its user brings; each text has its own number.
            for name, text in request.attachments:
                found.add(name, text)
        self.started = True
        self._append(Type.SOURCES, found.event())
        # Not what the conversation has attached: [n] is the number of a source, and of nothing else.
        return replace(request, attachments=tuple(found.texts), grounded=wanted["context_mode"] != "none")

    def _take(self, part: EnginePart) -> None:
        match part:
            case TextDelta(text):
                self._add_text("text", text)
            case ReasoningDelta(text):
                self._add_text("reasoning", text)
            case Sources(sources) if self.claim.grounding is None:
                self._append(Type.SOURCES, {"sources": clean_json(list(sources))})
            case ToolCall():
                self._add_call(part)
            case Usage(input_tokens, output_tokens):
                before = self._used
                total = {
                    "input_tokens": before.input_tokens + input_tokens,
                    "output_tokens": before.output_tokens + output_tokens,
                }
                self._append(Type.USAGE, total)
            case Finish():
                self._finish = part

    def _add_call(self, call: ToolCall) -> None:
        call = replace(
            call,
            call_id=self._names.named(clean_text(call.call_id)),
            name=clean_text(call.name)[:NAME_CHARS],
            arguments=clean_json(call.arguments),
        )
        if len(to_json(call.arguments)) > conf.CHAT_TOOL_ARGUMENTS_MAX_CHARS:
            fault = f"The arguments have more than {conf.CHAT_TOOL_ARGUMENTS_MAX_CHARS} characters."
            call = replace(call, arguments={}, fault=fault)
        elif len(self._calls) >= conf.CHAT_TOOL_CALLS_PER_ROUND:
            call = replace(call, fault=f"At most {conf.CHAT_TOOL_CALLS_PER_ROUND} tools are called at once. Ask for this again.")
        self._calls.append(call)
        told = shortened("arguments", call.arguments)
        self._append(Type.TOOL_CALL, {"call_id": call.call_id, "name": call.name} | told)

    def _add_text(self, family: str, text: str) -> None:
        if self._snapshot.open_block is None or self._snapshot.open_block[0] != family:
            self._close_block()
            self._write(f"{family}.start", {"block": self._snapshot.blocks + 1})
            if family == "text" and self._is_later_round and self._snapshot.text:
                text = PARAGRAPH + text
        self._write_text(self._stitcher.feed(text))

    def _write_text(self, text: str) -> None:
        if not text or self._snapshot.open_block is None:
            return
        family, block = self._snapshot.open_block
        first = self._chars == 0
        self._chars += len(text)
        if self._chars > conf.CHAT_ANSWER_MAX_CHARS:
            raise EngineError(
                "answer_too_long", f"The answer is longer than {conf.CHAT_ANSWER_MAX_CHARS} characters.", retryable=False
            )
        self._write(f"{family}.delta", {"block": block, "text": text}, at_once=first)

    def _close_block(self) -> None:
        if self._snapshot.open_block is None:
            return
        family, block = self._snapshot.open_block
        rest, self._stitcher = self._stitcher.finish(), TextStitcher()
        if rest:
            self._write(f"{family}.delta", {"block": block, "text": rest})
        self._write(f"{family}.end", {"block": block})

    def _append(self, type: Type, data: dict[str, Any]) -> None:
        self._close_block()
        self._write(type, data)

    def _write(self, type: str, data: dict[str, Any], *, at_once: bool = False) -> None:
        self._stream.append(type, data, at_once=at_once)
        self._snapshot.add(type, data)
