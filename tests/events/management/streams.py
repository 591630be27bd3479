"""Streams made for the tests of what looks inside them."""

import asyncio
import uuid

from asgiref.sync import async_to_sync

from events import journal
from events.broker.connect import connect
from events.event import Event, EventId
from events.streams import Stream
from events.writer import Writer
from tests.patience import patiently

AT = 1_750_000_000_000


def new_stream(kind="message"):
    return Stream(kind, str(uuid.uuid4()))


def text_events(texts, first=1):
    return [Event(EventId(seq, 0), "text.delta", {"block": 1, "text": text}, AT) for seq, text in enumerate(texts, first)]


def journaled(texts, *, ended=True):
    """A durable stream that only the journal holds."""
    stream = new_stream()
    events = text_events(texts)
    journal.create(stream=stream, events=[])
    lease = journal.take_lease(stream=stream)
    last = [Event(EventId(len(events) + 1, 0), "run.completed", {"conversation_id": "c", "finish_reason": "stop"}, AT)]
    if ended:
        journal.end(stream=stream, lease=lease, events=[*events, *last])
    else:
        journal.append([(stream, lease, events)])
    return stream


def new_journaled_stream():
    """A durable stream without events."""
    stream = new_stream()
    journal.create(stream=stream)
    return stream


def written(texts):
    """A durable stream that is being written: its texts are in broker and journal."""
    stream = new_journaled_stream()
    async_to_sync(write)(stream, journal.take_lease(stream=stream), texts)
    return stream


async def write(stream, lease, texts):
    """Texts as blocks of their own, so that readers get them as events of their own."""
    broker = connect()
    writer = Writer(broker=broker, flush_ms=1)
    writer.start()
    opened = await writer.open(stream=stream, lease=lease)
    for block, text in enumerate(texts, 1):
        opened.append("text.delta", {"block": block, "text": text}, at_once=True)
    async with asyncio.timeout(patiently(20)):
        while opened.unsent or opened.unjournaled or opened.head != len(texts):  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    await writer.close()
    await broker.close()
