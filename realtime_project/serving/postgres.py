"""The embedded Postgres: a real server, on 127.0.0.1 with a password, with its data in the data folder."""

import contextlib
import os
import secrets
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import psycopg

from realtime_project.serving.account import Account, for_postgres
from realtime_project.serving.binaries import POSTGRES_MAJOR, postgres_programs, state_folder
from realtime_project.serving.errors import ServingError
from realtime_project.serving.folder import kept_secret, reason
from realtime_project.serving.ports import LOOPBACK, free_port
from realtime_project.serving.process import Child

NAME = "throughline"  # of the database and of its owner
START_SECONDS = 60.0  # recovery after a crash may have much to replay
STOP_SECONDS = 30.0


class EmbeddedPostgres:
    """A Postgres with its home (data, log, password) in one folder.

    `connections` is the most it accepts; `durable=False` gives up surviving a crash of the machine for
    speed, for tests. It listens on a free port of 127.0.0.1 only, and asks a password that only we can read:
    other users of the machine can reach the port.
    """

    def __init__(self, home: Path, *, connections: int = 100, durable: bool = True) -> None:
        self.home = home
        self.connections = connections
        self.durable = durable
        self.child: Child | None = None
        self.notice: str | None = None
        """A sentence that the person who starts the server should read, or None."""

    def prepare(self) -> Child:
        """Makes the data on the first start, ends what a killed server left running, and returns what to start.

        Raises:
            ServingError: the folder cannot be used, or another major version made it.
        """
        try:
            self.home.mkdir(mode=0o711, exist_ok=True)
            account = for_postgres(self.home / "data")
            self.home = self._reachable_home(account)
            data = self.home / "data"
            programs = postgres_programs(account)
            self._check_version(data)
            self._end_leftover(data)
            self._password = kept_secret(self.home / "password")
            if not (data / "PG_VERSION").exists():
                self._initialise(data, programs, account)
        except OSError as error:
            raise ServingError(f"The embedded Postgres cannot use {self.home}: {reason(error)}.") from error
        self._port = free_port()
        self.child = Child(
            name="Postgres",
            argv=[str(programs / "postgres"), "-D", str(data), *self._options()],
            environment={"LC_ALL": "C", "TZ": "UTC", "PATH": os.defpath},
            stop_signal=signal.SIGINT,  # "fast": open transactions are rolled back, clients are let go
            stop_seconds=STOP_SECONDS,
            output=self.home / "log",
            account=account,
        )
        return self.child

    def start(self) -> str:
        """Starts it, waits until it answers, makes the database, and returns the address for DATABASE_URL.

        Raises:
            ServingError: as `prepare`, or it did not come up.
        """
        child = self.child or self.prepare()
        child.start()
        self.wait_until_ready()
        with psycopg.connect(self._address("postgres"), autocommit=True) as connection:
            if not connection.execute("select 1 from pg_database where datname = %s", [NAME]).fetchone():
                connection.execute(f'create database "{NAME}"')
        return self.url

    @property
    def url(self) -> str:
        """The address, as DATABASE_URL and libpq understand it."""
        return self._address(NAME)

    def wait_until_ready(self) -> None:
        """Returns once it takes connections.

        Raises:
            ServingError: it ended, or did not answer within START_SECONDS; the sentence has its log's last line.
        """
        assert self.child is not None  # noqa: S101
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.child.exit_code is None:
            try:
                psycopg.connect(self._address("postgres"), connect_timeout=5).close()
            except psycopg.OperationalError:
                time.sleep(0.05)
            else:
                return
        self.child.kill()
        raise ServingError(f"The embedded Postgres did not start; the last line of {self.home / 'log'}: {self._last_line()}")

    def stop(self) -> None:
        """Ends it; what is committed stays."""
        if self.child is not None:
            self.child.stop()

    def _address(self, database: str) -> str:
        return f"postgres://{NAME}:{self._password}@{LOOPBACK}:{self._port}/{database}"

    def _options(self) -> list[str]:
        settings = {
            "listen_addresses": LOOPBACK,
            "port": str(self._port),
            "unix_socket_directories": "",
            "max_connections": str(self.connections),
            "timezone": "UTC",
            "log_timezone": "UTC",
        }
        if not self.durable:
            settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        return [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]

    def _reachable_home(self, account: Account | None) -> Path:
        """The home, or, where `account` cannot enter that, the folder under STATE that now stands behind it."""
        home = self.home.resolve()
        if account is None or account.can_use(home):
            return home
        if any(self.home.iterdir()):
            raise ServingError(
                f"The account that Postgres runs as can no longer enter {self.home}: make its parent folders passable again."
            )
        elsewhere = state_folder() / secrets.token_hex(8)
        elsewhere.mkdir(mode=0o711)
        self.home.rmdir()
        self.home.symlink_to(elsewhere)
        self.notice = (
            f"Postgres does not run as root, and its account cannot enter {self.home.parent}: "
            f"its data are in {elsewhere}, to which {self.home} points."
        )
        return elsewhere

    def _check_version(self, data: Path) -> None:
        if data.exists() and not (data / "PG_VERSION").exists() and any(data.iterdir()):
            raise ServingError(
                f"The folder {data} holds something that is not a Postgres database: move it away, or set another DATA_DIR."
            )
        with contextlib.suppress(FileNotFoundError):
            version = (data / "PG_VERSION").read_text().strip()
            if version != str(POSTGRES_MAJOR):
                raise ServingError(
                    f"The data in {data} were made by Postgres {version}, and this is {POSTGRES_MAJOR}: "
                    "move them with pg_dump and pg_restore, or set another DATA_DIR."
                )

    def _end_leftover(self, data: Path) -> None:
        """Ends a server that outlived the one that started it, and forgets one that died with its machine.

        Nobody else can be using the data: the caller holds the data folder. After a reboot the process id in
        Postgres' own file may be anybody's, and would keep it from starting.
        """
        record = data / "postmaster.pid"
        try:
            pid = int(record.read_text().splitlines()[0])
        except FileNotFoundError:
            return
        except (ValueError, IndexError):
            pid = 0
        if not _runs_in(pid, data):
            record.unlink()
            return
        os.kill(pid, signal.SIGINT)
        deadline = time.monotonic() + STOP_SECONDS
        while record.exists():
            if time.monotonic() > deadline:
                raise ServingError(
                    f"A Postgres left over from an earlier start (process {pid}) does not end: end it, then start again."
                )
            time.sleep(0.05)

    def _initialise(self, data: Path, programs: Path, account: Account | None) -> None:
        data.mkdir(mode=0o700, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", prefix="throughline-") as password:
            password.write(self._password)
            password.flush()
            if account is not None:
                os.chown(data, account.uid, account.gid)
                os.fchown(password.fileno(), account.uid, account.gid)
            # The locale is fixed: the one of whoever starts first need not exist elsewhere.
            command = [str(programs / "initdb"), "-D", str(data), "-U", NAME, "--encoding=UTF8", "--auth=scram-sha-256"]
            command += ["--pwfile", password.name, "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
            made = subprocess.run(  # noqa: S603
                command + ([] if self.durable else ["--no-sync"]),
                cwd="/",
                env={"LC_ALL": "C", "TZ": "UTC", "PATH": os.defpath},
                capture_output=True,
                check=False,
                **(account.popen_arguments() if account is not None else {}),
            )
        if made.returncode:
            lines = made.stderr.decode(errors="replace").strip().splitlines()
            raise ServingError(f"The database could not be made in {data}: {lines[-1] if lines else made.returncode}")

    def _last_line(self) -> str:
        lines = (self.home / "log").read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "(nothing)"


def _runs_in(pid: int, data: Path) -> bool:
    """Whether the process is a Postgres on these data: it works in their folder."""
    if pid <= 0:
        return False
    if Path("/proc/self").exists():
        try:
            return Path(os.readlink(f"/proc/{pid}/cwd")) == data.resolve()
        except OSError:
            return False
    try:
        asked = subprocess.run(["ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False)  # noqa: S603, S607
    except OSError:
        return False
    return str(data) in asked.stdout
