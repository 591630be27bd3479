"""Templates of rules: the words of a notification, with fields of the event."""

from functools import lru_cache
from typing import Any

from jinja2 import Template

from events.event import storable
from notifications import language
from notifications.language import TEMPLATES

LONGEST = 4000


class TemplateFailed(Exception):
    """A template could not be filled for an event; the message says why, for its owner."""


def check(source: str, *, what: str) -> None:
    """Refuses what is no template. Raises `InvalidRequest`."""
    language.check(source, what=what, language=TEMPLATES, longest=LONGEST)


def fill(source: str, values: dict[str, Any], *, what: str, longest: int) -> str:
    """A checked template with the fields of an event, cut at `longest` characters. Raises `TemplateFailed`."""
    parts: list[str] = []
    size = 0
    try:
        for part in _compiled(source).generate(**values):
            parts.append(part)
            size += len(part)
            if size > longest:
                break
    except Exception as error:
        # Strange values make filters raise anything; the event is told in other words, and the owner hears of it.
        raise TemplateFailed(f"{what}: {error}"[:500]) from error
    text = str(storable("".join(parts))).strip()
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


@lru_cache(maxsize=1024)
def _compiled(source: str) -> Template:
    return TEMPLATES.from_string(source)
