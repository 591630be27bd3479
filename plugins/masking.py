"""What of recorded values people may see: no secrets, and of large values the beginning. No I/O.

Whoever records cannot be trusted to look at what he records: a header, a form, an address with a password in it.
So everything is masked, by the names of things, before it is stored.
"""

import dataclasses
import json
import math
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote_plus

from events.event import storable, to_json

MASK = "***"

_IN_NAMES = (
    "password|passwd|passphrase|passcode|pwd|token(?!iz)|secret|authori[sz]ation|apikey|authkey|accesskey|privatekey|signingkey|"
    "cookie|credential|sessionid|jwt|bearer"
)
_SECRET = re.compile(_IN_NAMES)
_WHOLE_NAMES = {"auth", "otp", "pin", "sid", "sig", "signature"}
_COUNT = re.compile("tokens|tokencount|tokenlimit|tokenbudget")
"""Numbers of tokens, which are no secrets."""

_URL_USER = re.compile(r"(://)[^/?#\s\"'<>]*@")
_URL_PARAMETER = re.compile(r"([?&;#])([^=&;#?\s\"'<>]{1,200})=([^&;#\s\"'<>]+)")
_SCHEME = re.compile(r"\b(bearer|basic|digest|negotiate)(\s+)[^\s\"',;<>]+", re.IGNORECASE)
_HEADER = re.compile(r"(?im)^([ \t>*]*(?:[\w-]*authori[sz]ation|(?:set-)?cookie)[ \t]*:[ \t]*)[^\r\n]+")
# A name, a sign, and a value: quoted, or up to the next space or separator. The look-behind and the bounds keep it linear:
# without, every letter of a long word would be tried as the beginning of a name, up to every other one.
_ASSIGNMENT = re.compile(
    r"(?<![\w.-])([\w.-]{0,100}(?:pass[-_]?word|passwd|pass[-_]?phrase|passcode|pwd|token(?!iz)|secret|authori[sz]ation|api[-_]?key|"
    r"auth[-_]?key|access[-_]?key|private[-_]?key|signing[-_]?key|cookie|credential|session[-_]?id|jwt)[\w-]{0,100}"
    r"\\?[\"']?\s*[:=]\s*)"
    r"(\\?\"(?:[^\"\\]|\\.)*\"?|'(?:[^'\\]|\\.)*'?|[^\s,;&\"']+)",
    re.IGNORECASE,
)

MOST_CHARS = 200_000
"""Characters of one text that are looked at."""
DEEPEST = 24
MOST_PARTS = 20_000
"""Parts of one value that are looked at; what comes after them is not shown."""
NOT_SHOWN = "..."


def is_secret(name: str, value: Any = None) -> bool:
    """Whether what is called so is to be masked; numbers of tokens are not."""
    plain = re.sub(r"[^a-z0-9]", "", name.lower())
    if not _SECRET.search(plain) and plain not in _WHOLE_NAMES:
        return False
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return not (is_number and _COUNT.search(plain))


def mask_text(text: str) -> str:
    """A text without the secrets in addresses, headers and assignments."""
    if len(text) > MOST_CHARS:
        # Less than was masked: the end of what was looked at may be half an address, not known as one.
        return mask_text(text[:MOST_CHARS])[:-1000] + NOT_SHOWN
    text = _URL_USER.sub(rf"\1{MASK}@", text)
    text = _URL_PARAMETER.sub(_mask_parameter, text)
    text = _HEADER.sub(rf"\1{MASK}", text)
    text = _SCHEME.sub(rf"\1\2{MASK}", text)
    return _ASSIGNMENT.sub(_mask_assignment, text)


def _mask_parameter(found: re.Match[str]) -> str:
    mark, name, value = found.groups()
    return f"{mark}{name}={MASK if is_secret(unquote_plus(name)) else value}"


def _mask_assignment(found: re.Match[str]) -> str:
    name, value = found.groups()
    bare = value.strip("\\\"'")
    if _COUNT.search(re.sub(r"[^a-z]", "", name.lower())) and re.fullmatch(r"[0-9.]+", bare):
        return found[0]
    quote = '"' if value.startswith('"') else "'" if value.startswith("'") else '\\"' if value.startswith("\\") else ""
    return f"{name}{quote}{MASK}{quote}"


def mask(value: Any) -> Any:
    """Any Python value as a JSON value without secrets. Never raises."""
    return storable(_Masking().of(value))


class _Masking:
    """One walk through a value, so long and no longer: it may contain itself."""

    def __init__(self) -> None:
        self._left = MOST_PARTS

    def of(self, value: Any, depth: int = 0) -> Any:
        self._left -= 1
        if self._left < 0 or depth > DEEPEST:
            return NOT_SHOWN
        match value:
            case None | bool():
                return value
            case int():
                # Beyond this, JSON parsers differ or refuse.
                return int(value) if abs(value) < 2**63 else NOT_SHOWN
            case float():
                return value if math.isfinite(value) else str(value)
            case str():
                return self._text(str(value), depth)
            case bytes() | bytearray() | memoryview():
                return f"<{len(value)} bytes>"
            case Mapping():
                return self._mapping(value, depth)
            case list() | tuple() | set() | frozenset():
                return self._several(list(value), depth)
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return self._mapping({each.name: getattr(value, each.name, None) for each in dataclasses.fields(value)}, depth)
        return _described(value)

    def _text(self, value: str, depth: int) -> str:
        if value.lstrip()[:1] in ("{", "[") and len(value) <= MOST_CHARS:
            try:
                return to_json(self.of(json.loads(value), depth + 1))
            except (ValueError, RecursionError):
                pass
        return mask_text(value)

    def _mapping(self, value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
        named = next((value[key] for key in ("name", "key", "header", "field") if isinstance(value.get(key), str)), "")
        result = {}
        for key, item in value.items():
            if self._left < 0:
                break
            name = key if isinstance(key, str) else str(self.of(key, depth + 1))
            hidden = is_secret(name, item) or (name == "value" and is_secret(named, item))
            result[mask_text(name)] = _masked(item) if hidden else self.of(item, depth + 1)
        return result

    def _several(self, items: list[Any], depth: int) -> list[Any]:
        if len(items) == 2 and isinstance(items[0], str | bytes) and is_secret(_text(items[0]), items[1]):
            # A header, as most libraries keep them.
            return [self.of(_text(items[0]), depth + 1), _masked(items[1])]
        return [self.of(each, depth + 1) for each in items[: max(0, self._left)]]


def _masked(value: Any) -> Any:
    """Nothing is no secret, and tells that something is missing."""
    return value if value is None or value == "" or isinstance(value, bool) else MASK


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("latin-1")


def _described(value: Any) -> str:
    try:
        return mask_text(str(value)[:10_000])
    except Exception:
        # Whose text cannot be made is still there, and recording it must not break a plugin.
        return f"<{type(value).__name__}>"


def cut(value: Any, *, most: int) -> Any:
    """A JSON value if it has at most so many bytes as JSON, else a note with its size and beginning."""
    text = to_json(value)
    if len(text) <= most:
        return value
    beginning = value if isinstance(value, str) else text
    # A character may take 12 bytes as JSON (a pair of escapes), and a quotation mark two.
    room, kept = max(0, most - 80), ""
    for piece in (beginning[:room], beginning[: room // 2], beginning[: room // 6], beginning[: room // 12]):
        kept = piece
        if len(to_json(piece)) <= room:
            break
    return {"truncated": True, "bytes": len(text), "beginning": kept}


def shown(value: Any, *, most: int) -> Any:
    """A value as it is recorded: masked first, so that a cut cannot take away the name of a secret."""
    return cut(mask(value), most=most)
