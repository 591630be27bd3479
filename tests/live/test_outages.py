"""Stores that go away in the middle of answers: streams stay open, nothing is lost, nobody alive is declared dead."""

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable

import httpx
import pytest

from tests.live.conftest import Client, measured, words
from tests.live.processes import KEEPALIVE_SECONDS, LEASE_SECONDS, Stack, eventually, freeze, thaw
from tests.live.readers import Reader, Seen, check_answer

Breaking = Callable[[Stack], Awaitable[None]]

OUTAGE_SECONDS = 20.0
"""More than three leases."""
PER_SECOND = 20
TOKENS = int((OUTAGE_SECONDS + 8) * PER_SECOND)
OVER_WITHIN = 60.0


def some_words(seen: Seen) -> bool:
    return len(seen.text) > 60


def is_over(seen: Seen) -> bool:
    return seen.over


async def all_over(*readers: Reader, within: float = OVER_WITHIN) -> None:
    await asyncio.gather(*(reader.until(is_over, within=within) for reader in readers))


def check_stored(stack: Stack, message_id: str, text: str) -> None:
    """That journal and message hold the whole answer, once."""
    rows = stack.journal(message_id)
    assert [seq for seq, _, _ in rows] == list(range(1, len(rows) + 1))
    assert "".join(data["text"] for _, kind, data in rows if kind == "text.delta") == text
    assert [kind for _, kind, _ in rows if kind.startswith("run.")] == ["run.started", "run.completed"]
    assert stack.query("SELECT text FROM chat_message WHERE id = %s", message_id) == [(text,)]


def newest_gap(reader: Reader, since: float, until: float) -> float:
    """The longest time without a new event between two moments, in seconds."""
    moments = [since, *(frame.at for frame in reader.frames if since < frame.at < until), until]
    return max(later - earlier for earlier, later in itertools.pairwise(moments))


def first_after(reader: Reader, moment: float) -> float:
    """How long after a moment the next event came, in seconds."""
    return next(frame.at for frame in reader.frames if frame.at > moment) - moment


async def test_flushall_in_the_middle_of_an_answer_loses_nothing(stack: Stack, alice: Client):
    message_id = await alice.ask([{"tokens": 160, "per_second": 40}])
    async with alice.reader(message_id) as reader, alice.reader(message_id, at=1) as other:
        await reader.until(some_words, within=10)
        late = []
        with stack.valkey_client() as client:
            while not reader.over and len(late) < 6:
                client.flushall()
                late.append(alice.reader(message_id, at=len(late) % 2))
                await late[-1].__aenter__()
                count = len(reader.frames)
                await reader.until(lambda seen, count=count: len(seen.frames) > count + 8 or seen.over, within=10)
        await all_over(reader, other, *late, within=15)
    for each in (reader, other, *late):
        check_answer(each, words(160))
    for each in late:
        await each.__aexit__()
    assert (reader.connections, other.connections) == (1, 1)
    check_stored(stack, message_id, words(160))


async def test_flushall_after_an_answer_loses_nothing(stack: Stack, alice: Client):
    message_id = await alice.ask([{"tokens": 80}])
    async with alice.reader(message_id) as reader:
        await all_over(reader, within=10)
    with stack.valkey_client() as client:
        client.flushall()
    # In the middle of it, too: a cursor that only the journal knows.
    for cursor in (None, reader.ids[1]):
        async with alice.reader(message_id, at=1, cursor=cursor) as late:
            await all_over(late, within=10)
        assert reader.text.endswith(late.text)
        assert late.frames[-1].data == reader.frames[-1].data
    assert (await alice.tail(message_id))["response"] == words(80)


@pytest.mark.parametrize(
    ("away", "back"),
    [
        (Stack.kill_broker, Stack.start_broker),
        (Stack.freeze_broker, Stack.thaw_broker),
    ],
    ids=["killed and started empty", "frozen"],
)
async def test_the_broker_away_for_20_s(
    stack: Stack, alice: Client, request: pytest.FixtureRequest, away: Breaking, back: Breaking
):
    how = request.node.callspec.id
    through, during = await asyncio.gather(
        alice.ask([{"tokens": TOKENS, "per_second": PER_SECOND}]), alice.ask([{"tokens": 200, "per_second": 20}])
    )
    async with alice.reader(through) as reader, alice.reader(during, at=1) as short:
        await asyncio.gather(reader.until(some_words, within=10), short.until(some_words, within=10))
        await away(stack)
        gone = time.monotonic()
        asked = asyncio.create_task(alice.ask([{"tokens": 30}]))
        async with alice.reader(through, at=1) as late:
            # The journal has what the broker does not say.
            await late.until(some_words, within=15)
            measured(f"broker {how}: a new reader has text after", late.frames[0].at - gone)
            new = await asked
            measured(f"broker {how}: a question is accepted after", time.monotonic() - gone)
            await asyncio.sleep(gone + OUTAGE_SECONDS - time.monotonic())
            await back(stack)
            mended = time.monotonic()
            await all_over(reader, short, late)
        async with alice.reader(new) as answered:
            await all_over(answered)
    measured(f"broker {how}: next event after its return", first_after(reader, mended))
    for each, text in ((reader, words(TOKENS)), (late, words(TOKENS)), (short, words(200)), (answered, words(30))):
        check_answer(each, text)
    for each in (reader, short):
        assert each.connections == 1
    assert reader.longest_silence(gone, mended) < 3 * KEEPALIVE_SECONDS
    check_stored(stack, through, words(TOKENS))
    check_stored(stack, during, words(200))
    check_stored(stack, new, words(30))


@pytest.mark.parametrize(
    ("away", "back"),
    [
        (Stack.crash_postgres, Stack.start_postgres),
        (Stack.freeze_postgres, Stack.thaw_postgres),
    ],
    ids=["crashed", "frozen"],
)
async def test_the_database_away_for_20_s(
    stack: Stack, alice: Client, request: pytest.FixtureRequest, away: Breaking, back: Breaking
):
    how = request.node.callspec.id
    workers = [worker.pid for worker in stack.living_workers]
    through, during = await asyncio.gather(
        alice.ask([{"tokens": TOKENS, "per_second": PER_SECOND}]), alice.ask([{"tokens": 200, "per_second": 20}])
    )
    async with alice.reader(through) as reader, alice.reader(during, at=1) as short:
        await asyncio.gather(reader.until(some_words, within=10), short.until(some_words, within=10))
        await away(stack)
        gone = time.monotonic()
        await short.until(lambda seen: seen.text == words(200), within=15)
        assert not short.over, "no reader may see an end that is not stored"
        await asyncio.sleep(gone + OUTAGE_SECONDS - time.monotonic())
        await back(stack)
        mended = time.monotonic()
        fetched = asyncio.create_task(answered_after(alice, mended))
        await all_over(reader, short)
        measured(f"database {how}: the end it held back after its return", short.frames[-1].at - mended)
    measured(f"database {how}: longest pause of live text meanwhile", newest_gap(reader, gone, mended))
    assert newest_gap(reader, gone, mended) < 2
    check_answer(reader, words(TOKENS))
    check_answer(short, words(200))
    assert (reader.connections, short.connections) == (1, 1)
    check_stored(stack, through, words(TOKENS))
    check_stored(stack, during, words(200))
    measured(f"database {how}: a new question is answered after its return", await fetched)
    assert [worker.pid for worker in stack.living_workers] == workers


async def answered_after(client: Client, moment: float) -> float:
    """How long after a moment a new question has its answer, in seconds; asked again while it is refused."""

    async def accepted() -> str | None:
        try:
            return await client.ask([{"tokens": 5}], at=1)
        except (AssertionError, httpx.TransportError):
            return None

    message_id = await eventually(accepted, within=30, what="a question to be accepted")
    async with client.reader(message_id) as reader:
        await reader.until(is_over, within=30)
    check_answer(reader, words(5))
    return reader.frames[-1].at - moment


async def test_an_answer_that_only_the_journal_holds_does_not_stop_the_others_when_the_database_is_away(
    stack: Stack, alice: Client
):
    quiet = await alice.ask([{"text": "wait"}, {"pause": 15}, {"text": " for it"}])
    lively = await alice.ask([{"tokens": 300, "per_second": 20}])
    async with alice.reader(quiet) as waiting, alice.reader(lively) as reader:
        await asyncio.gather(waiting.until(lambda seen: seen.text == "wait", within=10), reader.until(some_words, within=10))
        with stack.valkey_client() as client:
            client.delete(f"tl:{{message:{quiet}}}", f"tl:{{message:{quiet}}}:meta")
        await stack.crash_postgres()
        gone = time.monotonic()
        await asyncio.sleep(8)
        mended = time.monotonic()
        await stack.start_postgres()
        await all_over(reader, waiting)
    assert newest_gap(reader, gone, mended) < 2
    check_answer(reader, words(300))
    check_answer(waiting, "wait for it")


async def test_both_stores_crash_and_come_back_again_and_again(stack: Stack, alice: Client):
    message_id = await alice.ask([{"tokens": 600, "per_second": PER_SECOND}])
    async with alice.reader(message_id) as reader, alice.reader(message_id, at=1) as other:
        await reader.until(some_words, within=10)
        for _ in range(3):
            # Longer than a worker may be silent; and sweeps wait for their database meanwhile, without an error.
            await asyncio.gather(stack.kill_broker(), stack.crash_postgres())
            gone = time.monotonic()
            await asyncio.sleep(LEASE_SECONDS)
            await asyncio.gather(stack.start_broker(), stack.start_postgres())
            mended = time.monotonic()
            assert reader.longest_silence(gone, mended) < 3 * KEEPALIVE_SECONDS
            await reader.until(lambda seen, mended=mended: seen.frames[-1].at > mended, within=15)
            measured("both stores: next event after their return", first_after(reader, mended))
        await all_over(reader, other)
    check_answer(reader, words(600))
    check_answer(other, words(600))
    check_stored(stack, message_id, words(600))
    assert await answered_after(alice, mended) < 40


async def test_a_living_worker_gets_time_for_a_sign_of_life_when_both_stores_are_back(stack: Stack, alice: Client):
    """The sweeps' queries wait out the outage without an error, and are the first to be answered after it."""
    worker = stack.living_workers[0]
    message_id = await alice.ask([{"tokens": 300, "per_second": PER_SECOND}])

    async def database_answers() -> bool:
        answers = [await alice.request("GET", "/readyz", at=at) for at in (0, 1)]
        return all(answer.json()["database"] == "ok" for answer in answers)

    async with alice.reader(message_id) as reader:
        await reader.until(some_words, within=10)
        await asyncio.gather(stack.kill_broker(), stack.crash_postgres())
        await asyncio.sleep(LEASE_SECONDS)
        freeze(worker)
        await asyncio.gather(stack.start_broker(), stack.start_postgres())
        await eventually(database_answers, within=15, what="the web processes to reach the database")
        thaw(worker)
        await all_over(reader)
    check_answer(reader, words(300))
    check_stored(stack, message_id, words(300))


async def test_no_request_meets_a_connection_that_died_while_nobody_used_it(stack: Stack, alice: Client):
    async def open_feeds() -> list[int]:
        readers = [Reader(stack.addresses[n % 2 :][:1], "/api/events", alice.token, is_last=lambda _: False) for n in range(40)]
        for reader in readers:
            await reader.__aenter__()
        await asyncio.gather(*(reader.until(lambda seen: seen.connections or seen.refused, within=10) for reader in readers))
        for reader in readers:
            await reader.__aexit__()
        return [status for reader in readers for status in reader.refused]

    assert await open_feeds() == []
    with stack.valkey_client() as client:
        assert client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes") > 5
    assert await open_feeds() == []
