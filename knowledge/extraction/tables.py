"""CSV: each row a chunk of its own, told as `column: value`, its values in the metadata for filters."""

import csv
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from knowledge.extraction.blocks import Block, ExtractionError, pieces
from knowledge.extraction.decoding import lines

LONGEST_LINE = 1 << 20
LARGEST_FIELD = 131_072
MOST_COLUMNS = 512
LONGEST_VALUE = 200
"""A longer value is in the text but not in the metadata, where it could only be compared whole."""
_NUMBER = re.compile(r"[+-]?(?:0|[1-9]\d{0,14})(?:\.\d{1,10})?", re.ASCII)


def read_csv(path: Path) -> Iterator[Block]:
    """One block a row; the first row names the columns."""
    csv.field_size_limit(LARGEST_FIELD)
    source = lines(path, longest=LONGEST_LINE)
    head, first_read = _head(source)
    state = [first_read]

    def texts() -> Iterator[str]:
        yield from head
        for text, read in source:
            state[0] = read
            yield text

    reader = csv.reader(texts(), _dialect("".join(head)))
    try:
        columns = [name.strip()[:100] for name in next(reader, [])]
        _refuse_columns(columns)
        found = False
        for row in reader:
            text = _row_text(columns, row)
            if not text.strip():
                continue
            found = True
            metadata: dict[str, Any] = {"row": reader.line_num} | _values(columns, row)
            for piece in pieces(text):
                yield Block(piece, metadata=metadata, apart=True, read=state[0])
    except csv.Error as error:
        raise ExtractionError(_explained(error, reader.line_num)) from error
    if not found:
        raise ExtractionError("The table has no rows below its first one, which is taken for the names of the columns.")


def _head(source: Iterator[Any]) -> tuple[list[str], float]:
    head: list[str] = []
    read = 0.0
    for text, read in source:  # noqa: B007 - the last is returned
        head.append(text)
        if len(head) >= 20:
            break
    return head, read


def _dialect(sample: str) -> type[csv.Dialect] | csv.Dialect:
    try:
        return csv.Sniffer().sniff(sample[:65536], delimiters=",;\t|")
    except csv.Error:
        return csv.excel


def _refuse_columns(columns: list[str]) -> None:
    if len(columns) > MOST_COLUMNS:
        raise ExtractionError(f"The table has {len(columns)} columns; at most {MOST_COLUMNS} can be taken.")


def _row_text(columns: list[str], row: list[str]) -> str:
    pairs = []
    for number, value in enumerate(row[:MOST_COLUMNS]):
        shown = " ".join(value.split())
        if shown:
            name = columns[number] if number < len(columns) and columns[number] else f"column {number + 1}"
            pairs.append(f"{name}: {shown}")
    return "; ".join(pairs) + "\n" if pairs else ""


def _values(columns: list[str], row: list[str]) -> dict[str, Any]:
    """The values by column: numbers as numbers, so that `{"gte": 10}` works."""
    return {
        name: (float(value) if "." in value else int(value)) if _NUMBER.fullmatch(value) else value
        for name, value in zip(columns, (each.strip() for each in row), strict=False)
        if name and value and len(value) <= LONGEST_VALUE
    }


def _explained(error: csv.Error, line: int) -> str:
    if "field larger" in str(error):
        return (
            f"A field near line {line} has more than {LARGEST_FIELD} characters, most likely because a quotation mark "
            "is never closed. Correct it, or send the text as txt."
        )
    return f"The table cannot be read near line {line} ({error}). Export it again as CSV in UTF-8."
