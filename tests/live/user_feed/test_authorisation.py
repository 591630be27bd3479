"""Defect P: who may no longer read is told, and reads no more, although the stream is open."""

import asyncio
import time

import jwt
import pytest

from tests.live.processes import SETTINGS, Stack
from tests.live.user_feed.conftest import RECHECK_SECONDS
from tests.live.user_feed.wire import Connection, Person, Publisher
from tests.patience import patiently

REVOCATIONS = {
    "key revoked": (
        "UPDATE accounts_apikey SET revoked_at = now() WHERE user_id = (SELECT id FROM accounts_user WHERE public_id = %s)"
    ),
    "user deactivated": "UPDATE accounts_user SET is_active = false WHERE public_id = %s",
    "user deleted": (
        "WITH them AS (SELECT id FROM accounts_user WHERE public_id = %s), "
        "keys AS (DELETE FROM accounts_apikey WHERE user_id IN (SELECT id FROM them)) "
        "DELETE FROM accounts_user WHERE id IN (SELECT id FROM them)"
    ),
}


@pytest.mark.parametrize("revocation", REVOCATIONS)
@pytest.mark.parametrize("busy", [False, True], ids=["quiet", "busy"])
async def test_a_revoked_reader_is_told_within_the_recheck_time_and_gets_nothing_more(
    stack: Stack, person: Person, publisher: Publisher, revocation: str, busy: bool
):
    """Also on a quiet stream, long before its next sign of life."""
    async with Connection(stack.addresses[0], person.key) as connection:
        await publisher.publish(person)
        await connection.until(lambda seen: seen.frames)
        await asyncio.sleep(0.5)
        stack.query(REVOCATIONS[revocation], person.id)
        revoked = time.monotonic()
        publishing = asyncio.create_task(publisher.keep_publishing(person, per_second=20)) if busy else None
        if revocation == "user deleted" and publishing is not None:
            # Nobody can publish to who is not there; the stream is as quiet then.
            await asyncio.gather(publishing, return_exceptions=True)
        await connection.until(lambda seen: seen.over, within=RECHECK_SECONDS + 2)
        took = time.monotonic() - revoked
        if publishing is not None:
            publishing.cancel()
            await asyncio.gather(publishing, return_exceptions=True)
    assert took <= RECHECK_SECONDS + patiently(0.5)
    assert connection.types.count("auth.expired") == 1
    assert connection.types[-1] == "auth.expired"
    assert connection.frames[-1].id is None
    assert not connection.broken
    async with Connection(stack.addresses[1], person.key) as again:
        assert again.status == 401
        assert again.response.json()["success"] is False


def token_for(person: Person, *, seconds: int) -> str:
    """An access token that soon ends."""
    claims = jwt.decode(person.token, options={"verify_signature": False}) | {"exp": int(time.time()) + seconds, "jti": "short"}
    return jwt.encode(claims, SETTINGS["SECRET_KEY"], "HS256")


async def test_an_expired_token_ends_the_stream_at_its_time(stack: Stack, person: Person):
    token = token_for(person, seconds=3)
    ends = jwt.decode(token, options={"verify_signature": False})["exp"]
    async with Connection(stack.addresses[0], token) as connection:
        assert connection.status == 200
        await connection.until(lambda seen: seen.over, within=RECHECK_SECONDS + 3)
    assert ends <= time.time() <= ends + 1.5
    assert connection.types == ["auth.expired"]


async def test_a_good_credential_outlives_many_rechecks(stack: Stack, person: Person, publisher: Publisher):
    async with Connection(stack.addresses[0], person.key) as connection:
        await asyncio.sleep(3 * RECHECK_SECONDS)
        await publisher.publish(person)
        await connection.until(lambda seen: seen.frames)
        assert not connection.over
        assert connection.types == ["source.ingest.progress"]
