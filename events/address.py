"""What the address of a socket says."""

from typing import Any
from urllib.parse import parse_qsl

from events.event import storable
from events.exceptions import NotFound

NO_SOCKET = "There is no WebSocket at this address."


def arguments(scope: dict[str, Any]) -> tuple[dict[str, str], dict[str, str]]:
    """The parts of the path that have names, and the query. Raises `NotFound` for a path that no id can have."""
    path: dict[str, str] = {}
    for name, value in scope.get("url_route", {}).get("kwargs", {}).items():
        if not value.isprintable():
            raise NotFound(NO_SOCKET)
        path[name] = value
    query = dict(parse_qsl(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True))
    return path, storable(query)
