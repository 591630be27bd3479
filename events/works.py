"""What runs beside one socket: its tasks, none of which outlives it."""

import asyncio
from collections.abc import Coroutine
from typing import Any


class Works:
    """The tasks of one connection, each until it is done; what is left is cancelled at the end."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def start(self, coroutine: Coroutine[Any, Any, None], *, name: str) -> asyncio.Task[None]:
        """Runs it beside everything else. It tells its own errors."""
        # Kept: the loop itself holds a task only weakly.
        task = asyncio.create_task(coroutine, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def end(self) -> None:
        """Cancels them all, and waits until they are gone."""
        tasks = [task for task in self._tasks if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
