"""Every way in which the product is broken, and mended again.

Each is a function of the topology, a target and how long it lasts. What is broken by one is whole again when it returns.
Honest limits: the clock of the machine stays (it is shared); the clock that ids are made of is the broker's, and jumps when an
entry with an id of the future is appended, which is all that such a jump could do. A full disk is a Valkey that may not grow
(`maxmemory`, `noeviction`): it refuses every write as one does whose append-only file cannot be written.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tests.faults.topology import Topology
from tests.live.processes import freeze, thaw

Act = Callable[[Topology, str, float], Awaitable[None]]
BOTH = ("redis", "nats")
WEBS = ("web-1", "web-2")
WORKERS = ("worker-1", "worker-2")
PROCESSES = (*WEBS, *WORKERS)
CLIENT_LINES = tuple(f"clients {name}" for name in WEBS)
BROKER_LINES = tuple(f"{name} broker" for name in PROCESSES)
DATABASE_LINES = tuple(f"{name} database" for name in PROCESSES)
JUMP_MS = 60_000


@dataclass(frozen=True)
class Kind:
    """A kind of fault. `wipes`: the broker may have forgotten things afterwards. `cost`: seconds that mending takes as well."""

    act: Act
    targets: tuple[str, ...] = ()
    seconds: tuple[float, float] = (0.2, 4.0)
    wipes: bool = False
    brokers: tuple[str, ...] = BOTH
    cost: float = 1.0


async def kill_process(topology: Topology, target: str, seconds: float) -> None:
    """SIGKILL; started again after a while, as a supervisor does."""
    with topology.held(target):
        topology.processes[target].kill()
        await asyncio.sleep(seconds)


async def freeze_process(topology: Topology, target: str, seconds: float) -> None:
    """SIGSTOP, then SIGCONT."""
    child = topology.processes[target]
    freeze(child)
    try:
        await asyncio.sleep(seconds)
    finally:
        thaw(child)


async def restart_all(topology: Topology, target: str, seconds: float) -> None:
    """A deployment: SIGTERM to one process after the other; the next when this one is back."""
    for name in PROCESSES:
        await topology.restart_gently(name)


async def cut_line(topology: Topology, target: str, seconds: float) -> None:
    """Every connection breaks, and none is made."""
    line = topology.lines[target]
    line.cut()
    await asyncio.sleep(seconds)
    line.restore()


async def hang_line(topology: Topology, target: str, seconds: float) -> None:
    """Nothing passes, and nobody is told; then everything flows on."""
    line = topology.lines[target]
    line.freeze()
    await asyncio.sleep(seconds)
    line.restore()


async def halve_line(topology: Topology, target: str, seconds: float) -> None:
    """Half-open connections: nothing passes, and what was under way never arrives."""
    line = topology.lines[target]
    line.freeze()
    await asyncio.sleep(seconds)
    line.cut()
    line.restore()


async def slow_line(topology: Topology, target: str, seconds: float) -> None:
    """Every piece takes 0.15 s longer, both ways."""
    line = topology.lines[target]
    line.delay(0.15)
    await asyncio.sleep(seconds)
    line.restore()


async def restart_broker(topology: Topology, target: str, seconds: float) -> None:
    """SIGKILL; comes back with what it had on disk, which is all it had accepted."""
    await topology.kill_broker()
    await asyncio.sleep(seconds)
    await topology.start_broker()


async def empty_broker(topology: Topology, target: str, seconds: float) -> None:
    """SIGKILL; comes back with nothing."""
    await topology.kill_broker()
    topology.remove_broker_data()
    await asyncio.sleep(seconds)
    await topology.start_broker()


async def freeze_broker(topology: Topology, target: str, seconds: float) -> None:
    """It keeps its connections and says nothing."""
    await topology.freeze_broker()
    await asyncio.sleep(seconds)
    await topology.thaw_broker()


async def flush_broker(topology: Topology, target: str, seconds: float) -> None:
    """FLUSHALL; with NATS all its streams are deleted."""
    await topology.flush_broker()


async def trim_broker(topology: Topology, target: str, seconds: float) -> None:
    """Feeds are cut down to their last three events."""
    await topology.on_valkey("trim")


async def kill_doorbells(topology: Topology, target: str, seconds: float) -> None:
    """CLIENT KILL TYPE pubsub."""
    await topology.on_valkey("kill_doorbells")


async def fill_broker(topology: Topology, target: str, seconds: float) -> None:
    """Every write is refused."""
    await topology.on_valkey("fill")
    await asyncio.sleep(seconds)
    await topology.on_valkey("empty")


async def jump_clock(topology: Topology, target: str, seconds: float) -> None:
    """The next ids of all feeds are of a minute from now."""
    await topology.on_valkey("jump")


async def fail_over(topology: Topology, target: str, seconds: float) -> None:
    """The primary dies, its replica takes over, and all lines lead there."""
    await topology.fail_over(seconds)


async def crash_postgres(topology: Topology, target: str, seconds: float) -> None:
    """Every connection breaks; it recovers at its next start."""
    await topology.crash_postgres()
    await asyncio.sleep(seconds)
    await topology.start_postgres()


async def freeze_postgres(topology: Topology, target: str, seconds: float) -> None:
    """It keeps its connections and says nothing."""
    await topology.freeze_postgres()
    await asyncio.sleep(seconds)
    await topology.thaw_postgres()


REDIS = ("redis",)
KINDS: dict[str, Kind] = {
    "kill_web": Kind(kill_process, WEBS, cost=4),
    "kill_worker": Kind(kill_process, WORKERS, cost=4),
    "freeze_web": Kind(freeze_process, WEBS, (0.5, 8.0)),
    "freeze_worker": Kind(freeze_process, WORKERS, (0.5, 15.0)),
    "restart_all": Kind(restart_all, cost=20),
    "cut_clients": Kind(cut_line, CLIENT_LINES),
    "hang_clients": Kind(hang_line, CLIENT_LINES, (1.0, 8.0)),
    "half_open_clients": Kind(halve_line, CLIENT_LINES, (1.0, 8.0)),
    "slow_clients": Kind(slow_line, CLIENT_LINES),
    "cut_broker_line": Kind(cut_line, BROKER_LINES),
    "hang_broker_line": Kind(hang_line, BROKER_LINES, (1.0, 8.0)),
    "half_open_broker_line": Kind(halve_line, BROKER_LINES, (1.0, 8.0)),
    "slow_broker_line": Kind(slow_line, BROKER_LINES),
    "cut_database_line": Kind(cut_line, DATABASE_LINES),
    "half_open_database_line": Kind(halve_line, DATABASE_LINES, (1.0, 8.0)),
    "restart_broker": Kind(restart_broker),
    "empty_broker": Kind(empty_broker, wipes=True),
    "freeze_broker": Kind(freeze_broker, seconds=(0.5, 8.0)),
    "flush_broker": Kind(flush_broker, seconds=(0.0, 0.0), wipes=True),
    "trim_broker": Kind(trim_broker, seconds=(0.0, 0.0), wipes=True, brokers=REDIS),
    "kill_doorbells": Kind(kill_doorbells, seconds=(0.0, 0.0), brokers=REDIS),
    "fill_broker": Kind(fill_broker, brokers=REDIS),
    "jump_clock": Kind(jump_clock, seconds=(0.0, 0.0), brokers=REDIS),
    "fail_over": Kind(fail_over, wipes=True, brokers=REDIS, cost=3),
    "crash_postgres": Kind(crash_postgres, cost=2),
    "freeze_postgres": Kind(freeze_postgres, seconds=(0.5, 8.0)),
}
