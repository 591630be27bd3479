"""Calls of tools in the database: each is made by one process at a time, and by no second one unless it may be repeated.

not started (pending) -> running, held by one caller of `claim` who says `keep` now and then -> completed, failed; or
unknown, when its holder fell silent and the tool may not be repeated.
"""

import hashlib
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts.caller import Caller
from events.event import storable, to_json
from plugins import executions
from plugins.conf import conf
from plugins.execution_events import Type
from plugins.models import BUILT_IN, Execution, Plugin
from plugins.tools.registry import Arguments, Tool

BUILT_IN_NAME = "Built-in tools"
UNKNOWN = (
    "The server was stopped while this was being done. Nobody can say whether it was: it may or may not have happened, "
    "and was not repeated. Check before you do it again."
)
STOPPED = "The server was stopped while this was being done, and nobody came back for it."
ABANDONED = timedelta(minutes=10)
OTHER_CALL = "This key was used for another call."
Status = Execution.Status


class Place(Enum):
    """Where a call is when it is claimed."""

    OURS = "ours"
    """Do it."""
    ELSEWHERE = "elsewhere"
    """Someone else is doing it: ask again."""
    ENDED = "ended"
    """It was done, or cannot be."""
    OTHER = "other"
    """The key belongs to another call."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What came of claiming a call. `content` and `error` are those of one that has ended."""

    place: Place
    execution_id: uuid.UUID
    status: str
    content: Any = None
    error: str = ""


Permit = Callable[[], None]
"""Raises when the call must not be begun (any more); called in the transaction that begins it, so that it locks what it read."""


@dataclass(frozen=True, slots=True)
class Call:
    """A call that a run wants made. `key`: the same one is not made twice."""

    tool: Tool
    arguments: Arguments
    caller: Caller
    run_id: str
    call_id: str
    key: str
    permit: Permit | None = None

    @property
    def digest(self) -> str:
        """Of what is to be done."""
        return hashlib.sha256(to_json(storable([self.tool.name, self.arguments])).encode()).hexdigest()


def claim(*, call: Call, holder: uuid.UUID) -> Claim:
    """Makes a call the holder's, unless it is someone else's or has ended. Raises what its `permit` raises."""
    try:
        return _claim(call, holder)
    except IntegrityError:
        # The same key at the same moment: that one is there now.
        return _claim(call, holder)


@transaction.atomic
def _claim(call: Call, holder: uuid.UUID) -> Claim:
    if call.permit is not None:
        call.permit()
    execution = _earlier(call) or _begin(call)
    if execution.digest != call.digest:
        return _claimed(Place.OTHER, execution)
    if execution.status not in Execution.OPEN:
        return _claimed(Place.ENDED, execution)
    if execution.status == Status.RUNNING and execution.holder != holder and not _is_silent(execution):
        return _claimed(Place.ELSEWHERE, execution)
    if execution.status == Status.RUNNING and execution.holder != holder and not call.tool.may_repeat(call.arguments):
        executions.write(execution, [(Type.ERROR, {"error": UNKNOWN, "unknown": True})])
        return _claimed(Place.ENDED, execution)
    now = timezone.now()
    execution.status, execution.started_at = Status.RUNNING, execution.started_at or now
    execution.holder, execution.held_until = holder, _lease_end(now)
    execution.save(update_fields=["status", "started_at", "holder", "held_until"])
    return _claimed(Place.OURS, execution)


def _earlier(call: Call) -> Execution | None:
    if not call.key:
        return None
    query = Execution.objects.select_for_update(of=("self",)).select_related("owner")
    return query.filter(owner_id=call.caller.pk, idempotency_key=call.key).first()


def _begin(call: Call) -> Execution:
    plugin, _ = Plugin.objects.get_or_create(pk=BUILT_IN, defaults={"name": BUILT_IN_NAME})
    return executions.begin(
        owner_pk=call.caller.pk,
        user_id=call.caller.user_id,
        plugin=plugin,
        tool_name=call.tool.name,
        given=call.arguments,
        run_id=call.run_id[:100],
        call_id=call.call_id[:200],
        idempotency_key=call.key or None,
        digest=call.digest,
        may_repeat=call.tool.may_repeat(call.arguments),
    )


def _claimed(place: Place, execution: Execution) -> Claim:
    return Claim(place, execution.pk, execution.status, execution.content, execution.error)


def _is_silent(execution: Execution) -> bool:
    return execution.held_until is None or execution.held_until <= timezone.now()


def _lease_end(now: datetime) -> datetime:
    return now + timedelta(seconds=conf.PLUGINS_CALL_LEASE_SECONDS)


def keep(*, execution_id: uuid.UUID, holder: uuid.UUID) -> bool:
    """Says that the holder still works on it; False when it is not his any more."""
    held = Execution.objects.filter(pk=execution_id, holder=holder, status=Status.RUNNING)
    return held.update(held_until=_lease_end(timezone.now())) == 1


@transaction.atomic
def settle(*, execution_id: uuid.UUID, holder: uuid.UUID, content: Any = None, error: str = "", unknown: bool = False) -> Claim:
    """Ends a call of the holder's with what came of it; what is there now. One that is not his any more stays as it is."""
    execution = executions.locked(execution_id)
    if execution.status not in Execution.OPEN or execution.holder != holder:
        return _claimed(Place.ENDED if execution.status not in Execution.OPEN else Place.ELSEWHERE, execution)
    if error:
        report: executions.Report = (Type.ERROR, {"error": error} | ({"unknown": True} if unknown else {}))
    else:
        execution.content = storable(content)
        report = (Type.COMPLETE, {"result": content})
    executions.write(execution, [executions.masked(report)])
    return _claimed(Place.ENDED, execution)


def end_silent() -> int:
    """Ends calls whose holder fell silent and whose run did not come back for them; how many.

    Not the moment their lease is over: after an outage of the database living holders must be heard first. One that may
    be repeated is waited for longer: its run does it again when it goes on.
    """
    now = timezone.now()
    patience = now - timedelta(seconds=conf.PLUGINS_CALL_LEASE_SECONDS)
    silent = Execution.objects.filter(status=Status.RUNNING, holder__isnull=False, held_until__lt=patience)
    count = 0
    for pk in list(silent.values_list("pk", flat=True)[:500]):
        with transaction.atomic():
            execution = executions.locked(pk)
            if execution.status != Status.RUNNING or execution.held_until is None or execution.held_until >= patience:
                continue
            if not execution.may_repeat:
                executions.write(execution, [(Type.ERROR, {"error": UNKNOWN, "unknown": True})])
            elif execution.held_until < now - ABANDONED:
                executions.write(execution, [(Type.ERROR, {"error": STOPPED})])
            else:
                continue
            count += 1
    return count
