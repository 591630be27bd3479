"""Events are posted to a real HTTP server: signed, tried again, taken once, and never sent where they must not go."""

import asyncio
import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from asgiref.sync import async_to_sync
from django.db import connection
from django.utils import timezone

from accounts.models import Membership, Organization
from events.broker.connect import connect
from events.exceptions import Conflict, Forbidden, InvalidRequest, NotFound, TooMany
from events.models import WebhookDelivery, WebhookEndpoint, WebhookPosition
from events.retry_after import seconds_to_wait
from events.topics import access as topic_access
from events.topics.event import organization_stream
from events.webhooks import deliveries as webhook_deliveries
from events.webhooks import endpoints as webhook_endpoints
from events.webhooks import evaluation as webhook_evaluation
from events.webhooks import signatures as webhook_signatures
from tests.events.topics import asking as topics
from tests.events.webhooks.receiver import ALL, ORG, Receiver, happen, is_signed, later, register, states, work

# To empty the tables of all apps takes ten times as long.
pytestmark = pytest.mark.django_db(transaction=True, available_apps=["accounts", "events"])


@pytest.fixture(autouse=True)
def nearby(settings, valkey):
    settings.WEBHOOK_ALLOW_PRIVATE_ADDRESSES = True
    # One after the other, so that what is told comes in its order.
    settings.WEBHOOK_SENDING_PER_ENDPOINT = 1
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def receiver():
    made = Receiver()
    yield made
    made.close()


@pytest.fixture
def ada():
    return topics.user("ada", ORG, role=Membership.Role.ADMIN)


def endpoint_now(endpoint):
    return WebhookEndpoint.objects.get(pk=endpoint.pk)


def only():
    return WebhookDelivery.objects.get()


# What is posted.


def test_an_event_is_posted_as_on_all_transports_and_signed(receiver, ada):
    _, secret = register(ada, receiver.url)
    happen(7, text="Ännchen")
    work()
    [(headers, body, path)] = receiver.requests
    assert path == "/hook"
    assert is_signed(receiver.requests[0], secret)
    assert abs(int(headers["webhook-timestamp"]) - time.time()) < 60
    assert headers["content-type"] == "application/json"
    told = json.loads(body)
    assert (told["type"], told["topic"]) == ("event", f"events.{ORG}.shop.order.placed.o7")
    assert told["event"]["payload"] == {"n": 7, "text": "Ännchen"}
    assert headers["webhook-id"] == told["event"]["id"] == only().event_id
    assert states() == [("delivered", 1)]
    assert (only().status_code, only().reason) == (204, "")
    # Where a reader of the topics would stand after it.
    assert told["id"] == WebhookPosition.objects.get().cursor


def test_our_own_inlets_accept_what_we_post(receiver, ada):
    _, secret = register(ada, receiver.url)
    happen()
    work()
    [(headers, body, _)] = receiver.requests
    signed = {"id": headers["webhook-id"], "at": headers["webhook-timestamp"], "signatures": headers["webhook-signature"]}
    webhook_signatures.verify(secret, **signed, body=body, now=time.time(), tolerance=60)


def test_a_cloud_event_is_one(receiver, ada):
    register(ada, receiver.url, form="cloudevents")
    happen(7)
    work()
    [(headers, _, _)] = receiver.requests
    assert headers["content-type"].startswith("application/cloudevents+json")
    [event] = receiver.told
    assert event["specversion"] == "1.0"
    assert (event["source"], event["type"], event["subject"]) == (f"/organizations/{ORG}/shop", "order.placed", "o7")
    assert (event["id"], event["data"]) == (headers["webhook-id"], {"n": 7})
    assert event["time"].endswith("Z")


def test_events_are_posted_in_their_order_while_none_fails(receiver, ada):
    register(ada, receiver.url)
    for number in range(8):
        happen(number)
    work()
    assert [told["event"]["payload"]["n"] for told in receiver.told] == list(range(8))


def test_only_what_matches_a_pattern_and_once_if_several_do(receiver, ada):
    register(ada, receiver.url, patterns=[f"events.{ORG}.shop.order.placed.*", "events.*.shop.order.*.o1"])
    happen(1)
    happen(1, event="paid")
    happen(2, event="paid")
    happen(2, source="other")
    work()
    assert [told["topic"] for told in receiver.told] == [
        f"events.{ORG}.shop.order.placed.o1",
        f"events.{ORG}.shop.order.paid.o1",
    ]


def test_what_happened_before_it_was_made_or_while_it_was_off_is_not_told(receiver, ada):
    happen(1)
    _wait_a_millisecond()
    endpoint, _ = register(ada, receiver.url)
    happen(2)
    work()
    change(ada, endpoint, enabled=False)
    happen(3)
    work()
    _wait_a_millisecond()
    change(ada, endpoint, enabled=True)
    happen(4)
    work()
    assert [told["event"]["payload"]["n"] for told in receiver.told] == [2, 4]


def _wait_a_millisecond():
    """Events know no smaller times: what happens in the same one as the registration is told."""
    began = time.time_ns() // 1_000_000
    while time.time_ns() // 1_000_000 == began:
        pass


def change(user, endpoint, **fields):
    return webhook_endpoints.change(caller=topics.caller_for(user), endpoint_id=endpoint.pk, fields=fields)


def test_an_event_that_only_some_may_see_is_told_to_an_endpoint_whose_owner_may(receiver, ada, monkeypatch):
    eve = topics.user("eve", ORG, role=Membership.Role.ADMIN)
    register(ada, receiver.url)
    register(eve, receiver.url.replace("hook", "eve"))
    rule = lambda caller, organization, ids: ids if caller.user_id == ada.public_id else []  # noqa: E731
    monkeypatch.setitem(topic_access._rules, "rooms", rule)
    happen(1, source="rooms")
    happen(2)
    work()
    seen = [(path, json.loads(body)["event"]["payload"]["n"]) for _, body, path in receiver.requests]
    assert sorted(seen) == [("/eve", 2), ("/hook", 1), ("/hook", 2)]
    # An owner who has left sees what nobody in particular may see.
    Membership.objects.filter(user=ada).delete()
    happen(3, source="rooms")
    happen(4)
    work()
    assert sorted(path for _, _, path in receiver.requests[3:]) == ["/eve", "/hook"]


def test_what_the_owner_may_see_no_more_is_not_posted_any_more(receiver, ada, monkeypatch):
    register(ada, receiver.url)
    monkeypatch.setitem(topic_access._rules, "rooms", lambda caller, organization, ids: ids)
    happen(1, source="rooms")
    work(deliver=False)
    monkeypatch.setitem(topic_access._rules, "rooms", lambda caller, organization, ids: [])
    work()
    assert receiver.requests == []
    assert states() == [("dead", 1)]
    assert "may not see" in only().reason


def test_the_same_event_twice_is_one_delivery(receiver, ada):
    register(ada, receiver.url)
    happen(key="order-1")
    work()
    # As after a crash that lost the cursor.
    WebhookPosition.objects.update(cursor="0-0")
    work()
    assert len(receiver.requests) == 1


def test_an_event_is_compared_once_however_many_workers_look(receiver, ada):
    register(ada, receiver.url)
    happen()
    [place] = webhook_evaluation.places()

    async def read():
        broker = connect()
        try:
            return (await broker.read([(organization_stream(ORG), place.cursor)], limit=10))[0]
        finally:
            await broker.close()

    reading = async_to_sync(read)()
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda _: fresh(webhook_evaluation.evaluate, place, reading), range(8)))
    assert sorted(done) == [0] * 7 + [1]
    assert states() == [("pending", 0)]


def test_a_delivery_is_claimed_once_however_many_workers_look(receiver, ada, settings):
    settings.WEBHOOK_SENDING_PER_ENDPOINT = 10
    register(ada, receiver.url)
    for number in range(6):
        happen(number)
    work(deliver=False)
    with ThreadPoolExecutor(4) as pool:
        claims = list(pool.map(lambda _: fresh(webhook_deliveries.claim, now=timezone.now(), most=2), range(8)))
    # Who finds that another looks at the endpoint leaves it to that one.
    while more := webhook_deliveries.claim(now=timezone.now(), most=2):
        claims.append(more)
    claimed = [row.pk for rows in claims for row in rows]
    assert len(claimed) == len(set(claimed)) == 6


def fresh(function, *arguments, **named):
    try:
        return function(*arguments, **named)
    finally:
        connection.close()


def test_events_that_are_no_longer_there_are_told_to_be_missing(receiver, ada):
    register(ada, receiver.url)
    happen(1)
    work()
    # As when the worker was away for so long that the event it stopped at is kept no more.
    WebhookPosition.objects.update(cursor="3-3")
    happen(2)
    work()
    assert [told["type"] for told in receiver.told] == ["event", "backlog.truncated", "event"]
    assert receiver.told[1]["payload"]["organizationId"] == ORG
    assert receiver.told[1]["cursor"] == "3-3"
    assert receiver.told[2]["event"]["payload"]["n"] == 2


# Failures.


def test_what_fails_is_tried_again_until_it_is_taken_and_taken_once(receiver, ada):
    _, secret = register(ada, receiver.url)
    receiver.answers += [(500, {}, b"broken"), (503, {}, b"still")]
    happen()
    work()
    assert states() == [("failed", 1)]
    assert (only().status_code, only().answer, only().reason) == (500, "broken", "It answered 500.")
    work()
    assert len(receiver.requests) == 1
    for _ in range(3):
        later()
        work()
    assert states() == [("delivered", 3)]
    assert len(receiver.requests) == 3
    assert len(set(receiver.ids)) == len({body for _, body, _ in receiver.requests}) == 1
    assert all(is_signed(each, secret) for each in receiver.requests)


def test_pauses_grow_by_four_and_chance_makes_them_longer_by_a_fifth(settings):
    now = timezone.now()
    for attempts, pause in ((1, 5), (2, 20), (3, 80), (9, 86_400), (50, 86_400)):
        pauses = {(webhook_deliveries.retry_at(attempts=attempts, now=now) - now).total_seconds() for _ in range(50)}
        pause = min(pause, 5 * 4 ** (attempts - 1))
        assert all(pause <= each <= pause * 1.2 + 0.001 for each in pauses)
        assert len(pauses) > 10


def test_retry_after_is_kept_to(receiver, ada):
    register(ada, receiver.url)
    receiver.answers.append((429, {"Retry-After": "1000"}, b""))
    happen()
    work()
    wait = (only().next_attempt - only().attempted_at).total_seconds()
    assert 1000 <= wait <= 1300


@pytest.mark.parametrize(
    ("header", "seconds"), [("30", 30), ("", 0), ("soon", 0), ("-5", 0), ("Fri, 31 Dec 1999 23:59:59 GMT", 0)]
)
def test_retry_after_is_a_number_or_a_date(header, seconds):
    assert seconds_to_wait(header) == seconds


def test_after_the_last_attempt_it_is_dead_and_can_be_sent_again(receiver, ada, settings):
    settings.WEBHOOK_ATTEMPTS_MAX = 2
    endpoint, _ = register(ada, receiver.url)
    receiver.answers += [(500, {}, b"")] * 2
    happen()
    for _ in range(3):
        work()
        later()
    assert states() == [("dead", 2)]
    assert webhook_deliveries.redeliver_dead(caller=topics.caller_for(ada), endpoint_id=endpoint.pk) == 1
    work()
    assert states() == [("delivered", 1)]
    assert len(receiver.requests) == 3
    assert len(set(receiver.ids)) == 1


def test_what_was_taken_can_be_sent_again_under_the_same_id(receiver, ada):
    endpoint, _ = register(ada, receiver.url)
    happen()
    work()
    webhook_deliveries.redeliver_one(caller=topics.caller_for(ada), endpoint_id=endpoint.pk, delivery_id=only().pk)
    work()
    assert len(receiver.ids) == 2
    assert len(set(receiver.ids)) == 1


def test_an_endpoint_that_is_gone_is_switched_off_and_what_waits_goes_on_when_it_is_on_again(receiver, ada):
    endpoint, _ = register(ada, receiver.url)
    receiver.answers.append((410, {}, b"gone"))
    happen(1)
    happen(2)
    work()
    assert states() == [("dead", 1), ("pending", 0)]
    assert not endpoint_now(endpoint).enabled
    assert "410" in endpoint_now(endpoint).off_reason
    with pytest.raises(Conflict):
        webhook_deliveries.redeliver_dead(caller=topics.caller_for(ada), endpoint_id=endpoint.pk)
    change(ada, endpoint, enabled=True)
    assert endpoint_now(endpoint).off_reason == ""
    work()
    assert states() == [("dead", 1), ("delivered", 1)]


def test_an_endpoint_that_fails_for_long_is_switched_off_but_not_one_that_recovers(receiver, ada):
    endpoint, _ = register(ada, receiver.url)
    receiver.answers += [(500, {}, b"")]
    happen()
    work()
    assert endpoint_now(endpoint).failing_since is not None
    later()
    work()
    assert endpoint_now(endpoint).failing_since is None
    receiver.answers += [(500, {}, b"")] * 2
    happen(2)
    work()
    WebhookEndpoint.objects.update(failing_since=timezone.now() - timedelta(hours=121))
    later()
    work()
    assert not endpoint_now(endpoint).enabled
    assert "120 hours" in endpoint_now(endpoint).off_reason


def test_a_server_that_is_away_is_a_failure(receiver, ada):
    register(ada, receiver.url)
    receiver.close()
    happen()
    work()
    assert states() == [("failed", 1)]
    assert "cannot be reached" in only().reason


def test_an_endpoint_that_hangs_is_given_up_and_holds_up_no_other(receiver, ada, settings):
    settings.WEBHOOK_SEND_SECONDS = 1
    with socket.create_server(("127.0.0.1", 0)) as hanging:
        register(ada, f"http://127.0.0.1:{hanging.getsockname()[1]}/")
        register(ada, receiver.url)
        happen()
        work()
    assert len(receiver.requests) == 1
    assert sorted(states()) == [("delivered", 1), ("failed", 1)]
    assert "did not answer within 1 s" in WebhookDelivery.objects.get(status="failed").reason


def test_no_endpoint_uses_up_the_room_of_the_others(receiver, ada, settings):
    settings.WEBHOOK_SENDING_PER_ENDPOINT = 2
    for name in ("one", "two"):
        register(ada, f"{receiver.url}/{name}")
    for number in range(5):
        happen(number)
    work(deliver=False)
    first = webhook_deliveries.claim(now=timezone.now(), most=50)
    assert sorted(row.endpoint.url[-3:] for row in first) == ["one", "one", "two", "two"]
    assert webhook_deliveries.claim(now=timezone.now(), most=50) == []
    assert len(webhook_deliveries.claim(now=timezone.now() + timedelta(hours=1), most=3)) == 3


def test_a_worker_that_lost_its_lease_does_not_say_how_it_ended(receiver, ada):
    register(ada, receiver.url)
    happen()
    work(deliver=False)
    [stale] = webhook_deliveries.claim(now=timezone.now(), most=1)
    [owned] = webhook_deliveries.claim(now=timezone.now() + timedelta(hours=1), most=1)
    assert webhook_deliveries.ended(stale, webhook_deliveries.Outcome(500, reason="old"), now=timezone.now()) == ""
    assert webhook_deliveries.ended(owned, webhook_deliveries.Outcome(200), now=timezone.now()) == "delivered"
    assert states() == [("delivered", 2)]


def test_what_kills_its_workers_ends(receiver, ada, settings):
    settings.WEBHOOK_ATTEMPTS_MAX = 2
    register(ada, receiver.url)
    happen()
    work(deliver=False)
    now = timezone.now()
    for hours in (1, 2):
        assert webhook_deliveries.claim(now=now + timedelta(hours=hours), most=1)
    assert webhook_deliveries.claim(now=now + timedelta(hours=3), most=1) == []
    assert states() == [("dead", 3)]


def test_only_the_beginning_of_an_answer_is_kept(receiver, ada, settings):
    settings.WEBHOOK_ANSWER_MAX_BYTES = 100
    register(ada, receiver.url)
    receiver.answers.append((500, {}, b"\x00\xff" + b"x" * 5_000_000))
    happen()
    work()
    assert only().answer == "\ufffd\ufffd" + "x" * 98


# Where it must not go.


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/x",
        "https://169.254.169.254/latest/meta-data/",
        "https://[::1]/",
        "https://[::ffff:10.0.0.1]/",
        "http://example.org/",
        "ftp://example.org/",
        "https://user:secret@example.org/",
        "https://example.org/#x",
        "nonsense",
    ],
)
def test_an_address_that_is_private_or_none_is_refused_when_it_is_registered(ada, settings, url):
    settings.WEBHOOK_ALLOW_PRIVATE_ADDRESSES = False
    with pytest.raises(InvalidRequest, match="url"):
        register(ada, url)


@pytest.mark.parametrize("host", ["localhost", "127.1", "2130706433", "0x7f000001", "rebinding.example.org"])
def test_a_name_that_leads_to_a_private_network_is_not_called(receiver, ada, settings, monkeypatch, host):
    """As a name does that led elsewhere when it was registered (DNS rebinding)."""
    settings.WEBHOOK_ALLOW_PRIVATE_ADDRESSES = False
    if host.startswith("rebinding"):
        real = socket.getaddrinfo
        monkeypatch.setattr(socket, "getaddrinfo", lambda name, *more, **named: real("127.0.0.1", *more, **named))
    register(ada, f"https://{host}:{receiver.port}/hook")
    happen()
    work()
    assert receiver.requests == []
    assert states() == [("failed", 1)]
    assert "private network" in only().reason


def test_the_number_that_was_checked_is_the_one_that_is_called(receiver, ada, monkeypatch):
    """The name is looked up once for each attempt: there is no second look-up that could lead elsewhere."""
    real, asked = socket.getaddrinfo, []

    def look_up(name, *more, **named):
        asked.append(name)
        return real("127.0.0.1", *more, **named)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    register(ada, f"http://shop.example.org:{receiver.port}/hook")
    happen()
    work()
    [(headers, _, _)] = receiver.requests
    assert headers["host"] == f"shop.example.org:{receiver.port}"
    names = [name.decode() if isinstance(name, bytes) else name for name in asked]
    assert names.count("shop.example.org") == 1


def test_redirects_are_not_followed(receiver, ada):
    register(ada, receiver.url)
    receiver.answers.append((307, {"Location": "http://127.0.0.1/elsewhere"}, b""))
    happen()
    work()
    assert len(receiver.requests) == 1
    assert states() == [("failed", 1)]
    assert "redirects are not followed" in only().reason


def test_no_proxy_of_the_environment_is_asked(receiver, ada, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    register(ada, receiver.url)
    happen()
    work()
    assert states() == [("delivered", 1)]


# Secrets.


def test_a_secret_is_not_to_be_read_from_a_copy_of_the_database(receiver, ada):
    _, secret = register(ada, receiver.url)
    assert secret.startswith("whsec_")
    with connection.cursor() as cursor:
        cursor.execute("SELECT row_to_json(e)::text FROM events_webhookendpoint e")
        assert secret not in cursor.fetchone()[0]


def test_while_a_secret_is_replaced_both_sign(receiver, ada, settings):
    endpoint, first = register(ada, receiver.url)
    _, second = webhook_endpoints.rotate(caller=topics.caller_for(ada), endpoint_id=endpoint.pk)
    happen(1)
    work()
    assert is_signed(receiver.requests[0], first)
    assert is_signed(receiver.requests[0], second)
    WebhookEndpoint.objects.update(old_secret_until=timezone.now())
    happen(2)
    work()
    assert not is_signed(receiver.requests[1], first)
    assert is_signed(receiver.requests[1], second)


def test_a_secret_that_leaked_signs_no_more_at_once(receiver, ada):
    endpoint, first = register(ada, receiver.url)
    given = webhook_signatures.new_secret()
    _, second = webhook_endpoints.rotate(caller=topics.caller_for(ada), endpoint_id=endpoint.pk, secret=given, at_once=True)
    assert second == given
    happen()
    work()
    assert not is_signed(receiver.requests[0], first)
    assert is_signed(receiver.requests[0], second)


def test_a_secret_that_cannot_be_read_is_a_failure_that_says_so(receiver, ada, settings):
    register(ada, receiver.url)
    happen()
    settings.SECRET_KEY = "another-" * 8
    work()
    assert receiver.requests == []
    assert "SECRET_KEY" in only().reason


# Who may.


def test_only_admins_of_the_organisation_register_and_nobody_without_bound(ada, settings):
    bob, eve = topics.user("bob", ORG), topics.user("eve", "org_other", role=Membership.Role.ADMIN)
    with pytest.raises(Forbidden):
        register(bob, "https://example.org/")
    with pytest.raises(NotFound):
        register(eve, "https://example.org/")
    settings.WEBHOOK_ENDPOINTS_MAX = 1
    made, _ = register(ada, "https://example.org/")
    with pytest.raises(TooMany):
        register(ada, "https://example.org/")
    for user, error in ((bob, Forbidden), (eve, NotFound)):
        with pytest.raises(error):
            webhook_endpoints.get(caller=topics.caller_for(user), endpoint_id=made.pk)
        with pytest.raises(error):
            change(user, made, enabled=False)


@pytest.mark.parametrize(
    "fields",
    [
        {"patterns": []},
        {"patterns": ["events.org_other.*.*.*.*"]},
        {"patterns": ["nonsense"]},
        {"patterns": [ALL] + [f"events.{ORG}.s.r.e.{number}" for number in range(50)]},
        {"description": "x" * 201},
        {"form": "xml"},
    ],
)
def test_what_makes_no_sense_is_refused(ada, fields):
    with pytest.raises(InvalidRequest):
        register(ada, "https://example.org/", **fields)


def test_a_test_event_is_posted_whatever_the_patterns(receiver, ada):
    endpoint, secret = register(ada, receiver.url, patterns=[f"events.{ORG}.none.of.these.x"])
    webhook_deliveries.test(caller=topics.caller_for(ada), endpoint_id=endpoint.pk)
    work()
    [told] = receiver.told
    assert told["topic"] == f"events.{ORG}.webhooks.webhook.test.{endpoint.pk}"
    assert is_signed(receiver.requests[0], secret)
    change(ada, endpoint, enabled=False)
    with pytest.raises(Conflict):
        webhook_deliveries.test(caller=topics.caller_for(ada), endpoint_id=endpoint.pk)


def test_an_endpoint_that_is_made_after_all_were_deleted_misses_nothing_and_is_told_nothing_old(receiver, ada):
    first, _ = register(ada, receiver.url)
    happen(1)
    work()
    webhook_endpoints.delete(caller=topics.caller_for(ada), endpoint_id=first.pk)
    happen(2)
    work()
    _wait_a_millisecond()
    register(ada, receiver.url)
    happen(3)
    work()
    assert [told["event"]["payload"]["n"] for told in receiver.told] == [1, 3]
    assert Organization.objects.filter(public_id=ORG).exists()


def test_a_worker_posts_by_itself_until_it_is_closed(receiver, ada):
    register(ada, receiver.url)

    async def live():
        from accounts.threads import in_thread
        from events.webhooks.worker import WebhookWorker
        from tests.events.conftest import until

        worker = WebhookWorker(connect())
        worker.start()
        try:
            for number in range(3):
                await in_thread(happen, number)
            await until(lambda: len(receiver.requests) == 3, seconds=30)
        finally:
            await worker.close()

    asyncio.run(live())
    assert states() == [("delivered", 1)] * 3
