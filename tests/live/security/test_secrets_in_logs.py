"""No secret that a real server was given stands in any log of any of its processes, even at DEBUG and with the access log on."""

import asyncio
import secrets
import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest
import websockets

from realtime_project.serving.process import Child
from tests.live.processes import MANAGE, PROJECT, UVICORN, Stack, _wait_ready, free_port
from tests.patience import patiently

PASSWORD = f"correct-{secrets.token_hex(12)}"
WRONG = f"wrong-{secrets.token_hex(12)}"


@pytest.fixture
def talkative(stack: Stack) -> Iterator[str]:
    """A web process more, that logs everything that there is to log; its address."""
    port = free_port()
    arguments = ["-m", "uvicorn", "realtime_project.asgi:application", *UVICORN, "--port", str(port)]
    child = Child(
        name="web-talkative",
        argv=[sys.executable, *arguments],
        environment=stack.environment | {"PYTHONPATH": str(PROJECT), "LOG_LEVEL": "DEBUG"},
        output=stack.folder / "web-talkative.log",
    )
    child.start()
    try:
        _wait_ready(child, f"http://127.0.0.1:{port}")
        yield f"http://127.0.0.1:{port}"
    finally:
        child.kill()


def make_user(stack: Stack) -> None:
    environment = stack.environment | {"PYTHONPATH": str(PROJECT), "DJANGO_SUPERUSER_PASSWORD": PASSWORD}
    command = [sys.executable, MANAGE, "createsuperuser", "--noinput", "--username", "grace", "--email", "grace@example.org"]
    subprocess.run(command, env=environment, check=True, capture_output=True, timeout=patiently(60))


async def connect(address: str, **options: object) -> None:
    """Opens a socket and closes it, whatever comes of it."""
    try:
        async with websockets.connect(address, open_timeout=patiently(20), **options) as socket:
            await asyncio.wait_for(socket.recv(), patiently(20))
    except (websockets.WebSocketException, OSError):
        return


def use_credentials(client: httpx.Client) -> dict[str, str]:
    """Logs in in every way, rightly and wrongly, and shows what was given in every place where it may stand."""
    for password in (WRONG, PASSWORD):
        given = client.post("/api/v1/auth/token", json={"username": "grace", "password": password})
    found = dict(given.json())
    bearer = {"Authorization": f"Bearer {found['access']}"}
    found["access again"] = client.post("/api/v1/auth/token/refresh", json={"refresh": found["refresh"]}).json()["access"]
    found["api key"] = client.post("/api/v1/auth/api-keys", json={"name": "k"}, headers=bearer).json()["key"]
    for number in range(2):
        made = client.post("/api/v1/auth/tickets", json={"path": "/api/v1/auth/me"}, headers=bearer)
        found[f"ticket {number}"] = made.json()["ticket"]
    shown = [
        ("token", found["access"]),
        ("api_key", found["api key"]),
        ("ticket", found["ticket 0"]),
        ("ticket", found["ticket 0"]),
    ]
    for path in ("/api/v1/auth/me", "/nowhere", "/admin/"):
        for name, secret in shown:
            client.get(path, params={name: secret})
    client.get("/api/v1/auth/me", params={"token": f"{found['access']}x"}, headers={"Host": "evil.example"})
    client.get("/api/v1/auth/me", headers={"Authorization": f"Basic {found['access again']}"})
    return found


def use_pages(address: str) -> dict[str, str]:
    """Logs in at the page, wrongly and rightly."""
    with httpx.Client(base_url=address, timeout=patiently(20)) as browser:
        browser.get("/login")
        for password in (WRONG, PASSWORD):
            form = {"username": "grace", "password": password, "csrfmiddlewaretoken": browser.cookies["csrftoken"]}
            browser.post("/login", data=form, headers={"Referer": f"{address}/login"})
        browser.post("/api/v1/auth/tickets", json={"path": "/"})  # without the token against forgery: refused, and logged
        return {"session": browser.cookies["sessionid"], "csrf": browser.cookies["csrftoken"]}


def use_links(client: httpx.Client) -> dict[str, str]:
    """Comes with what others send people with: an authorization code, signed links."""
    found = {name: secrets.token_hex(16) for name in ("code", "state", "approval", "unsubscribe")}
    client.get("/oauth/callback", params={"code": found["code"], "state": found["state"]})
    client.get(f"/approvals/WyJ4:{found['approval']}:y")
    client.post(f"/approvals/WyJ4:{found['approval']}:y")
    client.post(f"/notifications/unsubscribe/WyJ4:{found['unsubscribe']}:y")
    return found


def use_webhook(stack: Stack, client: httpx.Client) -> dict[str, str]:
    """Has a webhook refused for its signature; the secret is in the database."""
    secret = f"whsec_{secrets.token_hex(24)}"
    stack.query(
        "INSERT INTO events_webhookinlet (public_id, organization_id, name, source, secret, type_path, id_path, payload_path, "
        "is_enabled, created_at) SELECT 'in_logged', id, 'x', 'apps', %s, '$.type', '$.id', '$', true, now() "
        "FROM accounts_organization LIMIT 1",
        secret,
    )
    signed = {"webhook-id": "1", "webhook-timestamp": "1", "webhook-signature": f"v1,{secrets.token_hex(16)}"}
    assert client.post("/hooks/in_logged", json={"type": "a.b", "id": "1"}, headers=signed).status_code == 401
    return {"webhook secret": secret.removeprefix("whsec_"), "signature": signed["webhook-signature"].removeprefix("v1,")}


async def test_no_secret_is_in_any_log(stack: Stack, talkative: str) -> None:
    make_user(stack)
    with httpx.Client(base_url=talkative, timeout=patiently(20)) as client:
        known = use_credentials(client) | use_links(client) | use_webhook(stack, client)
    known |= use_pages(talkative)
    address = talkative.replace("http", "ws")
    for query in (
        f"token={known['access']}",
        f"token={known['access']}x",
        f"api_key={known['api key']}",
        f"ticket={known['ticket 1']}",
    ):
        await connect(f"{address}/ws/events?{query}")
    await connect(f"{address}/ws/events", subprotocols=["bearer", known["access"]])
    [(pem,)] = stack.query("SELECT private_pem FROM notifications_pushkey")
    known |= {"push key": pem.splitlines()[1], "password": PASSWORD, "wrong password": WRONG}
    known["secret key"] = stack.environment["SECRET_KEY"]
    written = {path.name: path.read_text(errors="replace") for path in stack.folder.glob("*.log")}
    # It did log, and these requests.
    for part in ("/api/v1/auth/me?token=[redacted]", "/oauth/callback?code=[redacted]", "/approvals/[redacted]", "/ws/events?"):
        assert part in written["web-talkative.log"], part
    for what, secret in known.items():
        assert len(secret) >= 16, what
        for name, text in written.items():
            assert secret not in text, f"{what} is in {name}"
