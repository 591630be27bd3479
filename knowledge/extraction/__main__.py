"""`python -m knowledge.extraction FILE NAME MEMORY_MB SECONDS`: the chunks of a document, one JSON object a line.

`{"chunk": {...}}` for each, then `{"end": {"kind", "chars"}}`, or `{"error": "what is wrong and what to do"}`.
"""

import dataclasses
import json
import os
import resource
import sys
from pathlib import Path
from typing import Any

from knowledge.extraction.blocks import ExtractionError
from knowledge.extraction.chunking import chunked
from knowledge.extraction.kinds import WrongKind, kind_of_content
from knowledge.extraction.reading import READERS

TOO_MUCH = "Reading this document takes more memory than allowed. Split it into smaller ones."
EMPTY = "There is no text in this document."


def main(path: Path, name: str, memory_mb: int, seconds: int) -> int:
    """Writes the chunks to standard output; the exit code is 0 whenever the last line was written."""
    os.nice(10)
    resource.setrlimit(resource.RLIMIT_AS, (memory_mb << 20, memory_mb << 20))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))
    try:
        _write_chunks(path, name)
    except (ExtractionError, WrongKind) as error:
        _write({"error": str(error)})
    except MemoryError:
        _write({"error": TOO_MUCH})
    except BrokenPipeError:
        # The worker is gone, or wants no more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _write_chunks(path: Path, name: str) -> None:
    with path.open("rb") as file:
        kind = kind_of_content(file.read(4096), name=name)
    chars = 0
    for chunk in chunked(READERS[kind](path)):
        chars = chunk.end
        _write({"chunk": dataclasses.asdict(chunk)})
    _write({"end": {"kind": kind, "chars": chars}} if chars else {"error": EMPTY})


def _write(message: dict[str, Any]) -> None:
    sys.stdout.write(f"{json.dumps(message, separators=(',', ':'))}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
