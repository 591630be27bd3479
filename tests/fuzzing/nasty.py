"""Values that have broken servers: what a request is given in one place of it, and whole bodies that are no body."""

import copy
from typing import Any

from hypothesis import strategies as st

VALUES: tuple[Any, ...] = (
    "",
    " ",
    "\x00",
    "a\x00b",
    "\ud800",  # half of a character, which UTF-8 cannot hold
    "\U0001f600" * 300,
    "x" * 70_000,
    "../../etc/passwd",
    "%00",
    "NaN",
    "2026-13-45T99:99:99Z",
    "0001-01-01T00:00:00+23:59",  # before the first moment that there is, in UTC
    None,
    True,
    0,
    -1,
    2**31,
    2**63,
    10**400,
    1e308,
    float("inf"),
    float("nan"),
    [],
    {},
    [[]],
    {"": None},
    ["x"] * 2000,
    {"$ne": 1},
    {"\x00": "\x00"},
)
"""In place of any value of a JSON body."""

TEXTS = (
    # Longer ones are refused by the server in front of us, in words of its own.
    *(each for each in VALUES if isinstance(each, str) and "\ud800" not in each and len(each) < 2000),
    *(str(2**63), "-1", "9" * 400, "[]", "\N{ARABIC-INDIC DIGIT THREE}"),
)
"""In place of a parameter of the query."""

SEGMENTS = ("%00", "%ED%A0%80", "%FF", "x" * 3000, str(2**63), "-1", "%D9%A3", "%20", "{}", "'", "9" * 400, "..%00", "%0A")
"""In place of a parameter in the path, as it is sent."""

BODIES = (
    b"",
    b"null",
    b"1",
    b'"x"',
    b"[]",
    b"[null]",
    b"{}",
    b"{",
    b"\xff\xfe",
    b"\xef\xbb\xbf{}",
    b'{"a": \xff}',
    b"[" * 100_000,
    b'{"a":' * 50_000,
    b"9" * 5000,
    b'{"a": 1' + b"0" * 5000 + b"}",
    b"NaN",
    b'{"a": "\\ud800"}',
)
"""Instead of a JSON body."""


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The ways to every value in a JSON value, itself excluded."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, each in inside for place in ((*path, key), *places(each, (*path, key)))]


def replaced(value: Any, path: tuple[Any, ...], by: Any) -> Any:
    """The same JSON value with another one at the end of a way."""
    value = copy.deepcopy(value)
    holder = value
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = by
    return value


@st.composite
def spoiled(draw: st.DrawFn, value: Any) -> Any:
    """A JSON value in which one place holds something nasty."""
    ways = places(value)
    return replaced(value, draw(st.sampled_from(ways)), draw(st.sampled_from(VALUES))) if ways else draw(st.sampled_from(VALUES))
