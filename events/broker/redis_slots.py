"""Which server of a Redis Cluster is asked what. No I/O."""

from bisect import bisect
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from redis.crc import key_slot
from redis.exceptions import AskError, MovedError

Command = tuple[str, tuple[Any, ...]]
"""A key (its slot says which server of a cluster is asked), and a command in words."""

ASKING: Command = ("", ("ASKING",))
"""Has a server take the next command though its slot is only on its way there."""


class Slots:
    """Which address holds which slot."""

    def __init__(self, told: Iterable[Any], asked: str) -> None:
        """`told`: what CLUSTER SLOTS answers; `asked`: the address that answered, for servers that do not know their own."""
        ranges = sorted((first, _address(primary, asked)) for first, _, primary, *_ in told)
        self._firsts = [first for first, _ in ranges]
        self._addresses = [address for _, address in ranges]

    def address_of(self, key: str) -> str:
        """Of the server that holds a key; if nobody does, the server that is asked says so."""
        return self._addresses[max(0, bisect(self._firsts, key_slot(key.encode())) - 1)]

    @property
    def addresses(self) -> list[str]:
        """Those of all servers that hold keys."""
        return sorted(set(self._addresses))


class Plan:
    """Commands and their answers, until every one was asked where it belongs. Who is sent elsewhere had done nothing."""

    def __init__(self, commands: Sequence[Command]) -> None:
        self.answers: list[Any] = [None] * len(commands)
        self.waiting = list(range(len(commands)))
        self.has_moved = False
        """Whether one of the last answers was that a slot is elsewhere for good."""
        self._commands = commands
        self._asked: list[list[int | None]] = []

    def parts(self, slots: Slots) -> dict[str, list[Command]]:
        """What is to be asked now, by address, in order."""
        numbers: dict[str, list[int | None]] = defaultdict(list)
        for number in self.waiting:
            refusal = self.answers[number]
            if type(refusal) is AskError:
                numbers[f"{refusal.host}:{refusal.port}"] += [None, number]
            else:
                numbers[slots.address_of(self._commands[number][0])].append(number)
        self._asked = list(numbers.values())
        return {
            address: [ASKING if number is None else self._commands[number] for number in part]
            for address, part in numbers.items()
        }

    def enter(self, told: Iterable[Sequence[Any]]) -> None:
        """Takes the answers to the last `parts`."""
        for part, given in zip(self._asked, told, strict=True):
            for number, answer in zip(part, given, strict=True):
                if number is not None:
                    self.answers[number] = answer
        self.has_moved = any(isinstance(self.answers[number], MovedError) for number in self.waiting)
        self.waiting = [number for number in self.waiting if isinstance(self.answers[number], AskError)]


def _address(primary: Sequence[Any], asked: str) -> str:
    host, port = primary[0], primary[1]
    name = host.decode() if host else asked.rpartition(":")[0]
    return f"[{name}]:{port}" if ":" in name and not name.startswith("[") else f"{name}:{port}"
