import re
from html import unescape

import pytest
from django.contrib import admin
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.models import User
from events import inspecting
from events.admin import CappedPaginator, pretty_json
from events.models import DurableStream, JournalEvent
from events.publishing import publish
from events.streams import Stream
from tests.events.management.streams import journaled, new_stream, written

pytestmark = pytest.mark.django_db
# The live backlog is read on other connections: they see only what is committed.
committed = pytest.mark.django_db(transaction=True)

LIVE = "/admin/events/durablestream/live/"
STREAMS = "/admin/events/durablestream/"
EVENTS = "/admin/events/journalevent/"


def page(client, address, **query):
    response = client.get(address, query)
    assert response.status_code == 200, response
    return unescape(response.content.decode())


def row_of(stream):
    return DurableStream.objects.get(name=stream.name)


@pytest.fixture
def staff_client(client, db):
    """A member of staff without any permission."""
    client.force_login(User.objects.create_user(username="clerk", password="x", is_staff=True))
    return client


def test_the_pages_open_and_nothing_can_be_written(admin_client):
    row = row_of(journaled(["a"]))
    event = row.events.first()
    for address, pk in ((STREAMS, row.pk), (EVENTS, event.pk)):
        assert admin_client.get(f"{address}{pk}/change/").status_code == 200
        assert "delete_selected" not in page(admin_client, address)
        assert admin_client.get(f"{address}add/").status_code == 403
        assert admin_client.post(f"{address}{pk}/change/", {"name": "other", "type": "other"}).status_code == 403
        assert admin_client.post(f"{address}{pk}/delete/", {"post": "yes"}).status_code == 403
    assert JournalEvent.objects.count() == 2


def test_a_stream_is_found_by_its_name_and_by_the_beginning_of_it(admin_client):
    mine, other = journaled(["a"]), journaled(["b"])
    for text in (mine.name, mine.name[:20]):
        found = page(admin_client, STREAMS, q=text)
        assert mine.name in found
        assert other.name not in found
    # `_` and `%` stand for themselves.
    assert "0 durable streams" in page(admin_client, STREAMS, q="message_")


def test_the_events_of_a_stream_are_found_in_their_order(admin_client):
    mine = journaled(["a"] * 120)
    journaled(["b"])
    for query in ({"q": mine.name}, {"q": mine.name[:25]}, {"stream__id__exact": row_of(mine).pk}):
        shown = re.findall(r'field-seq"><a[^>]*>(\d+)</a>', page(admin_client, EVENTS, **query))
        assert shown == [str(n) for n in range(1, 51)]
        rest = re.findall(r'field-seq"><a[^>]*>(\d+)</a>', page(admin_client, EVENTS, p=3, **query))
        assert rest == [str(n) for n in range(101, 122)]


@committed
def test_a_stream_links_to_its_events_and_to_its_live_backlog(admin_client):
    stream = journaled(["a"])
    shown = page(admin_client, f"{STREAMS}{row_of(stream).pk}/change/")
    (events,) = re.findall(r'href="(/admin/events/journalevent/\?[^"]+)"', shown)
    assert "2 journal events" in page(admin_client, events)
    (live,) = re.findall(r'href="(/admin/events/durablestream/live/\?[^"]+)"', shown)
    assert "run.completed" in page(admin_client, live)


def test_events_are_filtered_by_type(admin_client):
    stream = journaled(["a", "b"])
    shown = page(admin_client, EVENTS, q=stream.name, type="run.completed")
    assert re.findall(r'field-type">([^<]+)<', shown) == ["run.completed"]


def test_without_a_stream_only_the_newest_events_are_looked_through(admin_client, monkeypatch):
    journaled(["old"] * 4)
    journaled(["new"])
    monkeypatch.setattr(inspecting, "RECENT_EVENTS", 2)
    shown = page(admin_client, EVENTS)
    assert "new" in shown
    assert '"old"' not in shown
    assert re.findall(r'field-type">([^<]+)<', shown) == ["run.completed", "text.delta"]


@pytest.mark.parametrize("query", [{}, {"q": "message:"}, {"type": "text.delta"}, {"q": "message:", "type": "usage"}])
def test_no_page_counts_a_whole_table(admin_client, query):
    journaled(["a"])
    for address in (EVENTS, STREAMS):
        if address == STREAMS and "type" in query:
            continue
        with CaptureQueriesContext(connection) as seen:
            page(admin_client, address, **query)
        counts = [each["sql"] for each in seen if "COUNT(" in each["sql"].upper() and "events_" in each["sql"]]
        assert counts
        assert all("LIMIT" in sql for sql in counts), counts


def test_a_search_by_name_uses_the_index_on_names():
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        plan = inspecting.streams_like(DurableStream.objects.all(), "message:5f3c").explain()
        events = JournalEvent.objects.filter(stream_id__in=[1, 2]).order_by("stream_id", "seq").explain()
    assert "name)::text ~>=~" in plan, plan
    assert "Index Cond: (stream_id" in events, events


def test_a_count_stops_at_its_limit(monkeypatch):
    journaled(["a"] * 10)
    monkeypatch.setattr(CappedPaginator, "most", 7)
    assert CappedPaginator(JournalEvent.objects.order_by("pk"), 5).count == 7


@committed
def test_what_users_wrote_is_escaped_and_pretty(admin_client):
    stream = journaled(["<script>alert(1)</script>"])
    event = row_of(stream).events.first()
    for address, query in (
        (f"{EVENTS}{event.pk}/change/", {}),
        (EVENTS, {"q": stream.name}),
        (LIVE, {"stream": stream.name}),
    ):
        raw = admin_client.get(address, query).content.decode()
        assert "<script>alert" not in raw
        assert "&lt;script&gt;alert(1)" in raw
    assert '{\n  "a": "ü"\n}' in unescape(pretty_json({"a": "ü"}))


def test_half_a_surrogate_pair_in_an_event_is_shown_as_an_escape(admin_client):
    stream = new_stream("user")
    publish(stream=stream, type="message.started", data={"x": "\ud83d"})
    assert r"\ud83d" in page(admin_client, LIVE, stream=stream.name)


def test_the_live_backlog_is_linked_from_the_index_for_those_who_may(admin_client, client):
    assert LIVE in page(admin_client, "/admin/")
    client.force_login(User.objects.create_user(username="clerk", password="x", is_staff=True))
    assert LIVE not in page(client, "/admin/")


def test_the_live_backlog_is_for_staff_with_permission(client, staff_client):
    assert staff_client.get(LIVE).status_code == 403
    staff_client.logout()
    assert staff_client.get(LIVE).status_code == 302
    staff_client.force_login(User.objects.create_user(username="nobody", password="x"))
    assert staff_client.get(LIVE).status_code == 302


def test_a_backlog_is_shown_newest_first_in_pages(admin_client):
    stream = new_stream("user")
    ids = [str(publish(stream=stream, type="message.started", data={"n": n})) for n in range(120)]
    shown, address = [], f"{LIVE}?stream={stream.name}"
    while address:
        text = page(admin_client, address)
        assert f"head {ids[-1]}" in text
        assert "120 events retained" in text
        shown += re.findall(r"<tr><td>([^<]+)</td>", text)
        (address,) = re.findall(r'<a href="(\?[^"]+)">Older', text) or [""]
        address = address and LIVE + address
    assert shown == ids[::-1]


@committed
def test_a_durable_stream_is_shown_from_broker_and_journal(admin_client):
    stream = written([f"part {n}" for n in range(60)])
    text = page(admin_client, LIVE, stream=stream.name)
    assert "head 60" in text
    assert "journaled up to 60" in text
    assert "ended" not in text
    assert re.findall(r"<tr><td>([^<]+)</td>", text) == [str(n) for n in range(60, 10, -1)]
    (older,) = re.findall(r'<a href="(\?[^"]+)">Older', text)
    assert re.findall(r"<tr><td>([^<]+)</td>", page(admin_client, LIVE + older)) == [str(n) for n in range(10, 0, -1)]


@committed
def test_an_ended_stream_that_only_the_journal_holds_is_shown(admin_client):
    text = page(admin_client, LIVE, stream=journaled(["a"]).name)
    assert "ended" in text
    assert "head 2" in text


def test_a_stream_without_events_says_so(admin_client):
    assert "holds no events" in page(admin_client, LIVE, stream="user:nobody-at-all")
    assert "holds no events" in page(admin_client, LIVE, stream="message:nobody-at-all")


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"stream": "potato:1"}, "no kind of stream called 'potato'. Known kinds: message, execution, user, org, workspace"),
        ({"stream": "potato"}, "kind:id"),
        ({"stream": "user:1", "before": "x"}, "`before` must be"),
        ({"stream": "message:1", "before": "1-1"}, "`before` must be"),
        ({"stream": "message:\x00"}, "control characters"),
    ],
)
def test_a_name_that_is_none_is_a_clear_error(admin_client, query, message):
    response = admin_client.get(LIVE, query)
    assert response.status_code == 400
    assert message in unescape(response.content.decode())


@committed
def test_a_broker_that_is_away_is_said(admin_client, settings):
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    response = admin_client.get(LIVE, {"stream": "user:1"})
    assert response.status_code == 503
    assert "The broker cannot be reached" in response.content.decode()
    # The journal still tells what it holds.
    assert "run.completed" in page(admin_client, LIVE, stream=journaled(["a"]).name)


def test_the_addresses_have_names():
    assert reverse("admin:events_live") == LIVE
    assert admin.site.is_registered(DurableStream)
    assert Stream("user", "x").name == "user:x"
