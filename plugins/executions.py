"""Executions: begun, reported to, ended, looked at. Whatever is stored here is masked and cut before."""

import hashlib
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from accounts.caller import Caller
from events import journal
from events.batches import append_with_commit
from events.conf import conf as events_conf
from events.event import Event, EventId, to_json
from events.exceptions import Conflict, Forbidden, InvalidRequest, LeaseLost, NotFound
from events.outbox import publish_with_commit
from events.paging import page
from events.streams import Stream
from plugins.conf import conf
from plugins.execution_events import REQUIRED, Type
from plugins.masking import cut, shown
from plugins.models import BUILT_IN, Execution, ExecutionBatch, Plugin

LONGEST_KEY = 255
LONGEST_ERROR = 4000
EXPIRED = "It was not reported to until it expired."
NOTHING = "There is no such execution."
TERMINAL = (Type.COMPLETE, Type.ERROR)
Status = Execution.Status

Report = tuple[Type, dict[str, Any]]
"""An event to be recorded: its type and data."""


@dataclass(frozen=True, slots=True)
class Taken:
    """Which ids reported events were given, and whether that was earlier: the same batch had come before."""

    first: int
    last: int
    repeated: bool = False


def execution_stream(execution_id: uuid.UUID) -> Stream:
    """The durable stream of an execution."""
    return Stream("execution", str(execution_id))


def visible(caller: Caller) -> QuerySet[Execution]:
    """The caller's own, and those of the plugins of his organisations. What tools do in a run is the asker's alone."""
    mine = Q(owner_id=caller.pk) | Q(plugin__organization__public_id__in=caller.organizations)
    return Execution.objects.filter(mine).select_related("plugin", "owner")


def get(*, caller: Caller, execution_id: uuid.UUID) -> Execution:
    """One of them; raises `NotFound` also when it is someone else's."""
    found = visible(caller).filter(pk=execution_id).first()
    if found is None:
        raise NotFound(NOTHING)
    return found


def list_executions(*, caller: Caller, cursor: str, plugin_id: uuid.UUID | None = None) -> tuple[list[Execution], str | None]:
    """One page, newest first, after `cursor` (empty: the newest), and the cursor of the next page."""
    query = visible(caller)
    if plugin_id is not None:
        query = query.filter(plugin_id=plugin_id)
    return page(query, by="created_at", cursor=cursor)


def find(*, execution_id: uuid.UUID) -> Execution:
    """The execution that an unguessable id names, for whoever knows it. Raises `NotFound`, also when it has expired."""
    found = Execution.objects.select_related("plugin").filter(pk=execution_id, expires_at__gt=timezone.now()).first()
    if found is None:
        raise NotFound("There is no such execution, or it has expired. Begin a new one.")
    return found


def create(*, caller: Caller, plugin: Plugin, tool_name: str, given: Any) -> Execution:
    """Begins an execution of one of a plugin's tools. Raises `InvalidRequest` for a tool that it does not have."""
    known = [each["name"] for each in plugin.tools]
    if known and tool_name not in known:
        raise InvalidRequest(f"{plugin.name} has no tool called {tool_name[:100]!r}. Its tools: {', '.join(known)}.")
    return begin(owner_pk=caller.pk, user_id=caller.user_id, plugin=plugin, tool_name=tool_name, given=given)


@transaction.atomic
def begin(*, owner_pk: int, user_id: str, plugin: Plugin, tool_name: str, given: Any, **fields: Any) -> Execution:
    """Writes a new execution with its empty stream, and tells its owner. `given`: what the tool was given."""
    execution = Execution.objects.create(
        plugin=plugin,
        owner_id=owner_pk,
        tool_name=tool_name,
        input=shown(given, most=conf.PLUGINS_VALUE_MAX_BYTES),
        expires_at=timezone.now() + timedelta(hours=conf.PLUGINS_EXECUTION_HOURS),
        **fields,
    )
    journal.create(stream=execution_stream(execution.pk))
    _announce(execution, user_id, Type.STARTED)
    return execution


def report(*, caller: Caller, execution_id: uuid.UUID, reports: Sequence[Report], key: str = "") -> Taken:
    """Takes events from outside. Raises `NotFound`, `Forbidden` for the server's own tools, and as `append`."""
    if get(caller=caller, execution_id=execution_id).plugin_id == BUILT_IN:
        raise Forbidden("The server's own tools report by themselves.")
    return append(execution_id=execution_id, reports=reports, key=key)


@transaction.atomic
def append(*, execution_id: uuid.UUID, reports: Sequence[Report], key: str = "", holder: uuid.UUID | None = None) -> Taken:
    """Adds events in one piece; a terminal one, which must be the last, ends the execution with it.

    With a `key` that was used before nothing is added again. Events of a tool call are taken only from its `holder`.
    Raises `NotFound`, `InvalidRequest`, and `Conflict` when it has ended or expired, has too many events, or the key
    was used for other events.
    """
    if len(key) > LONGEST_KEY:
        raise InvalidRequest(f"A key has at most {LONGEST_KEY} characters.")
    _check(reports)
    told = [masked(each) for each in reports]
    digest = hashlib.sha256(to_json(told).encode()).hexdigest()
    execution = locked(execution_id)
    if key and (earlier := execution.batches.filter(key=key).first()) is not None:
        if earlier.digest != digest:
            raise Conflict("This key was used for other events. Use a new key for new events.")
        return Taken(earlier.first, earlier.last, repeated=True)
    _refuse_late(execution, holder)
    made = write(execution, told)
    if key:
        ExecutionBatch.objects.create(execution=execution, key=key, digest=digest, first=made[0].id.major, last=made[-1].id.major)
    return Taken(made[0].id.major, made[-1].id.major)


def _check(reports: Sequence[Report]) -> None:
    if not reports:
        raise InvalidRequest("There are no events. Send at least one.")
    for number, (type_, data) in enumerate(reports):
        needed = REQUIRED.get(type_)
        if needed is not None and data.get(needed) in (None, ""):
            raise InvalidRequest(f"Event {number} has no {needed!r} in its data.")
        if type_ in TERMINAL and number < len(reports) - 1:
            raise InvalidRequest(f"Event {number} ends the execution: it must be the last.")


def locked(execution_id: uuid.UUID) -> Execution:
    """An execution, locked until the transaction ends. Raises `NotFound`."""
    found = Execution.objects.select_for_update(of=("self",)).select_related("owner").filter(pk=execution_id).first()
    if found is None:
        raise NotFound(NOTHING)
    return found


def _refuse_late(execution: Execution, holder: uuid.UUID | None) -> None:
    if execution.status not in Execution.OPEN:
        raise Conflict(f"This execution has ended: {execution.status}. Begin a new one.")
    if execution.holder != holder:
        raise Conflict("This call was taken over by another process.")
    if holder is None and execution.expires_at <= timezone.now():
        raise Conflict("This execution has expired. Begin a new one.")


def write(execution: Execution, told: Sequence[Report]) -> list[Event]:
    """Adds masked events to a locked execution, and ends it with a terminal one. Raises `Conflict`."""
    stream = execution_stream(execution.pk)
    head = journal.heads([stream])[stream.name].head.major
    if head + len(told) > conf.PLUGINS_EXECUTION_MAX_EVENTS and told[0][0] not in TERMINAL:
        raise Conflict(
            f"This execution has {head} events, of {conf.PLUGINS_EXECUTION_MAX_EVENTS} at most. Send its end alone, "
            "which is always taken."
        )
    try:
        made = append_with_commit(stream=stream, events=[(str(type_), data) for type_, data in told])
    except LeaseLost:
        raise Conflict("This execution has ended. Begin a new one.") from None
    type_, data = told[-1]
    if type_ in TERMINAL:
        _end(execution, type_, data)
    elif execution.status == Status.PENDING:
        execution.status, execution.started_at = Status.RUNNING, timezone.now()
        execution.save(update_fields=["status", "started_at"])
    return made


def masked(report: Report) -> Report:
    """An event as it is recorded: each field masked and cut, all together small enough for an event."""
    type_, data = report
    room = events_conf.EVENT_MAX_BYTES - 1024
    result: dict[str, Any] = {}
    # Masked as a whole: the name of a field may be what makes its value a secret.
    for name, value in shown(data, most=2**31).items():
        if room < 200:
            result["..."] = "More fields than an event can hold."
            break
        result[name[:200]] = cut(value, most=min(conf.PLUGINS_VALUE_MAX_BYTES, room - 100))
        room -= len(to_json({name[:200]: result[name[:200]]}))
    return type_, result


def _end(execution: Execution, type_: Type, data: dict[str, Any]) -> None:
    execution.ended_at = timezone.now()
    execution.started_at = execution.started_at or execution.ended_at
    execution.holder = execution.held_until = None
    if type_ == Type.COMPLETE:
        execution.status, execution.result = Status.COMPLETED, data.get("result")
    else:
        execution.status = Status.UNKNOWN if data.get("unknown") is True else Status.FAILED
        error = data["error"]
        execution.error = (error if isinstance(error, str) else to_json(error))[:LONGEST_ERROR]
    execution.save()
    _announce(execution, execution.owner.public_id, Type.FINISHED)


def _announce(execution: Execution, user_id: str, type_: Type) -> None:
    payload = {
        "execution_id": str(execution.pk),
        "plugin_id": str(execution.plugin_id),
        "tool_name": execution.tool_name,
        "status": execution.status,
    }
    data = {"scope": {"kind": "execution", "id": str(execution.pk)}, "payload": payload}
    publish_with_commit(stream=Stream("user", user_id), type=str(type_), data=data)


def history(*, caller: Caller, execution_id: uuid.UUID, after: int, limit: int) -> list[Event]:
    """At most `limit` events after one, for those who poll. Raises `NotFound`."""
    get(caller=caller, execution_id=execution_id)
    return journal.read(execution_stream(execution_id), EventId(after, 0), limit=limit)


def end_expired() -> int:
    """Ends those that nobody reported the end of until they expired; how many."""
    query = Execution.objects.filter(status__in=Execution.OPEN, holder=None, expires_at__lt=timezone.now())
    return sum(_end_if_open(pk, EXPIRED) for pk in list(query.values_list("pk", flat=True)[:500]))


@transaction.atomic
def _end_if_open(execution_id: uuid.UUID, error: str) -> bool:
    execution = locked(execution_id)
    if execution.status not in Execution.OPEN or execution.holder is not None:
        return False
    write(execution, [(Type.ERROR, {"error": error})])
    return True


def prune(*, before: datetime) -> int:
    """Deletes executions that began before a moment and have ended; how many. Their streams go as all streams do."""
    return (
        Execution.objects.exclude(status__in=Execution.OPEN).filter(created_at__lt=before).delete()[1].get("plugins.Execution", 0)
    )
