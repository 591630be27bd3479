"""`manage.py serve`, the real command: up, watched, stopped, up again on the same data; and why it refuses."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import psutil
import pytest

from realtime_project.serving.ports import free_port
from tests.patience import patiently

pytestmark = pytest.mark.live
ROOT = Path(__file__).resolve().parent.parent.parent
START_SECONDS = 90


def environment(data_dir, **settings):
    """Ours, without the stores of the test run: the command has to start its own."""
    kept = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "REDIS_URL", "SECRET_KEY")}
    return kept | {
        "DATA_DIR": str(data_dir),
        "CHAT_ENGINE": "extractive",
        **{name: str(value) for name, value in settings.items()},
    }


class Serving:
    """One run of the command, with what it prints in a file."""

    def __init__(self, data_dir, **settings):
        self.port = free_port()
        self.output = data_dir.with_suffix(".out")
        self.output.touch()
        self.before = self.output.stat().st_size
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", "serve"],
                cwd=ROOT,
                env=environment(data_dir, PORT=self.port, **settings),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @property
    def said(self):
        return self.output.read_bytes()[self.before :].decode()

    def wait_for(self, text, seconds=START_SECONDS):
        deadline = time.monotonic() + patiently(seconds)
        while text not in self.said:
            assert self.process.poll() is None, f"it ended: {self.said}"
            assert time.monotonic() < deadline, f"it never said {text!r}: {self.said}"
            time.sleep(0.05)

    def wait_until_ready(self):
        self.wait_for("Ctrl-C stops it.")
        return self

    def children(self):
        return psutil.Process(self.process.pid).children(recursive=True)

    def stop(self, number=signal.SIGTERM, seconds=60):
        self.process.send_signal(number)
        return self.process.wait(patiently(seconds))

    def request(self, path, body=None, **headers):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", data, {"Content-Type": "application/json", **headers}
        )
        with urllib.request.urlopen(request, timeout=30) as response:
            return json.loads(response.read())


@pytest.fixture
def serve(data_dir):
    """Starts servers on one data folder, and ends them all."""
    started = []

    def start(**settings):
        started.append(Serving(data_dir, **settings))
        return started[-1]

    yield start
    for serving in started:
        if serving.process.poll() is None:
            serving.stop()
    data_dir.with_suffix(".out").unlink(missing_ok=True)


def refused(data_dir, **settings):
    """The one line that a start which cannot succeed leaves on stderr."""
    ended = subprocess.run(
        [sys.executable, "manage.py", "serve"],
        cwd=ROOT,
        env=environment(data_dir, **({"PORT": free_port()} | settings)),
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
    )
    assert ended.returncode == 1, ended
    assert "Traceback" not in ended.stderr
    lines = ended.stderr.strip().splitlines()
    assert len(lines) == 1, lines
    return lines[0]


def all_gone(processes, seconds=30):
    """Whether all have ended; one that only waits for its new parent to notice has."""

    def alive(process):
        try:
            return process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    deadline = time.monotonic() + patiently(seconds)
    while any(alive(process) for process in processes):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


@pytest.mark.timeout(300)
def test_it_serves_survives_and_starts_again_on_the_same_data(serve, data_dir):
    first = serve(WEB_PROCESSES=2).wait_until_ready()
    assert "org_demo" in first.said
    tokens = first.request("/api/v1/auth/token", {"username": "demo", "password": "demo"})
    me = first.request("/api/v1/auth/me", Authorization=f"Bearer {tokens['access']}")
    assert me["username"] == "demo"

    # A second start says who is in the way, and harms nothing.
    assert f"already running on {data_dir} (process {first.process.pid})" in refused(data_dir)

    # A command in another terminal finds the embedded stores.
    found = subprocess.run(
        [sys.executable, "manage.py", "shell", "-v0", "-c", "from accounts.models import User; print(User.objects.count())"],
        cwd=ROOT,
        env=environment(data_dir),
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.split()[-1] == "3"

    # A web process and the worker are killed: both come back, and the address answers all the time.
    for text in ("uvicorn", "procrastinate"):
        victim = next(child for child in first.children() if text in " ".join(child.cmdline()))
        victim.kill()
        victim.wait(patiently(10))
        first.request("/healthz")
    first.wait_for("The worker process was ended by SIGKILL; it starts again")
    assert re.search(r"The web [12] process was ended by SIGKILL", first.said)

    children = first.children()
    assert first.stop() == 0
    assert "Stopped." in first.said
    assert "Traceback" not in first.said
    assert all_gone(children)
    assert not (data_dir / "running.json").exists()

    second = serve().wait_until_ready()
    assert "Made the organisation" not in second.said
    # The signing key and the users are those of before: an earlier token still opens the door.
    assert second.request("/api/v1/auth/me", Authorization=f"Bearer {tokens['access']}")["id"] == me["id"]
    assert second.stop(signal.SIGINT) == 0


@pytest.mark.timeout(240)
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent died")
def test_killed_it_leaves_nothing_behind_that_keeps_the_next_from_starting(serve):
    first = serve().wait_until_ready()
    children = first.children()
    assert len(children) >= 4
    first.process.kill()
    first.process.wait()
    # At once: the next start has to cope with stores that are still ending.
    second = serve().wait_until_ready()
    second.request("/healthz")
    assert all_gone(children)
    assert second.stop() == 0


@pytest.mark.timeout(240)
def test_open_streams_end_by_themselves_when_it_stops(serve):
    serving = serve().wait_until_ready()
    token = serving.request("/api/v1/auth/token", {"username": "alice", "password": "alice"})["access"]
    request = urllib.request.Request(f"http://127.0.0.1:{serving.port}/api/events", headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request, timeout=30) as stream:
        assert stream.readline().startswith(b":")
        serving.process.send_signal(signal.SIGTERM)
        started = time.monotonic()
        rest = stream.read()  # raises when the response is cut instead of ended
        assert time.monotonic() - started < patiently(3)
    assert b"data" not in rest
    assert serving.process.wait(patiently(60)) == 0


def test_a_taken_port_is_one_sentence(data_dir):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert "is taken by another program" in refused(data_dir, PORT=taken.getsockname()[1])


def test_a_file_as_data_folder_is_one_sentence(data_dir):
    (data_dir / "file").write_text("")
    assert "cannot be used" in refused(data_dir / "file")


def test_data_of_another_postgres_are_one_sentence(data_dir):
    (data_dir / "postgres" / "data").mkdir(parents=True)
    (data_dir / "postgres" / "data" / "PG_VERSION").write_text("13\n")
    assert "made by Postgres 13" in refused(data_dir)


def test_an_unreachable_database_is_one_sentence(data_dir):
    assert "DATABASE_URL=postgres://127.0.0.1:1/none cannot be reached" in refused(
        data_dir, DATABASE_URL="postgres://127.0.0.1:1/none"
    )


def test_an_unreachable_redis_is_one_sentence(data_dir):
    said = refused(data_dir, DATABASE_URL=os.environ["DATABASE_URL"], REDIS_URL="redis://127.0.0.1:1/0")
    assert "REDIS_URL=redis://127.0.0.1:1/0 cannot be reached" in said


def test_no_web_process_is_one_sentence(data_dir):
    assert "at least one web process" in refused(data_dir, WEB_PROCESSES=0)


def test_the_account_that_starts_it_is_the_only_one_that_can_read_its_secrets(data_dir, serve):
    serving = serve()
    serving.wait_for("ready")
    for file in ("secret_key", "running.json", "postgres/password", "valkey/password", "valkey/valkey.conf"):
        assert (data_dir / file).stat().st_mode & 0o077 == 0, file
    with pytest.raises(urllib.error.HTTPError, match="401"):
        serving.request("/api/v1/auth/me")


def test_a_broker_that_nobody_knows_is_refused(data_dir):
    assert "EVENT_BROKER=kafka is not a broker: redis or nats." in refused(data_dir, EVENT_BROKER="kafka")


def test_a_nats_that_does_not_answer_is_refused(data_dir):
    said = refused(
        data_dir, EVENT_BROKER="nats", DATABASE_URL=os.environ["DATABASE_URL"], NATS_URL="nats://s3cretword@127.0.0.1:1"
    )
    assert "cannot be reached" in said
    assert "s3cretword" not in said
