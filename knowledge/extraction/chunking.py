"""Cutting a document into chunks: whole sentences, never across sections, with a little overlap. No I/O.

Every character of the document but white space is in a chunk; a chunk is one uninterrupted piece of it. So the
document can be put together again from its chunks.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from knowledge.extraction.blocks import Block
from knowledge.extraction.sentences import sentences
from knowledge.extraction.tokens import count_tokens

TARGET_TOKENS = 220
"""A chunk is closed before it would pass this."""
LONGEST_SENTENCE = 160
"""A longer one is cut."""
OVERLAP_TOKENS = 40
"""What a chunk repeats of the end of the one before it, in whole sentences."""
LEAST_TOKENS = 24
"""A section shorter than this (a title above its first section) shares the next one's chunk."""
LONGEST_CHARS = 4000
"""Bounds a chunk also where a token is long: rows of dashes, base64."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece `[start, end)` of a document's text, in characters, and the headings it stands under."""

    position: int
    text: str
    start: int
    end: int
    heading: str
    tokens: int
    metadata: dict[str, Any]
    read: float


@dataclass(slots=True)
class _Open:
    """The chunk being filled: its sentences with their tokens, and how many of them are overlap."""

    start: int
    parts: list[tuple[str, int]] = field(default_factory=list)
    repeated: int = 0
    tokens: int = 0
    chars: int = 0
    heading: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)

    @property
    def fresh(self) -> bool:
        """Whether there is anything in it that no other chunk holds."""
        return len(self.parts) > self.repeated

    @property
    def end(self) -> int:
        return self.start + self.chars

    def add(self, text: str, tokens: int) -> None:
        self.parts.append((text, tokens))
        self.tokens += tokens
        self.chars += len(text)


class Chunker:
    """Makes chunks of blocks as they come, keeping no more than one chunk in memory."""

    def __init__(self, *, target: int = TARGET_TOKENS, overlap: int = OVERLAP_TOKENS, least: int = LEAST_TOKENS) -> None:
        self._target, self._overlap, self._least = target, overlap, least
        self._sentence = min(LONGEST_SENTENCE, target)
        self._open = _Open(0)
        self._headings: list[tuple[int, str]] = []
        self._position = 0
        self._read = 0.0

    def feed(self, block: Block) -> Iterator[Chunk]:
        """The chunks that `block` completes."""
        if block.level or block.apart:
            yield from self._section()
        if block.level:
            self._headings = [each for each in self._headings if each[0] < block.level]
            self._headings.append((block.level, " ".join(block.text.split()).lstrip("# ")[:200]))
            self._describe(block)
        self._read = block.read
        for sentence in sentences(block.text, most=self._sentence):
            for start in range(0, len(sentence), LONGEST_CHARS // 2):
                yield from self._take(sentence[start : start + LONGEST_CHARS // 2], block)
        if block.apart:
            yield from self._close(overlap=False)

    def finish(self) -> Iterator[Chunk]:
        """The last chunk."""
        yield from self._close(overlap=False)

    def _section(self) -> Iterator[Chunk]:
        """Ends the section before this one, unless it is too short to stand alone."""
        if self._open.tokens >= self._least:
            yield from self._close(overlap=False)

    def _take(self, text: str, block: Block) -> Iterator[Chunk]:
        tokens = count_tokens(text)
        if self._open.fresh and (self._open.tokens + tokens > self._target or self._open.chars + len(text) > LONGEST_CHARS):
            yield from self._close(overlap=True)
            if self._open.tokens + tokens > self._target or self._open.chars + len(text) > LONGEST_CHARS:
                self._open = _Open(self._open.end)
        if not self._open.parts or not self._open.fresh:
            self._describe(block)
        self._open.add(text, tokens)

    def _describe(self, block: Block) -> None:
        self._open.heading = " > ".join(text for _, text in self._headings if text)
        if not self._open.fresh:
            self._open.metadata = block.metadata

    def _close(self, *, overlap: bool) -> Iterator[Chunk]:
        done = self._open
        if not done.fresh:
            self._open = _Open(done.end)
            return
        text = "".join(part for part, _ in done.parts)
        if text.strip():
            yield Chunk(self._position, text, done.start, done.end, done.heading, done.tokens, done.metadata, self._read)
            self._position += 1
        self._open = self._following(done) if overlap else _Open(done.end)

    def _following(self, done: _Open) -> _Open:
        """An open chunk that begins with the last sentences of `done`."""
        kept: list[tuple[str, int]] = []
        size = 0
        for part in reversed(done.parts[1:]):
            if size + part[1] > self._overlap:
                break
            kept.insert(0, part)
            size += part[1]
        following = _Open(done.end - sum(len(text) for text, _ in kept), metadata=done.metadata)
        for text, tokens in kept:
            following.add(text, tokens)
        following.repeated = len(kept)
        return following


def chunked(blocks: Iterable[Block], chunker: Chunker | None = None) -> Iterator[Chunk]:
    """All chunks of a document."""
    chunker = chunker or Chunker()
    for block in blocks:
        yield from chunker.feed(block)
    yield from chunker.finish()
