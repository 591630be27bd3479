"""Telling the owner of a connection, on his feed, how it goes."""

import json
from collections.abc import Sequence
from typing import Any

from events.conf import conf as events_conf
from events.event import storable
from events.outbox import publish_with_commit
from events.streams import Stream
from plugins.mcp import Tool
from plugins.models import Connection
from plugins.oauth_events import CONNECTION_EVENTS

DESCRIPTION_CHARS = 200


def announce(*, connection: Connection, step: str, **payload: Any) -> None:
    """Tells the owner with the current transaction, or not at all."""
    task_id = str(connection.task_id)
    data = {"scope": {"kind": "mcp_oauth", "id": task_id}, "payload": {"task_id": task_id} | storable(payload)}
    stream = Stream("user", connection.owner.public_id)
    publish_with_commit(stream=stream, type=CONNECTION_EVENTS[step].name, data=data)


def told_tools(tools: Sequence[Tool]) -> list[Tool]:
    """As many of the tools as fit well into an event, with the beginnings of their descriptions; all are in the connection."""
    room, told = events_conf.EVENT_MAX_BYTES // 2, []
    for each in tools:
        short = each | {"description": each["description"][:DESCRIPTION_CHARS]}
        room -= len(json.dumps(short)) + 1
        if room < 0:
            break
        told.append(short)
    return told
