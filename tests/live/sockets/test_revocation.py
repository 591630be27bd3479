"""Who may no longer come in is put out of the open sockets of all processes, within a second, end to end."""

import asyncio
import re
import secrets
import time

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.live.conftest import Client, log_in, measured
from tests.live.processes import Stack
from tests.patience import patiently


def someone(stack: Stack) -> str:
    """The name of a user of this test alone; the password is the same."""
    name = f"leaver-{secrets.token_hex(4)}"
    code = f"from accounts.services import ensure_user; ensure_user(username={name!r}, password={name!r})"
    stack.manage("shell", "-c", code)
    return name


def chat(stack: Stack, *, at: int, token: str = "", **headers: str) -> connect:
    query = f"?token={token}" if token else ""
    address = f"{stack.addresses[at].replace('http', 'ws', 1)}/ws/chat/{secrets.token_hex(4)}{query}"
    return connect(address, additional_headers=headers)


async def end_of(socket: ClientConnection) -> tuple[float, int, str]:
    """When it was closed, and how."""
    try:
        async with asyncio.timeout(patiently(20)):
            while True:
                await socket.recv()
    except ConnectionClosed:
        return time.monotonic(), socket.close_code or 0, socket.close_reason or ""


async def test_a_deactivated_user_is_put_out_everywhere_and_does_not_come_back(stack: Stack, alice: Client) -> None:
    name = someone(stack)
    token = log_in(stack, name)
    async with (
        chat(stack, at=0, token=token) as one,
        chat(stack, at=1, token=token) as other,
        chat(stack, at=1, token=alice.token) as stays,
    ):
        for socket in (one, other, stays):
            await socket.recv()
        ends = [asyncio.create_task(end_of(socket)) for socket in (one, other)]
        # As the admin does it; the time is taken there, since a process needs some to start.
        code = (
            "import time; from accounts.models import User; "
            f"user = User.objects.get(username={name!r}); user.is_active = False; user.save(); "
            f"open({str(stack.folder / name)!r}, 'w').write(str(time.monotonic()))"
        )
        await asyncio.to_thread(stack.manage, "shell", "-c", code)
        saved_at = float((stack.folder / name).read_text())
        found = await asyncio.gather(*ends)
        assert {(code, reason) for _, code, reason in found} == {(1008, "Invalid token")}
        seconds = max(at for at, _, _ in found) - saved_at
        measured("a deactivated user is put out of two processes after", seconds)
        assert seconds < patiently(1)
        await stays.send('{"type":"ping"}')
        assert '"pong"' in str(await stays.recv())
    async with chat(stack, at=0, token=token) as again:
        assert (await end_of(again))[1:] == (1008, "Invalid token")


async def test_a_log_out_ends_the_sockets_of_its_session_and_of_no_other(stack: Stack) -> None:
    name = someone(stack)
    browsers = [httpx.AsyncClient(base_url=stack.addresses[0], follow_redirects=True) for _ in range(2)]
    try:
        for browser in browsers:
            page = await browser.get("/login")
            answer = await browser.post("/login", data={"username": name, "password": name, **_form_token(page)})
            assert answer.status_code == 200
            assert "sessionid" in browser.cookies
        first, second = (
            {"Cookie": f"sessionid={browser.cookies['sessionid']}", "Origin": stack.addresses[at]}
            for browser, at in zip(browsers, (0, 1), strict=True)
        )
        async with (
            chat(stack, at=0, **first) as one,
            chat(stack, at=1, **first | {"Origin": stack.addresses[1]}) as other,
            chat(stack, at=1, **second) as stays,
        ):
            for socket in (one, other, stays):
                assert '"connected"' in str(await socket.recv())
            ends = [asyncio.create_task(end_of(socket)) for socket in (one, other)]
            page = await browsers[0].get("/")
            began = time.monotonic()
            await browsers[0].post("/logout", data=_form_token(page))
            found = await asyncio.gather(*ends)
            assert {(code, reason) for _, code, reason in found} == {(1008, "Invalid token")}
            seconds = max(at for at, _, _ in found) - began
            measured("a log-out ends the sockets of two processes after", seconds)
            assert seconds < patiently(1)
            await stays.send('{"type":"ping"}')
            assert '"pong"' in str(await stays.recv())
    finally:
        for browser in browsers:
            await browser.aclose()


def _form_token(page: httpx.Response) -> dict[str, str]:
    found = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.text)
    return {"csrfmiddlewaretoken": found[1]} if found else {"csrfmiddlewaretoken": page.cookies.get("csrftoken", "")}
