"""Followers come back as the clients of their system do, and the drop shows what a system without a cursor loses."""

import json
import sys

import pytest

from benchmarks.followers.event_source import RETRY_SECONDS, EventSource
from benchmarks.followers.sockets import LONGEST_SECONDS, back_off
from benchmarks.following import Following
from benchmarks.processes import BenchmarkError, python
from benchmarks.scenarios.drop import dropped
from benchmarks.schedule import draw
from benchmarks.stores import Stores
from benchmarks.systems import PlainAsgi


def test_an_event_source_reads_as_browsers_do() -> None:
    source = EventSource()
    lines = ["retry: 200", "", ": a comment", "id: 4", "event: named", "data: a", "data: b", "", "id: 5", "", "id: 6", "data: c"]
    assert list(source.take(lines)) == [("named", "a\nb")]
    assert (source.last_id, source.retry) == ("5", 0.2)
    # The connection ended before the event did: its id does not count.
    source.begin()
    assert list(source.take(["data: d", ""])) == [("", "d")]
    assert source.last_id == "5"
    assert EventSource().retry == RETRY_SECONDS


def test_sockets_wait_longer_each_time() -> None:
    assert all(0 <= back_off(attempt) <= min(LONGEST_SECONDS, 0.5 * 2 ** min(attempt - 1, 9)) for attempt in range(1, 2000))


def test_followers_that_do_not_open_are_an_error() -> None:
    program = "import sys; print('[\"open\", 0]', flush=True); sys.exit('no server')"
    with (
        pytest.raises(BenchmarkError, match=r"Only 1 of 2 followers are open: no server"),
        Following([sys.executable, "-c", program], 2),
    ):
        pass


def test_what_followers_say_is_written_down() -> None:
    told = [["open", 0], ["open", 1], ["event", 0, 1, 5], ["event", 1, 1, 6], ["gap", 1], ["event", 0, 2, 7]]
    program = f"import time\nfor line in {[json.dumps(each) for each in told]!r}: print(line, flush=True)\ntime.sleep(60)"
    with Following([sys.executable, "-c", program], 2) as following:
        following.wait_for(2, quiet_seconds=1)
    found = following.ledger.account(2)
    assert (found.once, found.lost, found.unannounced, found.gaps) == (3, 1, 0, 1)


class Followed(PlainAsgi):
    """The reference, which knows no cursor, with EventSources."""

    def followers(self, port: int, count: int) -> list[str]:
        url = f"http://127.0.0.1:{port}/"
        return python("-m", "benchmarks.followers.event_source", url, str(count), "none")


def test_without_a_cursor_what_was_published_during_the_drop_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgres://nobody@127.0.0.1:1/not-asked")
    schedule = draw(3, seconds=7.5, rate=20, drops=1)
    with Stores() as stores:
        found = dropped(Followed(), stores, schedule, followers=3)
    [drop] = schedule.drops
    during = sum(drop.at + 0.5 < at < drop.at + 1.5 for at in schedule.events)
    assert found["lost"] >= 3 * during > 0
    assert found["unannounced"] == found["lost"]
    assert found["doubled"] == found["reversed"] == found["gaps"] == 0
    assert found["due"] == 3 * len(schedule.events)
