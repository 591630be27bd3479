import asyncio
import json
import time

import jwt
import pytest
from django.conf import settings as django_settings
from django.test import Client

from accounts import services
from accounts.caller import Caller
from accounts.models import User
from accounts.recent import recent_callers
from accounts.threads import in_thread
from events.commands import COMMANDS
from events.connections import current_connections
from events.consumers import BaseConsumer, NoSuchSocket
from events.event import START
from events.exceptions import Forbidden, NotFound
from events.hub import current_hub
from events.publishing import Publication, publish_many
from tests.events.conftest import END, NOTE, a_backlog, a_durable_stream, begin, note, until
from tests.events.sockets import Socket

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _quick(settings, valkey):
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    settings.JWT_SIGNING_KEY = "a-key-for-tests-a-key-for-tests-0123456789"
    recent_callers.clear()


@pytest.fixture
def alice():
    return services.ensure_user(username="alice", password="correct horse battery")


@pytest.fixture
def bob():
    return services.ensure_user(username="bob", password="correct horse battery")


@pytest.fixture
def token(alice):
    return services.access_token_for(user=alice)


def expiring(user, *, seconds):
    """A token of this user that ends in so many seconds (whole ones count)."""
    return signed({"sub": user.public_id, "exp": time.time() + seconds})


def signed(claims, *, key=None, algorithm="HS256"):
    return jwt.encode(claims, django_settings.JWT_SIGNING_KEY if key is None else key, algorithm)


class Talk(BaseConsumer):
    """One frame of each kind of work."""

    cleaned = 0

    async def opened(self):
        if self.query.get("refuse"):
            raise {"forbidden": Forbidden, "missing": NotFound, "broken": ZeroDivisionError}[self.query["refuse"]]
        await self.join_group("talk")

    async def allowed(self):
        if self.query.get("banned"):
            raise Forbidden

    async def gone(self):
        self.cleaned += 1

    def greeting(self):
        return {"room": self.path_args.get("room", "")}

    async def on_text(self, text):
        if text == "ping":
            await self.tell({"type": "bare"})
        return text == "ping"

    async def on_say(self, frame):
        await self.broadcast("talk", {"type": "said", "what": frame["what"]}, to_self=bool(frame.get("to_self")))

    async def on_two_words(self, frame):
        await self.tell({"type": "understood"})

    async def on_broken(self, frame):
        raise ZeroDivisionError

    async def on_refused(self, frame):
        raise Forbidden

    async def on_slow(self, frame):
        async def wait():
            await asyncio.sleep(60)

        self.work(wait(), name="slow")

    async def on_failing(self, frame):
        async def fail():
            raise NotFound

        self.work(fail(), name="failing")


def rendered(event):
    yield {"type": "event", "n": event.data.get("n"), "event": event.type}


class Follow(BaseConsumer):
    ended = False

    async def opened(self):
        self.follow("it", stream=self.query_stream(), cursor=START, render=rendered, truncated=self._truncated, done=self._done)

    def query_stream(self):
        return type(self).stream

    def _truncated(self, batch):
        return {"type": "backlog.truncated", "reason": batch.reason}

    async def _done(self):
        self.ended = True
        await self.tell({"type": "over"})

    async def on_stop(self, frame):
        self.unfollow("it")


def following(stream_):
    return type("Following", (Follow,), {"stream": stream_})


async def talk(token, *, consumer=Talk, **options):
    """A socket that is connected."""
    socket = Socket(consumer, query={"token": token} | options.pop("query", {}), **options)
    assert (await socket.next())["type"] == "connected"
    return socket


def socket_tasks():
    return [task for task in asyncio.all_tasks() if task.get_name().startswith(("socket", "a socket"))]


def readers(hub):
    """How many feeds are open, besides the one that hears commands for this process."""
    return sum(len(ring.feeds) for stream, ring in hub.rings.items() if stream != COMMANDS)


# Credentials.


async def test_a_good_token_is_connected_and_told_who_it_is(hub, token, alice):
    socket = Socket(Talk, query={"token": token}, path_args={"room": "r1"})
    hello = await socket.next()
    assert {"type": "connected", "user_id": alice.public_id, "room": "r1"}.items() <= hello.items()
    assert hello["timestamp"].endswith("Z")
    await socket.leave()


async def test_credentials_of_every_kind(hub, token, alice):
    caller = Caller(alice.pk, alice.public_id, "alice", (), False, "jwt")
    key = await in_thread(services.issue_api_key, user_pk=alice.pk, name="k")
    ticket = await in_thread(services.create_ticket, caller=caller, path="/ws/test")
    for options in (
        {"headers": {"Authorization": f"Bearer {token}"}},
        {"headers": {"Authorization": f"Bearer {key.key}"}},
        {"query": {"ticket": ticket["ticket"]}},
        {"query": {"api_key": key.key}},
        {"query": {"token": key.key}},
        {"subprotocols": ["bearer", token]},
    ):
        socket = Socket(Talk, **options)
        assert (await socket.next())["user_id"] == alice.public_id
        assert socket.subprotocol == ("bearer" if "subprotocols" in options else None), "the token is not echoed"
        await socket.leave()


@pytest.mark.parametrize(
    ("origin", "outcome"),
    [("http://testserver", None), ("http://evil.example", (1008, "Forbidden")), (None, (1008, "Forbidden"))],
)
async def test_a_session_cookie_counts_only_from_a_page_of_ours(hub, alice, origin, outcome):
    client = Client()
    await in_thread(client.force_login, alice)
    cookie = f"{django_settings.SESSION_COOKIE_NAME}={client.cookies[django_settings.SESSION_COOKIE_NAME].value}"
    socket = Socket(Talk, headers={"Cookie": cookie} | ({"Origin": origin} if origin else {}))
    if outcome is None:
        assert (await socket.next())["user_id"] == alice.public_id
        await socket.leave()
    else:
        assert await socket.over() == outcome


@pytest.mark.parametrize(
    "make",
    [
        lambda user: "rubbish",
        lambda user: "",
        lambda user: "a.b.c",
        lambda user: "sk_1",
        lambda user: expiring(user, seconds=-1),
        lambda user: signed({"sub": user.public_id, "exp": time.time() + 60}, key="another-key-another-key-another-key"),
        lambda user: signed({"sub": user.public_id, "exp": time.time() + 60}, key="", algorithm="none"),
        lambda user: signed({"sub": "user_unknown", "exp": time.time() + 60}),
        lambda user: signed({"sub": user.public_id}),
        lambda user: services.tokens_for(user=user)["refresh"],
    ],
)
async def test_a_bad_token_is_accepted_then_closed_with_the_words_of_the_seed(hub, alice, make):
    socket = Socket(Talk, query={"token": await in_thread(make, alice)})
    assert await socket.over() == (1008, "Invalid token")
    assert [message["type"] for message in socket.sent] == ["websocket.accept", "websocket.close"]
    assert not socket.consumer.cleaned, "it was never opened"


async def test_without_credentials_the_first_frame_may_bring_them(hub, token, alice):
    socket = Socket(Talk)
    hello = await socket.answer({"type": "auth", "token": token})
    assert (hello["type"], hello["user_id"]) == ("connected", alice.public_id)
    assert (await socket.answer({"type": "ping"}))["type"] == "pong"
    await socket.leave()


@pytest.mark.parametrize(
    "frame", [{"type": "auth", "token": "x"}, {"type": "auth", "token": ""}, {"type": "auth"}, {"type": "ping"}]
)
async def test_any_other_first_frame_closes(hub, frame):
    socket = Socket(Talk)
    socket.say(frame)
    code, reason = await socket.over()
    assert (code, reason) == (1008, "Invalid token") or (code == 4400 and "token" in reason)


async def test_without_any_frame_it_is_closed_in_time(hub, settings):
    settings.SOCKET_AUTH_SECONDS = 0.1
    assert await Socket(Talk).over() == (1008, "Invalid token")


async def test_a_database_that_is_away_is_not_a_bad_token(hub, token, postgres_proxy):
    postgres_proxy.cut()
    assert (await Socket(Talk, query={"token": token}).over(seconds=15))[0] == 1013


@pytest.mark.parametrize(
    ("refuse", "outcome"),
    [
        ("forbidden", (1008, "Forbidden")),
        ("missing", (4404, "There is nothing here that you may see.")),
        ("broken", (1011, None)),
    ],
)
async def test_what_opened_raises_closes(hub, token, refuse, outcome):
    socket = Socket(Talk, query={"token": token, "refuse": refuse})
    code, reason = await socket.over()
    assert code == outcome[0]
    assert outcome[1] in (None, reason)
    assert not socket.frames
    assert socket.consumer.cleaned == 1


async def test_any_other_address_says_so(hub):
    assert (await Socket(NoSuchSocket, "/nowhere").over())[0] == 4404


# Frames.


async def test_ping_is_answered_with_the_time_and_the_ref(hub, token):
    socket = await talk(token)
    pong = await socket.answer({"type": "ping", "ref": 7})
    assert pong["type"] == "pong"
    assert pong["ref"] == 7
    assert (pong["timestamp"][-5], pong["timestamp"][-1]) == (".", "Z")
    assert (await socket.answer({"action": "ping"}))["type"] == "pong"
    assert (await socket.answer({"type": "two-words"}))["type"] == "understood"
    assert (await socket.answer({"type": "two.words"}))["type"] == "understood"
    assert (await socket.answer("ping"))["type"] == "bare"
    await socket.leave()


@pytest.mark.parametrize(
    "frame",
    [
        "",
        "hello",
        "{",
        "[]",
        "1",
        "null",
        '"text"',
        '{"type": NaN}',
        "{}",
        '{"type": null}',
        '{"type": 5}',
        '{"type": ["ping"]}',
        '{"type": "text"}',
        '{"type": "__init__"}',
        '{"type": "unknown"}',
        '{"type": "' + "x" * 5000 + '"}',
        '{"type": "ping", "x": ' + "[" * 20000 + "]" * 20000 + "}",
        '{"type": "ping", "x": ' + "[" * 100 + "]" * 100 + "}",
        '{"type": "ping", "x": ' + "9" * 5000 + "}",
        '{"type": "auth"}',
        b"\x00\xff",
        b'{"type": "ping"}',
    ],
)
async def test_what_is_not_understood_is_answered_and_the_socket_stays(hub, token, frame, caplog):
    socket = await talk(token)
    answer = await socket.answer(frame)
    assert (answer["type"], answer["code"]) == ("error", "invalid_request")
    assert len(answer["message"]) < 300
    assert (await socket.answer({"type": "ping"}))["type"] == "pong"
    await socket.leave()
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_text_that_no_store_can_hold_is_made_harmless(hub, token):
    socket, other = await talk(token), await talk(token)
    socket.say('{"type": "say", "what": "a\\ud800b\\u0000"}')
    assert (await other.next())["what"] == "a\ufffdb\ufffd"
    await socket.leave()
    await other.leave()


async def test_errors_carry_code_and_ref(hub, token, caplog):
    socket = await talk(token)
    refused = await socket.answer({"type": "refused", "ref": "r"})
    assert (refused["code"], refused["ref"]) == ("forbidden", "r")
    failing = await socket.answer({"type": "failing", "ref": [1]})
    assert (failing["code"], failing["ref"]) == ("not_found", [1]), "of work that goes on beside"
    assert not caplog.records
    broken = await socket.answer({"type": "broken", "ref": "b"})
    assert (broken["code"], broken["ref"]) == ("internal_error", "b")
    assert "ZeroDivisionError" in caplog.text
    assert (await socket.answer({"type": "ping"}))["type"] == "pong"
    await socket.leave()


async def test_a_frame_that_is_too_large_closes(hub, token, settings):
    settings.SOCKET_FRAME_MAX_BYTES = 100
    for text, fits in (("x" * 70, True), ("x" * 100, False), ("ä" * 50, False)):
        socket = await talk(token)
        socket.say(json.dumps({"type": "ping", "x": text}, ensure_ascii=False))
        if fits:
            assert (await socket.next())["type"] == "pong"
            await socket.leave()
        else:
            assert await socket.over() == (1009, "A frame may have at most 100 bytes.")


async def test_who_sends_too_much_is_told_once_then_closed(hub, token, settings):
    settings.SOCKET_FRAMES_PER_SECOND, settings.SOCKET_FRAMES_BURST = 0.001, 5
    socket = await talk(token)
    for _ in range(50):
        socket.say({"type": "ping"})
    code, reason = await socket.over()
    assert code == 4429
    assert "frames a second" in reason
    assert socket.types == ["connected", *["pong"] * 5, "error"]
    assert socket.frames[-1]["code"] == "too_many"
    assert socket.frames[-1]["retry_after"] >= 1


async def test_only_so_much_is_under_way_at_once(hub, token, settings):
    settings.SOCKET_WORK_MAX = 3
    socket = await talk(token)
    for _ in range(3):
        socket.say({"type": "slow"})
    assert (await socket.answer({"type": "slow"}))["code"] == "too_many"
    assert (await socket.answer({"type": "ping"}))["type"] == "pong", "and pings are not held up"
    await socket.leave()
    assert not socket_tasks()


# The ephemeral plane.


async def test_a_broadcast_reaches_the_others_once(hub, token):
    one, other = await talk(token), await talk(token)
    one.say({"type": "say", "what": "x"})
    assert (await other.next())["what"] == "x"
    one.say({"type": "say", "what": "y", "to_self": True})
    assert (await one.next())["what"] == "y"
    assert (await other.next())["what"] == "y"
    assert (one.types.count("said"), other.types.count("said")) == (1, 2)
    await one.leave()
    assert (await other.answer({"type": "ping"}))["type"] == "pong"
    await other.leave()
    assert not hub.groups._members
    assert not hub.groups._subscribed


async def test_a_slow_member_loses_the_oldest_and_holds_up_nobody(hub, token, settings):
    settings.SOCKET_EPHEMERAL_WAITING = 5
    settings.SOCKET_FRAMES_PER_SECOND = 0
    one, slow, other = await talk(token), await talk(token), await talk(token)
    slow.ready.clear()
    for number in range(50):
        one.say({"type": "say", "what": number})
    await until(lambda: other.types.count("said") == 50)
    slow.ready.set()
    await until(lambda: slow.frames[-1].get("what") == 49)
    assert len(slow.frames) <= 1 + 1 + 5
    for socket in (one, slow, other):
        await socket.leave()


# Following a stream.


async def test_a_stream_is_told_in_order_from_its_beginning_on_and_live(hub, token):
    stream = a_backlog()
    await publish_many([Publication(stream, NOTE.name, {"n": n}) for n in range(5)])
    socket = await talk(token, consumer=following(stream))
    await until(lambda: len(socket.frames) == 6)
    await publish_many([Publication(stream, NOTE.name, {"n": n}) for n in range(5, 9)])
    await until(lambda: len(socket.frames) == 10)
    assert [frame["n"] for frame in socket.frames[1:]] == list(range(9))
    socket.say({"type": "stop"})
    await until(lambda: readers(hub) == 0)
    await publish_many([Publication(stream, NOTE.name, {"n": 9})])
    assert (await socket.answer({"type": "ping"})) is not None
    await socket.leave()
    assert len(socket.frames) == 11


async def test_the_end_of_a_stream_is_told_after_its_last_event(hub, token, journal_db):
    stream_name = a_durable_stream()
    await in_thread(begin, stream_name, events=[note(1), note(2), type(note(1))(note(3).id, END.name, {}, note(3).at)])
    socket = await talk(token, consumer=following(stream_name))
    await until(lambda: "over" in socket.types)
    assert [frame.get("event", frame["type"]) for frame in socket.frames[1:]] == [NOTE.name, NOTE.name, END.name, "over"]
    await until(lambda: readers(hub) == 0)
    assert socket.consumer.ended
    await socket.leave()


async def test_readers_with_the_same_render_share_the_work(hub, token, settings):
    stream, calls = a_backlog(), []

    def counted(event):
        calls.append(event.id)
        return rendered(event)

    class Counted(Follow):
        async def opened(self):
            self.follow("it", stream=stream, cursor=START, render=counted)

    sockets = [await talk(token, consumer=Counted) for _ in range(10)]
    await until(lambda: readers(hub) == 10)
    await publish_many([Publication(stream, NOTE.name, {"n": 0})])
    await until(lambda: all(len(socket.frames) == 2 for socket in sockets))
    assert len(calls) <= 2, "once for those that are live; perhaps once for one that caught up"
    for socket in sockets:
        await socket.leave()


async def test_a_render_that_fails_closes_the_socket_so_that_it_comes_back(hub, token, caplog):
    stream = a_backlog()

    def broken(event):
        raise ZeroDivisionError

    class Broken(Follow):
        async def opened(self):
            self.follow("it", stream=stream, cursor=START, render=broken)

    socket = await talk(token, consumer=Broken)
    await publish_many([Publication(stream, NOTE.name, {"n": 0})])
    assert (await socket.over())[0] == 1011
    assert "ZeroDivisionError" in caplog.text


async def test_a_reader_that_takes_nothing_is_given_up_and_nothing_is_left_of_it(hub, token, settings):
    settings.SOCKET_WRITE_TIMEOUT = 0.2
    stream = a_backlog()
    blocked, other = await talk(token, consumer=following(stream)), await talk(token, consumer=following(stream))
    await until(lambda: readers(hub) == 2)
    blocked.ready.clear()
    await publish_many([Publication(stream, NOTE.name, {"n": n}) for n in range(20)])
    await until(lambda: len(other.frames) == 21, seconds=1)
    assert await blocked.over() is None
    assert readers(hub) == 1
    await other.leave()
    assert readers(hub) == 0
    assert not socket_tasks()


async def test_a_blocked_socket_can_be_ended(hub, token, settings):
    settings.SOCKET_WRITE_TIMEOUT = 60
    stream = a_backlog()
    blocked = await talk(token, consumer=following(stream))
    blocked.ready.clear()
    await publish_many([Publication(stream, NOTE.name, {"n": 0})])
    blocked.consumer.end(4403, "You were disconnected")
    await blocked.over()
    assert readers(hub) == 0


# Time and revocation.


async def test_the_end_of_the_token_is_told_before_and_then_closes(hub, alice, settings):
    settings.SOCKET_EXPIRY_WARNING_SECONDS = 1
    ends = time.time() + 2
    socket = await talk(expiring(alice, seconds=2))
    warning = await socket.next()
    assert warning["type"] == "token_expiring"
    assert warning["expires_at"].endswith("Z")
    assert time.time() >= ends - 2, "not before its time"
    assert await socket.over() == (1008, "Invalid token")
    assert time.time() <= ends + 0.5
    assert socket.types.count("token_expiring") == 1


async def test_a_newer_token_of_the_same_user_keeps_the_socket_open(hub, alice, settings):
    settings.SOCKET_EXPIRY_WARNING_SECONDS = 1
    socket = await talk(expiring(alice, seconds=2))
    assert (await socket.next())["type"] == "token_expiring"
    ends = time.time() + 1.5
    answer = await socket.answer({"type": "auth", "token": expiring(alice, seconds=60), "ref": 1})
    assert (answer["type"], answer["ref"]) == ("authenticated", 1)
    await until(lambda: time.time() > ends)
    assert (await socket.answer({"type": "ping"}))["type"] == "pong"
    await socket.leave()


async def test_a_token_of_another_user_or_a_bad_one_is_refused_and_the_socket_stays(hub, token, bob):
    socket = await talk(token)
    other = await in_thread(services.access_token_for, user=bob)
    assert (await socket.answer({"type": "auth", "token": other}))["code"] == "forbidden"
    assert (await socket.answer({"type": "auth", "token": "rubbish"}))["code"] == "unauthenticated"
    assert (await socket.answer({"type": "ping"}))["type"] == "pong"
    await socket.leave()


async def test_a_recheck_closes_who_may_no_longer_be_here(hub, alice, token):
    key = await in_thread(services.issue_api_key, user_pk=alice.pk, name="k")
    by_key, by_token = await talk(key.key), await talk(token)
    current_connections().recheck([alice.public_id])
    assert (await by_key.answer({"type": "ping"}))["type"] == "pong", "nothing has changed"
    await in_thread(services.revoke_api_key, user_pk=alice.pk, key_id=key.row.pk)
    current_connections().recheck([alice.public_id])
    assert await by_key.over(seconds=1) == (1008, "Invalid token")
    await in_thread(User.objects.filter(pk=alice.pk).update, is_active=False)
    current_connections().recheck([alice.public_id])
    assert await by_token.over(seconds=1) == (1008, "Invalid token")


async def test_without_a_command_it_is_found_out_in_time(hub, alice, token, settings):
    settings.AUTH_RECHECK_SECONDS, settings.CALLER_CACHE_SECONDS = 0.4, 0.1
    socket = await talk(token)
    await in_thread(User.objects.filter(pk=alice.pk).update, is_active=False)
    assert await socket.over(seconds=3) == (1008, "Invalid token")


async def test_a_recheck_asks_the_consumer_as_well(hub, token):
    socket = await talk(token, query={"banned": "1"})
    socket.consumer.recheck()
    assert await socket.over() == (1008, "Forbidden")


async def test_a_database_that_is_away_throws_nobody_out(hub, token, postgres_proxy):
    socket = await talk(token)
    postgres_proxy.cut()
    socket.consumer.recheck()
    await until(lambda: not [task for task in socket_tasks() if task.get_name() == "socket credential"], seconds=15)
    assert (await socket.answer({"type": "ping"}))["type"] == "pong"
    await socket.leave()


async def test_a_user_has_only_so_many_sockets(hub, token, bob, settings):
    settings.SOCKETS_PER_USER = 2
    one, _two = await talk(token), await talk(token)
    third = Socket(Talk, query={"token": token})
    code, reason = await third.over()
    assert (code, reason) == (4429, "Too many open WebSockets of this user. Close one first.")
    await (await talk(await in_thread(services.access_token_for, user=bob))).leave()
    await one.leave()
    await (await talk(token)).leave()
    await _two.leave()


# The end.


async def test_a_connection_is_counted_while_it_is_open(hub, token, alice):
    socket = await talk(token)
    connections = current_connections()
    assert [each.user_id for each in connections._open.values()] == [alice.public_id]
    assert [each.session for each in connections._open.values()] == ["ws/test"]
    await socket.leave()
    assert not connections._open


async def test_clean_up_happens_once_however_it_ends(hub, token, settings):
    left = await talk(token)
    await left.leave()
    ended = await talk(token)
    ended.consumer.end(4403, "Out")
    ended.consumer.end(4403, "Out")
    assert await ended.over() == (4403, "Out")
    cancelled = await talk(token)
    cancelled.task.cancel()
    await asyncio.wait([cancelled.task])
    assert [each.consumer.cleaned for each in (left, ended, cancelled)] == [1, 1, 1]
    assert not socket_tasks()


async def test_a_clean_up_that_fails_leaves_nothing_else_behind(hub, token, caplog):
    class Failing(Talk):
        async def gone(self):
            raise ZeroDivisionError

    socket = await talk(token, consumer=Failing)
    await socket.leave()
    assert "ZeroDivisionError" in caplog.text
    assert not current_connections()._open
    assert not hub.groups._members


async def test_a_process_that_stops_closes_its_sockets_between_two_frames(hub, token):
    stream = a_backlog()
    sockets = [await talk(token), await talk(token, consumer=following(stream))]
    await publish_many([Publication(stream, NOTE.name, {"n": n}) for n in range(100)])
    hub.end_feeds()
    for socket in sockets:
        assert await socket.over() == (1012, "The server restarts: come back with your cursor")
    late = Socket(Talk, query={"token": token})
    assert (await late.over())[0] == 1012
    assert current_hub() is hub
