"""`/ws/events`: what is in force, what is refused, and each matching event once, in order, over replay and live."""

import asyncio

import pytest

from accounts import services
from accounts.models import Membership
from accounts.recent import recent_callers
from accounts.threads import in_thread
from events.topics import access as topic_access
from events.topics.consumers import TopicsConsumer
from events.topics.event import organization_stream
from events.topics.watch import topic_watches
from tests.events.conftest import until
from tests.events.sockets import Socket
from tests.events.topics import asking as topics
from tests.events.topics.asking import ns, publish

pytestmark = pytest.mark.django_db(transaction=True)

ALL = "events.org_a.tasks.task.completed.*"
ONE = "events.org_a.tasks.task.completed.t1"
B_ALL = "events.org_b.tasks.task.completed.*"


@pytest.fixture(autouse=True)
def _quick(settings, valkey):
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    recent_callers.clear()


@pytest.fixture
def alice():
    return topics.user("alice", "org_a")


@pytest.fixture
async def open_socket(hub):
    opened = []

    async def start(user, **options):
        token = await in_thread(services.access_token_for, user=user)
        socket = Socket(TopicsConsumer, "/ws/events", query={"token": token}, **options)
        opened.append(socket)
        return socket

    yield start
    for each in opened:
        each.ready.set()
        if not each.task.done():
            await each.leave()


@pytest.fixture
async def socket(open_socket, alice):
    socket = await open_socket(alice)
    assert (await socket.next())["type"] == "connected"
    return socket


async def subscribed(socket, *patterns, **more):
    frame = await socket.answer({"action": "subscribe", "topics": list(patterns), **more})
    assert frame["type"] == "subscribed", frame
    return frame


async def heard(socket, *numbers, seconds=5):
    await until(lambda: len(ns(socket.frames)) >= len(numbers), seconds=seconds)
    assert ns(socket.frames) == list(numbers)


async def test_what_matches_is_told_with_its_topic_and_cursor(socket):
    frame = await subscribed(socket, ALL, ref=7)
    assert frame == {"type": "subscribed", "topics": [ALL], "cursor": "0-0", "recovered": False, "ref": 7}
    [_, cursor] = [*await publish("events.org_a.tasks.task.failed.t1", 1), *await publish(ONE, 2)]
    assert await socket.next() == {
        "type": "event",
        "topic": ONE,
        "id": cursor,
        "event": {
            "id": "evt_2",
            "organizationId": "org_a",
            "source": "tasks",
            "resource": "task",
            "resourceId": "t1",
            "eventName": "completed",
            "timestamp": "2023-11-14T22:13:20.000Z",
            "payload": {"n": 2},
            "metadata": {"filters": {}, "tags": []},
        },
    }


async def test_an_event_that_two_patterns_match_is_told_once(socket):
    await subscribed(socket, ALL, ONE)
    await publish(ONE, 1)
    await publish("events.org_a.tasks.task.completed.t2", 2)
    await heard(socket, 1, 2)


@pytest.mark.parametrize("frame", [{"type": "subscribe", "topic": ALL}, {"action": "subscribe", "topics": [ALL]}])
async def test_both_spellings_are_understood(socket, frame):
    assert (await socket.answer(frame))["topics"] == [ALL]


async def test_refused_patterns_are_told_one_by_one_and_the_others_run(socket):
    bad, foreign, every = "events.org_a.tasks", B_ALL, "events.*.tasks.task.completed.*"
    huge = f"events.org_a.tasks.task.completed.{'x' * 129}"
    socket.say({"action": "subscribe", "topics": [bad, foreign, every, huge, ALL], "ref": "r"})
    await until(lambda: len(socket.frames) == 6)
    [answer, *errors] = socket.frames[1:]
    assert (answer["type"], answer["topics"]) == ("subscribed", [ALL])
    assert {frame["topics"][0]: frame["code"] for frame in errors} == {
        bad: "invalid_request",
        foreign: "forbidden",
        every: "forbidden",
        huge: "invalid_request",
    }
    assert {(frame["type"], frame["ref"]) for frame in errors} == {("error", "r")}
    await publish(ONE, 1)
    await heard(socket, 1)


async def test_the_hundred_and_twenty_ninth_topic_is_refused(socket):
    patterns = [f"events.org_a.tasks.task.completed.t{n}" for n in range(129)]
    socket.say({"action": "subscribe", "topics": patterns})
    await until(lambda: len(socket.frames) == 3)
    [answer, error] = socket.frames[1:]
    assert answer["topics"] == patterns[:128]
    assert (error["code"], error["topics"]) == ("too_many", [patterns[128]])
    socket.say({"action": "unsubscribe", "topics": [patterns[0]]})
    await until(lambda: socket.types[-1] == "unsubscribed")
    await subscribed_later(socket, patterns[128])


@pytest.mark.parametrize("topics", [None, [], "", [1], {"a": 1}])
async def test_a_subscription_to_nothing_is_an_error_and_the_socket_stays(socket, topics):
    assert (await socket.answer({"action": "subscribe", "topics": topics}))["type"] == "error"
    assert (await socket.answer({"type": "ping"}))["type"] == "pong"


async def test_nothing_of_a_topic_follows_its_unsubscribed(socket):
    await subscribed(socket, ALL)
    await publish(ONE, 1)
    await heard(socket, 1)
    socket.say({"action": "unsubscribe", "topic": ALL, "ref": 1})
    await until(lambda: socket.types[-1] == "unsubscribed")
    await publish(ONE, 2)
    await subscribed_later(socket, "events.org_a.tasks.task.failed.*")
    await publish("events.org_a.tasks.task.failed.t", 3)
    await until(lambda: ns(socket.frames)[-1] == 3)
    assert ns(socket.frames) == [1, 3]
    assert socket.frames[-3] == {"type": "unsubscribed", "topics": [ALL], "ref": 1}


async def subscribed_later(socket, *patterns, **more):
    count = socket.types.count("subscribed")
    socket.say({"action": "subscribe", "topics": list(patterns), **more})
    await until(lambda: socket.types.count("subscribed") > count)


async def test_a_cursor_brings_what_was_missed_and_then_what_comes(socket, open_socket, alice):
    await subscribed(socket, ALL)
    await publish(ONE, 1)
    cursor = (await socket.next())["id"]
    await socket.leave()
    await publish(ONE, *range(2, 10))
    again = await open_socket(alice)
    await again.next()
    assert (await subscribed(again, ALL, since=cursor))["recovered"] is True
    await publish(ONE, 10)
    await heard(again, *range(2, 11))


async def test_the_beginning_is_a_cursor_too(socket):
    await publish(ONE, 1, 2)
    assert (await subscribed(socket, ALL, since="0"))["recovered"] is True
    await heard(socket, 1, 2)


@pytest.mark.parametrize(
    ("since", "reason"), [("1-1", "trimmed"), ("nonsense", "malformed"), ("9999999999999-0", "unknown_cursor")]
)
async def test_a_cursor_that_leads_nowhere_is_told_and_everything_retained_follows(socket, since, reason):
    await publish(ONE, 1, 2)
    assert (await subscribed(socket, ALL, since=since))["recovered"] is False
    frame = await socket.next()
    assert (frame["type"], frame["organizationId"]) == ("backlog.truncated", "org_a")
    assert frame["reason"] in (reason, "unknown_cursor")
    await heard(socket, 1, 2)


async def test_one_cursor_over_two_organisations(open_socket):
    both = await in_thread(topics.user, "both", "org_a", "org_b")
    socket = await open_socket(both)
    await socket.next()
    await subscribed(socket, ALL, B_ALL)
    await publish(ONE, 1)
    await publish("events.org_b.tasks.task.completed.t", 2)
    await heard(socket, 1, 2)
    cursor = socket.frames[-1]["id"]
    assert cursor.startswith("org_a:")
    assert ",org_b:" in cursor
    await socket.leave()
    await publish("events.org_b.tasks.task.completed.t", 3)
    await publish(ONE, 4)
    again = await open_socket(both)
    await again.next()
    assert (await subscribed(again, ALL, B_ALL, since=cursor))["recovered"] is True
    await until(lambda: len(ns(again.frames)) == 2)
    assert sorted(ns(again.frames)) == [3, 4]


async def test_a_topic_that_is_added_with_a_cursor_brings_only_what_the_others_did_not(socket):
    await publish("events.org_a.tasks.task.failed.t", 1)
    await publish(ONE, 2)
    await subscribed(socket, ALL, since="0-0")
    await heard(socket, 2)
    await subscribed_later(socket, "events.org_a.tasks.task.*.*", since="0-0")
    await until(lambda: len(ns(socket.frames)) == 2)
    await publish(ONE, 3)
    await until(lambda: len(ns(socket.frames)) == 3)
    assert ns(socket.frames) == [2, 1, 3]


async def test_a_slow_reader_waits_in_the_log_and_misses_nothing(open_socket, alice, settings):
    settings.TOPIC_WAITING_MAX = 5
    settings.SOCKET_WRITE_TIMEOUT = 60.0
    socket = await open_socket(alice)
    await socket.next()
    await subscribed(socket, ALL)
    socket.ready.clear()
    for n in range(100):
        await publish(ONE, n)
        await asyncio.sleep(0)
    [watch] = topic_watches(current_hub_of(socket))._watches.values()
    await until(lambda: watch.seen == 100)
    [listening] = watch.listeners
    assert len(listening._waiting) <= 5
    socket.ready.set()
    await heard(socket, *range(100))


def current_hub_of(socket):
    return socket.consumer._reader._hub


async def test_a_stream_that_was_wiped_is_told_and_goes_on(socket, valkey):
    await subscribed(socket, ALL)
    await publish(ONE, 1)
    await heard(socket, 1)
    valkey.flushall()
    await publish(ONE, 2)
    await until(lambda: 2 in ns(socket.frames), seconds=10)
    assert "backlog.truncated" in socket.types
    assert ns(socket.frames) == [1, 2]


async def test_who_is_put_out_of_the_organisation_hears_no_more_within_a_moment(socket, alice):
    await subscribed(socket, ALL)
    await in_thread(lambda: [each.delete() for each in Membership.objects.filter(user=alice)])
    await socket.consumer.allowed()
    await until(lambda: socket.types[-1] == "error")
    assert (socket.frames[-1]["code"], socket.frames[-1]["topics"]) == ("forbidden", [ALL])
    await publish(ONE, 1)
    socket.say({"type": "ping"})
    await until(lambda: socket.types[-1] == "pong")
    assert ns(socket.frames) == []


async def test_a_rule_of_the_source_decides_who_sees_what_also_on_replay(socket, monkeypatch):
    monkeypatch.setitem(topic_access._rules, "tasks", lambda caller, organization, ids: {each for each in ids if each == "t1"})
    await publish("events.org_a.tasks.task.completed.t2", 1)
    await publish(ONE, 2)
    await subscribed(socket, ALL, since="0-0")
    await heard(socket, 2)
    await publish("events.org_a.tasks.task.completed.t2", 3)
    await publish(ONE, 4)
    await heard(socket, 2, 4)


async def test_a_staff_account_may_subscribe_to_all_organisations_also_those_to_come(open_socket, settings):
    staff = await in_thread(topics.user, "service", "org_a", staff=True)
    await in_thread(topics.user, "other", "org_b")
    socket = await open_socket(staff)
    await socket.next()
    await subscribed(socket, "events.*.tasks.task.completed.*")
    await publish(ONE, 1)
    await publish("events.org_b.tasks.task.completed.t", 2)
    await heard(socket, 1, 2)
    await in_thread(topics.user, "newcomer", "org_c")
    await publish("events.org_c.tasks.task.completed.t", 3)
    await socket.consumer.allowed()
    await heard(socket, 1, 2, 3)


async def test_who_asked_for_little_is_told_a_new_cursor_now_and_then(socket, settings):
    settings.TOPIC_CURSOR_EVENTS = 10
    await subscribed(socket, ALL)
    ids = await publish("events.org_a.tasks.task.failed.t", *range(25))
    await until(lambda: "cursor" in socket.types)
    frame = next(frame for frame in socket.frames if frame["type"] == "cursor")
    assert frame["cursor"] in ids


async def test_the_watch_ends_with_its_last_listener(socket, hub):
    await subscribed(socket, ALL)
    assert organization_stream("org_a") in hub.rings
    await socket.leave()
    await until(lambda: organization_stream("org_a") not in hub.rings)
    assert not topic_watches(hub)._watches


async def test_an_event_is_matched_once_however_many_listen(open_socket, alice, monkeypatch):
    sockets = [await open_socket(alice) for _ in range(5)]
    for each in sockets:
        await each.next()
        await subscribed(each, ALL)
    [watch] = topic_watches(current_hub_of(sockets[0]))._watches.values()
    matched = []
    match = watch._trie.match
    monkeypatch.setattr(watch._trie, "match", lambda topic: matched.append(topic) or match(topic))
    await publish(ONE, 1)
    for each in sockets:
        await heard(each, 1)
    assert len(matched) == 1


async def test_the_patterns_of_the_document_as_printed(open_socket):
    """Seed 001, "Topic subscriptions": what one receives with each."""
    printed = {
        "events.org_123.conversations.conversation.message_posted.*": [1, 2],
        "events.org_123.conversations.conversation.message_posted.conv_456": [1],
        "events.org_123.tasks.task.completed.*": [3],
        "events.org_123.flows.flow.run.*": [4],
    }
    carol = await in_thread(topics.user, "carol", "org_123")
    sockets = {pattern: await open_socket(carol) for pattern in printed}
    for pattern, socket in sockets.items():
        await socket.next()
        await subscribed(socket, pattern)
    await publish("events.org_123.conversations.conversation.message_posted.conv_456", 1)
    await publish("events.org_123.conversations.conversation.message_posted.conv_457", 2)
    await publish("events.org_123.tasks.task.completed.task_1", 3)
    await publish("events.org_123.flows.flow.run.flow_1", 4)
    await publish("events.org_123.flows.flow.updated.flow_1", 5)
    for pattern, socket in sockets.items():
        await heard(socket, *printed[pattern])
