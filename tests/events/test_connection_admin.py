"""The list of open connections in the admin. Connections are real entries of a process's board."""

import json
import time

import pytest
from django.test import Client
from django.urls import reverse

from accounts.services import ensure_user

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.filterwarnings("ignore:No directory at")]


@pytest.fixture(autouse=True)
def _quick(settings):
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def page():
    return reverse("admin:events_connections")


def someone(*, staff):
    client = Client()
    client.force_login(ensure_user(username=f"user-{staff}", password="pw", public_id=f"user_{staff}", is_staff=staff))
    return client


@pytest.fixture
def board(valkey):
    """Three connections of two users, as a process would write them."""
    for number, user in enumerate(("ann", "ann", "bob")):
        note = {
            "opened_at": 1_700_000_000_000 + number,
            "id": f"c{number}",
            "user_id": user,
            "session": "s",
            "path": "/ws/chat/<b>",
            "transport": "ws",
        }
        valkey.hset("tl:{boards}:host:1:connections", f"c{number}", json.dumps(note, separators=(",", ":")))
    valkey.zadd("tl:{boards}", {"host:1": (time.time() + 60) * 1000})


def commands(valkey):
    events = [json.loads(fields[b"e"]) for _, fields in valkey.xrange("tl:{server:commands}")]
    return [each["data"] for each in events if each["type"] == "connection.end"]


def test_it_lists_what_is_open_newest_first_and_of_one_user(board, page):
    html = someone(staff=True).get(page).content.decode()
    assert html.index('value="c2"') < html.index('value="c1"') < html.index('value="c0"')
    assert "/ws/chat/&lt;b&gt;" in html
    html = someone(staff=True).get(page, {"user": "bob"}).content.decode()
    assert 'value="c2"' in html
    assert 'value="c1"' not in html


def test_the_chosen_or_a_user_are_disconnected_and_who_did_it_is_on_record(board, page, valkey):
    client = someone(staff=True)
    assert "2 connections are being ended" in client.post(page, {"id": ["c0", "c2"]}, follow=True).content.decode()
    client.post(f"{page}?user=ann", {"end_user": "ann"})
    how = {"code": 4403, "reason": "Ended by an operator", "by": "user_True"}
    assert commands(valkey) == [{"connection_id": "c0"} | how, {"connection_id": "c2"} | how, {"user_id": "ann"} | how]
    assert "No connection was chosen" in client.post(page, follow=True).content.decode()


def test_others_do_not_see_it(board, page, valkey):
    for client in (Client(), someone(staff=False)):
        assert client.get(page).status_code == 302
        assert client.post(page, {"id": ["c0"]}).status_code == 302
    assert commands(valkey) == []


def test_a_bad_cursor_and_a_broker_that_is_away_are_said(board, page, settings, valkey_proxy):
    client = someone(staff=True)
    assert client.get(page, {"cursor": "x"}).status_code == 400
    valkey_proxy.cut()
    response = client.get(page)
    assert response.status_code == 503
    assert "cannot be reached" in response.content.decode()


def test_the_admin_links_to_it(page):
    assert page in someone(staff=True).get("/admin/").content.decode()
