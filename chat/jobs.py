"""Deferring work to the workers: procrastinate keeps its jobs in our Postgres, in our transactions."""

from uuid import UUID

from events.jobs import defer

ANSWER_TASK = "chat.answer"
APPROVAL_MAILS_TASK = "chat.approval_mails"
RUNS_QUEUE = "runs"


def defer_answer(message_id: UUID) -> None:
    """Has a worker answer; part of the caller's transaction."""
    defer(ANSWER_TASK, queue=RUNS_QUEUE, message_id=str(message_id))


def defer_approval_mails(batch_id: UUID, *, escalated: bool = False) -> None:
    """Has a worker write to those who may decide about a batch; part of the caller's transaction."""
    defer(APPROVAL_MAILS_TASK, queue=RUNS_QUEUE, batch_id=str(batch_id), escalated=escalated)
