import pytest
from django.test import Client

from tests.accounts.conftest import PASSWORD

pytestmark = pytest.mark.django_db


def log_in(client, **changes):
    return client.post("/login", {"username": "alice", "password": PASSWORD} | changes)


def test_the_page_has_labelled_fields_and_the_csrf_token(client):
    page = client.get("/login").content.decode()
    for field in ("username", "password"):
        assert f'for="id_{field}"' in page
        assert f'id="id_{field}"' in page
    assert "csrfmiddlewaretoken" in page
    assert 'autocomplete="current-password"' in page
    assert "<title>Log in" in page


def test_logging_in_leads_home_and_makes_a_session(client, alice):
    response = log_in(client)
    assert (response.status_code, response["Location"]) == (302, "/")
    assert client.get("/who").json()["credential"] == "session"


def test_a_wrong_password_is_said_on_the_page(client, alice):
    response = log_in(client, password="wrong")
    assert response.status_code == 200
    assert 'role="alert"' in response.content.decode()


@pytest.mark.parametrize(
    ("target", "location"),
    [
        ("/rooms?x=1", "/rooms?x=1"),
        ("https://evil.example/", "/"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("javascript:alert(1)", "/"),
    ],
)
def test_only_our_own_pages_are_returned_to(client, alice, target, location):
    assert log_in(client, next=target)["Location"] == location


def test_the_page_to_return_to_is_kept_through_a_mistake(client, alice):
    assert 'value="/rooms"' in log_in(client, next="/rooms", password="wrong").content.decode()


def test_the_form_needs_the_csrf_token(alice):
    assert log_in(Client(enforce_csrf_checks=True)).status_code == 403


@pytest.mark.parametrize("path", ["/login", "/admin/login/"])
def test_too_many_attempts_are_refused_on_pages_too(client, alice, settings, path):
    settings.LOGIN_ATTEMPTS_PER_MINUTE = 2
    alice.is_staff = True
    alice.save()
    for _ in range(2):
        client.post(path, {"username": "alice", "password": "wrong"})
    response = client.post(path, {"username": "alice", "password": PASSWORD})
    assert "Too many attempts" in response.content.decode()
    assert client.get("/who").status_code == 401
    if path == "/login":
        assert response.status_code == 429
        assert int(response["Retry-After"]) >= 1


@pytest.mark.parametrize("username", ["", "nul\0", "a" * 1000])
def test_odd_names_are_form_errors(client, username):
    assert log_in(client, username=username).status_code == 200


def test_logging_out_is_a_post_and_ends_the_session(client, alice):
    log_in(client)
    session = client.cookies["sessionid"].value
    assert client.get("/logout").status_code == 405
    response = client.post("/logout")
    assert (response.status_code, response["Location"]) == (302, "/login")
    assert Client(headers={"Cookie": f"sessionid={session}"}).get("/who").status_code == 401
