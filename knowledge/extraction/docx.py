"""Word documents (docx): headings, paragraphs, and tables as rows of text."""

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import docx
from docx.document import Document
from docx.table import Table
from docx.text.paragraph import Paragraph

from knowledge.extraction.blocks import Block, ExtractionError, pieces

LARGEST_UNPACKED = 256 * 1024 * 1024
LARGEST_RATIO = 200
BROKEN = "The Word document is broken and cannot be read. Open it in Word or LibreOffice and save it again as docx."
BOMB = "The Word document unpacks to far more than its size, which no real document does. Save its text as a new document."
EMPTY = "The Word document holds no text. If it holds scanned pages, run them through a text recognition (OCR) first."
LOCKED = "The Word document is locked with a password, or of an old format. Save a copy as docx without a password."
_HEADING = re.compile(r"heading ([1-6])$|(title)$", re.IGNORECASE)


def read_docx(path: Path) -> Iterator[Block]:
    """The headings and paragraphs of a document, in their order."""
    _refuse_bombs(path)
    try:
        document: Document = docx.Document(str(path))
        inner = list(document.iter_inner_content())
    except MemoryError:
        raise
    except Exception as error:
        raise ExtractionError(BROKEN) from error
    seen = False
    for number, item in enumerate(inner, 1):
        read = number / len(inner)
        for text, level in _row_texts(item) if isinstance(item, Table) else _paragraph(item):
            seen = True
            for piece in pieces(text):
                yield Block(piece, level=level, read=read)
    if not seen:
        raise ExtractionError(EMPTY)


def _paragraph(paragraph: Paragraph) -> Iterator[tuple[str, int]]:
    text = paragraph.text.strip()
    if not text:
        return
    style = paragraph.style.name if paragraph.style is not None else ""
    match = _HEADING.match(style or "")
    level = int(match[1] or 1) if match else 0
    yield f"{' '.join(text.split()) if level else text}\n\n", level


def _row_texts(table: Table) -> Iterator[tuple[str, int]]:
    for row in table.rows:
        cells: list[str] = []
        for cell in row.cells:
            text = " ".join(cell.text.split())
            # A merged cell is given once for each column it covers.
            if text and (not cells or cells[-1] != text):
                cells.append(text)
        if cells:
            yield f"{' | '.join(cells)}\n", 0


def _refuse_bombs(path: Path) -> None:
    """Looks at the archive's own list before anything is unpacked."""
    if not zipfile.is_zipfile(path):
        raise ExtractionError(LOCKED if path.open("rb").read(4) == b"\xd0\xcf\x11\xe0" else BROKEN)
    with zipfile.ZipFile(path) as archive:
        infos = archive.infolist()
    unpacked = sum(info.file_size for info in infos)
    if unpacked > LARGEST_UNPACKED or unpacked > LARGEST_RATIO * (path.stat().st_size + 4096):
        raise ExtractionError(BOMB)
    if "word/document.xml" not in {info.filename for info in infos}:
        raise ExtractionError("This is an archive but no Word document. Unpack it and send what is in it.")
