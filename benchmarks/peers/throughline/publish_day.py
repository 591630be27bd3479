"""Publishes to the streams that the file BENCH_STREAMS names, in turn; events are numbered within each stream."""

import os
from pathlib import Path

import django

django.setup()

from events.publishing import Publication, publish_many  # noqa: E402 - after django.setup()
from events.streams import Stream  # noqa: E402

STREAMS = [Stream(*line.split(":", 1)) for line in Path(os.environ["BENCH_STREAMS"]).read_text().split()]
TYPES = {"user": "notification.created", "workspace": "workspace.document_updated"}


async def publish(events: list[dict[str, int]]) -> None:
    """All in one round trip."""
    await publish_many([_publication(event["n"] - 1, event["sent"]) for event in events])


def _publication(number: int, sent: int) -> Publication:
    turn, index = divmod(number, len(STREAMS))
    stream = STREAMS[index]
    return Publication(stream, TYPES[stream.kind], {"payload": {"n": turn + 1, "sent": sent}, "user_id": None})
