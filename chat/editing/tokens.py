"""HTML as tokens that know where they stand: the tokenization of the HTML standard, section 13.2.5. No I/O.

Every character of the text is in exactly one token. A scanner of our own, because of those that could be had none fits:
Python's `html.parser` leaves the standard for comments, scripts and half-written tags (and each of its versions differently),
justhtml knows where an element begins but not where it ends (and takes 2.8 s for 2 MB), tree-sitter's grammar calls common
broken markup an error, and lxml, selectolax and html5lib tell no offsets.
"""

import re
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

SPACE = "\t\n\f\r "
_ATTRIBUTE = (
    rf"(?:=[^{SPACE}/=>]*+|[^{SPACE}/=>]++)"
    rf"(?:[{SPACE}]*+=[{SPACE}]*+(?:\"[^\"]*+(?:\"|\Z)|'[^']*+(?:'|\Z)|[^{SPACE}>\"'][^{SPACE}>]*+)?+)?+"
)
# Possessive throughout: what does not match is given up at once, whatever the text, so scanning is linear.
_TAG = re.compile(rf"<(/?)([a-zA-Z][^{SPACE}/>]*+)(?:[{SPACE}/]++|{_ATTRIBUTE})*+>")
_PAIR = re.compile(
    rf"(=[^{SPACE}/=>]*+|[^{SPACE}/=>]++)"
    rf"(?:[{SPACE}]*+=[{SPACE}]*+(?:\"([^\"]*+)\"|'([^']*+)'|([^{SPACE}>\"'][^{SPACE}>]*+))?+)?+"
)
_COMMENT_END = re.compile("--!?>")
_SCRIPT = re.compile(rf"<!--|-->|<(/?)script(?=[{SPACE}/>])", re.IGNORECASE | re.ASCII)
_UPPER = re.compile("[A-Z]+")

RAW = frozenset({"script", "style", "textarea", "title", "xmp", "iframe", "noembed", "noframes", "noscript", "plaintext"})
"""Elements whose content is no markup (noscript: as browsers with scripting read it)."""


class Token(NamedTuple):
    """One token: `[start, end)` of the text.

    `kind`: text, start, end, comment (also doctypes and what the standard calls bogus comments), raw (the content of a
    script, say), rest (a tag or comment that the end of the text cuts off). `name`: of a tag, in small letters.
    """

    kind: str
    start: int
    end: int
    name: str = ""


class Tokenizer:
    """Iterate over it once. Whoever builds a tree sets `foreign` while inside svg or math, where other rules hold."""

    def __init__(self, html: str) -> None:
        self.html = html
        self.foreign = False

    def __iter__(self) -> Iterator[Token]:
        html, size, text = self.html, len(self.html), 0
        at = html.find("<")
        while at >= 0:
            token = self._markup(at)
            if token is None:
                at = html.find("<", at + 1)
                continue
            if text < at:
                yield Token("text", text, at)
            yield token
            text = token.end
            if token.kind == "start" and token.name in RAW and not self.foreign:
                text = raw_end(html, token.name, token.end)
                if token.end < text:
                    yield Token("raw", token.end, text)
            at = html.find("<", text)
        if text < size:
            yield Token("text", text, size)

    def _markup(self, at: int) -> Token | None:
        """The markup that begins with the `<` at `at`; None when it is an ordinary character."""
        html = self.html
        sign = html[at + 1 : at + 2]
        if sign.isascii() and sign.isalpha():
            return self._tag(at)
        if sign == "/":
            after = html[at + 2 : at + 3]
            if after.isascii() and after.isalpha():
                return self._tag(at)
            end = html.find(">", at + 2) + 1
            return (Token("comment", at, end) if end else Token("rest", at, len(html))) if after else None
        if sign in ("?", "!") and sign:
            end = self._declaration_end(at)
            return Token("comment", at, end) if end > 0 else Token("rest", at, len(html))
        return None

    def _tag(self, at: int) -> Token:
        match = _TAG.match(self.html, at)
        if match is None:
            return Token("rest", at, len(self.html))
        return Token("end" if match[1] else "start", at, match.end(), ascii_lower(match[2]))

    def _declaration_end(self, at: int) -> int:
        """Where a comment, doctype or processing instruction ends, 0 when it never does."""
        html = self.html
        if html.startswith("<!--", at):
            # `<!-->` and `<!--->` are whole comments.
            for whole in (">", "->"):
                if html.startswith(whole, at + 4):
                    return at + 4 + len(whole)
            match = _COMMENT_END.search(html, at + 4)
            return match.end() if match else 0
        sign = "]]>" if self.foreign and html.startswith("<![CDATA[", at) else ">"
        found = html.find(sign, at + 2)
        return found + len(sign) if found >= 0 else 0


def raw_end(html: str, name: str, start: int) -> int:
    """Where the content that began at `start` ends: before its end tag, else with the text."""
    if name == "plaintext":
        return len(html)
    if name == "script":
        return _script_end(html, start)
    match = _end_tag(name).search(html, start)
    return match.start() if match else len(html)


def _script_end(html: str, start: int) -> int:
    """A script's end tag does not count between `<!-- <script` and the next `</script` or `-->` (script data double escaped)."""
    comment = inner = False
    at = start
    while match := _SCRIPT.search(html, at):
        at = match.end()
        if match[0] == "<!--":
            # Its two dashes may be those of the end: `<!-->`.
            comment, at = True, match.start() + 2
        elif match[0] == "-->":
            comment = inner = False
        elif not match[1]:
            inner = comment
        elif inner:
            inner = False
        else:
            return match.start()
    return len(html)


def attributes(tag: str) -> list[tuple[str, str]]:
    """The attributes of a start tag: names in small letters, values as they are written; only the first of a name counts."""
    match = re.match(rf"<[^{SPACE}/>]+", tag)
    found: dict[str, str] = {}
    for pair in _PAIR.finditer(tag, match.end() if match else 0, len(tag) - 1):
        found.setdefault(ascii_lower(pair[1]), pair[2] or pair[3] or pair[4] or "")
    return list(found.items())


def ascii_lower(name: str) -> str:
    """`name` in small letters, as HTML means it: the Kelvin sign is no k."""
    return name.lower() if name.isascii() else _UPPER.sub(lambda match: match[0].lower(), name)


@cache
def _end_tag(name: str) -> re.Pattern[str]:
    return re.compile(rf"</{name}(?=[{SPACE}/>])", re.IGNORECASE | re.ASCII)
