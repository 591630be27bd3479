"""Requests and sockets as one person, to the real ASGI application in this process; and a look at everything that is stored."""

import asyncio
import json
from urllib.parse import urlencode

import redis
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore
from django.db import connection

from accounts import services as accounts
from realtime_project.asgi import application
from tests.chat.asgi import Client

CSRF = "c" * 32
SECONDS = 30
NOT_THE_USERS = {"django_session", "accounts_loginwindow"}
"""Tables that a request changes whoever asks."""


class Person(Client):
    """Asks with everything that a browser and a program would have of one user: a token, a session, the CSRF token."""

    def __init__(self, user=None):
        super().__init__(token=accounts.access_token_for(user=user) if user else "")
        self.cookies = f"{settings.CSRF_COOKIE_NAME}={CSRF}"
        if user is not None:
            self.cookies += f"; {settings.SESSION_COOKIE_NAME}={_session(user)}"

    async def ask(self, method, path, body=None):
        """The response; of a stream its beginning."""
        headers = {"cookie": self.cookies, "x-csrftoken": CSRF}
        raw = b"" if body is None else json.dumps(body).encode()
        return await self.request(method, path, body=raw, headers=headers, until=lambda _: True)


def _session(user):
    store = SessionStore()
    store[SESSION_KEY] = str(user.pk)
    store[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    store[HASH_SESSION_KEY] = user.get_session_auth_hash()
    store.create()
    return store.session_key


async def open_socket(path, *, token=""):
    """What a socket says until it is closed, or until its first frame: (frames, close code or None)."""
    frames, closed, incoming = [], [], asyncio.Queue()
    incoming.put_nowait({"type": "websocket.connect"})

    async def send(message):
        if message["type"] == "websocket.send":
            frames.append(message["text"])
            incoming.put_nowait({"type": "websocket.disconnect", "code": 1001})
        elif message["type"] == "websocket.close":
            closed.append(message["code"])
            incoming.put_nowait({"type": "websocket.disconnect", "code": message["code"]})

    scope = {
        "type": "websocket",
        "path": path,
        "scheme": "ws",
        "query_string": urlencode({"token": token} if token else {}).encode(),
        "headers": [(b"host", b"localhost")],
        "subprotocols": [],
        "server": ("localhost", 80),
        "client": ("127.0.0.1", 50000),
    }
    async with asyncio.timeout(SECONDS):
        await application(scope, incoming.get, send)
    return frames, closed[0] if closed else None


def everything_stored(redis_url):
    """A digest of each table, and the last id of each stream: equal before and after what changed nothing."""
    with connection.cursor() as cursor:
        tables = [name for name in connection.introspection.table_names(cursor) if name not in NOT_THE_USERS]
        each = "SELECT '{0}', md5(coalesce(string_agg(t::text, '|' ORDER BY t::text), '')) FROM \"{0}\" t"
        cursor.execute(" UNION ALL ".join(map(each.format, tables)))
        found = dict(cursor.fetchall())
    with redis.Redis.from_url(redis_url) as client:
        for key in client.scan_iter(match="tl:*", _type="stream"):
            found[key.decode()] = client.xinfo_stream(key)["last-generated-id"].decode()
    return found
