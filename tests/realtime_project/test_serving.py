"""The parts of `manage.py serve` that need no server: folder, port, given stores, supervisor."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from urllib.parse import urlsplit

import pytest

from realtime_project.serving.errors import ServingError
from realtime_project.serving.folder import DataFolder
from realtime_project.serving.ports import is_loopback, listen, web_address
from realtime_project.serving.process import Child
from realtime_project.serving.stores import check_database, check_redis
from realtime_project.serving.supervisor import DEATHS_WHILE_STARTING, Supervisor
from tests.patience import patiently


def child(program, **options):
    return Child(name="child", argv=[sys.executable, "-c", program], **options)


def wait_until(condition, seconds=10):
    deadline = time.monotonic() + patiently(seconds)
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def test_the_data_folder_is_held_by_one_and_free_again_afterwards(data_dir):
    first, second = DataFolder(data_dir), DataFolder(data_dir)
    first.take()
    with pytest.raises(ServingError, match=f"already running on .*process {os.getpid()}"):
        second.take()
    first.release()
    second.take()
    second.release()


def test_a_file_as_data_folder_is_refused(data_dir):
    (data_dir / "file").write_text("")
    for path in (data_dir / "file", data_dir / "file" / "below"):
        with pytest.raises(ServingError, match="cannot be used"):
            DataFolder(path).take()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_data_folder_without_write_permission_is_refused(data_dir):
    data_dir.chmod(0o500)
    with pytest.raises(ServingError, match="permission denied"):
        DataFolder(data_dir).take()


def test_the_signing_key_is_kept_and_private(data_dir):
    key = DataFolder(data_dir).secret_key()
    assert len(key) >= 50
    assert DataFolder(data_dir).secret_key() == key
    assert (data_dir / "secret_key").stat().st_mode & 0o077 == 0


def test_an_empty_key_file_is_filled(data_dir):
    (data_dir / "secret_key").write_text("\n")
    assert len(DataFolder(data_dir).secret_key()) >= 50


def test_a_taken_port_is_a_sentence():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ServingError, match=f"Port {port} on 127.0.0.1 is taken"):
            listen("127.0.0.1", port)


@pytest.mark.parametrize(
    ("host", "port"), [("192.0.2.1", 8000), ("no-such-host.invalid", 80), ("127.0.0.1", 99999), ("127.0.0.1", -1)]
)
def test_an_impossible_address_is_a_sentence(host, port):
    with pytest.raises(ServingError, match=f"HOST={host}"):
        listen(host, port)


def test_addresses_to_open_in_a_browser():
    assert web_address("127.0.0.1", 8000) == "http://127.0.0.1:8000"
    assert web_address("0.0.0.0", 80) == "http://127.0.0.1:80"
    assert web_address("::", 80) == "http://[::1]:80"
    assert web_address("::1", 80) == "http://[::1]:80"
    assert web_address("chat.example", 80) == "http://chat.example:80"
    assert [is_loopback(host) for host in ("127.0.0.1", "::1", "localhost", "0.0.0.0", "10.0.0.1")] == [
        True,
        True,
        True,
        False,
        False,
    ]


def test_a_database_that_does_not_answer_is_a_sentence_without_the_password():
    with pytest.raises(ServingError, match="cannot be reached") as caught:
        check_database("postgres://ann:s3cretword@127.0.0.1:1/none")
    assert "s3cretword" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_database_is_named():
    address = urlsplit(os.environ["DATABASE_URL"])._replace(path="/there_is_no_such_database").geturl()
    with pytest.raises(ServingError, match="there_is_no_such_database"):
        check_database(address)


def test_an_address_of_something_else_is_refused():
    for url in ("sqlite:///x.db", "mysql://u@h/d"):
        with pytest.raises(ServingError, match="not the address of a Postgres"):
            check_database(url)


def test_the_stores_of_this_run_pass():
    check_database(os.environ["DATABASE_URL"])
    check_redis(os.environ["REDIS_URL"])


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1/0", "unix:///nowhere/valkey.sock", "http://127.0.0.1/", "nonsense"])
def test_a_redis_that_does_not_answer_is_a_sentence(url):
    with pytest.raises(ServingError, match=r"REDIS_URL.*cannot be reached"):
        check_redis(url)


def test_an_old_redis_is_refused():
    """A server that says it is Redis 6.2, over the real protocol."""
    info = b"# Server\r\nredis_version:6.2.14\r\n"

    def answer(listener):
        connection, _ = listener.accept()
        with connection:
            while request := connection.recv(65536):
                for command in request.split(b"\r\n*"):
                    if b"INFO" in command.upper():
                        connection.sendall(b"$%d\r\n%s\r\n" % (len(info), info))
                    elif b"HELLO" in command.upper():
                        connection.sendall(b"-ERR unknown command\r\n")
                    else:
                        connection.sendall(b"+OK\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=answer, args=(listener,), daemon=True).start()
        with pytest.raises(ServingError, match=r"version 6\.2\.14: 7 or newer"):
            check_redis(f"redis://127.0.0.1:{listener.getsockname()[1]}/0?protocol=2")


def test_a_dead_child_is_started_again_and_that_is_said():
    said = []
    with Supervisor(said.append) as supervisor:
        worker = child("import time; time.sleep(600)")
        supervisor.start(worker)
        first = worker.pid
        os.kill(first, signal.SIGKILL)

        def alive_again():
            supervisor.tend()
            supervisor.wait(0.05)
            return worker.pid not in (None, first)

        wait_until(alive_again)
        supervisor.stop([worker])
    assert said == ["The child process was ended by SIGKILL; it starts again in 0.5 s."]


def tend_while_starting(supervisor):
    for _ in range(DEATHS_WHILE_STARTING * 200):
        supervisor.tend(starting=True)
        supervisor.wait(0.05)


def test_a_child_that_does_not_stay_up_while_starting_is_a_sentence():
    with Supervisor(lambda _line: None) as supervisor:
        supervisor.start(child("raise SystemExit(3)"))
        with pytest.raises(ServingError, match=r"does not stay up .*exit code 3"):
            tend_while_starting(supervisor)


def test_a_child_that_ignores_the_stop_signal_is_killed_after_its_time():
    said = []
    stubborn = child(
        "import signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)",
        stop_seconds=0.3,
    )
    with Supervisor(said.append) as supervisor:
        supervisor.start(stubborn)
        wait_until(lambda: _ignores(stubborn.pid, signal.SIGTERM))
        supervisor.stop([stubborn])
    assert stubborn.exit_code == -signal.SIGKILL
    assert said == ["The child process did not stop within 0.3 s and was ended."]


def test_a_second_signal_ends_everything_at_once():
    stubborn = child("import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)", stop_seconds=60)
    with Supervisor(lambda _line: None) as supervisor:
        supervisor.start(stubborn)
        wait_until(lambda: _ignores(stubborn.pid, signal.SIGTERM))
        os.kill(os.getpid(), signal.SIGINT)
        supervisor.run()
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
        started = time.monotonic()
        supervisor.stop([stubborn])
        assert time.monotonic() - started < patiently(10)
        assert supervisor.stop_requests == 2
    assert stubborn.exit_code == -signal.SIGKILL


def test_signals_are_given_back():
    before = signal.getsignal(signal.SIGTERM)
    with Supervisor(lambda _line: None):
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent died")
def test_children_do_not_outlive_a_killed_parent():
    program = (
        "import sys, time; from realtime_project.serving.process import Child\n"
        "child = Child(name='c', argv=[sys.executable, '-c', 'import time; time.sleep(600)']); child.start()\n"
        "print(child.pid, flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as parent:
        pid = int(parent.stdout.readline())
        parent.kill()
    wait_until(lambda: not _alive(pid))


def _alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def _ignores(pid, number):
    with open(f"/proc/{pid}/status") as status:
        mask = next(line for line in status if line.startswith("SigIgn"))
    return int(mask.split()[1], 16) >> (number - 1) & 1
