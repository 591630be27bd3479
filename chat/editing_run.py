"""The part of a worker's run that edits a document: proposes, waits for decisions, applies, and proposes anew what was denied.

Where it stands is in the run's continuation before anything is done, and doing it twice is doing it once (see
`chat.services.documents.apply`): a worker may die at any moment, and another goes on.
"""

import asyncio
import logging
import uuid
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, TypeVar

from rest_framework.exceptions import AuthenticationFailed

from accounts.caller import Caller
from accounts.threads import in_thread
from accounts.verification import caller_of_user
from chat.approvals.requesting import Batch, Item
from chat.conf import conf
from chat.editing.changes import Change
from chat.editing.proposing import Denied, Progress, Proposals
from chat.engines.base import EngineError
from chat.models import Approval
from chat.run_events import Type
from chat.services import claiming, documents, proposing
from chat.services.claiming import Claim, JobClaim
from events import journal
from events.exceptions import LeaseLost, ThroughlineError
from events.writer import NewEvent

logger = logging.getLogger(__name__)

RETRY_SECONDS = 0.5
Result = TypeVar("Result")
Tell = Callable[[Type, dict[str, Any]], None]


@dataclass(frozen=True, slots=True)
class Pause:
    """What a run waits for, and where it goes on. `proposed`: events that readers get together with the request."""

    batch: Batch
    continuation: dict[str, Any]
    proposed: Sequence[NewEvent] = ()


@dataclass(slots=True)
class Standing:
    """How far a job has come: the version in force, what was done, said and used in its rounds. Kept as JSON."""

    version_id: str
    round: int = 0
    proposed: int = 0
    made: int = 0
    summaries: list[str] = field(default_factory=list)
    response: str = ""
    usage: dict[str, int] = field(default_factory=dict)
    changes: list[dict[str, Any]] | None = None
    """What is to be applied without asking anyone."""

    @property
    def summary(self) -> str:
        """What became of the document."""
        return " ".join(self.summaries) or "Nothing changed."

    def as_json(self) -> dict[str, Any]:
        """For `of_json`."""
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def of_json(cls, kept: dict[str, Any]) -> "Standing":
        """What `as_json` gave, among other things."""
        return cls(**{name: kept[name] for name in cls.__slots__ if name in kept})


@dataclass(frozen=True, slots=True)
class Decisions:
    """What was decided about a batch."""

    approved: list[Change]
    again: tuple[Denied, ...]
    expired: int


class EditingRun:
    """Edits the document of a claimed job. `tell` appends an event for readers."""

    def __init__(self, claim: Claim, *, tell: Tell) -> None:
        if claim.job is None or claim.job.version_id is None:
            raise ValueError("Only a job with a document can be edited.")
        self._claim = claim
        self._job: JobClaim = claim.job
        self._tell = tell
        self._standing = Standing(str(claim.job.version_id))

    async def work(self) -> "Pause | Standing":
        """What must be decided first, or how it came out, with `response` for people. Raises `EngineError`, `LeaseLost`."""
        caller = await self._caller()
        kept = self._claim.continuation
        if kept is None:
            return await self._propose(caller, ())
        self._standing = standing = Standing.of_json(kept)
        if standing.changes is not None:
            return await self._apply_all(caller)
        decided = _decisions(list(self._claim.decided.values()))
        await self._apply(caller, decided.approved)
        if decided.again and standing.round <= conf.JOBS_REPROPOSALS:
            self._say("Proposing anew what was denied...")
            return await self._propose(caller, decided.again)
        standing.response = _told(standing, decided)
        return standing

    async def _propose(self, caller: Caller, denied: tuple[Denied, ...]) -> "Pause | Standing":
        standing = self._standing
        standing.round += 1
        proposals = await self._proposals(caller, denied)
        for name, number in proposals.usage.items():
            standing.usage[name] = standing.usage.get(name, 0) + number
        standing.response = proposals.response
        if not proposals.changes:
            return standing
        standing.proposed += len(proposals.changes)
        if not self._job.asks:
            standing.changes = [change.data for change in proposals.changes]
            # From here on it is decided what is done: whoever goes on must do exactly this.
            await _there(claiming.keep_continuation, claim=self._claim, continuation=standing.as_json())
            return await self._apply_all(caller)
        self._say(proposals.response)
        return _pause(proposals.changes, standing)

    async def _proposals(self, caller: Caller, denied: tuple[Denied, ...]) -> Proposals:
        request = await _there(
            proposing.edit_request,
            caller=caller,
            version_id=uuid.UUID(self._standing.version_id),
            message=self._claim.request.question,
            denied=denied,
            options=dict(self._claim.request.options),
        )
        chosen = proposing.proposer(alias=self._claim.engine)
        async with aclosing(chosen.propose(request)) as parts:
            async for part in parts:
                if isinstance(part, Proposals):
                    return part
                if isinstance(part, Progress):
                    self._say(part.text)
        raise EngineError("engine_incomplete", "Nothing was proposed. Ask again.", retryable=True)

    async def _apply_all(self, caller: Caller) -> Standing:
        changes = [Change.load(each) for each in self._standing.changes or []]
        await self._apply(caller, changes)
        return self._standing

    async def _apply(self, caller: Caller, changes: list[Change]) -> None:
        if not changes:
            return
        standing = self._standing
        done = await _there(
            documents.apply,
            caller=caller,
            version_id=uuid.UUID(standing.version_id),
            changes=changes,
            turn=self._job.turn,
            run_id=self._claim.message_id,
        )
        standing.version_id = str(done.version_id)
        standing.made += len(changes)
        standing.summaries.append(done.changes_summary)
        self._say(done.changes_summary)

    def _say(self, text: str) -> None:
        self._tell(Type.PROGRESS, {"text": text})

    async def _caller(self) -> Caller:
        """The one who asked: it is his documents that are edited."""
        if self._claim.requested_by is None:
            raise EngineError("context_forbidden", "The account that asked this is no longer there.", retryable=False)
        try:
            return await _there(caller_of_user, self._claim.requested_by)
        except AuthenticationFailed as error:
            raise EngineError("context_forbidden", str(error), retryable=False) from error


async def _there(function: Callable[..., Result], *args: Any, **kwargs: Any) -> Result:
    """A call of the database, made again while it is away: what was approved must not fail for that."""
    while True:
        try:
            return await in_thread(function, *args, **kwargs)
        except journal.UNREACHABLE as error:
            logger.warning("A job waits for the database: %s", error)
            await asyncio.sleep(RETRY_SECONDS)
        except LeaseLost:
            raise
        except ThroughlineError as error:
            raise EngineError(f"edit_{error.code}", error.message, retryable=error.http_status >= 500) from error


def _pause(changes: Sequence[Change], standing: Standing) -> Pause:
    items = [
        Item(change.change_id, f"{change.operation.capitalize()} a section", change.data, reason=change.ai_explanation)
        for change in changes
    ]
    proposed: list[NewEvent] = [
        (
            Type.CHANGE_PROPOSED,
            {
                "approval_id": str(item.id),
                "change_id": change.change_id,
                "operation": change.operation,
                "batch_id": change.batch_id,
                "batch_total": change.batch_total,
            },
        )
        for item, change in zip(items, changes, strict=True)
    ]
    return Pause(Batch(Approval.Kind.PROPOSED_CHANGE, items), standing.as_json(), proposed)


def _decisions(approvals: list[Approval]) -> Decisions:
    approvals.sort(key=lambda each: each.position)
    status = Approval.Status
    return Decisions(
        [Change.load(each.payload) for each in approvals if each.status == status.APPROVED],
        tuple(
            Denied(Change.load(each.payload), each.feedback)
            for each in approvals
            if each.status == status.DENIED and each.feedback.strip()
        ),
        sum(each.status == status.EXPIRED for each in approvals),
    )


def _told(standing: Standing, decided: Decisions) -> str:
    """The answer to a job whose changes were decided about."""
    late = " Nobody decided in time about the others." if decided.expired else ""
    if standing.made == standing.proposed:
        return standing.response
    if not standing.made:
        reason = "Nobody decided in time" if decided.expired else "Nothing was approved"
        return f"{standing.response} {reason}, so nothing was changed."
    return f"{standing.response} {standing.made} of {standing.proposed} proposed changes were approved and made.{late}"
