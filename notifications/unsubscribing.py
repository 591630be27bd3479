"""One click ends the mails of a rule, without logging in (RFC 8058): a signed address in the mail's headers."""

import uuid
from dataclasses import dataclass

from django.conf import settings
from django.core import signing

from events.exceptions import NotFound
from notifications.models import Channel, Rule
from notifications.preferences import set_choice

SALT = "notifications.unsubscribe"


@dataclass(frozen=True, slots=True)
class Opened:
    """Whose mails of which rule an address ends."""

    user_pk: int
    rule: Rule


def address(*, user_pk: int, rule_id: uuid.UUID) -> str:
    """The whole address, at PUBLIC_URL; empty where this server does not know its own: a path alone helps no mail program."""
    if not settings.PUBLIC_URL:
        return ""
    return f"{settings.PUBLIC_URL.rstrip('/')}/notifications/unsubscribe/{signing.dumps([user_pk, str(rule_id)], salt=SALT)}"


def opened(token: str) -> Opened:
    """What an address stands for. Raises `NotFound` when we did not sign it, or the rule is gone."""
    try:
        user_pk, rule_id = signing.loads(token, salt=SALT)
    except signing.BadSignature:
        raise NotFound("This link is not one of ours, or it was cut off. Open it as it stands in the mail.") from None
    rule = Rule.objects.filter(pk=rule_id).first()
    if rule is None:
        raise NotFound("This rule is gone; it sends no mails any more.")
    return Opened(user_pk, rule)


def unsubscribe(token: str) -> Opened:
    """Ends the mails; again, nothing more happens. Raises as `opened`."""
    found = opened(token)
    set_choice(user_pk=found.user_pk, rule_id=found.rule.pk, channel=Channel.EMAIL, enabled=False)
    return found
