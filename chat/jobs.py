"""Deferring work to the workers: procrastinate keeps its jobs in our Postgres, in our transactions."""

from uuid import UUID

from events.jobs import defer

ANSWER_TASK = "chat.answer"
RUNS_QUEUE = "runs"


def defer_answer(message_id: UUID) -> None:
    """Has a worker answer; part of the caller's transaction."""
    defer(ANSWER_TASK, queue=RUNS_QUEUE, message_id=str(message_id))
