"""HTML: the text that a reader of the page sees, with its headings."""

from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

from knowledge.extraction.blocks import Block, pieces
from knowledge.extraction.decoding import decoded

_LEVELS = {f"h{level}": level for level in range(1, 7)}
_UNSEEN = {"script", "style", "template", "noscript", "svg", "math", "head", "nav", "iframe", "object", "select", "datalist"}
_INLINE = {
    "a", "abbr", "b", "bdi", "bdo", "cite", "code", "data", "del", "dfn", "em", "font", "i", "img", "ins", "kbd", "label", "mark",
    "q", "rp", "rt", "ruby", "s", "samp", "small", "span", "strong", "sub", "sup", "time", "tt", "u", "var", "wbr",
}  # fmt: skip
_VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
LONGEST_PARAGRAPH = 65536


class _Reader(HTMLParser):
    """Collects blocks; `blocks` is emptied by who reads them."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.blocks: list[Block] = []
        self.read = 0.0
        self._parts: list[str] = []
        self._chars = 0
        self._level = 0
        self._unseen: list[str] = []
        self._preformatted = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """A block element ends the paragraph before it."""
        del attrs
        # The body begins even where the head was never closed.
        if tag == "body":
            self._unseen.clear()
        if self._unseen or tag in _UNSEEN:
            if tag in _UNSEEN:
                self._unseen.append(tag)
            return
        if tag in _INLINE:
            return
        if tag in {"td", "th"}:
            self._add(" ")
            return
        if tag == "br":
            self._add("\n")
            return
        self.end_block()
        if tag in _LEVELS:
            self._level = _LEVELS[tag]
        elif tag == "li":
            self._add("- ")
        elif tag == "pre":
            self._preformatted += 1

    def handle_endtag(self, tag: str) -> None:
        """The end of a block element, or of what is not shown."""
        if self._unseen:
            if tag in self._unseen:
                while self._unseen.pop() != tag:
                    pass
            return
        if tag in _INLINE or tag in _VOID or tag in {"td", "th"}:
            return
        self.end_block()
        if tag == "pre":
            self._preformatted = max(0, self._preformatted - 1)

    def handle_data(self, data: str) -> None:
        """Text between tags."""
        if not self._unseen:
            self._add(data if self._preformatted else " ".join(data.split("\n")))

    def _add(self, text: str) -> None:
        self._parts.append(text)
        self._chars += len(text)
        if self._chars > LONGEST_PARAGRAPH:
            self.end_block()

    def end_block(self) -> None:
        """Makes a block of the text so far."""
        text = "".join(self._parts)
        self._parts, self._chars = [], 0
        level, self._level = self._level, 0
        shown = text.strip("\n") if self._preformatted else "\n".join(" ".join(line.split()) for line in text.split("\n")).strip()
        if not shown.strip() or shown == "-":
            return
        if level:
            self.blocks.append(Block(f"{' '.join(shown.split())}\n\n", level=level, read=self.read))
            return
        end = "\n" if shown.startswith("- ") else "\n\n"
        self.blocks.extend(Block(piece, read=self.read) for piece in pieces(shown + end))


def read_html(path: Path) -> Iterator[Block]:
    """The headings and paragraphs of a page, without scripts, styles and navigation."""
    reader = _Reader()
    for text, read in decoded(path, declared=True):
        reader.read = read
        reader.feed(text)
        yield from reader.blocks
        reader.blocks = []
    reader.read = 1.0
    reader.close()
    reader.end_block()
    yield from reader.blocks
