"""A process that calls the tool `count` as a user, and is killed between the deed and its record.

Usage: python -m tests.plugins.tools.dying <user's primary key> <idempotency key>
"""

import asyncio
import os
import signal
import sys

import django

django.setup()

from accounts.threads import in_thread  # noqa: E402 - Django first
from accounts.verification import caller_of_user  # noqa: E402
from plugins.tools import registry  # noqa: E402
from plugins.tools.calling import call  # noqa: E402
from tests.plugins.tools.conftest import SCHEMA, count_up  # noqa: E402


async def _run(arguments, context):
    await in_thread(count_up)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    registry.register("count", lambda: registry.Tool("count", "Counts.", SCHEMA, _run, idempotent=False))
    caller = caller_of_user(int(sys.argv[1]))
    one = {"name": "count", "arguments": {}, "caller": caller, "run_id": "r", "call_id": "c", "idempotency_key": sys.argv[2]}
    asyncio.run(call(**one))
