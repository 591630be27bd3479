"""`/ws/events`: subscribe to topics, and hear each matching event once, in order (seed 001, "WebSocket connections")."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from events.conf import conf
from events.consumers import BaseConsumer
from events.exceptions import InvalidRequest, TooMany
from events.frames import Frame, text_field
from events.hub import current_hub
from events.topics import frames as topic_frames
from events.topics.cursor import LONGEST
from events.topics.frames import Told
from events.topics.reader import TopicReader

logger = logging.getLogger(__name__)

FRAMES_AT_ONCE = 32
"""How many frames are written before an `unsubscribe` is looked at."""


class TopicsConsumer(BaseConsumer):
    """One connection to the topics of its caller's organisations."""

    def __init__(self) -> None:
        super().__init__()
        self._requests: asyncio.Queue[tuple[Callable[[], Awaitable[None]], Any]] = asyncio.Queue()
        # What is told of events and what is answered about patterns must not overtake each other.
        self._telling = asyncio.Lock()

    async def opened(self) -> None:
        """Nothing is subscribed to yet."""
        self._reader = TopicReader(current_hub(), self.caller)
        self.work(self._pump(), name="topics")
        self.work(self._answer_forever(), name="subscriptions")

    async def allowed(self) -> None:
        """What the caller may see is looked at again with the credential."""
        self._reader.give_notice()

    async def gone(self) -> None:
        """All subscriptions are cleaned up."""
        if hasattr(self, "_reader"):
            await self._reader.close()

    async def on_subscribe(self, frame: Frame) -> None:
        """`subscribe {topics, since?, ref?}`: answered by `subscribed` once it is in force, and `error` for what is refused."""
        topics, ref = _topics(frame), frame.get("ref")
        since = text_field(frame, "since", longest=LONGEST, default="")
        self._ask(lambda: self._subscribe(topics, since, ref), ref)

    async def on_unsubscribe(self, frame: Frame) -> None:
        """`unsubscribe {topics, ref?}`: nothing of these topics follows the `unsubscribed`."""
        topics, ref = _topics(frame), frame.get("ref")
        self._ask(lambda: self._unsubscribe(topics, ref), ref)

    def _ask(self, answer: Callable[[], Awaitable[None]], ref: Any) -> None:
        if self._requests.qsize() >= 2 * conf.TOPICS_PER_CONNECTION:
            raise TooMany("Too many subscriptions wait for their answer. Wait for some, and give several topics in one frame.")
        self._requests.put_nowait((answer, ref))

    async def _answer_forever(self) -> None:
        """In the order of the frames, and beside them: `ping` does not wait for the database."""
        while True:
            answer, ref = await self._requests.get()
            try:
                await answer()
            except Exception as error:
                await self._tell_error(error, ref)

    async def _subscribe(self, topics: list[str], since: str, ref: Any) -> None:
        # Its answer must not come between events that were found before it, whose cursors know nothing of it.
        async with self._reader.turn:
            in_force, refusals, recovered = await self._reader.subscribe(topics, since=since)
            told = [topic_frames.refused(each, ref=ref) for each in refusals]
            if in_force:
                told.insert(0, topic_frames.subscribed(in_force, self._reader.cursor, recovered=recovered, ref=ref))
            await self._tell_all(told)

    async def _unsubscribe(self, topics: list[str], ref: Any) -> None:
        async with self._telling:
            await self._reader.unsubscribe(topics)
            await self._tell_all([topic_frames.unsubscribed(topics, ref=ref)])

    async def _pump(self) -> None:
        reader = self._reader
        try:
            while True:
                changes = reader.changes
                told = await reader.next()
                if told is None:
                    return
                for start in range(0, len(told), FRAMES_AT_ONCE):
                    part = told[start : start + FRAMES_AT_ONCE]
                    async with self._telling:
                        await self._tell_all(part if reader.changes == changes else [each for each in part if reader.wants(each)])
        except Exception:
            # Without it the client would wait for what never comes; closed, it comes back with its cursor.
            logger.exception("A socket could not follow its topics.")
            self.end(1011, "This failed; it was logged")

    async def _tell_all(self, told: list[Told]) -> None:
        for each in told:
            await self.tell_text(each.text)


def _topics(frame: Frame) -> list[str]:
    """The `topics` of a frame, or its one `topic`. Raises `InvalidRequest`."""
    topics = frame.get("topics", frame.get("topic"))
    topics = [topics] if isinstance(topics, str) else topics
    if not isinstance(topics, list) or not topics or not all(isinstance(each, str) for each in topics):
        raise InvalidRequest('"topics" must be a list of patterns, such as ["events.org_demo.tasks.task.completed.*"].')
    most = 2 * conf.TOPICS_PER_CONNECTION
    if len(topics) > most:
        raise InvalidRequest(f"At most {most} topics are accepted in one frame.")
    return topics
