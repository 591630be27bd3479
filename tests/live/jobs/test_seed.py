"""Seed 003's own examples, verbatim but for host, key and ids, against real processes."""

import asyncio
import json
import re
import secrets
import sys
from pathlib import Path

import httpx
import pytest
from playwright.async_api import async_playwright

from tests.live.conftest import Client
from tests.live.processes import Stack
from tests.patience import patiently

HERE = Path(__file__).parent
HOST = "https://api.superdocs.app"
KEY = "sk_YOUR_API_KEY"
HTML = "<h1>Terms</h1><p>Payment is due.</p><p>We do a lot. We do it well. We do it every day of the week. Payment helps.</p>"


@pytest.fixture
async def key(alice: Client) -> str:
    answer = await alice.request("POST", "/api/v1/auth/api-keys", json={"name": secrets.token_hex(4)})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["key"])


@pytest.fixture
def session() -> str:
    return f"session-{secrets.token_hex(4)}"


def filled(name: str, **values: str) -> str:
    """An example with what its reader has to put in."""
    text = (HERE / name).read_text()
    for old, new in values.items():
        text = text.replace({"host": HOST, "key": KEY, "session": "my-session", "job": "job_abc123"}[old], new)
    return text


async def shell(command: str) -> str:
    process = await asyncio.create_subprocess_shell(command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
    async with asyncio.timeout(patiently(30)):
        out, error = await process.communicate()
    assert process.returncode == 0, error.decode()
    return out.decode()


async def begin(alice: Client, session: str, message: str = 'replace "payment" with "invoice"', **fields: str) -> str:
    body = {"message": message, "session_id": session, "document_html": HTML} | fields
    answer = await alice.request("POST", "/v1/chat/async", json=body)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["job_id"])


async def test_the_two_curl_commands(stack: Stack, key: str, session: str):
    host = stack.addresses[0]
    begun = json.loads(await shell(filled("seed_async.sh", host=host, key=key, session=session)))
    assert begun["session_id"] == session
    body = await shell(filled("seed_stream.sh", host=host, key=key, session=session, job=begun["job_id"]))
    assert re.findall(r"^event: (.*)$", body, re.MULTILINE)[-2:] == ["final", "usage"]


async def test_the_python_loop_ends_by_itself_and_sees_everything(stack: Stack, alice: Client, key: str, session: str, tmp_path):
    job = await begin(alice, session)
    program = f"job_id = {job!r}\napi_key = {key!r}\n" + filled("seed_stream.txt", host=stack.addresses[1], session=session)
    path = tmp_path / "seed.py"
    path.write_text(program)
    said = await shell(f"{sys.executable} {path}")
    assert said.splitlines()[0].startswith("Progress: ")
    assert "invoice" in said.splitlines()[-1]
    assert "Error" not in said


async def test_the_javascript_example_in_a_browser(stack: Stack, alice: Client, key: str, session: str, chromium_path: str):
    job = await begin(alice, session)
    said: list[str] = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium_path, args=["--no-sandbox"])
        page = await browser.new_page()
        await page.goto(f"{stack.addresses[0]}/healthz")
        # What the example says, and not that there is no favicon here.
        page.on("console", lambda message: said.append(message.text) if message.type == "log" else None)
        script = filled("seed_stream.js", host=stack.addresses[0], session=session)
        state = await page.evaluate(
            f"""async () => {{
                const jobId = {job!r}, apiKey = {key!r};
                {script}
                const usage = await new Promise((found) => eventSource.addEventListener(
                    "final", (event) => found(JSON.parse(event.data).result.usage)));
                return {{usage, state: eventSource.readyState}};
            }}"""
        )
        await browser.close()
    assert said[-1].startswith("Done: ")
    assert all(each.startswith("Progress: ") for each in said[:-1])
    assert said[:-1]
    assert state["state"] == 2
    assert state["usage"]["was_billable"] is True


async def test_an_error_is_told_in_the_browser_and_in_python(stack: Stack, alice: Client, key: str, session: str, tmp_path):
    failing = '!script [{"text": "so far"}, {"fail": {"code": "x", "message": "It broke.", "retryable": false}}]'
    answer = await alice.request("POST", "/v1/chat/async", json={"message": failing, "session_id": session})
    program = filled("seed_stream.txt", host=stack.addresses[0], session=session)
    path = tmp_path / "seed.py"
    path.write_text(f"job_id = {answer.json()['job_id']!r}\napi_key = {key!r}\n{program}")
    assert (await shell(f"{sys.executable} {path}")).splitlines()[-1] == "Error: It broke."


async def test_the_stream_has_the_headers_that_keep_it_flowing(stack: Stack, alice: Client, session: str):
    job = await begin(alice, session)
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"{stack.addresses[0]}/v1/chat/{session}/stream?job_id={job}", headers=alice.headers)
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache, no-transform"
    assert b"\r" not in answer.content
    assert all(line.count(b"data: ") == 1 for line in answer.content.split(b"\n\n") if b"data: " in line)
