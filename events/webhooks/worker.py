"""What the worker does for endpoints: compares new events with their patterns, and posts what is due.

Any number of workers may do so at once: cursors and deliveries are claimed in the database.
"""

import asyncio
import logging
import time

from django.utils import timezone

from accounts.threads import in_thread
from events import journal
from events.broker.base import BaseBroker
from events.broker.connect import connect
from events.conf import conf
from events.exceptions import ThroughlineError
from events.looking import RETRY_SECONDS, end, look_forever, woken_within
from events.metrics import WEBHOOK_ATTEMPTS, WEBHOOK_EVENTS, WEBHOOK_SECONDS
from events.models import WebhookDelivery
from events.topics.event import organization_stream
from events.topics.places import Place
from events.webhooks import deliveries as webhook_deliveries
from events.webhooks import evaluation as webhook_evaluation
from events.webhooks import sending as webhook_sending
from events.webhooks.deliveries import Outcome

logger = logging.getLogger(__name__)

READ_EVENTS = 100
"""Events of one organisation that are compared at once: each may become a row for every endpoint."""

CLOSE_SECONDS = 3.0
"""How long what is being posted may go on when the worker stops. Longer, and it is posted again by another worker."""


class WebhookWorker:
    """Two loops beside a worker's jobs, and a task for each delivery that is being posted."""

    def __init__(self, broker: BaseBroker | None = None) -> None:
        self._broker = broker or connect()
        self._woken = asyncio.Event()
        self._sending: set[asyncio.Task[None]] = set()
        self._loops: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begins."""
        self._loops = [
            asyncio.create_task(
                look_forever(self.compare, pause=self._pause, logger=logger, what="Webhooks"), name="webhooks: events"
            ),
            asyncio.create_task(
                look_forever(self.deliver, pause=self._wait, logger=logger, what="Webhooks"), name="webhooks: deliveries"
            ),
        ]

    async def close(self) -> None:
        """Ends, and lets what is being posted end; what does not in time is done by another worker, when its lease is over."""
        await end(self._loops)
        if self._sending:
            await asyncio.wait(self._sending, timeout=CLOSE_SECONDS)
        await end(list(self._sending))
        await self._broker.close()

    async def compare(self) -> int:
        """One look at the events of all organisations with endpoints; how many were compared. Raises `BrokerUnavailable`."""
        places = await in_thread(webhook_evaluation.places)
        heads = await self._broker.heads([organization_stream(place.organization_id) for place in places]) if places else []
        behind = [place for place, head in zip(places, heads, strict=True) if head != place.cursor]
        compared = 0
        for place in behind:
            compared += await self._compare(place)
        if compared:
            WEBHOOK_EVENTS.inc(compared)
            self._woken.set()
        return compared

    async def _compare(self, place: Place) -> int:
        position = (organization_stream(place.organization_id), place.cursor)
        [reading] = await self._broker.read([position], limit=READ_EVENTS)
        return await in_thread(webhook_evaluation.evaluate, place, reading) if reading.events else 0

    async def deliver(self) -> int:
        """Begins to post what is due, as far as there is room; how many deliveries."""
        room = conf.WEBHOOK_SENDING_MAX - len(self._sending)
        if room <= 0:
            return 0
        found = await in_thread(webhook_deliveries.claim, now=timezone.now(), most=room)
        for row in found:
            task = asyncio.create_task(self._deliver(row), name=f"webhook delivery {row.pk}")
            self._sending.add(task)
            task.add_done_callback(self._done)
        return len(found)

    async def settle(self) -> None:
        """Returns when nothing is being posted."""
        while self._sending:
            await asyncio.wait(self._sending)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._sending.discard(task)
        self._woken.set()

    async def _deliver(self, row: WebhookDelivery) -> None:
        began = time.monotonic()
        try:
            made = await in_thread(webhook_deliveries.letter, row, now=timezone.now())
            outcome = made if isinstance(made, Outcome) else await webhook_sending.post(made)
        except (ThroughlineError, *journal.UNREACHABLE) as error:
            logger.warning("The webhook delivery %s waits until its lease is over: %s", row.pk, error)
            return
        except Exception as error:
            logger.exception("The webhook delivery %s failed.", row.pk)
            outcome = Outcome(reason=f"The server failed: {type(error).__name__}.")
        WEBHOOK_SECONDS.observe(time.monotonic() - began)
        await self._keep(row, outcome)

    async def _keep(self, row: WebhookDelivery, outcome: Outcome) -> None:
        """Writes down what came of it. What is forgotten is posted again: a database that is away is asked for a lease."""
        while True:
            try:
                status = await in_thread(webhook_deliveries.ended, row, outcome, now=timezone.now())
                WEBHOOK_ATTEMPTS.labels(status or "taken_over").inc()
                return
            except journal.UNREACHABLE as error:
                if row.leased_until is None or timezone.now() >= row.leased_until:
                    logger.warning("What came of the webhook delivery %s is forgotten; it is sent again: %s", row.pk, error)
                    return
                await asyncio.sleep(RETRY_SECONDS)
            except Exception:
                logger.exception("What came of the webhook delivery %s could not be kept; it is sent again.", row.pk)
                return

    async def _pause(self) -> None:
        await asyncio.sleep(conf.WEBHOOK_LOOK_SECONDS)

    async def _wait(self) -> None:
        """Until deliveries were written here or have ended, or others may be due."""
        await woken_within(self._woken, seconds=conf.WEBHOOK_LOOK_SECONDS)
