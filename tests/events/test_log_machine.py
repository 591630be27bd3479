"""The log against a list, at random: writers that take over from each other, stores that are emptied or restored, readers."""

import asyncio
import logging

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from events import journal
from events.broker.connect import connect
from events.event import START
from events.exceptions import LeaseLost
from events.log import Log
from events.writer import Writer
from tests.events.conftest import BROKER, END, NOTE, a_backlog, a_durable_stream, begin, numbers, packed, seqs
from tests.machines import play
from tests.patience import patiently


class Reader:
    """A cursor, and what was read up to it since the reader last began."""

    def __init__(self):
        self.restart()

    def restart(self):
        self.cursor, self.got = START, []

    def take(self, events):
        self.got += numbers([event for event in events if event.type == NOTE.name])
        if events:
            self.cursor = events[-1].id


class LogMachine(RuleBasedStateMachine):
    """What both kinds of streams share."""

    def __init__(self, stores):
        super().__init__()
        self.stores = stores
        self.loop = asyncio.new_event_loop()
        self.log = self.wait(self._opened())
        self.readers = [Reader(), Reader()]
        self.count = 0

    async def _opened(self):
        return Log(connect())

    def wait(self, coroutine):
        return self.loop.run_until_complete(self._within(coroutine))

    async def _within(self, coroutine):
        async with asyncio.timeout(patiently(60)):
            return await coroutine

    def fresh(self, count):
        """So many notes that were never written before."""
        self.count += count
        return list(range(self.count - count, self.count))

    def close(self):
        self.wait(self.log.close())
        self.wait(self.log.broker.close())
        self.loop.close()


class Durable(LogMachine):
    """`model` is the list; each writer but the last is one that does not know yet that another has taken over."""

    def __init__(self, stores):
        super().__init__(stores)
        self.stream = a_durable_stream()
        self.model = []
        self.flushed = 0
        """How much of the list some store has held."""
        self.is_whole = True
        """Whether the broker holds all that it ever was given."""
        self.is_restored = False
        self.copy = None
        self.lease = begin(self.stream)
        self.writers = [self.wait(self._open())]

    async def _open(self):
        writer = Writer(broker=self.log.broker, flush_ms=1)
        writer.opened = await writer.open(stream=self.stream, lease=self.lease)
        return writer

    @rule(count=st.integers(1, 4))
    def write(self, count):
        for note in self.fresh(count):
            self.writers[-1].opened.append(NOTE.name, {"n": note})
            self.model.append(note)

    @property
    def journaled(self):
        """How much of the list the journal has."""
        opened = self.writers[-1].opened
        opened.settle()
        return opened.head - len(opened.unjournaled)

    @rule()
    def send(self):
        opened = self.writers[-1].opened
        opened.settle()
        while opened.unsent:
            # Perhaps twice: the first time it hears that the broker had lost the stream, and puts back what there was.
            self.wait(self.writers[-1]._send())
            self.is_whole, self.is_restored = True, False
        self.flushed = opened.head

    @rule()
    def write_behind(self):
        self.wait(self.writers[-1]._journal())
        self.flushed = self.journaled

    @precondition(lambda self: self.is_whole or self.journaled >= self.flushed)
    @rule()
    def another_takes_over(self):
        """What only the one before had is lost; what any store had is not, and no reader sees it change."""
        self.lease = journal.take_lease(stream=self.stream)
        self.writers.append(self.wait(self._open()))
        earlier = numbers(self.writers[-1].opened.earlier)
        assert earlier == self.model[: len(earlier)]
        assert len(earlier) >= self.flushed
        self.model = earlier
        self.flushed = len(earlier)
        self.is_whole, self.is_restored = True, False

    # A broker that forgot who had taken over takes events of the one before until that one's journal refuses them.
    @precondition(lambda self: len(self.writers) > 1 and not self.is_restored)
    @rule(which=st.integers(0, 9))
    def one_that_was_taken_over_writes_on(self, which):
        stale = self.writers[which % (len(self.writers) - 1)]
        try:
            stale.opened.append(NOTE.name, {"n": -1})
        except LeaseLost:
            return
        self.wait(stale._send())
        self.wait(stale._journal())

    @rule()
    def the_broker_is_emptied(self):
        self.stores.flushall()
        self.is_whole, self.is_restored = False, False

    @precondition(lambda _: BROKER == "redis")
    @rule()
    def the_broker_is_saved(self):
        self.copy = {key: self.stores.dump(key) for key in self.stores.scan_iter()}

    @precondition(lambda self: self.copy is not None)
    @rule()
    def the_broker_is_restored(self):
        """To what it was when it was saved."""
        self.stores.flushall()
        for key, value in self.copy.items():
            self.stores.restore(key, 0, value)
        self.is_whole, self.is_restored = False, True

    @rule()
    def the_readers_process_is_restarted(self):
        self.wait(self.log.close())
        self.log = Log(self.log.broker)

    @rule(which=st.integers(0, 1))
    def read(self, which):
        reader = self.readers[which]
        reading = self.wait(self.log.read(self.stream, reader.cursor))
        if not reading.continuous:
            assert not self.is_whole, "told that something may be missing, and nothing was"
            assert self.journaled < reader.cursor.major
            return
        assert seqs(reading.events) == list(range(reader.cursor.major + 1, reader.cursor.major + 1 + len(reading.events)))
        reader.take(reading.events)

    @invariant()
    def readers_have_the_beginning_of_the_list(self):
        for reader in self.readers:
            assert reader.got == self.model[: len(reader.got)]

    def teardown(self):
        try:
            last = self.writers[-1]
            self.wait(last.end(last.opened, events=[(END.name, {})]))
            assert numbers(journal.read(self.stream, START)[:-1]) == self.model
            for reader in self.readers:
                while reader.cursor.major <= len(self.model):
                    reading = self.wait(self.log.read(self.stream, reader.cursor))
                    assert reading.continuous
                    assert reading.events
                    reader.take(reading.events)
                assert reader.got == self.model
        finally:
            self.close()


class Backlog(LogMachine):
    """`model` is all that was appended since the stream was last emptied, by id; the oldest of it may have been trimmed."""

    def __init__(self, stores):
        super().__init__(stores)
        self.stream = a_backlog()
        self.model = []

    @rule(count=st.sampled_from([1, 2, 3, 130]))
    def append(self, count):
        notes = self.fresh(count)
        ids = self.wait(self.log.broker.append([(self.stream, packed(n)) for n in notes]))
        assert ids == sorted(set(ids))
        assert not self.model or ids[0] > self.model[-1][0]
        self.model += zip(ids, notes, strict=True)

    @rule()
    def the_broker_is_emptied(self):
        self.stores.flushall()
        self.model = []

    def retained(self):
        reading = self.wait(self.log.read(self.stream, START))
        found = [(event.id, event.data["n"]) for event in reading.events]
        assert found == self.model[len(self.model) - len(found) :]
        assert len(found) >= min(len(self.model), 100)
        assert reading.continuous == (len(found) == len(self.model))
        return [id for id, _ in found]

    @rule(which=st.integers(0, 1))
    def read(self, which):
        reader, retained = self.readers[which], self.retained()
        reading = self.wait(self.log.read(self.stream, reader.cursor))
        if reader.cursor in retained:
            assert reading.continuous
        if reading.continuous:
            assert [event.id for event in reading.events] == [id for id, _ in self.model if id > reader.cursor]
        else:
            assert reading.reason
            assert [event.id for event in reading.events] == retained
            reader.restart()
        reader.take(reading.events)

    def teardown(self):
        self.close()


@pytest.fixture
def stores(valkey, journal_db, settings):
    settings.EVENTS_STREAM_MAXLEN = 100
    settings.EVENTS_READ_BATCH = 5000
    logging.disable(logging.CRITICAL)
    yield valkey
    logging.disable(logging.NOTSET)


def test_a_durable_stream_is_a_list_whoever_writes_and_whatever_the_broker_loses(stores):
    play(lambda: Durable(stores), examples=20, steps=25)


def test_a_backlog_is_a_list_or_says_that_it_is_not(stores):
    play(lambda: Backlog(stores), examples=15, steps=20)
