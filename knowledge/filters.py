"""`metadata_filters` of requests, as conditions on a chunk's metadata. No I/O.

`{"lang": "en"}`: equal. `{"lang": ["en", "de"]}`: one of them. `{"year": {"gte": 2020, "lt": 2024}}`: between; numbers
compare with numbers and text (dates such as 2024-01-31) with text. All given must hold.
"""

import json
from typing import Any

from events.exceptions import InvalidRequest
from knowledge.vectors import Condition

MOST_FILTERS = 20
MOST_VALUES = 100
BOUNDS = {"gte": ">=", "lte": "<=", "gt": ">", "lt": "<"}
HOW = 'A filter is a value, a list of values, or bounds such as {"gte": 1, "lte": 9}.'


def condition_of(filters: dict[str, Any] | None) -> Condition:
    """The condition on `c.metadata`. Raises `InvalidRequest`."""
    if not filters:
        return Condition()
    if len(filters) > MOST_FILTERS:
        raise InvalidRequest(f"metadata_filters has {len(filters)} entries; at most {MOST_FILTERS} are accepted.")
    sql: list[str] = []
    params: list[Any] = []
    for key, wanted in filters.items():
        part = _bounds(key, wanted) if isinstance(wanted, dict) else _equal(key, wanted)
        sql.append(f"AND ({part.sql})")
        params.extend(part.params)
    return Condition(" ".join(sql), tuple(params))


def _equal(key: str, wanted: Any) -> Condition:
    values = wanted if isinstance(wanted, list) else [wanted]
    if len(values) > MOST_VALUES or any(isinstance(value, dict | list) for value in values):
        raise InvalidRequest(f"metadata_filters.{key[:100]}: {HOW}")
    if not values:
        return Condition("FALSE")
    # A list in the metadata matches when it holds the value.
    params = [_json({key: form}) for value in values for form in (value, [value])]
    return Condition(" OR ".join(["c.metadata @> %s::jsonb"] * len(params)), tuple(params))


def _bounds(key: str, wanted: dict[str, Any]) -> Condition:
    if not wanted or any(name not in BOUNDS or isinstance(value, bool) for name, value in wanted.items()):
        raise InvalidRequest(f"metadata_filters.{key[:100]}: {HOW}")
    sql: list[str] = []
    params: list[Any] = []
    for name, value in wanted.items():
        if isinstance(value, int | float):
            # CASE, because Postgres may otherwise cast before it looks at the type.
            sql.append(
                "CASE WHEN jsonb_typeof(c.metadata -> %s) = 'number' "
                f"THEN (c.metadata ->> %s)::numeric {BOUNDS[name]} %s::numeric ELSE FALSE END"
            )
        elif isinstance(value, str):
            sql.append(f"jsonb_typeof(c.metadata -> %s) = 'string' AND (c.metadata ->> %s) COLLATE \"C\" {BOUNDS[name]} %s")
        else:
            raise InvalidRequest(f"metadata_filters.{key[:100]}: {HOW}")
        params += [key, key, value]
    return Condition(" AND ".join(sql), tuple(params))


def _json(value: Any) -> str:
    text = json.dumps(value)
    # jsonb cannot hold NUL, so nothing can equal it; the request is at fault, not the database.
    if "\\u0000" in text:
        raise InvalidRequest("metadata_filters holds the character NUL, which no metadata has.")
    return text
