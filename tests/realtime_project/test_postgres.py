"""The embedded Postgres: starts, keeps its data, and says in a sentence why it cannot."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from realtime_project.serving import binaries
from realtime_project.serving.account import Account, for_postgres
from realtime_project.serving.errors import ServingError
from realtime_project.serving.postgres import EmbeddedPostgres
from tests.patience import patiently


@pytest.fixture
def postgres(data_dir):
    server = EmbeddedPostgres(data_dir / "postgres", durable=False)
    yield server
    server.stop()


def test_data_are_there_after_a_restart(postgres):
    with psycopg.connect(postgres.start()) as connection:
        connection.execute("create table kept (x int)")
        connection.execute("insert into kept values (7)")
    postgres.stop()
    assert postgres.child.exit_code == 0
    again = EmbeddedPostgres(postgres.home, durable=False)
    try:
        with psycopg.connect(again.start()) as connection:
            assert connection.execute("select x from kept").fetchone() == (7,)
    finally:
        again.stop()


def test_it_listens_on_this_machine_only_and_asks_a_password(postgres):
    address = postgres.start()
    with psycopg.connect(address) as connection:
        assert connection.execute("show listen_addresses").fetchone() == ("127.0.0.1",)
        assert connection.execute("show unix_socket_directories").fetchone() == ("",)
    parts = urlsplit(address)
    for password in ("", ":wrong"):
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(f"postgres://{parts.username}{password}@127.0.0.1:{parts.port}{parts.path}")
    assert (postgres.home / "password").stat().st_mode & 0o077 == 0


def test_a_long_data_folder_works(data_dir):
    home = data_dir / ("long" * 40)
    server = EmbeddedPostgres(home, durable=False)
    try:
        psycopg.connect(server.start()).close()
    finally:
        server.stop()


def test_data_of_another_major_version_are_refused(postgres):
    data = postgres.home / "data"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("16\n")
    with pytest.raises(ServingError, match="made by Postgres 16"):
        postgres.start()


def test_a_folder_with_something_else_in_it_is_refused(postgres):
    data = postgres.home / "data"
    data.mkdir(parents=True)
    (data / "letter.txt").write_text("dear diary")
    with pytest.raises(ServingError, match="not a Postgres database"):
        postgres.start()
    assert (data / "letter.txt").read_text() == "dear diary"


def test_damaged_data_end_in_a_sentence_with_the_servers_words(postgres):
    postgres.start()
    postgres.stop()
    (postgres.home / "data" / "global" / "pg_control").unlink()
    with pytest.raises(ServingError, match=r"did not start.*pg_control"):
        EmbeddedPostgres(postgres.home, durable=False).start()


def test_a_server_that_outlived_its_starter_is_ended_and_its_data_used(postgres):
    first = postgres.start()
    leftover = postgres.child.pid
    # As after a start by somebody who was killed: a second object knows nothing of the first.
    again = EmbeddedPostgres(postgres.home, durable=False)
    try:
        assert again.start() != first
        assert again.child.pid != leftover
        postgres.child.wait(patiently(5))
        assert postgres.child.exit_code is not None
    finally:
        again.stop()


def test_a_pid_file_of_a_dead_server_whose_number_is_somebody_elses_does_not_stop_it(postgres):
    postgres.start()
    postgres.child.kill()
    record = postgres.home / "data" / "postmaster.pid"
    lines = record.read_text().splitlines()
    # After a restart of the machine the number may belong to anybody: here to a process that must stay alive.
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as bystander:
        record.write_text("\n".join([str(bystander.pid), *lines[1:]]) + "\n")
        again = EmbeddedPostgres(postgres.home, durable=False)
        try:
            psycopg.connect(again.start()).close()
            assert bystander.poll() is None
        finally:
            again.stop()
            bystander.kill()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent died")
def test_it_ends_when_the_process_that_started_it_is_killed(data_dir):
    program = (
        "import sys, time; from pathlib import Path; from realtime_project.serving.postgres import EmbeddedPostgres\n"
        "server = EmbeddedPostgres(Path(sys.argv[1]), durable=False); server.start()\n"
        "print(server.child.pid, flush=True); time.sleep(600)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(data_dir / "postgres")], stdout=subprocess.PIPE, text=True
    ) as starter:
        pid = int(starter.stdout.readline())
        starter.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + patiently(20)
    while Path(f"/proc/{pid}").exists() and " Z " not in Path(f"/proc/{pid}/stat").read_text():
        assert time.monotonic() < deadline, "Postgres outlived its starter"
        time.sleep(0.05)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts Postgres as another account")
def test_started_by_root_in_a_folder_closed_to_others_the_data_move_and_a_sentence_says_where(data_dir):
    closed = data_dir / "closed"
    closed.mkdir(mode=0o700)
    server = EmbeddedPostgres(closed / "postgres", durable=False)
    try:
        psycopg.connect(server.start()).close()
        assert str(server.home) in server.notice
        assert (closed / "postgres").resolve() == server.home
        assert closed.stat().st_mode & 0o777 == 0o700
    finally:
        server.stop()


class Outsider(Account):
    """An account that cannot enter the folder of the installed programs."""

    def can_use(self, path):
        return False


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts Postgres as another account")
def test_programs_that_the_account_cannot_reach_are_copied_with_their_libraries(data_dir, monkeypatch):
    monkeypatch.setattr(binaries, "STATE", data_dir / "state")
    account = for_postgres(data_dir)
    programs = binaries.postgres_programs(Outsider(account.uid, account.gid))
    assert programs.is_relative_to(data_dir / "state")
    for program in ("postgres", "initdb"):
        said = subprocess.run([programs / program, "--version"], capture_output=True, cwd="/", **account.popen_arguments())
        assert b"(PostgreSQL) 18" in said.stdout, said
    assert binaries.postgres_programs(Outsider(account.uid, account.gid)) == programs
