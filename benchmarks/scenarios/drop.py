"""The network drops for 2 seconds, twice a run, once each way: who of 20 followers has received what afterwards.

Every system has the same schedule, drawn from the number of the run, and the same proxy between its server and its own
kind of client, which comes back as it does everywhere. A ledger says what each client received.
"""

import time
from typing import ClassVar

from benchmarks.following import Following
from benchmarks.measuring import Figures, Publishing, settle
from benchmarks.scenarios.base import Row, Scenario
from benchmarks.schedule import DROP_SECONDS, Kind, Schedule, draw
from benchmarks.stores import Stores
from benchmarks.systems import System
from tests.proxies import Proxy

FOLLOWERS = 20
PER_SECOND = 20
SECONDS = 18.0
DROPS = 2
QUIET_SECONDS = 20.0
"""After so long without an event nothing is on its way any more. One of 1,000 clients with our back-off, which draws pauses of up
to 16 s for the sixth attempt of a drop, is away for 15 s; one of 10,000 for more than 18."""
LATE_SECONDS = 1.0
"""What is doubled may come after the last one."""


class NetworkDrop(Scenario):
    name = "drop"
    title = f"the network drops for {DROP_SECONDS:.0f} s, twice in 18 s, {PER_SECOND} events/s, {FOLLOWERS} clients"
    repetitions: ClassVar[int] = 5
    rows: ClassVar = [
        Row("due", "deliveries due"),
        Row("once", "received exactly once, %", 2),
        Row("lost", "lost, the worst run", pick=max),
        Row("lost_median", "lost"),
        Row("unannounced", "lost, and the client not told that anything was missed"),
        Row("doubled", "doubled, the worst run", pick=max),
        Row("reversed", "out of order, the worst run", pick=max),
        Row("gaps", "times a client was told of a gap"),
        Row("silence_s", "seconds from the end of a drop to a client's next event", 2),
    ]

    def fits(self, system: System) -> bool:
        return bool(system.followers(0, 0)) and super().fits(system)

    def run(self, system: System, stores: Stores, *, quick: bool, seed: int) -> Figures:
        del quick  # one run is short anyway
        schedule = draw(seed, seconds=SECONDS, rate=PER_SECOND, drops=DROPS)
        return dropped(system, stores, schedule, followers=FOLLOWERS)


def dropped(system: System, stores: Stores, schedule: Schedule, *, followers: int) -> Figures:
    """One run of a schedule."""
    with system.serve(stores, replay=True) as server, Proxy("127.0.0.1", server.port) as proxy:
        system.forget(stores)
        with Following(system.followers(proxy.port, followers), followers) as following:
            settle()
            with Publishing(
                system, stores, schedule.events, module=system.followed or system.publisher, replay=True
            ) as publishing:
                ends = drop(proxy, schedule, began=publishing.began)
                publishing.finish()
            following.wait_for(len(schedule.events), quiet_seconds=QUIET_SECONDS)
            time.sleep(LATE_SECONDS)
        ledger = following.ledger
    account = ledger.account(len(schedule.events))
    return {
        "due": account.due,
        "once": 100 * account.once / account.due,
        "lost": account.lost,
        "lost_median": account.lost,
        "unannounced": account.unannounced,
        "doubled": account.doubled,
        "reversed": account.reversed,
        "gaps": account.gaps,
        "silence_s": ledger.silence(ends),
    }


def drop(proxy: Proxy, schedule: Schedule, *, began: float) -> list[int]:
    """Drops the network at each moment of the schedule; when each drop was over, in ns."""
    ends = []
    for each in schedule.drops:
        time.sleep(max(0.0, began + each.at - time.monotonic()))
        if each.kind is Kind.CUT:
            proxy.cut()
            time.sleep(DROP_SECONDS)
        else:
            proxy.freeze()
            time.sleep(DROP_SECONDS)
            proxy.cut()
        proxy.restore()
        ends.append(time.monotonic_ns())
    return ends


scenario = NetworkDrop()
