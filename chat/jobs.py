"""Deferring work to the workers: procrastinate keeps its jobs in our Postgres, in our transactions."""

from uuid import UUID

from events.jobs import defer

ANSWER_TASK = "chat.answer"
APPROVAL_MAILS_TASK = "chat.approval_mails"
APPROVAL_MAIL_TASK = "chat.approval_mail"
RUNS_QUEUE = "runs"
MAILS_QUEUE = "mails"


def defer_answer(message_id: UUID) -> None:
    """Has a worker answer; part of the caller's transaction."""
    defer(ANSWER_TASK, queue=RUNS_QUEUE, message_id=str(message_id))


def defer_approval_mails(batch_id: UUID) -> None:
    """Has a worker write to all who may decide about a batch; part of the caller's transaction."""
    defer(APPROVAL_MAILS_TASK, queue=MAILS_QUEUE, batch_id=str(batch_id))


def defer_approval_mail(batch_id: UUID, user_pk: int) -> None:
    """Has a worker write to one of them; part of the caller's transaction."""
    defer(APPROVAL_MAIL_TASK, queue=MAILS_QUEUE, batch_id=str(batch_id), user_pk=user_pk)
