"""What a reader makes of a document, piece by piece. No I/O."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

LONGEST_BLOCK = 8192
"""Characters of one block: what is longer is cut, so that memory stays bounded."""


class ExtractionError(Exception):
    """The document cannot be read. The message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Block:
    """A paragraph, or a heading when `level` is 1 to 6. `apart`: shares a chunk with no other block.

    The texts of all blocks, joined without anything between them, are the document's text. `read` is the
    part of the file that was read so far, from 0 to 1.
    """

    text: str
    level: int = 0
    metadata: dict[str, Any] = field(default_factory=dict)
    apart: bool = False
    read: float = 0.0


def pieces(text: str, longest: int = LONGEST_BLOCK) -> Iterator[str]:
    """The text in pieces of at most `longest` characters, cut after white space where there is some."""
    start = 0
    while len(text) - start > longest:
        end = start + longest
        space = max(text.rfind(" ", start + longest // 2, end), text.rfind("\n", start + longest // 2, end))
        end = space + 1 if space >= 0 else end
        yield text[start:end]
        start = end
    if start < len(text):
        yield text[start:]
