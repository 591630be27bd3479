"""Deferring work to the workers, as part of what is being written."""

from functools import cache

from procrastinate.contrib.django.django_connector import DjangoConnector
from procrastinate.manager import JobManager
from procrastinate.tasks import configure_task
from procrastinate.types import JSONValue


def defer(task: str, *, queue: str, **arguments: JSONValue) -> None:
    """Puts a job on a queue, in the caller's transaction; from synchronous code, in any process.

    Not `app.configure_task`: in a worker process the app speaks through the connections of the worker's event
    loop. From a thread these are another transaction's, and waiting for one of them may never end.
    """
    configure_task(name=task, job_manager=_manager(), queue=queue).defer(**arguments)


@cache
def _manager() -> JobManager:
    return JobManager(DjangoConnector())
