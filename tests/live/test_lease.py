"""A server as it comes, with the default lease: nothing here depends on the short one of the other tests."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack

import pytest

from chat.conf import ChatSettings
from tests.live.conftest import Client, log_in, measured
from tests.live.processes import Stack, eventually, freeze
from tests.live.readers import check_answer
from tests.patience import patiently

LEASE_SECONDS = ChatSettings.__dict__["RUN_LEASE_SECONDS"]


@pytest.fixture
def stack() -> Iterator[Stack]:
    stack = Stack(webs=1, workers=2, settings={"RUN_LEASE_SECONDS": str(LEASE_SECONDS)})
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()


async def test_answers_of_a_killed_and_of_a_frozen_worker_end_within_15_s_though_no_worker_is_left(stack: Stack):
    assert LEASE_SECONDS == 15
    client = Client(stack, log_in(stack, "alice"))
    beats = "SELECT count(*) FROM chat_worker"
    await eventually(lambda: stack.query(beats)[0][0] == 2, within=15, what="both workers to live")
    ids: list[str] = []

    async def both_have_some() -> bool:
        ids.append(await client.ask([{"tokens": 3000, "per_second": 20}]))
        await eventually(lambda: stack.run(ids[-1])["worker"], within=10, what="the answer to be claimed")
        return len({stack.run(message_id)["worker"] for message_id in ids}) == 2

    await eventually(both_have_some, within=20, what="both workers to have an answer")
    async with AsyncExitStack() as opened:
        readers = [await opened.enter_async_context(client.reader(message_id)) for message_id in ids]
        await asyncio.gather(*(reader.until(lambda seen: len(seen.text) > 30, within=10) for reader in readers))
        stack.workers[0].kill()
        freeze(stack.workers[1])
        died = time.monotonic()
        await asyncio.gather(*(reader.until(lambda seen: seen.over, within=LEASE_SECONDS + 5) for reader in readers))
    took = max(reader.frames[-1].at for reader in readers) - died
    measured("worker death -> terminal, default lease of 15 s", took)
    assert took <= patiently(LEASE_SECONDS)
    for message_id, reader in zip(ids, readers, strict=True):
        check_answer(reader, reader.text, last="error")
        assert reader.last["code"] == "producer_stale"
        assert (await client.tail(message_id))["response"] == reader.text
