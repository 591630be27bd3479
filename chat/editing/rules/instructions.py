"""Which instructions rules can follow, read out of a message. No I/O.

English sentences of a few forms. What is not understood is not guessed at, and what asks for two things at once is not
half done. Quoted texts are taken out first, so that the rest is short and nothing in quotes is read as a word of ours.
"""

import re
from dataclasses import dataclass

LONGEST_NAME = 120
"""Without quotes, a name or text of the instruction has at most so many characters: this bounds what matching may cost."""
_QUOTED = re.compile(
    '"([^"]*)"|\u201c([^\u201c\u201d]+)\u201d|\u00ab([^\u00ab\u00bb]+)\u00bb|\u201e([^\u201e\u201c\u201d]+)[\u201c\u201d]'
    "|(?<!\\w)'([^']+)'(?!\\w)|\u2018([^\u2018\u2019]+)\u2019|`([^`]+)`"
)
_MARKS = re.compile("[\x02\x03]")
_Q = "\x02\\d+\x03"
_NAME = f"(?:{_Q}|[^\\n\x02\x03]{{1,{LONGEST_NAME}}}?)"
_CALLED = r"(?:(?:titled|called|named|entitled|headed|on|about|with\s+the\s+(?:title|heading|name))\s+)?"
_END = r"\s*[.!]?\s*$"


def _section(group: str) -> str:
    """A section by its name, in one of two groups."""
    return rf"(?:section\s+{_CALLED}(?P<{group}1>{_NAME})|(?P<{group}2>{_NAME})\s+section)"


_POLITE = re.compile(
    r"\s*(?:(?:please|kindly|now|then|also|can|could|would|will|you|i\s+want\s+you\s+to|let'?s)[\s,]+)*", re.IGNORECASE
)
_KIND = r"(?:the\s+(?:word|phrase|term|name|text)\s+)?"
_MENTIONS = rf"(?:(?:all|every|each|any)\s+)?(?:(?:the\s+)?(?:occurrences?|instances?|mentions?)\s+of\s+)?{_KIND}"
_EVERYWHERE = r"(?:\s+(?:everywhere|throughout(?:\s+the\s+\w+)?|in\s+the\s+(?:whole\s+|entire\s+)?(?:document|text|page)))?"
_IN_SECTION = rf"(?:\s+in\s+(?:the\s+)?{_section('in')})?"
_REPLACE = re.compile(
    rf"(?:replace|substitute)\s+{_MENTIONS}(?P<old>{_NAME})\s+(?:with|by)\s+{_KIND}(?P<new>{_NAME})"
    rf"{_EVERYWHERE}{_IN_SECTION}{_END}",
    re.IGNORECASE,
)
_CHANGE = re.compile(
    rf"(?:change|rename)\s+{_MENTIONS}(?P<old>{_Q})\s+(?:to|into)\s+(?P<new>{_Q}){_EVERYWHERE}{_IN_SECTION}{_END}", re.IGNORECASE
)
_DELETE = re.compile(
    rf"(?:delete|remove|drop|take\s+out)\s+(?:the\s+)?(?:whole\s+|entire\s+)?{_section('name')}{_END}", re.IGNORECASE
)
_DELETE_CONTAINING = re.compile(
    r"(?:delete|remove|drop|take\s+out)\s+(?:(?:the|all|every|any)\s+)*(?:paragraph|item|row|line)s?\s+"
    rf"(?:that\s+)?(?:containing|contains?|mentioning|mentions?|with|saying|says?)\s+(?P<text>{_NAME}){_END}",
    re.IGNORECASE,
)
_ADD = re.compile(
    r"(?:add|insert|create|append|write)\s+(?:(?:a|another|one|new)\s+)*(?P<kind>section|chapter|paragraph)\b", re.IGNORECASE
)
_CLAUSES = {
    "title": re.compile(
        rf"[\s,]*(?:titled|called|named|entitled|headed|with\s+the\s+(?:title|heading|name))\s+(?P<text>{_Q}|[^\n:,.\x02\x03]{{1,200}}?)"
        r"(?=\s*(?:$|[:,.\n]|(?:and\s+)?(?:with|containing|that|which|saying|reading|after|before|below|above|at)\b))",
        re.IGNORECASE,
    ),
    "anchored": re.compile(
        rf"[\s,]*(?P<side>after|before|below|above|to|in|at\s+the\s+(?:end|bottom|start|beginning|top)\s+of)\s+(?:the\s+)?(?:section\s+{_CALLED})?"
        rf"(?P<text>{_Q})(?:\s+section)?",
        re.IGNORECASE,
    ),
    "side": re.compile(
        r"[\s,]*(?:at|to)\s+the\s+(?P<side>end|bottom|start|beginning|top)(?:\s+of\s+the\s+(?:document|page|text))?(?=\s*(?:$|[:,.\n]|\w))",
        re.IGNORECASE,
    ),
    "quoted": re.compile(
        rf"[\s,]*(?:and\s+)?(?:(?:with|containing|that\s+says|which\s+says|saying|reading)\s+)?(?:(?:the\s+)?(?:text|content|words|body)\s*)?:?\s*"
        rf"(?P<text>{_Q})",
        re.IGNORECASE,
    ),
    # Without quotes it must be clear that the text itself is given, and no description of one.
    "rest": re.compile(
        r"[\s,]*(?:and\s+)?(?:(?:with|containing)\s+the\s+(?:text|content|words|body)\b\s*:?"
        r"|(?:that\s+says|which\s+says|saying|reading)\b\s*:?|(?:with|containing)?(?:\s*the\s+following(?:\s+\w+)?)?\s*:)\s*(?P<text>\S.*)\Z",
        re.IGNORECASE | re.DOTALL,
    ),
}
_SHORTEN = re.compile(
    r"\b(?:shorten|condense|summari[sz]e|abridge|trim|tighten|cut\s+down)\b"
    r"|\b(?:shorter|(?:more\s+)?concise(?:ly)?|more\s+succinct|briefer|less\s+wordy)\b",
    re.IGNORECASE,
)
_OF_SECTION = re.compile(
    rf"\bthe\s+{_section('name')}(?:\s+(?:to\s+be|so\s+that|shorter|more|a\s+bit|by)\b.*)?{_END}"
    rf"|\bsection\s+{_CALLED}(?P<name3>{_Q})|(?P<name4>{_Q})\s+section",
    re.IGNORECASE,
)
_ALL = frozenset({"all", "every", "each", "whole", "entire", "this"})
_SPACING = re.compile(
    r"\b(?:(?:remove|delete|fix)\s+(?:all\s+)?(?:the\s+)?)?(?:double|extra|multiple|superfluous)\s+(?:white\s*)?spac(?:es?|ing)\b|\b(?:fix|clean\s*up|correct|tidy)\s+(?:up\s+)?(?:the\s+)?"
    r"(?:spacing|white\s*space|spaces)\b",
    re.IGNORECASE,
)
_MORE = re.compile(
    r"\b(?:not|don't|never|without|except|unless|only|keep|but|translate|replace|delete|remove|add|insert|rename|move|swap|sort|merge|split"
    r"|bold|highlight|explain|improve|formal|casual|tone|bullet|table)\b",
    re.IGNORECASE,
)
"""Words of instructions that shortening, or removing spaces, would fulfil only in part."""


@dataclass(frozen=True, slots=True)
class Replace:
    """Put `new` for `old`, everywhere or in one section."""

    old: str
    new: str
    section: str = ""


@dataclass(frozen=True, slots=True)
class DeleteSection:
    """Take away a section, heading and all."""

    name: str


@dataclass(frozen=True, slots=True)
class DeleteContaining:
    """Take away the paragraphs, items and rows that contain a text."""

    text: str


@dataclass(frozen=True, slots=True)
class Add:
    """Add a section (with a title) or a paragraph. `side`: after, before, start or end; `anchor`: the section it refers to."""

    title: str
    body: str
    side: str = "end"
    anchor: str = ""


@dataclass(frozen=True, slots=True)
class Shorten:
    """Keep the sentences that carry most, in one section or everywhere."""

    section: str = ""


@dataclass(frozen=True, slots=True)
class Tidy:
    """Remove double spaces, and spaces before commas and stops."""


Instruction = Replace | DeleteSection | DeleteContaining | Add | Shorten | Tidy


def read(message: str) -> Instruction | None:
    """What the message asks, None when it is nothing that rules can do."""
    quotes: list[str] = []

    def take(match: re.Match[str]) -> str:
        quotes.append(next(group for group in match.groups() if group is not None))
        return f"\x02{len(quotes) - 1}\x03"

    text = _QUOTED.sub(take, _MARKS.sub(" ", message))
    return _Reading(_POLITE.sub("", text, count=1).strip(), quotes).instruction()


class _Reading:
    """A message without its quoted texts, and those."""

    def __init__(self, text: str, quotes: list[str]) -> None:
        self._text = text
        self._quotes = quotes

    def instruction(self) -> Instruction | None:
        text = self._text
        if match := _REPLACE.match(text) or _CHANGE.match(text):
            return self._replace(match)
        if match := _DELETE_CONTAINING.match(text):
            return DeleteContaining(self._full(match["text"]))
        if match := _DELETE.match(text):
            return DeleteSection(self._full(match["name1"] or match["name2"]))
        if match := _ADD.match(text):
            return self._add(match["kind"].lower(), text[match.end() :])
        spacing = _SPACING.search(text)
        if _MORE.search(_SPACING.sub("", text)) or (spacing and _SHORTEN.search(text)):
            # "Shorten it, but keep the fees": half of it done would be wrong.
            return None
        if spacing:
            return Tidy()
        return self._shorten() if _SHORTEN.search(text) else None

    def _replace(self, match: re.Match[str]) -> Instruction | None:
        old = self._full(match["old"])
        return Replace(old, self._full(match["new"]), self._full(match["in1"] or match["in2"])) if old else None

    def _shorten(self) -> Instruction:
        match = _OF_SECTION.search(self._text)
        name = next((self._full(group) for group in match.groups() if group), "") if match else ""
        return Shorten("" if name.casefold() in _ALL else name)

    def _add(self, kind: str, rest: str) -> Instruction | None:
        """The clauses after "add a section", in any order; None when something is left over."""
        found: dict[str, str] = {}
        side = "end"
        while rest.strip(" \n.!"):
            name, match = next(((name, match) for name, each in _CLAUSES.items() if (match := each.match(rest))), ("", None))
            if match is None:
                return None
            if name in ("anchored", "side"):
                side = _side(match["side"])
            if name != "side":
                key = "anchor" if name == "anchored" else "title" if name == "title" else "body"
                if key in found:
                    return None
                found[key] = self._full(match["text"])
            rest = rest[match.end() :]
        if kind != "paragraph" and "title" not in found and "\n" not in found.get("body", "\n"):
            # A section "X": what is quoted is its title.
            found["title"] = found.pop("body")
        if ("title" not in found) if kind != "paragraph" else ("body" not in found or "title" in found):
            return None
        return Add(found.get("title", ""), found.get("body", ""), side, found.get("anchor", ""))

    def _full(self, text: str | None) -> str:
        """With its quoted texts put back, without white space around it."""
        if not text:
            return ""
        if match := re.fullmatch("\\s*\x02(\\d+)\x03\\s*", text):
            return self._quotes[int(match[1])].strip()
        return re.sub("\x02(\\d+)\x03", lambda found: f'"{self._quotes[int(found[1])]}"', text).strip()


def _side(text: str) -> str:
    words = text.lower().split()
    if words[-1] in ("after", "below"):
        return "after"
    if words[-1] in ("before", "above"):
        return "before"
    return "start" if {"start", "beginning", "top"} & set(words) else "end"
