"""The embedded NATS: a real server with JetStream, on 127.0.0.1 with a password, with its files in the data folder."""

import json
import os
import re
import signal
import socket
import time
from pathlib import Path

from realtime_project.serving.binaries import nats_server
from realtime_project.serving.errors import ServingError
from realtime_project.serving.folder import kept_secret, reason
from realtime_project.serving.ports import LOOPBACK, free_port
from realtime_project.serving.process import Child

START_SECONDS = 60.0  # it reads its files first
STOP_SECONDS = 20.0
ANSWER_SECONDS = 5.0
CONFIGURATION = "nats.conf"
USER = "throughline"


class EmbeddedNats:
    """A NATS with its home (JetStream's files, log, configuration with the password) in one folder.

    It listens on a free port of 127.0.0.1 only, and asks a password that only we can read: other users of the machine can
    reach the port. What was written stays, whether it is stopped or killed.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self.child: Child | None = None

    def prepare(self) -> Child:
        """Ends what a killed server left running, and returns what to start.

        Raises:
            ServingError: the folder cannot be used.
        """
        try:
            self.home.mkdir(mode=0o700, exist_ok=True)
            self.home = self.home.resolve()
            (self.home / "data").mkdir(mode=0o700, exist_ok=True)
            if not os.access(self.home / "data", os.W_OK):
                raise ServingError(f"The embedded NATS cannot write to {self.home / 'data'}.")
        except OSError as error:
            raise ServingError(f"The embedded NATS cannot use {self.home}: {reason(error)}.") from error
        self._password = kept_secret(self.home / "password")
        self._end_leftover()
        self._port = free_port()
        self._configure()
        self.child = Child(
            name="NATS",
            argv=[str(nats_server()), "-c", str(self.home / CONFIGURATION)],
            stop_signal=signal.SIGTERM,  # writes its files to disk, then ends
            stop_seconds=STOP_SECONDS,
            output=self.home / "log",
        )
        return self.child

    def start(self) -> str:
        """Starts it, waits until it answers, and returns the address for NATS_URL.

        Raises:
            ServingError: as `prepare`, or it did not come up.
        """
        child = self.child or self.prepare()
        child.start()
        self.wait_until_ready()
        return self.url

    @property
    def url(self) -> str:
        """The address, as NATS_URL."""
        return f"nats://{USER}:{self._password}@{LOOPBACK}:{self._port}"

    def wait_until_ready(self) -> None:
        """Returns once it answers.

        Raises:
            ServingError: it ended, or did not answer within START_SECONDS; the sentence has its log's last line.
        """
        assert self.child is not None  # noqa: S101
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.child.exit_code is None:
            if self._answers():
                return
            time.sleep(0.02)
        self.child.kill()
        lines = (self.home / "log").read_text(errors="replace").strip().splitlines()
        raise ServingError(
            f"The embedded NATS did not start; the last line of {self.home / 'log'}: {lines[-1] if lines else '(nothing)'}"
        )

    def stop(self) -> None:
        """Ends it; what was written stays."""
        if self.child is not None:
            self.child.stop()

    def _answers(self) -> bool:
        """Whether a NATS that knows our password answers on our port."""
        options = {"user": USER, "pass": self._password, "verbose": False, "pedantic": False}
        login = f"CONNECT {json.dumps(options)}\r\nPING\r\n"
        try:
            with socket.create_connection((LOOPBACK, self._port), timeout=ANSWER_SECONDS) as opened:
                opened.settimeout(ANSWER_SECONDS)
                lines = opened.makefile("rb")
                if not lines.readline().startswith(b"INFO"):
                    return False
                opened.sendall(login.encode())
                return lines.readline().startswith(b"PONG")
        except OSError:
            return False

    def _configure(self) -> None:
        """Writes the configuration. In a file, because everybody can read the arguments of a process."""
        text = f"""
listen: "{LOOPBACK}:{self._port}"
authorization {{ user: "{USER}", password: "{self._password}" }}
pid_file: {json.dumps(str(self.home / "pid"))}
max_payload: 1MB
jetstream {{
  store_dir: {json.dumps(str(self.home / "data"))}
  sync_interval: "1s"  # at most so much is lost with the machine's power; with the process alone, nothing
}}
"""
        with os.fdopen(os.open(self.home / CONFIGURATION, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as opened:
            opened.write(text)

    def _end_leftover(self) -> None:
        """Ends a server that outlived the one that started it: the caller holds the data folder, so it is ours."""
        try:
            found = re.search(r'listen: "[^"]*:(\d+)"', (self.home / CONFIGURATION).read_text())
            pid = int((self.home / "pid").read_text())
        except (OSError, ValueError):
            return
        if found is None:
            return
        self._port = int(found[1])
        deadline = time.monotonic() + STOP_SECONDS
        # Only ours knows the password; whoever else listens there by now is left alone.
        while self._answers():
            try:
                os.kill(pid, signal.SIGTERM)
            except OSError:
                return
            if time.monotonic() > deadline:
                raise ServingError("A NATS left over from an earlier start does not end: end it, then start again.")
            time.sleep(0.05)
