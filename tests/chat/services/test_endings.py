import pytest

from chat.metrics import ENDED
from chat.services.endings import CANCELLED, WORKER_DIED
from events.exceptions import LeaseLost
from tests.chat.conftest import ask, journaled, run_of, types
from tests.chat.services.conftest import claim, end

pytestmark = pytest.mark.usefixtures("stores")


def test_the_end_is_written_once_and_only_by_the_holder_of_the_lease(alice):
    message = ask(alice)
    lease = claim(message).lease
    with pytest.raises(LeaseLost):
        end(message, lease - 1)
    assert run_of(message).status == "running"
    end(message, lease, WORKER_DIED)
    run = run_of(message)
    assert (run.status, run.error_code, run.retryable, run.head) == ("failed", "producer_stale", True, 2)
    with pytest.raises(LeaseLost):
        end(message, lease)
    assert types(journaled(message)) == ["run.started", "run.failed"]


def test_ended_runs_are_counted_by_status_and_code(alice):
    counters = [ENDED.labels("failed", "producer_stale")._value, ENDED.labels("cancelled", "")._value]
    before = [counter.get() for counter in counters]
    for ending in (WORKER_DIED, CANCELLED, CANCELLED):
        message = ask(alice)
        lease = claim(message).lease
        end(message, lease, ending)
        with pytest.raises(LeaseLost):
            end(message, lease, ending)
    assert [counter.get() for counter in counters] == [before[0] + 1, before[1] + 2]
