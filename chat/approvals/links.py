"""Signed links that show one approval to one person, who decides it without logging in. Good until it is decided or expires."""

import uuid
from dataclasses import dataclass, replace

from django.conf import settings
from django.core import signing

from accounts.caller import Caller
from accounts.verification import caller_of_user
from chat.models import Approval
from events.exceptions import NotFound

SALT = "chat.approvals.link"


@dataclass(frozen=True, slots=True)
class Opened:
    """Whom a link is for, and what he is to decide."""

    caller: Caller
    approval_id: uuid.UUID


def link(*, approval: Approval, user_pk: int) -> str:
    """The whole address, at PUBLIC_URL. It ends with a secret: who has it decides as that user."""
    return settings.PUBLIC_URL.rstrip("/") + path(approval_id=approval.pk, user_pk=user_pk)


def path(*, approval_id: uuid.UUID | str, user_pk: int) -> str:
    """The address on this server, of which `link` is the whole."""
    return f"/approvals/{signing.dumps([str(approval_id), user_pk], salt=SALT)}"


def opened(token: str) -> Opened:
    """What a link's token stands for. Raises `NotFound` when we did not sign it, and DRF's error when the user is gone.

    When it stops being good is the approval's matter: decided once, it has been used, and expired, it is over.
    """
    try:
        approval_id, user_pk = signing.loads(token, salt=SALT)
    except signing.BadSignature:
        raise NotFound("This link is not one of ours, or it was cut off. Open it as it stands in the mail.") from None
    return Opened(replace(caller_of_user(user_pk), credential="link"), uuid.UUID(approval_id))
