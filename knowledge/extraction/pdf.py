"""PDF: the text of each page."""

import logging
import re
from collections.abc import Iterator
from pathlib import Path

from pypdf import PdfReader
from pypdf.errors import DependencyError, FileNotDecryptedError, PdfReadError, PyPdfError

from knowledge.extraction.blocks import Block, ExtractionError, pieces

LOCKED = "The PDF is locked with a password. Save a copy without a password and send that."
BROKEN = "The PDF is broken and cannot be read. Export it again, or print it to a new PDF."
SCANNED = (
    "The PDF holds no text, only pictures of it (a scan). Run it through a text recognition (OCR) that "
    "writes a searchable PDF, and send that."
)
_HYPHENATED = re.compile(r"(?<=[^\W\d_])[-\u00ad]\n(?=[^\W\d_])")
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")


def read_pdf(path: Path) -> Iterator[Block]:
    """The paragraphs of each page, with `page` (from 1) in their metadata."""
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    seen = False
    try:
        reader = _opened(path)
        count = len(reader.pages)
        for number, page in enumerate(reader.pages, 1):
            text = _CONTROL.sub("", _HYPHENATED.sub("", page.extract_text() or "")).strip()
            if not text:
                continue
            seen = True
            for piece in pieces(f"{text}\n\n"):
                yield Block(piece, metadata={"page": number}, read=number / count)
    except ExtractionError:
        raise
    except (FileNotDecryptedError, DependencyError):
        raise ExtractionError(LOCKED) from None
    except MemoryError:
        raise
    # pypdf meets broken files with whatever its code runs into: KeyError, TypeError, RecursionError.
    except Exception as error:
        raise ExtractionError(BROKEN) from error
    if not seen:
        raise ExtractionError(SCANNED if count else "The PDF has no pages.")


def _opened(path: Path) -> PdfReader:
    try:
        reader = PdfReader(path, strict=False)
    except (PdfReadError, PyPdfError, OSError, ValueError) as error:
        raise ExtractionError(BROKEN) from error
    # Many PDFs are encrypted with an empty password, only to forbid printing.
    if reader.is_encrypted and not reader.decrypt(""):
        raise ExtractionError(LOCKED)
    return reader
