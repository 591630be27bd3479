"""Callers verified a moment ago, so that a reconnect storm costs one look-up per credential."""

import asyncio
import threading
import time
from collections import OrderedDict
from concurrent.futures import Future
from functools import partial

from accounts.caller import Caller
from accounts.conf import conf
from accounts.credentials import Credential
from accounts.digests import digest
from accounts.look_ups import look_ups
from accounts.threads import in_thread
from accounts.verification import verify


class RecentCallers:
    """A bounded cache from credential to caller, and the look-ups that are under way.

    A caller is kept CALLER_CACHE_SECONDS, counted from before the database was asked, and
    never beyond the end of the credential. Keys are digests: the cache holds no secret.
    Look-ups of one credential at the same time, from any thread or task, share one. Refusals
    are not kept. Tickets never come here. Safe to use from several threads.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._callers: OrderedDict[str, tuple[float, Caller]] = OrderedDict()
        self._under_way: dict[str, Future[Caller | None]] = {}

    def clear(self) -> None:
        """Forget all callers."""
        with self._lock:
            self._callers.clear()

    def __len__(self) -> int:
        return len(self._callers)

    def get(self, key: str) -> Caller | None:
        """The caller under `key` if it is still trusted."""
        with self._lock:
            return self._trusted(key)

    def _trusted(self, key: str) -> Caller | None:
        found = self._callers.get(key)
        if found is None:
            return None
        deadline, caller = found
        if time.monotonic() >= deadline or (caller.expires_at is not None and time.time() >= caller.expires_at):
            del self._callers[key]
            return None
        return caller

    def join(self, key: str) -> tuple[Future[Caller | None], bool]:
        """The look-up of `key`, and whether it is new, so that the one who asks must do it."""
        with self._lock:
            future = self._under_way.get(key)
            if future is not None:
                return future, False
            caller = self._trusted(key)
            if caller is not None:  # another one's look-up ended just now
                done: Future[Caller | None] = Future()
                done.set_result(caller)
                return done, False
            future = self._under_way[key] = Future()
            # From here a waiter that is cancelled cannot cancel it for the others.
            future.set_running_or_notify_cancel()
            return future, True

    def look_up(self, key: str, credential: Credential, future: Future[Caller | None]) -> None:
        """Verify `credential` in this thread and settle `future` with the outcome, whatever it is."""
        deadline, answer = self._deadline(), Future[Caller | None]()
        try:
            answer.set_result(verify(credential, path=""))
        except BaseException as error:  # not swallowed: every waiter gets it
            answer.set_exception(error)
        self._take(key, deadline, future, answer)

    def look_up_soon(self, key: str, credential: Credential, future: Future[Caller | None]) -> None:
        """The same on a shared thread, together with others."""
        look_ups.ask(credential).add_done_callback(partial(self._take, key, self._deadline(), future))

    def _deadline(self) -> float:
        return time.monotonic() + conf.CALLER_CACHE_SECONDS

    def _take(self, key: str, deadline: float, future: Future[Caller | None], answer: Future[Caller | None]) -> None:
        error = answer.exception()
        if error is None:
            self._settle(key, answer.result(), deadline=deadline)
            future.set_result(answer.result())
        else:
            self._settle(key)
            future.set_exception(error)

    def _settle(self, key: str, caller: Caller | None = None, *, deadline: float = 0.0) -> None:
        with self._lock:
            self._under_way.pop(key, None)
            if caller is not None and deadline > time.monotonic():
                self._callers[key] = (deadline, caller)
                self._callers.move_to_end(key)
            while len(self._callers) > conf.CALLER_CACHE_SIZE:
                self._callers.popitem(last=False)


recent_callers = RecentCallers()


def find_caller(credential: Credential, *, path: str) -> Caller | None:
    """`verify`, by way of the cache, for sync code: runs in the calling thread."""
    if credential.kind == "ticket":
        return verify(credential, path=path)
    key = digest(credential.kind, credential.secret)
    caller = recent_callers.get(key)
    if caller is not None:
        return caller
    future, is_new = recent_callers.join(key)
    if is_new:
        recent_callers.look_up(key, credential, future)
    return future.result()


async def afind_caller(credential: Credential, *, path: str) -> Caller | None:
    """`verify`, by way of the cache, for async code: nothing but a dictionary look-up when it is a hit."""
    if credential.kind == "ticket":
        return await in_thread(verify, credential, path=path)
    key = digest(credential.kind, credential.secret)
    caller = recent_callers.get(key)
    if caller is not None:
        return caller
    future, is_new = recent_callers.join(key)
    if is_new:
        recent_callers.look_up_soon(key, credential, future)
    return await asyncio.wrap_future(future)
