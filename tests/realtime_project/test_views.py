# ruff: noqa: F811 - fixtures of another folder
import asyncio
import contextlib
import os
import re
import subprocess
import sys
import time
from urllib.parse import urlsplit

import pytest
from django.db import connection

from accounts.threads import in_thread
from chat.services import workers
from realtime_project import readiness
from realtime_project.exposition import is_loopback
from tests.chat.asgi import Client
from tests.chat.conftest import alice, alice_client, organization, stores  # noqa: F401 - fixtures
from tests.patience import patiently
from tests.proxies import Proxy, through
from workspaces.models import Workspace, WorkspaceMember

pytestmark = pytest.mark.usefixtures("stores")
HERE = Client()


@pytest.fixture
def postgres_proxy(stores):
    """The Postgres of all threads through a proxy."""
    stored = {key: connection.settings_dict[key] for key in ("HOST", "PORT")}

    def use(**address):
        # Every thread's connection shares the settings and the pool, which keeps connections to the old address.
        connection.close()
        connection.close_pool()
        connection.settings_dict.update(address)

    with Proxy(stored["HOST"] or "127.0.0.1", int(stored["PORT"] or 5432)) as proxy:
        use(HOST="127.0.0.1", PORT=proxy.port)
        try:
            yield proxy
        finally:
            proxy.restore()
            # What still waits in a thread ends before the address changes back.
            if readiness._asking is not None:
                with contextlib.suppress(Exception):
                    readiness._asking.result(timeout=20)
            readiness._asking = None
            use(**stored)


@pytest.fixture
def valkey_proxy(stores, redis_url, settings):
    parts = urlsplit(redis_url)
    with Proxy(parts.hostname, parts.port) as proxy:
        settings.REDIS_URL = through(proxy, redis_url)
        yield proxy
        proxy.restore()


async def timed(address):
    began = time.monotonic()
    answer = await HERE.get(address)
    return answer, time.monotonic() - began


async def test_a_process_that_answers_is_healthy():
    answer = await HERE.get("/healthz")
    assert (answer.status, answer.json()) == (200, {"status": "ok"})
    assert answer.headers["cache-control"] == "no-store"


async def test_ready_needs_database_broker_and_worker():
    answer = await HERE.get("/readyz")
    assert answer.status == 503
    assert int(answer.headers["retry-after"]) >= 1
    parts = answer.json()
    assert (parts["status"], parts["database"], parts["broker"]) == ("unavailable", "ok", "ok")
    assert "manage.py procrastinate worker" in parts["worker"]
    await in_thread(workers.beat, worker="w")
    answer = await HERE.get("/readyz")
    assert (answer.status, answer.json()) == (200, {"status": "ok", "database": "ok", "broker": "ok", "worker": "ok"})


@pytest.mark.parametrize("trouble", ["cut", "freeze"])
async def test_a_database_that_is_away_is_said_in_time(postgres_proxy, trouble):
    await in_thread(workers.beat, worker="w")
    getattr(postgres_proxy, trouble)()
    for _ in range(3):
        answer, seconds = await timed("/readyz")
        assert seconds < patiently(3)
        assert answer.status == 503
        parts = answer.json()
        assert "DATABASE_URL" in parts["database"]
        assert (parts["broker"], parts["worker"][:7]) == ("ok", "Unknown")
    assert (await timed("/healthz"))[1] < 0.5
    assert (await timed("/metrics"))[1] < 1.0
    postgres_proxy.restore()
    async with asyncio.timeout(patiently(20)):
        while (await HERE.get("/readyz")).status != 200:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("trouble", ["cut", "freeze"])
async def test_a_broker_that_is_away_is_said_in_time(valkey_proxy, trouble):
    await in_thread(workers.beat, worker="w")
    getattr(valkey_proxy, trouble)()
    answer, seconds = await timed("/readyz")
    assert seconds < patiently(3)
    assert answer.status == 503
    assert "REDIS_URL" in answer.json()["broker"]
    assert (answer.json()["database"], answer.json()["worker"]) == ("ok", "ok")


async def test_a_database_that_hangs_holds_one_thread_however_often_it_is_asked(postgres_proxy):
    await in_thread(workers.beat, worker="w")
    postgres_proxy.freeze()
    await asyncio.gather(*(HERE.get("/readyz") for _ in range(20)))
    # The other threads still serve what needs no database.
    async with asyncio.timeout(patiently(2)):
        assert await asyncio.gather(*(in_thread(lambda: 1) for _ in range(10))) == [1] * 10


async def test_a_database_without_our_tables_is_said(stores):
    def rename(old, new):
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER TABLE {old} RENAME TO {new}")

    await in_thread(rename, "chat_worker", "chat_elsewhere")
    try:
        assert "manage.py prepare_database" in (await HERE.get("/readyz")).json()["database"]
    finally:
        await in_thread(rename, "chat_elsewhere", "chat_worker")


async def test_metrics_are_for_this_machine():
    answer = await HERE.get("/metrics")
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/plain")
    assert b"# HELP throughline_open_feeds" in answer.body
    for client in (Client(address="::1"), Client(address="::ffff:127.0.0.1"), Client(address="127.9.9.9")):
        assert (await client.get("/metrics")).status == 200
    for address in ("10.0.0.1", "::2", "192.168.1.5", ""):
        refused = await Client(address=address).get("/metrics")
        assert refused.status == 403
        assert "METRICS_TOKEN" in refused.json()["message"]


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Real-IP"])
async def test_a_proxy_on_this_machine_does_not_make_the_world_local(header):
    assert (await HERE.get("/metrics", headers={header: "203.0.113.9"})).status == 403


async def test_with_a_token_it_is_the_token_that_counts(settings):
    settings.METRICS_TOKEN = "s3cret-tökén"
    for headers in (
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Bearer "},
        {"Authorization": "Basic s3cret"},
        {"Authorization": "Bearer \xff"},
    ):
        refused = await HERE.get("/metrics", headers=headers)
        assert refused.status == 401
        assert refused.headers["www-authenticate"] == "Bearer"
    settings.METRICS_TOKEN = "s3cret"
    far = Client(address="203.0.113.9")
    assert (await far.get("/metrics", headers={"Authorization": "bearer s3cret", "X-Forwarded-For": "1.2.3.4"})).status == 200
    assert (await far.get("/metrics?token=s3cret")).status == 401


def test_what_is_no_address_is_not_this_machine():
    assert not any(map(is_loopback, ("", "localhost", "unix:", "127.0.0.1:80", "::ffff:10.0.0.1")))


METRICS = (
    "throughline_open_feeds",
    "throughline_events_appended_total",
    "throughline_events_delivered_total",
    "throughline_delivery_lag_seconds",
    "throughline_hub_reads_total",
    "throughline_journal_lag_seconds",
    "throughline_journal_waiting_events",
    "throughline_runs",
    "throughline_runs_ended_total",
    "throughline_refusals_total",
)


async def test_every_promised_metric_is_there():
    text = (await HERE.get("/metrics")).body.decode()
    known = set(re.findall(r"# HELP (\S+)", text))
    assert set(METRICS) <= known, set(METRICS) - known


def test_with_a_shared_folder_one_process_tells_of_all(tmp_path):
    """As under `manage.py serve`: what another process counted and ended with is told here."""
    count = "import events.metrics as m; m.HUB_READS.inc(3); m.REFUSALS.labels('too_many').inc()"
    show = "from realtime_project.exposition import exposition; print(exposition().decode())"
    environment = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path), "DJANGO_SETTINGS_MODULE": "realtime_project.settings"}
    said = ""
    for code in (count, count, show):
        script = f"import django; django.setup(); {code}"
        said = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True).stdout
    assert "throughline_hub_reads_total 6.0" in said
    assert 'throughline_refusals_total{reason="too_many"} 2.0' in said


async def test_head_is_answered_and_other_methods_are_not():
    for address in ("/healthz", "/metrics"):
        assert (await HERE.request("HEAD", address)).status == 200
        assert (await HERE.post(address)).status == 405


async def test_me(alice, alice_client, organization):
    def join():
        workspace = Workspace.objects.create(public_id="ws_tests", name="Tests", organization=organization)
        WorkspaceMember.objects.create(workspace=workspace, user_id=alice.pk)

    await in_thread(join)
    answer = await alice_client.get("/api/v1/auth/me")
    assert answer.status == 200
    me = answer.json()
    assert (me["id"], me["username"]) == ("user_alice", "alice")
    assert [each["id"] for each in me["organizations"]] == ["org_tests"]
    assert [each["id"] for each in me["workspaces"]] == ["ws_tests"]
    assert (await HERE.get("/api/v1/auth/me")).status == 401
