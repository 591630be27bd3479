"""Credentials that async code asks about, verified together."""

import threading
from collections import defaultdict
from concurrent.futures import Future

from accounts.caller import Caller
from accounts.credentials import Credential, Kind
from accounts.threads import submit
from accounts.verification import verify_many

TOGETHER = 100
"""Most credentials that are looked up with one query: few enough that the others' turn comes soon."""

_Waiting = list[tuple[str, Future[Caller | None]]]
"""Secrets, and what those who asked wait for."""


class LookUps:
    """While one query is under way the next collects: a reconnect storm costs a query per hundred.

    Measured, and the reason for this class: looked up one by one in several threads, the credentials
    of 2,750 open streams, asked about again every 25 s, took the interpreter's lock from the event
    loop so often that events were late by seconds, and readers who were cut off came back 30 in a second.

    Each kind has a line of its own, so that a key server that is away holds up nobody who has a session.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: defaultdict[Kind, _Waiting] = defaultdict(list)
        self._served: set[Kind] = set()

    def ask(self, credential: Credential) -> Future[Caller | None]:
        """What `verify` says of it, soon, from one of the shared threads. Not for tickets."""
        future: Future[Caller | None] = Future()
        # From here a waiter that is cancelled cannot cancel it for the others.
        future.set_running_or_notify_cancel()
        with self._lock:
            self._waiting[credential.kind].append((credential.secret, future))
            if credential.kind in self._served:
                return future
            self._served.add(credential.kind)
        self._serve_soon(credential.kind)
        return future

    def _serve_soon(self, kind: Kind) -> None:
        try:
            submit(self._serve, kind)
        except RuntimeError as error:  # the threads are shutting down
            with self._lock:
                refused, self._waiting[kind] = self._waiting[kind], []
                self._served.discard(kind)
            _refuse(refused, error)

    def _serve(self, kind: Kind) -> None:
        with self._lock:
            now, self._waiting[kind] = self._waiting[kind][:TOGETHER], self._waiting[kind][TOGETHER:]
        _verify(kind, now)
        with self._lock:
            if not self._waiting[kind]:
                self._served.discard(kind)
                return
        self._serve_soon(kind)  # not in a loop: other work of the threads has its turn


def _verify(kind: Kind, asked: _Waiting) -> None:
    try:
        outcomes = verify_many(kind, {secret for secret, _ in asked})
    except BaseException as error:  # not swallowed: everyone who waits gets it
        _refuse(asked, error)
        return
    for secret, future in asked:
        outcome = outcomes[secret]
        if isinstance(outcome, Exception):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)


def _refuse(asked: _Waiting, error: BaseException) -> None:
    for _, future in asked:
        future.set_exception(error)


look_ups = LookUps()
