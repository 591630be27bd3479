import asyncio
import contextvars
import threading

import pytest
from django.db import OperationalError, connection

from accounts.conf import conf
from accounts.threads import in_thread

HERE = contextvars.ContextVar("HERE", default="nowhere")


async def test_the_result_and_the_exception_come_back():
    assert await in_thread(divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        await in_thread(divmod, 7, 0)


async def test_keyword_arguments_are_passed_on():
    assert await in_thread(sorted, [1, 3, 2], reverse=True) == [3, 2, 1]


async def test_context_variables_are_copied_and_not_changed():
    HERE.set("task")

    def change():
        before = HERE.get()
        HERE.set("thread")
        return before

    assert await in_thread(change) == "task"
    assert HERE.get() == "task"


async def test_calls_run_side_by_side_on_a_bounded_number_of_threads():
    gate = threading.Barrier(conf.DATABASE_THREADS, timeout=20)
    names = set()

    def meet():
        names.add(threading.current_thread().name)
        gate.wait()

    # Each round only ends when DATABASE_THREADS calls are inside at once.
    await asyncio.gather(*[in_thread(meet) for _ in range(conf.DATABASE_THREADS * 4)])
    assert len(names) == conf.DATABASE_THREADS
    assert threading.main_thread().name not in names


async def test_a_cancelled_await_does_not_stop_the_call():
    started, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    def work():
        started.set()
        go_on.wait(20)
        ended.set()

    task = asyncio.create_task(in_thread(work))
    assert await asyncio.to_thread(started.wait, 20)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not ended.is_set()
    go_on.set()
    assert await asyncio.to_thread(ended.wait, 20)


def _backend_pid():
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return cursor.fetchone()[0]


def _terminate(pid):
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])


@pytest.mark.django_db(transaction=True)
async def test_no_connection_is_kept_by_an_idle_thread():
    def connections_of_threads():
        return connection.connection is not None

    await asyncio.gather(*[in_thread(_backend_pid) for _ in range(20)])
    assert not any(await asyncio.gather(*[in_thread(connections_of_threads) for _ in range(20)]))


@pytest.mark.django_db(transaction=True)
async def test_a_connection_that_died_is_replaced():
    def die():
        pid = _backend_pid()
        other = threading.Thread(target=_terminate_and_close, args=(pid,))
        other.start()
        other.join()
        return _backend_pid()

    with pytest.raises(OperationalError):
        await in_thread(die)
    pids = await asyncio.gather(*[in_thread(_backend_pid) for _ in range(20)])
    assert all(pids)


def _terminate_and_close(pid):
    try:
        _terminate(pid)
    finally:
        connection.close()
