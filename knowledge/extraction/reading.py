"""The reader of each kind."""

from collections.abc import Callable, Iterator
from pathlib import Path

from knowledge.extraction.blocks import Block
from knowledge.extraction.docx import read_docx
from knowledge.extraction.html import read_html
from knowledge.extraction.pdf import read_pdf
from knowledge.extraction.plain import read_markdown, read_text
from knowledge.extraction.tables import read_csv

READERS: dict[str, Callable[[Path], Iterator[Block]]] = {
    "txt": read_text,
    "md": read_markdown,
    "html": read_html,
    "pdf": read_pdf,
    "docx": read_docx,
    "csv": read_csv,
}
"""Each gives the blocks of a file, or raises `ExtractionError`."""
