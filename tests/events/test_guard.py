import asyncio
import time
from dataclasses import replace

import pytest

from accounts import services
from accounts.authentication import authenticate, still_valid
from accounts.models import User
from accounts.recent import recent_callers
from accounts.threads import in_thread
from events.guard import Guard
from tests.events.conftest import until
from tests.patience import patiently

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _quick(settings):
    settings.AUTH_RECHECK_SECONDS = 0.4
    settings.CALLER_CACHE_SECONDS = 0.1
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    recent_callers.clear()


@pytest.fixture
def alice():
    return services.ensure_user(username="alice", password="correct horse battery")


@pytest.fixture
def scope(alice):
    token = services.access_token_for(user=alice)
    return {
        "type": "http",
        "path": "/api/events",
        "query_string": b"",
        "headers": [(b"authorization", f"Bearer {token}".encode())],
    }


@pytest.fixture
async def guard(scope):
    return Guard(scope, await authenticate(scope))


async def first_refusal(guard, *, seconds):
    """How long it took until the guard refused, asked whenever it wants to be."""
    began = time.monotonic()
    while await guard.allows():
        assert time.monotonic() - began < patiently(seconds), "it never refused"
        due = guard.due
        await until(lambda due=due: time.monotonic() >= due)
    return time.monotonic() - began


async def test_a_good_credential_is_asked_about_now_and_then_only(guard):
    began = time.monotonic()
    asked = 0
    while time.monotonic() - began < 1:
        if guard.due <= time.monotonic():
            asked += 1
        assert await guard.allows()
        await asyncio.sleep(0.01)
    assert 2 <= asked <= 5


async def test_a_revoked_one_is_refused_within_the_time(guard, alice):
    await in_thread(User.objects.filter(pk=alice.pk).update, is_active=False)
    assert await first_refusal(guard, seconds=3) <= 0.4 + patiently(0.2)


async def test_an_expired_one_is_refused_at_its_time(scope):
    caller = await authenticate(scope)
    ends = time.time() + 0.15
    guard = Guard(scope, type(caller)(**{name: getattr(caller, name) for name in caller.__slots__} | {"expires_at": ends}))
    assert guard.due <= time.monotonic() + 0.15
    await first_refusal(guard, seconds=3)
    assert ends <= time.time() <= ends + 0.1


async def test_those_who_came_together_are_not_asked_about_together(scope):
    caller = await authenticate(scope)
    dues = [Guard(scope, caller).due - time.monotonic() for _ in range(200)]
    assert min(dues) < 0.1
    assert 0.2 < max(dues) <= 0.3, "AUTH_RECHECK_SECONDS less CALLER_CACHE_SECONDS"


async def test_a_database_that_does_not_answer_holds_up_nothing_and_refuses_nobody(guard, postgres_proxy):
    await until(lambda: time.monotonic() >= guard.due)
    recent_callers.clear()  # the first question may come while the caller is still remembered
    postgres_proxy.freeze()
    try:
        asked = time.monotonic()
        assert await guard.allows()
        assert time.monotonic() - asked < patiently(0.5)
        for _ in range(20):
            assert await guard.allows()
        assert time.monotonic() - asked < patiently(0.6), "only the first one waits"
        assert guard.due > time.monotonic() + 1, "a quiet stream looks again soon, not all the time"
    finally:
        postgres_proxy.restore()


async def test_the_answer_counts_when_it_comes(guard, alice, postgres_proxy):
    await in_thread(User.objects.filter(pk=alice.pk).update, is_active=False)
    await until(lambda: time.monotonic() >= guard.due)
    postgres_proxy.freeze()
    assert await guard.allows()
    postgres_proxy.restore()
    assert await first_refusal(guard, seconds=10) < patiently(10)


@pytest.mark.parametrize("credential", ["jwt", "ticket"])
async def test_a_database_that_is_away_refuses_nobody(scope, postgres_proxy, credential):
    caller = replace(await authenticate(scope), credential=credential)
    recent_callers.clear()
    postgres_proxy.cut()
    assert await still_valid(scope, caller)
