"""A document as a value: its HTML and the chunks it is cut into, each with an id that it keeps. No I/O."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple
from uuid import UUID, uuid4

from chat.editing.chunks import split
from chat.editing.tree import Element, parents, parse


class Chunk(NamedTuple):
    """A piece that can be changed by itself: `[start, end)` of the HTML, in characters.

    `tag`: the one element it is; empty for loose text between elements.
    """

    id: UUID
    start: int
    end: int
    tag: str


@dataclass(frozen=True)
class Document:
    """The HTML and its chunks, in their order. Chunks never overlap; what is between them is nobody's."""

    html: str
    chunks: tuple[Chunk, ...]

    @classmethod
    def cut(cls, html: str, *, new_id: Callable[[], UUID] = uuid4) -> "Document":
        """A document whose chunks are new. Never raises, whatever the HTML."""
        return cls(html, tuple(Chunk(new_id(), *range_) for range_ in split(html)))

    @classmethod
    def load(cls, html: str, rows: Iterable[Sequence[Any]]) -> "Document":
        """A document as `rows` gave it."""
        return cls(html, tuple(Chunk(UUID(id_), start, end, tag) for id_, start, end, tag in rows))

    @property
    def rows(self) -> list[list[Any]]:
        """The chunks as JSON: the cut is kept and not made again, so that ids outlive a change of the cutting itself."""
        return [[str(chunk.id), chunk.start, chunk.end, chunk.tag] for chunk in self.chunks]

    @cached_property
    def root(self) -> Element:
        """The elements of the HTML."""
        return parse(self.html)

    @cached_property
    def positions(self) -> dict[UUID, int]:
        """Where in `chunks` each id is."""
        return {chunk.id: position for position, chunk in enumerate(self.chunks)}

    def chunk(self, chunk_id: UUID) -> Chunk | None:
        """The chunk of that id, None when there is none (any more)."""
        position = self.positions.get(chunk_id)
        return None if position is None else self.chunks[position]

    def html_of(self, chunk: Chunk) -> str:
        """The chunk's own HTML."""
        return self.html[chunk.start : chunk.end]

    @cached_property
    def _parents(self) -> list[Element]:
        return parents(self.root, ((chunk.start, chunk.end) for chunk in self.chunks))

    def parent_of(self, chunk: Chunk) -> Element:
        """The innermost element around a chunk of this document."""
        return self._parents[self.positions[chunk.id]]
