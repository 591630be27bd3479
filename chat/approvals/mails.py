"""Mails to those who may decide: what is asked, and a link to each of it. Never what would be done: mail is read by many."""

import uuid

from django.core.mail import send_mail

from accounts.models import User
from chat.approvals.deciders import deciders_of
from chat.approvals.links import link
from chat.jobs import defer_approval_mail
from chat.models import Approval

SUBJECTS = {
    Approval.Kind.TOOL_CALL: "May {title} be called?",
    Approval.Kind.PROPOSED_CHANGE: "A change is proposed: {title}",
    Approval.Kind.INPUT: "An input is asked for: {title}",
    Approval.Kind.CONFIRMATION: "Please confirm: {title}",
}


def defer_mails(batch_id: uuid.UUID) -> None:
    """A job for each mail, so that one that fails is tried again by itself."""
    batch = _open(batch_id)
    if batch:
        for user in deciders_of(batch[0].run, batch[0].deciders).exclude(email=""):
            defer_approval_mail(batch_id, user.pk)


def send(batch_id: uuid.UUID, user_pk: int) -> bool:
    """Sends one mail, unless nothing is open any more or the user may no longer decide; whether it was sent."""
    batch = _open(batch_id)
    user = deciders_of(batch[0].run, batch[0].deciders).filter(pk=user_pk).first() if batch else None
    if user is None:
        return False
    subject = SUBJECTS[Approval.Kind(batch[0].kind)].format(title=batch[0].title)
    if len(batch) > 1:
        subject += f" (and {len(batch) - 1} more)"
    # A title may come from a language model; a header must be one line.
    send_mail(" ".join(subject.split()), _text(user, batch), None, [user.email])
    return True


def _open(batch_id: uuid.UUID) -> list[Approval]:
    query = Approval.objects.select_related("run__message__conversation__application")
    return list(query.filter(batch_id=batch_id, status=Approval.Status.PENDING).order_by("position"))


def _text(user: User, batch: list[Approval]) -> str:
    lines = [f"Hello {user.username},", "", "an answer waits for your decision:", ""]
    for each in batch:
        lines += [f"- {each.title}" + (f": {each.reason}" if each.reason else ""), f"  {link(approval=each, user_pk=user.pk)}"]
    lines += [
        "",
        f"The links show what would be done, and let you approve or deny it until {batch[0].expires_at:%Y-%m-%d %H:%M} UTC.",
        "They are for you alone: who has one decides in your name. The first decision of anyone who may decide stands.",
    ]
    return "\n".join(lines) + "\n"
