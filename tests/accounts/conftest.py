"""What the tests of accounts share: scopes, people, and a look at the queries of all threads."""

import contextlib
from urllib.parse import urlencode

import pytest
from django.db import connections
from django.db.backends.signals import connection_created

from accounts import services
from accounts.recent import recent_callers

PASSWORD = "correct horse battery"


@pytest.fixture(autouse=True)
def _accounts_alone(settings):
    """These tests need no other app's addresses, and no slow password hashes."""
    settings.ROOT_URLCONF = "tests.accounts.urls"
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    recent_callers.clear()
    yield
    recent_callers.clear()


@pytest.fixture
def organization(db):
    return services.ensure_organization(public_id="org_tests", name="Tests")


@pytest.fixture
def alice(organization):
    return services.ensure_user(username="alice", password=PASSWORD, organization=organization)


@pytest.fixture
def bob(db):
    return services.ensure_user(username="bob", password=PASSWORD)


@pytest.fixture
def alice_token(alice):
    return services.access_token_for(user=alice)


@pytest.fixture
def alice_session(alice, client):
    """The key of a session in which alice is logged in."""
    client.force_login(alice)
    return client.session.session_key


@pytest.fixture
def bearer(alice_token):
    """Keyword arguments that make Django's test client send alice's token."""
    return {"headers": {"Authorization": f"Bearer {alice_token}"}}


def make_scope(*, path="/api/events", method="GET", kind="http", scheme=None, headers=None, cookies=None, **query):
    """An ASGI scope as uvicorn makes them."""
    raw = [(b"host", b"testserver")]
    raw += [(name.lower().encode(), value.encode("latin-1")) for name, value in (headers or {}).items()]
    if cookies:
        raw.append((b"cookie", "; ".join(f"{name}={value}" for name, value in cookies.items()).encode()))
    scope = {
        "type": kind,
        "path": path,
        "query_string": urlencode(query).encode(),
        "headers": raw,
        "scheme": scheme or ("ws" if kind == "websocket" else "http"),
        "server": ("testserver", 80),
        "client": ("127.0.0.1", 50000),
    }
    if kind == "http":
        scope["method"] = method
    return scope


@pytest.fixture
def queries():
    """The SQL that any thread of this process runs from here on."""
    seen = []
    watched = []

    def note(execute, sql, params, many, context):
        seen.append(sql)
        return execute(sql, params, many, context)

    def watch(connection, **_):
        if note not in connection.execute_wrappers:
            connection.execute_wrappers.append(note)
            watched.append(connection)

    connection_created.connect(watch)
    for connection in connections.all(initialized_only=True):
        watch(connection)
    yield seen
    connection_created.disconnect(watch)
    for connection in watched:
        with contextlib.suppress(ValueError):
            connection.execute_wrappers.remove(note)
