"""Conditions of rules: an expression over an event that is true or not."""

from functools import lru_cache
from typing import Any

from events.exceptions import InvalidRequest
from notifications import language
from notifications.language import CONDITIONS

LONGEST = 1000


class ConditionFailed(Exception):
    """A condition could not be answered for an event; the message says why, for its owner."""


def check(source: str) -> None:
    """Refuses what is no condition. Raises `InvalidRequest`. Nothing at all is always true."""
    if not source.strip():
        return
    # Written as one expression: nothing may close it and begin something else.
    if any(mark in source for mark in ("{{", "}}", "{%", "%}", "{#", "#}")):
        raise InvalidRequest("condition: an expression such as payload.amount > 100, without braces.")
    language.check(f"{{{{ {source} }}}}", what="condition", language=CONDITIONS, longest=LONGEST + 6)


def holds(source: str, values: dict[str, Any]) -> bool:
    """Whether a checked condition is true of an event. Raises `ConditionFailed`.

    A field that the event has not is none: comparing it is false.
    """
    if not source.strip():
        return True
    try:
        return bool(_compiled(source)(**values))
    except Exception as error:
        # Whatever a comparison of odd values raises is the rule's fault, never that of the event.
        raise ConditionFailed(f"condition: {error}"[:500]) from error


@lru_cache(maxsize=1024)
def _compiled(source: str) -> Any:
    return CONDITIONS.compile_expression(source)
