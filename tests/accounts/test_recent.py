import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from django.db import connection
from rest_framework.exceptions import AuthenticationFailed

from accounts.caller import Caller
from accounts.credentials import Credential
from accounts.recent import RecentCallers, find_caller


def look_up(callers, key, credential):
    future, is_new = callers.join(key)
    assert is_new
    callers.look_up(key, credential, future)
    return future.result()


@pytest.fixture
def credential(alice_token):
    return Credential("jwt", alice_token)


def test_it_is_bounded_and_forgets_the_oldest_first(credential, settings):
    settings.CALLER_CACHE_SIZE = 2
    callers = RecentCallers()
    for key in ("a", "b", "c"):
        look_up(callers, key, credential)
    assert len(callers) == 2
    assert callers.get("a") is None
    assert isinstance(callers.get("c"), Caller)


def test_no_seconds_means_no_cache(credential, settings):
    settings.CALLER_CACHE_SECONDS = 0
    callers = RecentCallers()
    look_up(callers, "a", credential)
    assert len(callers) == 0


def test_it_holds_no_secret(credential):
    callers = RecentCallers()
    find_caller(credential, path="")
    assert credential.secret not in repr(vars(callers))


@pytest.mark.django_db
def test_a_refusal_is_told_to_all_waiters_and_not_kept():
    callers = RecentCallers()
    future, _ = callers.join("a")
    waiter, is_new = callers.join("a")
    assert not is_new
    callers.look_up("a", Credential("jwt", "bad"), future)
    for each in (future, waiter):
        with pytest.raises(AuthenticationFailed):
            each.result()
    assert callers.join("a")[1]


def test_waiters_cannot_cancel_a_look_up():
    future, _ = RecentCallers().join("a")
    assert not future.cancel()


def test_an_entry_ends_with_its_credential():
    callers = RecentCallers()
    caller = Caller(1, "u", "u", (), False, "jwt", expires_at=time.time() - 1)
    callers._settle("a", caller, deadline=time.monotonic() + 60)
    assert callers.get("a") is None


def test_a_look_up_that_ended_between_asking_and_joining_is_shared():
    callers = RecentCallers()
    caller = Caller(1, "u", "u", (), False, "jwt")
    assert callers.get("a") is None
    callers._settle("a", caller, deadline=time.monotonic() + 60)
    future, is_new = callers.join("a")
    assert (future.result(timeout=1), is_new) == (caller, False)
    assert isinstance(future, Future)


@pytest.mark.django_db(transaction=True)
def test_sync_threads_share_one_query(credential, queries):
    gate = threading.Barrier(8, timeout=20)

    def find():
        gate.wait()
        try:
            return find_caller(credential, path="").username
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        names = [each.result() for each in [pool.submit(find) for _ in range(8)]]
    assert names == ["alice"] * 8
    assert len(queries) == 1
