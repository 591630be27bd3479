"""Commands of many tasks to one server, sent together."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast

from events.broker.redis_slots import Command

AT_ONCE = 4
"""Round trips under way at the same time: one that hangs, or carries much, does not hold up the rest."""

TOGETHER = 100
"""Most tasks whose commands share a round trip."""

Send = Callable[[Sequence[Command]], Awaitable[list[Any]]]
_Asked = list[tuple[Sequence[Command], asyncio.Future[list[Any]]]]


class Gathering:
    """While AT_ONCE round trips are under way, what else is asked collects for the next.

    Measured: with a connection for each task out of a pool of 16, the 1,000 admissions of a reconnect storm stood in
    the pool's queue before the reads of those who were connected already, for seconds. For one event loop.
    """

    def __init__(self, send: Send) -> None:
        self._send = send
        self._waiting: _Asked = []
        self._under_way: set[asyncio.Task[None]] = set()

    async def ask(self, commands: Sequence[Command]) -> list[Any]:
        """The answers to these commands, which stay together and in order. Raises what sending raises.

        Who is cancelled while he waits has asked nothing; later, the commands may have been carried out.
        """
        answered: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        self._waiting.append((commands, answered))
        if len(self._under_way) < AT_ONCE:
            task = asyncio.create_task(self._send_waiting(), name="commands to Redis")
            self._under_way.add(task)
        return await answered

    async def _send_waiting(self) -> None:
        while self._waiting:
            await self._send_some()
        # Here and not when the task is done, a turn later: who asks in between would wait for nobody.
        self._under_way.discard(cast("asyncio.Task[None]", asyncio.current_task()))

    async def _send_some(self) -> None:
        now, self._waiting = self._waiting[:TOGETHER], self._waiting[TOGETHER:]
        now = [(commands, answered) for commands, answered in now if not answered.done()]
        try:
            answers = iter(await self._send([command for commands, _ in now for command in commands]) if now else ())
        except asyncio.CancelledError:
            _cancel(now)
            raise
        except Exception as error:  # not swallowed: everyone who shared the round trip gets it
            for _, answered in now:
                if not answered.done():
                    answered.set_exception(error)
            return
        for commands, answered in now:
            mine = [next(answers) for _ in commands]
            if not answered.done():
                answered.set_result(mine)

    def close(self) -> None:
        """Stops sending; who waits is cancelled."""
        for task in self._under_way:
            task.cancel()
        _cancel(self._waiting)


def _cancel(asked: _Asked) -> None:
    for _, answered in asked:
        answered.cancel()
