import pytest

from chat.services import runs
from chat.services.endings import WORKER_DIED
from events.exceptions import LeaseLost, NotFound
from tests.chat.conftest import ask, run_of
from tests.chat.services.conftest import claim, end

pytestmark = pytest.mark.usefixtures("stores")


def test_a_stop_of_a_queued_run_takes_it(alice):
    message = ask(alice)
    taken = runs.request_stop(caller=alice, message_id=message.pk)
    assert (taken.lease, taken.stop_requested) == (1, True)
    # A worker that claims it meanwhile has the higher lease, and sees that it is to stop.
    assert claim(message).lease == 2
    assert runs.stop_requested(message_ids=[message.pk]) == [message.pk]
    with pytest.raises(LeaseLost):
        end(message, taken.lease)


def test_a_stop_of_a_running_run_is_left_to_its_worker(alice):
    message = ask(alice)
    lease = claim(message).lease
    assert runs.request_stop(caller=alice, message_id=message.pk) is None
    asked_at = run_of(message).stop_requested_at
    assert asked_at is not None
    assert runs.request_stop(caller=alice, message_id=message.pk) is None
    assert run_of(message).stop_requested_at == asked_at
    assert run_of(message).lease == lease


def test_a_stop_after_the_end_changes_nothing(alice):
    message = ask(alice)
    end(message, claim(message).lease, WORKER_DIED)
    assert runs.request_stop(caller=alice, message_id=message.pk) is None
    assert run_of(message).stop_requested_at is None


def test_nobody_else_can_stop_a_run(alice, bob):
    message = ask(alice)
    with pytest.raises(NotFound):
        runs.request_stop(caller=bob, message_id=message.pk)
    assert run_of(message).stop_requested_at is None


def test_open_runs_are_counted_by_status(alice):
    assert runs.counts() == {"queued": 0, "running": 0, "awaiting_approval": 0}
    ask(alice)
    claim(ask(alice))
    message = ask(alice)
    end(message, claim(message).lease)
    assert runs.counts() == {"queued": 1, "running": 1, "awaiting_approval": 0}
