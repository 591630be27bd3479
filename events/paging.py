"""Ids and pages in addresses: the same form everywhere."""

import re
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from django.db.models import Model, Q, QuerySet

from events.event import storable
from events.exceptions import InvalidRequest

PAGE = 50
_CURSOR = re.compile(r"([0-9]{1,17})~([0-9a-f-]{36})", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Row = TypeVar("Row", bound=Model)


def parse_id(text: object, *, what: str = "The id") -> uuid.UUID:
    """The UUID in a text; raises `InvalidRequest` naming `what`.

    Only the usual form: `uuid.UUID` alone accepts braces and URNs.
    """
    try:
        value = uuid.UUID(str(text))
    except ValueError:
        value = None
    if value is None or str(value) != str(text).lower():
        raise InvalidRequest(f"{what} must be a UUID such as 123e4567-e89b-12d3-a456-426614174000.")
    return value


def page(query: QuerySet[Row], *, by: str, cursor: str) -> tuple[list[Row], str | None]:
    """One page of rows with UUID keys, the newest `by` (a field with a time) first, after `cursor` (empty: the newest).

    And the cursor of the next page: microseconds and id, of characters that a query needs no quoting for.
    Raises `InvalidRequest`.
    """
    query = query.order_by(f"-{by}", "-pk")
    if cursor:
        moment, pk = _parse_cursor(cursor)
        query = query.filter(Q(**{f"{by}__lt": moment}) | Q(**{by: moment, "pk__lt": pk}))
    found = list(query[: PAGE + 1])
    return found[:PAGE], _cursor(found[PAGE - 1], by) if len(found) > PAGE else None


def page_by_name(query: QuerySet[Row], *, by: str, cursor: str) -> tuple[list[Row], str | None]:
    """One page of rows in the order of `by`, a field with a unique text, after `cursor` (empty: from the first).

    And the cursor of the next page: the text of the last row.
    """
    query = query.order_by(by)
    if cursor:
        query = query.filter(**{f"{by}__gt": storable(cursor)})
    found = list(query[: PAGE + 1])
    return found[:PAGE], _text(found[PAGE - 1], by) if len(found) > PAGE else None


def _text(row: Any, by: str) -> str:
    for name in by.split("__"):
        row = getattr(row, name)
    return str(row)


def _cursor(last: Any, by: str) -> str:
    return f"{(getattr(last, by) - _EPOCH) // timedelta(microseconds=1)}~{last.pk}"


def _parse_cursor(text: str) -> tuple[datetime, uuid.UUID]:
    match = _CURSOR.fullmatch(text)
    if match is None:
        raise InvalidRequest("cursor must be a `next` of an earlier page.")
    return _EPOCH + timedelta(microseconds=int(match[1])), parse_id(match[2], what="cursor")
