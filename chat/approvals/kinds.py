"""What happens when all of a batch is decided, by kind."""

from collections.abc import Callable, Sequence

from chat.jobs import defer_answer
from chat.models import Approval, Run

Completed = Callable[[Run, Sequence[Approval]], None]
"""Called with the run (locked) and the batch in its order, in the transaction of the last decision."""

_completed: dict[str, Completed] = {}


def when_decided(kind: str) -> Callable[[Completed], Completed]:
    """Has a function called instead of `go_on` when a batch of this kind is decided; it may call `go_on` itself."""

    def register(function: Completed) -> Completed:
        if _completed.setdefault(kind, function) is not function:
            raise ValueError(f"Two functions want to know when a batch of {kind} is decided.")
        return function

    return register


def completed(run: Run, batch: Sequence[Approval]) -> None:
    """Does what is to be done now that nothing of the batch is open."""
    _completed.get(batch[0].kind, go_on)(run, batch)


def go_on(run: Run, batch: Sequence[Approval]) -> None:
    """Puts the run back in the queue, with its job: any worker goes on with its `continuation`."""
    del batch
    run.status, run.worker = Run.Status.QUEUED, ""
    run.save(update_fields=["status", "worker"])
    defer_answer(run.pk)
