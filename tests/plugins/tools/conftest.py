"""What the tests of tools share: calling as alice, and a tool that counts in the database how often it was done."""

import asyncio
import uuid

import pytest
from django.db import connection

from accounts.threads import in_thread
from accounts.verification import caller_of_user
from plugins.tools import registry
from plugins.tools.calling import call

SCHEMA = {"type": "object", "properties": {"what": {"type": "string"}}, "additionalProperties": False}


@pytest.fixture
def caller(people):
    return caller_of_user(people["alice"].pk)


@pytest.fixture
def called(caller):
    """Calls a tool and gives its result."""

    def run(name, arguments=None, *, key="", as_=None):
        return asyncio.run(
            call(name=name, arguments=arguments or {}, caller=as_ or caller, run_id="run-1", call_id="c1", idempotency_key=key)
        )

    return run


def count_up():
    with connection.cursor() as cursor:
        cursor.execute("UPDATE tool_counter SET n = n + 1")


def counted():
    with connection.cursor() as cursor:
        cursor.execute("SELECT n FROM tool_counter")
        return cursor.fetchone()[0]


@pytest.fixture
def counter(people):
    """Registers a tool that may not be repeated and counts its calls; how often it was done. `doing` may be replaced."""
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE IF NOT EXISTS tool_counter (n integer)")
        cursor.execute("DELETE FROM tool_counter; INSERT INTO tool_counter VALUES (0)")

    class Counter:
        count = staticmethod(counted)
        idempotent = False

        async def doing(self, arguments, context):
            return {"done": arguments.get("what", "")}

        async def run(self, arguments, context):
            await in_thread(count_up)
            return await self.doing(arguments, context)

        def build(self):
            return registry.Tool("count", "Counts.", SCHEMA, self.run, idempotent=self.idempotent)

    made = Counter()
    registry.register("count", made.build)
    yield made
    registry.unregister("count")
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE tool_counter")


def new_key():
    return uuid.uuid4().hex
