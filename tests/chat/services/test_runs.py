import uuid
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone
from procrastinate.contrib.django.models import ProcrastinateJob

from chat.metrics import ENDED
from chat.models import Run, Worker
from chat.services import runs
from chat.services.questions import message_stream
from chat.services.runs import CANCELLED, DEAD, WORKER_DIED, Suspect
from events import journal
from events.event import START
from events.exceptions import LeaseLost, NotFound
from tests.chat.conftest import ask, journaled, run_of, types
from tests.chat.services.test_questions import at_once

pytestmark = pytest.mark.usefixtures("stores")


def claim(message, worker="w"):
    return runs.claim(message_id=message.pk, worker=worker)


def end(message, lease, ending=CANCELLED):
    events = journal.read(message_stream(message.pk), START)
    return runs.end(message_id=message.pk, conversation_id=message.conversation_id, lease=lease, events=events, ending=ending)


def test_a_run_is_claimed_once(alice):
    message = ask(alice)
    assert claim(message).lease == 1
    assert claim(message) is None
    run = run_of(message)
    assert (run.status, run.worker, run.lease) == ("running", "w", 1)
    assert run.started_at is not None


def test_a_run_is_claimed_by_one_of_many_at_once(alice):
    message = ask(alice)
    claims = at_once(6, lambda number: claim(message, f"w{number}"))
    (won,) = [each for each in claims if each is not None]
    assert won.lease == run_of(message).lease == 1, "a claim that fails must not take the stream from the one that holds it"


def test_a_run_that_is_over_or_unknown_is_not_claimed(alice):
    message = ask(alice)
    end(message, runs.claim(message_id=message.pk, worker="w").lease)
    assert claim(message) is None
    assert runs.claim(message_id=uuid.uuid4(), worker="w") is None


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


def test_handing_back_needs_the_lease(alice):
    message = ask(alice)
    first = claim(message)
    assert runs.hand_back(claim=first)
    assert not runs.hand_back(claim=first)
    second = claim(message)
    assert second.lease == first.lease + 1
    assert not runs.hand_back(claim=first)
    assert ProcrastinateJob.objects.count() == 2


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


def test_who_is_suspected(alice):
    silent, beating, young = ask(alice), ask(alice), ask(alice)
    for message, worker in ((silent, "silent"), (beating, "beating"), (young, "new")):
        claim(message, worker)
    runs.beat(worker="silent")
    runs.beat(worker="beating")
    Worker.objects.filter(name="silent").update(beat_at=timezone.now() - timedelta(seconds=20))
    Run.objects.exclude(pk=young.pk).update(started_at=timezone.now() - timedelta(seconds=100))
    (suspect,) = runs.suspects(silent_for=10)
    assert (suspect.message_id, suspect.worker) == (silent.pk, "silent")
    assert 20 <= suspect.silent < 25


def test_a_suspect_is_taken_over_once_and_again_only_if_its_new_owner_dies(alice):
    message = ask(alice)
    claim(message, "w")
    suspect = Suspect(message.pk, "w", 20.0)
    taken = runs.take_over(suspect=suspect)
    assert taken.lease == 2
    assert runs.take_over(suspect=suspect) is None
    assert run_of(message).lease == 2, "a take-over that fails must leave the lease alone"
    Run.objects.update(started_at=timezone.now() - timedelta(seconds=100))
    (again,) = runs.suspects(silent_for=10)
    assert again.worker == "w" + DEAD
    assert runs.take_over(suspect=again).lease == 3
    assert run_of(message).worker == "w" + DEAD


def test_of_many_at_once_one_takes_over(alice):
    message = ask(alice)
    claim(message, "w")
    taken = at_once(6, lambda _: runs.take_over(suspect=Suspect(message.pk, "w", 20.0)))
    assert len([each for each in taken if each is not None]) == 1, taken


def test_a_run_that_moved_on_is_not_taken_over(alice):
    message = ask(alice)
    first = claim(message, "w")
    runs.hand_back(claim=first)
    claim(message, "other")
    assert runs.take_over(suspect=Suspect(message.pk, "w", 20.0)) is None
    end(message, run_of(message).lease)
    assert runs.take_over(suspect=Suspect(message.pk, "other", 20.0)) is None


def jobs_of(message):
    return ProcrastinateJob.objects.filter(args__message_id=str(message.pk)).count()


def lose_jobs():
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE procrastinate_jobs CASCADE")


def test_a_queued_run_without_a_job_is_deferred_again_after_a_while(alice):
    message = ask(alice)
    assert runs.requeue_forgotten() == 0
    lose_jobs()
    assert runs.requeue_forgotten() == 0, "too young: its job may be about to be claimed"
    Run.objects.update(created_at=timezone.now() - timedelta(minutes=5))
    assert runs.requeue_forgotten() == 1
    assert jobs_of(message) == 1
    assert runs.requeue_forgotten() == 0


def test_only_queued_runs_are_deferred_again(alice):
    running, over = ask(alice), ask(alice)
    claim(running)
    end(over, claim(over).lease)
    lose_jobs()
    Run.objects.update(created_at=timezone.now() - timedelta(minutes=5))
    assert runs.requeue_forgotten() == 0


def test_a_queued_run_whose_stop_was_cut_off_is_deferred_again_for_a_worker_to_end_it(alice):
    message = ask(alice)
    runs.request_stop(caller=alice, message_id=message.pk)
    lose_jobs()
    Run.objects.update(created_at=timezone.now() - timedelta(minutes=5))
    assert runs.requeue_forgotten() == 1
    assert jobs_of(message) == 1


@pytest.mark.parametrize(("heartbeat_age", "deferred"), [(5, 0), (120, 1)])
def test_a_job_in_the_hands_of_a_living_worker_is_not_forgotten(alice, heartbeat_age, deferred):
    ask(alice)
    Run.objects.update(created_at=timezone.now() - timedelta(minutes=5))
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO procrastinate_workers (last_heartbeat) VALUES (%s) RETURNING id",
            [timezone.now() - timedelta(seconds=heartbeat_age)],
        )
        (worker,) = cursor.fetchone()
        cursor.execute("UPDATE procrastinate_jobs SET status = 'doing', worker_id = %s", [worker])
    assert runs.requeue_forgotten() == deferred


def test_a_worker_is_forgotten_and_so_are_those_that_died_long_ago(stores):
    for name in ("mine", "other", "old"):
        runs.beat(worker=name)
    Worker.objects.filter(name="old").update(beat_at=timezone.now() - timedelta(days=2))
    runs.forget_worker(worker="mine")
    assert list(Worker.objects.values_list("name", flat=True)) == ["other"]


def test_open_runs_are_counted_by_status(alice):
    assert runs.counts() == {"queued": 0, "running": 0, "awaiting_approval": 0}
    ask(alice)
    claim(ask(alice))
    message = ask(alice)
    end(message, claim(message).lease)
    assert runs.counts() == {"queued": 1, "running": 1, "awaiting_approval": 0}
