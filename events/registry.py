"""The open connections of all processes: counted, listed, and ended or looked at again by command.

Read from the boards that the processes keep, see `events.connections`.
"""

import heapq
import json
import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

from events.broker.base import BaseBroker
from events.commands import COMMANDS, END, RECHECK
from events.event import to_json
from events.exceptions import InvalidRequest, NotFound
from events.outbox import publish_with_commit
from events.publishing import Publication

ENDED = (4403, "Ended by an operator")
"""What a connection is closed with on command."""

PAGE = 50
USERS_AT_ONCE = 500
"""Most users in one command."""

_CURSOR = re.compile(r"([0-9]{1,15})~([!-~]{1,100})", re.ASCII)


async def stats(broker: BaseBroker) -> dict[str, Any]:
    """Open sockets as S4 counts them: in all, by session, and by user. Raises `BrokerUnavailable`."""
    sessions: Counter[str] = Counter()
    users: Counter[str] = Counter()
    for of_sessions, of_users in (await broker.boards(["sessions", "users"])).values():
        sessions.update({name: int(count) for name, count in of_sessions.items()})
        users.update({name: int(count) for name, count in of_users.items()})
    return {
        "total_connections": sessions.total(),
        "active_sessions": len(sessions),
        "active_users": len(users),
        "details": {"sessions": dict(sessions), "users": dict(users)},
    }


async def processes(broker: BaseBroker) -> list[dict[str, Any]]:
    """What the processes that serve connections say of themselves, the oldest first. Raises `BrokerUnavailable`."""
    found = await broker.boards(["process"])
    about = [{"process": owner} | json.loads(facts["about"]) for owner, [facts] in found.items() if "about" in facts]
    return sorted(about, key=lambda each: (each["started_at"], each["process"]))


async def page(broker: BaseBroker, *, user_id: str = "", cursor: str = "") -> tuple[list[dict[str, Any]], str | None]:
    """PAGE connections, the newest first, of one user or of all, and the cursor of the next page.

    Raises `InvalidRequest` for a cursor that is none, `BrokerUnavailable`.
    """
    before = _note_of(cursor) if cursor else ""
    wanted = f'"user_id":{to_json(user_id)}' if user_id else ""
    # The notes are compared as they are written, and only a page of them is read.
    notes = (
        (note, owner)
        for owner, [connections] in (await broker.boards(["connections"])).items()
        for note in connections.values()
        if wanted in note and (not before or note < before)
    )
    found = [json.loads(note) | {"process": owner} for note, owner in heapq.nlargest(PAGE + 1, notes)]
    more = len(found) > PAGE
    last = found[PAGE - 1] if more else None
    return found[:PAGE], f"{last['opened_at']}~{last['id']}" if last else None


def _note_of(cursor: str) -> str:
    """The beginning of the note of the connection that a cursor names."""
    match = _CURSOR.fullmatch(cursor)
    if match is None:
        raise InvalidRequest("cursor must be a `next` of an earlier page.")
    return f'{{"opened_at":{match[1]},"id":{to_json(match[2])}'


async def require(broker: BaseBroker, connection_id: str) -> None:
    """Returns when there is such a connection. Raises `NotFound`, `BrokerUnavailable`."""
    boards = await broker.boards(["connections"])
    if not any(connection_id in connections for [connections] in boards.values()):
        raise NotFound("There is no open connection with this id.")


def end_command(*, by: str, connection_id: str = "", user_id: str = "") -> Publication:
    """The command that ends a connection, or all of a user, in whatever process; `by` is who wants it, for the record."""
    code, reason = ENDED
    whom = {"connection_id": connection_id} if connection_id else {"user_id": user_id}
    return Publication(COMMANDS, END.name, whom | {"code": code, "reason": reason, "by": by})


def recheck_users(user_ids: Iterable[str]) -> None:
    """Has the credentials behind these users' connections looked at again everywhere, once the transaction is committed."""
    ids = sorted(set(user_ids))
    for start in range(0, len(ids), USERS_AT_ONCE):
        data = {"user_ids": ids[start : start + USERS_AT_ONCE]}
        publish_with_commit(stream=COMMANDS, type=RECHECK.name, data=data)
