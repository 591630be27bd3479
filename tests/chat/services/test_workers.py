from datetime import timedelta

from django.utils import timezone

from chat.models import Worker
from chat.services import workers


def test_a_worker_is_forgotten_and_so_are_those_that_died_long_ago(stores):
    for name in ("mine", "other", "old"):
        workers.beat(worker=name)
    Worker.objects.filter(name="old").update(beat_at=timezone.now() - timedelta(days=2))
    workers.forget_worker(worker="mine")
    assert list(Worker.objects.values_list("name", flat=True)) == ["other"]
