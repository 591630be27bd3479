"""What the worker does for notifications: compares new events with rules, and delivers what is due.

Any number of workers may do so at once: cursors and deliveries are claimed in the database.
"""

import asyncio
import logging
from contextlib import nullcontext
from datetime import datetime

from django.utils import timezone

from accounts.threads import in_thread
from events import journal
from events.broker.base import BaseBroker, Reading
from events.broker.connect import connect
from events.conf import conf as events_conf
from events.exceptions import BrokerUnavailable, ThroughlineError
from events.looking import end, look_forever, woken_within
from events.publishing import now_ms
from events.topics.event import organization_stream
from events.topics.places import Place
from notifications import deliveries, evaluation, mail, online, push
from notifications.conf import conf
from notifications.deliveries import Claim
from notifications.mail import MailFailed, MailRefused
from notifications.metrics import DELIVERED, EVALUATED, LAG
from notifications.models import Channel
from notifications.push import PushFailed

logger = logging.getLogger(__name__)

MAILS_AT_ONCE = 2
"""A mail takes a thread of those that the database work of this process needs, too."""


class NotificationWorker:
    """Two loops beside a worker's jobs; `close` lets what is being sent end."""

    def __init__(self, broker: BaseBroker | None = None) -> None:
        self._broker = broker or connect()
        self._written = asyncio.Event()
        self._mailing = asyncio.Semaphore(MAILS_AT_ONCE)
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begins."""
        self._tasks = [
            asyncio.create_task(
                look_forever(self.evaluate, pause=self._pause, logger=logger, what="Notifications"), name="notifications: rules"
            ),
            asyncio.create_task(
                look_forever(self.deliver, pause=self._wait, logger=logger, what="Notifications"),
                name="notifications: deliveries",
            ),
        ]

    async def close(self) -> None:
        """Ends; what was begun and not ended is done by another worker, when its lease is over."""
        await end(self._tasks)
        await self._broker.close()

    async def evaluate(self) -> int:
        """One look at the events of all organisations; how many were compared. Raises `BrokerUnavailable`."""
        places = await in_thread(evaluation.places)
        heads = await self._broker.heads([organization_stream(place.organization_id) for place in places])
        compared, oldest = 0, now_ms()
        for place, head in zip(places, heads, strict=True):
            if head != place.cursor:
                reading = await self._read(place)
                oldest = min([oldest, *(event.at for event in reading.events[:1])])
                compared += await in_thread(evaluation.evaluate, place, reading, head)
        LAG.set((now_ms() - oldest) / 1000 if compared else 0)
        if compared:
            EVALUATED.inc(compared)
            self._written.set()
        return compared

    async def _read(self, place: Place) -> Reading:
        position = (organization_stream(place.organization_id), place.cursor)
        return (await self._broker.read([position], limit=events_conf.EVENTS_READ_BATCH))[0]

    async def deliver(self) -> int:
        """Tries what is due; how many deliveries or digests. Raises `BrokerUnavailable`."""
        now = timezone.now()
        found = await in_thread(deliveries.claim, now=now)
        if found:
            there = await self._there(found, now)
            await asyncio.gather(*(self._deliver(each, there=each in there) for each in found))
        return len(found)

    async def _there(self, found: list[Claim], now: datetime) -> list[Claim]:
        """Those whose users see it without the channel."""
        away = [each for each in found if each.first.channel != Channel.WEBSOCKET]
        if not away:
            return []
        try:
            connected = await online.connected(self._broker)
        except BrokerUnavailable:
            # Nobody can say who is there: told twice is better than never, and the inbox is told anyway.
            connected = frozenset()
        known = online.Online(connected, await in_thread(online.last_active, {each.user.pk for each in away}))
        return [
            each
            for each in away
            if known.is_there(user_pk=each.user.pk, user_id=each.user.public_id, channel=each.first.channel, now=now)
        ]

    async def _deliver(self, found: Claim, *, there: bool) -> None:
        try:
            async with self._mailing if found.first.channel == Channel.EMAIL else nullcontext():
                left = await in_thread(deliveries.sift, found, there=there, now=timezone.now())
                if left is not None:
                    await self._send(left)
        except (ThroughlineError, *journal.UNREACHABLE) as error:
            logger.warning("A delivery waits until its lease is over: %s", error)
        except Exception as error:
            logger.exception("The delivery %s failed.", found.first.pk)
            await in_thread(deliveries.failed, found, reason=f"The server failed: {type(error).__name__}", now=timezone.now())

    async def _send(self, found: Claim) -> None:
        channel, now = found.first.channel, timezone.now()
        outcome = "sent"
        try:
            if channel == Channel.WEBSOCKET:
                await in_thread(deliveries.tell_inbox, found, now=now)
            elif channel == Channel.EMAIL:
                outcome = await self._mail(found, now)
            else:
                outcome = await self._push(found, now)
        except (MailFailed, PushFailed) as error:
            outcome = "failed"
            wait = error.wait if isinstance(error, PushFailed) else 0
            await in_thread(deliveries.failed, found, reason=str(error), now=now, wait=wait)
        DELIVERED.labels(channel, outcome).inc()

    async def _mail(self, found: Claim, now: datetime) -> str:
        if not found.user.email:
            await in_thread(deliveries.skipped, found, reason="The user has no address for mail.", now=now)
            return "skipped"
        try:
            await in_thread(mail.send, found)
        except MailRefused as error:
            await in_thread(deliveries.failed, found, reason=str(error), now=now, for_good=True)
            return "dead"
        await in_thread(deliveries.sent, found, now=timezone.now())
        return "sent"

    async def _push(self, found: Claim, now: datetime) -> str:
        if not await push.send(found):
            await in_thread(deliveries.skipped, found, reason="No browser of the user takes pushes.", now=now)
            return "skipped"
        await in_thread(deliveries.sent, found, now=timezone.now())
        return "sent"

    async def _pause(self) -> None:
        await asyncio.sleep(conf.NOTIFICATIONS_EVALUATE_SECONDS)

    async def _wait(self) -> None:
        """Until deliveries were written here, or others may be due."""
        await woken_within(self._written, seconds=conf.NOTIFICATIONS_EVALUATE_SECONDS * 4)
