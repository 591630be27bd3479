"""The nginx of the documentation, in front of a real web process: what it lets nobody do."""

import os
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.live.processes import PROJECT, Stack, free_port
from tests.patience import patiently

SECONDS = 1
"""Instead of the 10 of the file: nobody wants to wait for them here."""
HTTP = """
daemon off; {user}
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ }}
http {{
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    {site}
}}
"""


@pytest.fixture
def nginx(nginx_path: str, stack: Stack, tmp_path: Path) -> Iterator[int]:
    """Its port; the file is the one that is shipped, but for addresses and times."""
    port = free_port()
    site = (PROJECT / "deploy" / "nginx.conf").read_text()
    site = site.replace("server 127.0.0.1:8001;", f"server {stack.addresses[0].removeprefix('http://')};")
    site = site.replace("    server 127.0.0.1:8002;\n", "").replace("listen 80;", f"listen 127.0.0.1:{port};")
    site = site.replace("/var/log/nginx/throughline.log", f"{tmp_path}/access.log")
    site = re.sub(r"(client_(?:header|body)_timeout) 10s", rf"\1 {SECONDS}s", site)
    site = re.sub(r"(limit_conn throughline_addresses) 200", r"\1 5", site)
    assert site.count(f"timeout {SECONDS}s") == 2
    configuration = tmp_path / "nginx.conf"
    user = "user root;" if os.geteuid() == 0 else ""
    configuration.write_text(HTTP.format(folder=tmp_path, site=site, user=user))
    process = subprocess.Popen([nginx_path, "-p", str(tmp_path), "-c", str(configuration), "-e", f"{tmp_path}/error.log"])
    try:
        deadline = time.monotonic() + patiently(20)
        while True:
            try:
                if httpx.get(f"http://127.0.0.1:{port}/healthz", headers={"Host": "localhost"}).status_code == 200:
                    break
            except httpx.TransportError:
                time.sleep(0.05)
            assert process.poll() is None, (tmp_path / "error.log").read_text()
            assert time.monotonic() < deadline, (tmp_path / "error.log").read_text()
        yield port
    finally:
        process.terminate()
        process.wait(patiently(10))


def opened(port: int, data: bytes) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=patiently(20))
    connection.sendall(data)
    return connection


def is_cut_off(connection: socket.socket) -> bool:
    """Whether the other side ends it, within the time limit of the socket."""
    try:
        while data := connection.recv(4096):
            if b" 408 " in data:
                return True
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False
    return True


def test_the_proxy_of_the_documentation_cuts_slow_requests_off(nginx: int) -> None:
    slow = [
        opened(nginx, b""),
        opened(nginx, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nA:"),
        opened(nginx, b'POST /stream HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{"question": "'),
    ]
    try:
        assert [is_cut_off(each) for each in slow] == [True, True, True]
    finally:
        for each in slow:
            each.close()


def test_one_address_has_only_so_many_connections(nginx: int) -> None:
    """Those that wait for an answer: here five, and then 429."""
    token_less = {"Host": "localhost"}
    held = []
    try:
        for _ in range(5):
            # A socket that has not said who it is: open until it must have.
            request = (
                b"GET /ws/events HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
            )
            held.append(opened(nginx, request))
            assert b" 101 " in held[-1].recv(4096)
        assert httpx.get(f"http://127.0.0.1:{nginx}/healthz", headers=token_less).status_code == 429
    finally:
        for each in held:
            each.close()


def test_its_log_holds_no_secret(nginx: int, tmp_path: Path) -> None:
    for path in (
        "/approvals/WyJ4:secretsecret:y",
        "/notifications/unsubscribe/WyJ4:secretsecret:y",
        "/api/events?token=secretsecret",
    ):
        httpx.get(f"http://127.0.0.1:{nginx}{path}", headers={"Host": "localhost"}, timeout=patiently(20))
    log = (tmp_path / "access.log").read_text()
    assert "/approvals/[redacted]" in log
    assert "/api/events" in log
    assert "secretsecret" not in log
