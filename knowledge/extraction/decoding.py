"""Reading a file as text, in bounded memory, refusing what is no text."""

import codecs
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from knowledge.extraction.blocks import ExtractionError

PIECE_BYTES = 65536
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_DECLARED = re.compile(rb"(?:charset|encoding)\s*=\s*[\"']?\s*([A-Za-z0-9_.:-]+)")
_CONTROL = re.compile("[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
NO_TEXT = "This is no text: it holds bytes that no text has. Send it as the kind it is (pdf, docx), with its own file name."
NOT_UTF8 = "The text is not in UTF-8. Open it in an editor, save it with the encoding UTF-8, and send it again."


class Text(NamedTuple):
    """A piece of a file's text, and which part of the file was read with it, from 0 to 1."""

    text: str
    read: float


def decoded(path: Path, *, declared: bool = False) -> Iterator[Text]:
    """The text of a file, piece by piece, lines ended by LF. `declared`: believe a charset named in its head (HTML).

    Raises `ExtractionError` for what is no text, and for text in an encoding that nothing names.
    """
    size = path.stat().st_size
    if size == 0:
        raise ExtractionError("The file is empty.")
    with path.open("rb") as file:
        head = file.read(4096)
        encoding = _encoding(head, declared=declared)
        file.seek(0)
        decoder = codecs.getincrementaldecoder(encoding)("strict")
        held = ""
        seen = 0
        while True:
            data = file.read(PIECE_BYTES)
            seen += len(data)
            text = held + _decode(decoder, data)
            # CR LF may be torn apart by the pieces.
            held = "\r" if data and text.endswith("\r") else ""
            text = text[: len(text) - len(held)].replace("\r\n", "\n").replace("\r", "\n")
            _refuse_binary(text)
            if text:
                yield Text(text.removeprefix("\ufeff"), seen / size)
            if not data:
                return


def _encoding(head: bytes, *, declared: bool) -> str:
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return encoding
    if declared and (match := _DECLARED.search(head[:2048])):
        try:
            # A declared UTF-16 without a mark is a mistake that browsers read as UTF-8.
            named = codecs.lookup(match[1].decode("ascii")).name
        except LookupError:
            return "utf-8"
        return "utf-8" if named.startswith("utf-16") else named
    if len(head) >= 4 and head.count(0) > len(head) // 4:
        even, odd = head[::2].count(0), head[1::2].count(0)
        if odd > 10 * (even + 1):
            return "utf-16-le"
        if even > 10 * (odd + 1):
            return "utf-16-be"
    return "utf-8"


def _decode(decoder: codecs.IncrementalDecoder, data: bytes) -> str:
    try:
        return decoder.decode(data, final=not data)
    except UnicodeDecodeError:
        control = sum(byte < 9 or 13 < byte < 27 for byte in data)
        raise ExtractionError(NO_TEXT if control > len(data) // 50 else NOT_UTF8) from None


def _refuse_binary(text: str) -> None:
    if "\x00" in text or len(_CONTROL.findall(text)) > len(text) // 50 + 2:
        raise ExtractionError(NO_TEXT)


def lines(path: Path, *, longest: int, declared: bool = False) -> Iterator[Text]:
    """The lines of a file with their ends; what is longer than `longest` characters comes in pieces."""
    held = ""
    for text, read in decoded(path, declared=declared):
        whole = (held + text).splitlines(keepends=True) if "\n" in text else [held + text]
        held = whole.pop() if whole and not whole[-1].endswith("\n") else ""
        for line in whole:
            for start in range(0, len(line), longest):
                yield Text(line[start : start + longest], read)
        while len(held) > longest:
            yield Text(held[:longest], read)
            held = held[longest:]
    if held:
        yield Text(held, 1.0)
