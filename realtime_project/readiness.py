"""Whether the parts behind this process answer, asked so that a part that hangs cannot hang the answer."""

import asyncio
import threading
from concurrent.futures import Future

from django.db import DatabaseError, InterfaceError, ProgrammingError

from accounts.threads import submit
from chat.services.inspecting import living_workers
from chat.sweep import silence_seconds
from events.broker.connect import address_setting, connect
from events.exceptions import BrokerUnavailable

CHECK_SECONDS = 2.0
OK = "ok"

_lock = threading.Lock()
_asking: Future[int] | None = None


async def check_parts() -> dict[str, str]:
    """What each part says, within CHECK_SECONDS: `ok`, or what is wrong and what to do."""
    (database, worker), broker = await asyncio.gather(_database_and_worker(), _broker())
    return {"database": database, "broker": broker, "worker": worker}


async def _database_and_worker() -> tuple[str, str]:
    unknown = "Unknown, as workers are registered in the database."
    # Waited for and not awaited: nothing can cut short a thread that waits for a database.
    asking = asyncio.wrap_future(_ask_database())
    done, _ = await asyncio.wait({asking}, timeout=CHECK_SECONDS)
    if not done:
        return f"The database does not answer within {CHECK_SECONDS:g} seconds; is it running? See DATABASE_URL.", unknown
    try:
        living = asking.result()
    except ProgrammingError:
        return "The database has no tables of this version; run `manage.py prepare_database`.", unknown
    except (DatabaseError, InterfaceError, OSError):
        return "The database cannot be reached; is it running? See DATABASE_URL.", unknown
    return OK, OK if living else "No worker is running; start `manage.py procrastinate worker`."


def _ask_database() -> Future[int]:
    """One question at a time, whoever asks: each holds a thread for as long as the database hangs."""
    global _asking
    with _lock:
        if _asking is None or _asking.done():
            _asking = submit(living_workers, silent_for=silence_seconds())
        return _asking


async def _broker() -> str:
    broker = connect()
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            await broker.ping()
    except TimeoutError:
        return f"The broker does not answer within {CHECK_SECONDS:g} seconds; is it running? See {address_setting()}."
    except BrokerUnavailable:
        return f"The broker cannot be reached; is it running? See {address_setting()}."
    finally:
        await broker.close()
    return OK
