"""The only bridge of accounts from async code to sync code such as the ORM.

Measured, and the reason for this module: asgiref's `sync_to_async` gives every request of
Django's ASGI handler a thread of its own (1,000 open streams were 1,005 threads), and
`database_sync_to_async` of a consumer runs everything on ONE thread (8 x 0.2 s took 1.6 s).
Here all async code of a process shares one bounded pool, and no stream holds a thread.
"""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import ParamSpec, TypeVar

from django.db import close_old_connections

from accounts.conf import conf

P = ParamSpec("P")
R = TypeVar("R")

_lock = threading.Lock()
_executor: ThreadPoolExecutor | None = None


def _shared_executor() -> ThreadPoolExecutor:
    """The pool of this process, made at its first use so that forked processes get their own."""
    global _executor
    with _lock:
        if _executor is None:
            _executor = ThreadPoolExecutor(max_workers=conf.DATABASE_THREADS, thread_name_prefix="database")
        return _executor


def _with_fresh_connections(func: Callable[[], R]) -> R:
    # As Django does around a request: a connection that died, or is to be returned to the
    # pool, must neither be used for this call nor be kept by the idle thread after it.
    close_old_connections()
    try:
        return func()
    finally:
        close_old_connections()


def submit(func: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> Future[R]:
    """Start `func` on the process's shared threads, with a copy of the caller's context variables."""
    context = copy_context()

    def call() -> R:
        return context.run(_with_fresh_connections, lambda: func(*args, **kwargs))

    return _shared_executor().submit(call)


async def in_thread(func: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Run sync `func` on one of DATABASE_THREADS shared threads and return what it returns.

    Context variables are copied (changes made in the thread are not seen outside). Database
    connections are given back before and after. At most DATABASE_THREADS calls run at once,
    the others wait their turn. Raises what `func` raises.

    Cancelling the await does not stop a call that has begun: it runs to its end and its
    result is dropped, so `func` must be correct when nobody waits for it any more.
    """
    return await asyncio.wrap_future(submit(func, *args, **kwargs))
