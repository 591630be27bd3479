"""Uploaded files in the database, in parts: neither writing nor reading one ever holds more than a part."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from django.db import transaction

from events.exceptions import InvalidRequest, TooLarge
from knowledge.conf import conf
from knowledge.models import StoredFile, StoredPart

PART_BYTES = 512 * 1024


@transaction.atomic
def store(*, name: str, data: Iterable[bytes]) -> StoredFile:
    """Writes a file from its pieces. Raises `TooLarge` past KNOWLEDGE_MAX_BYTES and `InvalidRequest` when it is empty."""
    file = StoredFile.objects.create(name=name)
    for number, part in enumerate(_parts(data)):
        file.size += len(part)
        if file.size > conf.KNOWLEDGE_MAX_BYTES:
            raise TooLarge(f"The file has more than {size_text(conf.KNOWLEDGE_MAX_BYTES)}, the most that is taken. Split it.")
        StoredPart.objects.create(file=file, number=number, data=part)
    if file.size == 0:
        raise InvalidRequest("The file is empty. Choose another one.")
    file.save(update_fields=["size"])
    return file


def size_text(size: int) -> str:
    """A number of bytes as people say it."""
    return f"{size / (1 << 20):.0f} MiB" if size >= 1 << 20 else f"{size} bytes"


def _parts(data: Iterable[bytes]) -> Iterator[bytes]:
    held = bytearray()
    for piece in data:
        held += piece
        while len(held) >= PART_BYTES:
            yield bytes(held[:PART_BYTES])
            del held[:PART_BYTES]
    if held:
        yield bytes(held)


def write_out(*, file_id: int, path: Path) -> None:
    """Copies a file to one on disk, for who must read it there."""
    with path.open("r+b") as out:
        number = 0
        while part := StoredPart.objects.filter(file_id=file_id, number=number).values_list("data", flat=True).first():
            out.write(part)
            number += 1
