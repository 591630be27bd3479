"""A short run of the whole thing on either broker. The long one: `make soak`."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.live.processes import PROJECT

SEED = 16
SECONDS = 25
KINDS = {
    "redis": "kill_web,kill_worker,cut_clients,half_open_broker_line,flush_broker,kill_doorbells,fail_over,crash_postgres",
    "nats": "kill_web,kill_worker,restart_broker,empty_broker",
}
"""Those that take little time."""


@pytest.mark.live
@pytest.mark.timeout(900)
@pytest.mark.parametrize("broker", ["redis", "nats"])
def test_a_short_run_keeps_every_promise(broker: str, tmp_path: Path):
    command = [sys.executable, "-m", "tests.faults", "--time", str(SECONDS), "--seeds", str(SEED), "--only", KINDS[broker]]
    # The driver in a process of its own: what it starts dies with the thread that started it, whatever becomes of the test.
    done = subprocess.run(
        [*command, "--out", str(tmp_path)],
        cwd=PROJECT,
        env=os.environ | {"EVENT_BROKER": broker},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-5000:]
    [report] = json.loads((tmp_path / "report.json").read_text())
    assert (report["seed"], report["broker"], report["verdict"]) == (SEED, broker, "kept")
    assert sum(report["faults"].values()) >= 3
    counts = report["counts"]
    assert min(counts[name] for name in ("published", "received", "reconnects", "answers", "jobs")) > 0, counts
