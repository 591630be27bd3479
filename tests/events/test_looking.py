"""Loops that look into the stores for something to do."""

import asyncio
import logging

from events import looking
from events.exceptions import BrokerUnavailable
from tests.patience import patiently

logger = logging.getLogger(__name__)


async def test_it_looks_again_at_once_while_there_is_something_pauses_and_outlives_what_fails(monkeypatch, caplog):
    monkeypatch.setattr(looking, "RETRY_SECONDS", 0.0)
    answers, pauses, over = iter([1, 2, 0, BrokerUnavailable(), ValueError("ours"), 0]), [], asyncio.Event()

    async def look():
        answer = next(answers, None)
        if answer is None:
            over.set()
            await asyncio.Event().wait()
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def pause():
        pauses.append(1)

    task = asyncio.create_task(looking.look_forever(look, pause=pause, logger=logger, what="Things"))
    async with asyncio.timeout(patiently(10)):
        await over.wait()
    await looking.end([task])
    assert task.cancelled()
    assert len(pauses) == 2
    assert [record.levelname for record in caplog.records] == ["WARNING", "ERROR"]
    assert caplog.messages[0].startswith("Things wait: ")
    assert caplog.messages[1] == "Things failed."


async def test_who_is_woken_does_not_wait_and_is_not_woken_twice():
    woken = asyncio.Event()
    woken.set()
    await looking.woken_within(woken, seconds=3600)
    assert not woken.is_set()
    await looking.woken_within(woken, seconds=0.0)
    assert not woken.is_set()
