"""The notification socket, called as a server calls it."""

import re

import pytest

from accounts import services as accounts
from accounts.threads import in_thread
from events.publishing import _broker, publish
from events.streams import Stream
from notifications.consumers import NotificationsConsumer
from notifications.inbox import Action, Chosen, act
from tests.events.conftest import hub, valkey  # noqa: F401 - fixtures
from tests.events.sockets import Socket
from tests.notifications.conftest import caller_of, tell


@pytest.fixture(autouse=True)
def _own_broker(hub):  # noqa: F811
    _broker.cache_clear()
    yield
    _broker.cache_clear()


@pytest.fixture
async def enter(people):
    """Opens a socket as alice: `enter(since=, path_user=)`; what is left open is closed at the end."""
    opened = []

    async def call(*, since=None, of="user_alice", user="alice"):
        token = await in_thread(accounts.access_token_for, user=people[user])
        query = {"token": token} | ({"since": since} if since is not None else {})
        opened.append(Socket(NotificationsConsumer, f"/ws/notifications/{of}", query=query, path_args={"user_id": of}))
        return opened[-1]

    yield call
    for socket in opened:
        if not socket.task.done():
            await socket.leave()


async def notify_alice(people, *titles, **fields):
    return await in_thread(tell, people["alice"], *titles, **fields)


async def publish_to_alice(type, **payload):
    """An event on alice's feed that is about something else; its id."""
    stream = Stream("user", "user_alice")
    return str(await in_thread(publish, stream=stream, type=type, data={"scope": {}, "payload": payload}))


async def test_the_frame_is_the_seeds_with_a_cursor(enter, people):
    socket = await enter()
    hello = await socket.next()
    assert (hello["type"], hello["user_id"], hello["cursor"]) == ("connected", "user_alice", "0-0")
    (id,) = await notify_alice(people, "Workflow completed", body="It finished.", action_url="/workflows/wf-123/results")
    frame = await socket.next()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", frame.pop("timestamp"))
    assert re.fullmatch(r"\d+-\d+", frame.pop("id"))
    assert frame == {
        "type": "notification",
        "notification": {
            "title": "Workflow completed",
            "body": "It finished.",
            "action_url": "/workflows/wf-123/results",
        },
        "notification_id": str(id),
        "priority": "normal",
    }


async def test_nothing_else_of_the_feed_is_told(enter, people):
    socket = await enter()
    await socket.next()
    (id,) = await notify_alice(people, "one")
    await in_thread(act, caller=caller_of(people["alice"]), action=Action.READ, chosen=Chosen(ids=[id]))
    await publish_to_alice("source.ingest.completed", source_id="s")
    await in_thread(tell, people["bob"], "not alice's")
    await notify_alice(people, "two")
    assert [(await socket.next())["notification"]["title"] for _ in range(2)] == ["one", "two"]
    assert socket.types == ["connected", "notification", "notification"]


async def test_without_a_cursor_only_what_comes_and_with_one_what_was_missed(enter, people):
    await notify_alice(people, "before")
    socket = await enter()
    cursor = (await socket.next())["cursor"]
    await notify_alice(people, "one", "two", "three")
    first = await socket.next()
    assert first["notification"]["title"] == "one"
    await socket.leave()
    for since, expected in [(first["id"], ["two", "three"]), (cursor, ["one", "two", "three"]), ("0", ["before", "one"])]:
        again = await enter(since=since)
        assert (await again.next())["cursor"] == ("0-0" if since == "0" else since)
        assert [(await again.next())["notification"]["title"] for _ in expected] == expected


@pytest.mark.parametrize(
    ("since", "reason"), [("nonsense", "malformed"), ("7", "malformed"), ("9999999999999-0", "unknown_cursor")]
)
async def test_a_cursor_that_leads_nowhere_is_told_and_then_all_there_is(enter, people, since, reason):
    await publish_to_alice("demo.other", n=1)
    await notify_alice(people, "one")
    socket = await enter(since=since)
    hello, truncated, one = [await socket.next() for _ in range(3)]
    assert hello["cursor"] == ("" if reason == "malformed" else since)
    assert truncated == {"type": "backlog.truncated", "oldest_retained_id": one["id"], "reason": reason}
    assert one["notification"]["title"] == "one"


async def test_where_nothing_is_left_the_notice_has_the_cursor_to_go_on_from(enter, people):
    other = await publish_to_alice("demo.other", n=1)
    socket = await enter(since="5-0")
    _, truncated = [await socket.next() for _ in range(2)]
    assert truncated == {"type": "backlog.truncated", "oldest_retained_id": "", "reason": "unknown_cursor", "id": other}
    await socket.leave()
    await notify_alice(people, "one")
    again = await enter(since=other)
    assert [(await again.next())["type"] for _ in range(2)] == ["connected", "notification"]


async def test_anothers_address_is_closed_as_if_the_token_were_bad(enter):
    for of, user in [("user_bob", "alice"), ("user_alice", "ops"), ("USER_ALICE", "alice"), ("nobody", "alice")]:
        socket = await enter(of=of, user=user)
        assert await socket.over() == (1008, "Invalid token")
        assert socket.frames == []


async def test_what_other_services_publish_as_a_notification_has_the_same_frame(enter):
    socket = await enter()
    await socket.next()
    await publish_to_alice("notification.created", title="Theirs")
    frame = await socket.next()
    assert frame["notification"] == {"title": "Theirs", "body": "", "action_url": ""}
    assert frame["notification_id"] is None


async def test_pings_are_answered_and_unknown_frames_do_not_close_it(enter, people):
    socket = await enter()
    await socket.next()
    assert (await socket.answer({"type": "ping"}))["type"] == "pong"
    assert (await socket.answer({"type": "notification", "notification": {"title": "mine"}}))["type"] == "error"
    await notify_alice(people, "still here")
    assert (await socket.next())["notification"]["title"] == "still here"
