"""The ingestions of one worker process: claimed when there is room, kept alive, stopped, handed back.

The work that needs the CPU is elsewhere: documents are read and cut in processes of their own,
embeddings computed in threads of low priority. The event loop, which drives answers, only
carries chunks from one to the other.
"""

import asyncio
import logging
import os
import secrets
import socket
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from functools import cache

from accounts.threads import in_thread
from events.exceptions import LeaseLost
from knowledge.conf import conf
from knowledge.ingesting import ingest
from knowledge.services import ingestions
from knowledge.services.ingestions import UNREACHABLE, Claim

logger = logging.getLogger(__name__)

POLL_SECONDS = 2.0
NICENESS = 10


class Ingester:
    """Everything a worker process does with ingestions. Belongs to the event loop it is started in."""

    def __init__(self) -> None:
        self.name = f"{socket.gethostname()[:40]}-{os.getpid()}-{secrets.token_hex(3)}"
        self._woken = asyncio.Event()
        self._working: dict[uuid.UUID, tuple[Claim, asyncio.Task[None]]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._closing = False
        self._pool = ThreadPoolExecutor(conf.KNOWLEDGE_EMBED_THREADS, thread_name_prefix="embedding", initializer=_be_nice)

    def start(self) -> None:
        """Begins to look for ingestions; again: nothing."""
        if not self._tasks:
            self._tasks = [
                asyncio.create_task(self._claim_forever(), name="ingestions"),
                asyncio.create_task(self._beat_forever(), name="heartbeat of ingestions"),
                asyncio.create_task(self._sweep_forever(), name="sweep of ingestions"),
            ]

    def wake(self) -> None:
        """Looks for ingestions now."""
        self.start()
        self._woken.set()

    async def close(self) -> None:
        """Stops, and hands back what is unfinished; another worker goes on with it."""
        self._closing = True
        tasks = [*self._tasks, *(task for _, task in self._working.values())]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _claim_forever(self) -> None:
        while True:
            self._woken.clear()
            try:
                while len(self._working) < conf.KNOWLEDGE_INGESTIONS:
                    claim = await in_thread(ingestions.claim, worker=self.name)
                    if claim is None:
                        break
                    self._work(claim)
            except UNREACHABLE as error:
                logger.warning("Ingestions cannot be claimed: %s", error)
            except Exception:
                logger.exception("An ingestion could not be claimed.")
            try:
                async with asyncio.timeout(POLL_SECONDS):
                    await self._woken.wait()
            except TimeoutError:
                pass

    def _work(self, claim: Claim) -> None:
        task = asyncio.create_task(self._ingest(claim), name=f"ingestion {claim.ingestion_id}")
        self._working[claim.ingestion_id] = claim, task
        task.add_done_callback(lambda _: self._worked(claim))

    def _worked(self, claim: Claim) -> None:
        self._working.pop(claim.ingestion_id, None)
        self._woken.set()

    async def _ingest(self, claim: Claim) -> None:
        try:
            await ingest(claim, self._pool)
        except LeaseLost:
            logger.info("Ingestion %s was cancelled, deleted or taken over.", claim.ingestion_id)
        except asyncio.CancelledError:
            # Cancelled with the process: the next worker goes on. Cancelled by the heartbeat: it is not ours any more.
            await _quietly(claim, ingestions.hand_back)
            raise
        except UNREACHABLE as error:
            logger.warning("Ingestion %s is left to the sweep: %s", claim.ingestion_id, error)
        except Exception:
            logger.exception("Ingestion %s failed by a mistake of ours.", claim.ingestion_id)
            await _quietly(claim, _fail_unexplained)

    async def _beat_forever(self) -> None:
        while True:
            await asyncio.sleep(min(conf.KNOWLEDGE_LEASE_SECONDS / 5, 2.0))
            claims = [claim for claim, _ in self._working.values()]
            if not claims:
                continue
            try:
                ours = await in_thread(ingestions.beat, claims=claims)
            except UNREACHABLE as error:
                logger.warning("No sign of life for ingestions: %s", error)
                continue
            for claim in claims:
                working = self._working.get(claim.ingestion_id)
                if claim.ingestion_id not in ours and working is not None and working[0] is claim:
                    working[1].cancel()

    async def _sweep_forever(self) -> None:
        """Trusts what it sees only when it has reached the database itself for a while: nobody could beat while it was away."""
        steady_since: float | None = None
        while True:
            try:
                now = time.monotonic()
                if steady_since is not None and now - steady_since >= conf.KNOWLEDGE_LEASE_SECONDS / 2:
                    count = await in_thread(ingestions.sweep)
                    if count:
                        logger.warning("Took over %d ingestions of dead workers.", count)
                        self._woken.set()
                else:
                    await in_thread(ingestions.beat, claims=())
                    steady_since = steady_since or now
            except UNREACHABLE as error:
                steady_since = None
                logger.warning("The sweep of ingestions cannot reach the database: %s", error)
            except Exception:
                logger.exception("The sweep of ingestions failed.")
            await asyncio.sleep(conf.KNOWLEDGE_LEASE_SECONDS / 6)


def _fail_unexplained(*, claim: Claim) -> None:
    ingestions.fail(claim=claim, error="The server failed to take this in; the reason is in its log. Trying again may help.")


async def _quietly(claim: Claim, end: object) -> None:
    """Ends our claim as `end` does; when it is not ours any more, or the database is away, the sweep does what is left."""
    try:
        await in_thread(end, claim=claim)  # type: ignore[arg-type]
    except (LeaseLost, *UNREACHABLE):
        logger.info("Ingestion %s is left to others.", claim.ingestion_id)


def _be_nice() -> None:
    # On Linux a priority belongs to a thread. Elsewhere this would slow the whole process, answers too.
    if os.uname().sysname == "Linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)


@cache
def current_ingester() -> Ingester:
    """The ingester of this worker process."""
    return Ingester()
