from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone
from procrastinate.contrib.django.models import ProcrastinateJob

from chat.models import Run, Worker
from chat.services import claiming, runs, sweeping, workers
from chat.services.sweeping import DEAD, Suspect
from tests.chat.conftest import ask, run_of
from tests.chat.services.conftest import claim, end
from tests.chat.services.test_questions import at_once

pytestmark = pytest.mark.usefixtures("stores")


def test_who_is_suspected(alice):
    silent, beating, young = ask(alice), ask(alice), ask(alice)
    for message, worker in ((silent, "silent"), (beating, "beating"), (young, "new")):
        claim(message, worker)
    workers.beat(worker="silent")
    workers.beat(worker="beating")
    Worker.objects.filter(name="silent").update(beat_at=timezone.now() - timedelta(seconds=20))
    Run.objects.exclude(pk=young.pk).update(started_at=timezone.now() - timedelta(seconds=100))
    (suspect,) = sweeping.suspects(silent_for=10)
    assert (suspect.message_id, suspect.worker) == (silent.pk, "silent")


def test_a_suspect_is_taken_over_once_and_again_only_if_its_new_owner_dies(alice):
    message = ask(alice)
    claim(message, "w")
    suspect = Suspect(message.pk, "w")
    taken = sweeping.take_over(suspect=suspect)
    assert taken.lease == 2
    assert sweeping.take_over(suspect=suspect) is None
    assert run_of(message).lease == 2, "a take-over that fails must leave the lease alone"
    Run.objects.update(started_at=timezone.now() - timedelta(seconds=100))
    (again,) = sweeping.suspects(silent_for=10)
    assert again.worker == "w" + DEAD
    assert sweeping.take_over(suspect=again).lease == 3
    assert run_of(message).worker == "w" + DEAD


def test_of_many_at_once_one_takes_over(alice):
    message = ask(alice)
    claim(message, "w")
    taken = at_once(6, lambda _: sweeping.take_over(suspect=Suspect(message.pk, "w")))
    assert len([each for each in taken if each is not None]) == 1, taken


def test_a_run_that_moved_on_is_not_taken_over(alice):
    message = ask(alice)
    first = claim(message, "w")
    claiming.hand_back(claim=first)
    claim(message, "other")
    assert sweeping.take_over(suspect=Suspect(message.pk, "w")) is None
    end(message, run_of(message).lease)
    assert sweeping.take_over(suspect=Suspect(message.pk, "other")) is None


def jobs_of(message):
    return ProcrastinateJob.objects.filter(args__message_id=str(message.pk)).count()


def lose_jobs():
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE procrastinate_jobs CASCADE")


def test_a_queued_run_without_a_job_is_deferred_again_after_a_while(alice):
    message = ask(alice)
    assert sweeping.requeue_forgotten() == 0
    lose_jobs()
    assert sweeping.requeue_forgotten() == 0, "too young: its job may be about to be claimed"
    Run.objects.update(created_at=timezone.now() - timedelta(minutes=5))
    assert sweeping.requeue_forgotten() == 1
    assert jobs_of(message) == 1
    assert sweeping.requeue_forgotten() == 0


def test_only_queued_runs_are_deferred_again(alice):
    running, over = ask(alice), ask(alice)
    claim(running)
    end(over, claim(over).lease)
    lose_jobs()
    Run.objects.update(created_at=timezone.now() - timedelta(minutes=5))
    assert sweeping.requeue_forgotten() == 0


def test_a_queued_run_whose_stop_was_cut_off_is_deferred_again_for_a_worker_to_end_it(alice):
    message = ask(alice)
    runs.request_stop(caller=alice, message_id=message.pk)
    lose_jobs()
    Run.objects.update(created_at=timezone.now() - timedelta(minutes=5))
    assert sweeping.requeue_forgotten() == 1
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
    assert sweeping.requeue_forgotten() == deferred
