"""Two web processes of one server, either of which may die; clients know both addresses."""

from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from benchmarks.processes import Process, free_port
from benchmarks.stores import Stores
from benchmarks.systems import System


@dataclass
class Web:
    """One address, and the process that serves it now."""

    system: System
    stores: Stores
    cores: tuple[int, ...]
    name: str
    port: int = field(default_factory=free_port)
    peak_bytes: int = 0
    """The most memory that any of its processes has had."""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.process.stop()

    def start(self) -> None:
        """Starts the process, again if it was killed; returns when it listens."""
        environment = self.system.environment(self.stores, replay=True)
        self.process = Process(self.name, self.system.command(self.port), environment=environment, cores=self.cores)
        self.process.wait_for_port(self.port)

    def note_memory(self) -> None:
        """Has `peak_bytes` count what its process has had so far."""
        self.peak_bytes = max(self.peak_bytes, self.process.peak_memory_bytes())

    def kill(self) -> None:
        """SIGKILL: no goodbye to anybody."""
        self.note_memory()
        self.process.kill()
