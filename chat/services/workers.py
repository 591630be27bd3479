"""The signs of life that workers write in the database."""

from datetime import timedelta

from django.db import connection
from django.utils import timezone

from chat.models import Worker


def beat(*, worker: str) -> None:
    """Writes a worker's sign of life, by the database's clock."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO chat_worker (name, started_at, beat_at) VALUES (%s, now(), now()) "
            "ON CONFLICT (name) DO UPDATE SET beat_at = now()",
            [worker],
        )


def forget_worker(*, worker: str) -> None:
    """Removes a worker that has stopped, and those that died more than a day ago."""
    Worker.objects.filter(name=worker).delete()
    Worker.objects.filter(beat_at__lt=timezone.now() - timedelta(days=1)).delete()
