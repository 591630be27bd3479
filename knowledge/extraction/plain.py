"""Plain text and Markdown: paragraphs as they stand, headings told by their marks."""

import re
from collections.abc import Iterator
from pathlib import Path

from knowledge.extraction.blocks import LONGEST_BLOCK, Block, pieces
from knowledge.extraction.decoding import lines

_HEADING = re.compile(r" {0,3}(#{1,6})[ \t]+\S")
_UNDERLINE = re.compile(r" {0,3}(=+|-{3,})[ \t]*\n?$")
_FENCE = re.compile(r" {0,3}(```+|~~~+)")


def read_text(path: Path) -> Iterator[Block]:
    """The paragraphs of a text."""
    held: list[str] = []
    size = 0
    for line, read in lines(path, longest=LONGEST_BLOCK):
        held.append(line)
        size += len(line)
        if not line.strip() or size > LONGEST_BLOCK:
            yield from _paragraph(held, read)
            held, size = [], 0
    yield from _paragraph(held, 1.0)


def read_markdown(path: Path) -> Iterator[Block]:
    """The headings and paragraphs of a Markdown text; what stands in a fence is never a heading."""
    held: list[str] = []
    size = 0
    fence = ""
    for line, read in lines(path, longest=LONGEST_BLOCK):
        mark = _FENCE.match(line)
        if mark and (not fence or mark[1].startswith(fence)):
            fence = "" if fence else mark[1]
        elif not fence and (heading := _HEADING.match(line)):
            yield from _paragraph(held, read)
            held, size = [], 0
            yield Block(line, level=len(heading[1]), read=read)
            continue
        elif not fence and len(held) == 1 and held[0].strip() and (underline := _UNDERLINE.match(line)):
            yield Block(held[0] + line, level=1 if underline[1][0] == "=" else 2, read=read)
            held, size = [], 0
            continue
        held.append(line)
        size += len(line)
        if (not line.strip() and not fence) or size > LONGEST_BLOCK:
            yield from _paragraph(held, read)
            held, size = [], 0
    yield from _paragraph(held, 1.0)


def _paragraph(held: list[str], read: float) -> Iterator[Block]:
    for piece in pieces("".join(held)):
        yield Block(piece, read=read)
