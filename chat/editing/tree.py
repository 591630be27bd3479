"""The elements of an HTML text, each with its place in it. No I/O, no recursion.

This follows how browsers nest elements (section 13.2.6 of the standard) as far as places are concerned: ends that
are implied, end tags that mean nothing, scopes, tables, svg. It does not move anything: what a browser takes out of a table,
or opens again after a misnested end tag, stays where it is written. Each step looks at the top of the stack and at a few
numbers, never through the stack, so that no document makes it slow.
"""

from collections.abc import Iterable, Iterator, Sequence

from chat.editing.elements import (
    BREAKOUTS,
    CLOSES_P,
    HEAD_TAGS,
    HEADINGS,
    INTEGRATION,
    LIST_STOPS,
    SCOPE,
    SECTIONS,
    SPECIAL,
    TABLE_PARTS,
    TABLE_SCOPE,
    VOID,
)
from chat.editing.tokens import SPACE, Token, Tokenizer

COMMENT, STRAY, REST = "#comment", "#stray", "#rest"
_SIBLINGS = {"li": {"li"}, "dd": {"dd", "dt"}, "dt": {"dd", "dt"}}
_RUBY = ("rp", "rt")


class Element:
    """`[start, end)` is the whole element, `[inner, inner_end)` what is between its tags.

    Also in `children` are comments (`#comment`), tags that open or close nothing (`#stray`) and what the end of the text
    cuts off (`#rest`); text is what lies between.
    """

    __slots__ = ("children", "end", "foreign", "inner", "inner_end", "parent", "start", "tag")

    def __init__(self, tag: str, start: int, inner: int, parent: "Element | None", *, foreign: bool = False) -> None:
        self.tag = tag
        self.start = start
        self.inner = self.inner_end = self.end = inner
        self.parent = parent
        self.children: Sequence[Element] = ()
        self.foreign = foreign

    def add(self, child: "Element") -> None:
        """Makes `child` the last child."""
        if not isinstance(self.children, list):
            self.children = []
        self.children.append(child)


def parse(html: str) -> Element:
    """The root (`#root`) of the text's elements."""
    return _Builder(html).build()


def parents(root: Element, ranges: Iterable[tuple[int, int]]) -> list[Element]:
    """The innermost element around each of these ranges, which come in their order and do not overlap."""
    found: list[Element] = []
    rest = elements(root)
    following = next(rest, None)
    around = [root]
    for start, end in ranges:
        while following is not None and following.inner <= start:
            _drop(around, following.start + 1)
            around.append(following)
            following = next(rest, None)
        _drop(around, end)
        found.append(around[-1])
    return found


def elements(root: Element) -> Iterator[Element]:
    """Every element in the root, in the order of their start tags."""
    todo = list(reversed(root.children))
    while todo:
        element = todo.pop()
        if element.tag[0] != "#":
            yield element
            todo.extend(reversed(element.children))


def _drop(around: list[Element], end: int) -> None:
    while len(around) > 1 and around[-1].inner_end < end:
        around.pop()


_GROUPS = (SCOPE, SPECIAL, LIST_STOPS, TABLE_SCOPE, SCOPE | {"button"})
_IN_GROUPS = {tag: tuple(at for at, names in enumerate(_GROUPS) if tag in names) for tag in frozenset().union(*_GROUPS)}


class _Stack:
    """The open elements, and where in the stack those are that matter."""

    def __init__(self, root: Element) -> None:
        self.open = [root]
        self._at: dict[str, list[int]] = {}
        self._positions: list[list[int]] = [[0] for _ in _GROUPS]
        self._scopes, self._special, self._stops, self._tables, self._buttons = self._positions

    def push(self, element: Element) -> None:
        position = len(self.open)
        self.open.append(element)
        self._at.setdefault(element.tag, []).append(position)
        for group in _IN_GROUPS.get(element.tag, ()):
            self._positions[group].append(position)

    def pop(self, at: int, *, inner_end: int | None = None) -> None:
        """Closes the top, before `at`; with `inner_end` by a tag of its own that begins there."""
        element = self.open.pop()
        self._at[element.tag].pop()
        for group in _IN_GROUPS.get(element.tag, ()):
            self._positions[group].pop()
        element.inner_end = at if inner_end is None else inner_end
        element.end = at

    def pop_above(self, position: int, at: int) -> None:
        """Closes everything above a position, by implication."""
        while len(self.open) > position + 1:
            self.pop(at)

    def last(self, *tags: str) -> int:
        """The position of the innermost open element with one of these names, -1 when there is none."""
        last = -1
        for tag in tags:
            positions = self._at.get(tag)
            if positions and positions[-1] > last:
                last = positions[-1]
        return last

    def in_scope(self, *tags: str) -> int:
        """As `last`, but not beyond a table cell and the like."""
        return self._within(self._scopes, *tags)

    def p_in_scope(self) -> int:
        return self._within(self._buttons, "p")

    def in_table(self, *tags: str) -> int:
        return self._within(self._tables, *tags)

    def before_special(self, tag: str) -> int:
        """The innermost open `tag` that has no special element above it."""
        return self._within(self._special, tag)

    def _within(self, barriers: list[int], *tags: str) -> int:
        position = self.last(*tags)
        return position if position >= barriers[-1] and position >= 0 else -1

    @property
    def stop(self) -> int:
        """The innermost element beyond which a list item closes nothing."""
        return self._stops[-1]

    @property
    def table(self) -> int:
        """The innermost table or template, 0 when there is none."""
        return self._tables[-1]


class _Builder:
    """One parse."""

    def __init__(self, html: str) -> None:
        self._html = html
        self._root = Element("#root", 0, 0, None)
        self._stack = _Stack(self._root)
        self._open = self._stack.open
        self._tokens = Tokenizer(html)
        self._seen: set[str] = set()

    def build(self) -> Element:
        for token in self._tokens:
            match token.kind:
                case "text":
                    self._text(token)
                case "start":
                    self._start(token)
                case "end":
                    self._end(token)
                case "comment":
                    self._leaf(COMMENT, token)
                case "rest":
                    self._leaf(REST, token)
            top = self._open[-1]
            self._tokens.foreign = top.foreign and top.tag not in INTEGRATION
        size = len(self._html)
        for element in self._stack.open:
            element.end = size
            element.inner_end = size
        return self._root

    @property
    def _top(self) -> Element:
        return self._open[-1]

    def _leaf(self, tag: str, token: Token) -> None:
        leaf = Element(tag, token.start, token.end, self._top, foreign=self._top.foreign)
        self._top.add(leaf)

    def _push(self, token: Token, *, foreign: bool = False) -> None:
        element = Element(token.name, token.start, token.end, self._top, foreign=foreign)
        self._top.add(element)
        self._stack.push(element)

    def _text(self, token: Token) -> None:
        if self._top.tag == "head" and self._html[token.start : token.end].strip(SPACE):
            self._stack.pop(token.start)

    def _start(self, token: Token) -> None:
        if self._tokens.foreign and self._foreign_start(token):
            return
        tag = token.name
        if tag in ("html", "head", "body"):
            self._frame(token)
            return
        if self._top.tag == "head" and tag not in HEAD_TAGS:
            self._stack.pop(token.start)
        if tag in TABLE_PARTS and not self._make_room_in_table(token):
            self._leaf(STRAY, token)
            return
        self._imply_ends(token)
        if tag == "form" and self._stack.last("form") >= 0:
            self._leaf(STRAY, token)
        elif tag in VOID:
            self._leaf(tag, token)
        elif tag in ("svg", "math"):
            if self._html[token.end - 2] == "/":
                self._leaf(tag, token)
            else:
                self._push(token, foreign=True)
        else:
            self._push(token)

    def _foreign_start(self, token: Token) -> bool:
        """Whether the tag is svg's or math's own; one that is not ends them."""
        if token.name not in BREAKOUTS:
            if self._html[token.end - 2] == "/":
                self._leaf(token.name, token)
            else:
                self._push(token, foreign=True)
            return True
        while self._top.foreign and self._top.tag not in INTEGRATION:
            self._stack.pop(token.start)
        self._tokens.foreign = False
        return False

    def _frame(self, token: Token) -> None:
        """html, head and body, each of which there is once."""
        tag, top = token.name, self._top.tag
        if tag == "body" and top == "head":
            self._stack.pop(token.start)
            top = self._top.tag
        fits = top == "#root" or (top == "html" and tag != "html")
        if not fits or tag in self._seen or (tag != "body" and "body" in self._seen):
            self._leaf(STRAY, token)
            return
        self._seen.add(tag)
        self._push(token)

    def _imply_ends(self, token: Token) -> None:
        """Closes what this start tag closes."""
        tag, at, stack = token.name, token.start, self._stack
        if tag in _SIBLINGS and stack.open[stack.stop].tag in _SIBLINGS[tag]:
            stack.pop_above(stack.stop - 1, at)
        if tag in CLOSES_P and (position := stack.p_in_scope()) > 0:
            stack.pop_above(position - 1, at)
        if self._top.tag in (HEADINGS if tag in HEADINGS else _RUBY if tag in _RUBY else ()):
            stack.pop(at)
        elif (position := self._same(tag)) > 0:
            stack.pop_above(position - 1, at)

    def _same(self, tag: str) -> int:
        """The open element of the same name that cannot hold another, -1 when there is none."""
        stack = self._stack
        if tag == "a":
            return stack.before_special("a")
        if tag in ("button", "select"):
            return stack.in_scope(tag)
        if tag == "table" and stack.open[stack.table].tag == "table" and stack.in_table("td", "th", "caption") < 0:
            return stack.table
        return -1

    def _make_room_in_table(self, token: Token) -> bool:
        """Closes cells, rows and sections as far as this part of a table needs; False when there is no table."""
        stack, tag = self._stack, token.name
        position = stack.table
        if position == 0 or stack.open[position].tag == "html":
            return False
        if stack.open[position].tag == "template":
            return True
        section = stack.in_table(*SECTIONS)
        if tag in ("td", "th"):
            row = stack.in_table("tr")
            position = row if row > 0 else section if section > 0 else position
        elif tag == "tr" and section > 0:
            position = section
        elif tag == "col" and (group := stack.in_table("colgroup")) > 0:
            position = group
        stack.pop_above(position, token.start)
        return True

    def _end(self, token: Token) -> None:
        if token.name in ("html", "body") and not self._top.foreign:
            # They close nothing by themselves (what follows them is the body's as well), but nothing inside them stays open.
            self._stack.pop_above(max(self._stack.last("html", "body"), 0), token.start)
        position = self._closes(token.name)
        if position <= 0:
            self._leaf(STRAY, token)
            return
        self._stack.pop_above(position, token.start)
        self._stack.pop(token.end, inner_end=token.start)

    def _closes(self, tag: str) -> int:
        """The position of the open element that an end tag closes, -1 when it means nothing."""
        stack = self._stack
        if tag in ("html", "body"):
            return -1
        if self._top.foreign or tag == "head":
            return stack.last(tag)
        if tag == "li" and stack.last("li") < stack.last("ol", "ul"):
            return -1
        if tag == "p":
            return stack.p_in_scope()
        if tag in HEADINGS:
            return stack.in_scope(*HEADINGS)
        if tag in TABLE_PARTS or tag == "table":
            return stack.in_table(tag)
        if tag in SPECIAL:
            return stack.last(tag) if tag in ("template", "svg", "math") else stack.in_scope(tag)
        return stack.before_special(tag)
