"""Text that every store and every client can hold.

Providers cut text anywhere: a `\\ud83d` may come in one JSON delta and its other half in the
next. A lone half cannot be encoded as UTF-8 and Postgres refuses NUL, so neither may leave
an engine.
"""

import math
import re
from typing import Any

REPLACEMENT = "\ufffd"
_SUSPECT = re.compile("[\x00\ud800-\udfff]")


class TextStitcher:
    """Joins surrogate halves across pieces; replaces lone halves and NUL by U+FFFD.

    `feed` gives what is certain so far, `finish` what was held back. One per block of text.
    """

    def __init__(self) -> None:
        self._held = ""

    def feed(self, text: str) -> str:
        """The clean text known after `text`; a high half at its end waits for the next piece."""
        # Nearly every piece is harmless: one scan in C and no copy.
        if not self._held and not _SUSPECT.search(text):
            return text
        text, self._held = self._held + text, ""
        if text and "\ud800" <= text[-1] <= "\udbff":
            text, self._held = text[:-1], text[-1]
        return _joined(text)

    def finish(self) -> str:
        """U+FFFD when a half was still waiting for its other half, else nothing."""
        held, self._held = self._held, ""
        return REPLACEMENT if held else ""


def clean_text(text: str) -> str:
    """`text` with surrogate halves joined, and lone halves and NUL replaced by U+FFFD."""
    return _joined(text) if _SUSPECT.search(text) else text


def clean_json(value: Any) -> Any:
    """A decoded JSON value with every string in it, keys too, cleaned; NaN and infinity, which JSON has not, become None."""
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, list):
        return [clean_json(item) for item in value]
    if isinstance(value, dict):
        return {clean_json(key): clean_json(item) for key, item in value.items()}
    return value


def excerpt(text: str, limit: int) -> str:
    """One line of at most `limit` printable characters, for a message to people."""
    line = " ".join("".join(c if c.isprintable() else " " for c in clean_text(text[: limit * 2])).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def _joined(text: str) -> str:
    return text.replace("\x00", REPLACEMENT).encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
