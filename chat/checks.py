"""System checks of the settings of chat."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error
from django.core.exceptions import ImproperlyConfigured

from chat.approvals.deciders import configured
from chat.conf import conf
from chat.services import usage


def check_settings(**_: Any) -> list[CheckMessage]:
    """Settings with which nobody could be asked."""
    problems: list[CheckMessage] = []
    for name in ("APPROVAL_DECIDERS", "APPROVAL_ESCALATE_TO"):
        try:
            configured(name)
        except ImproperlyConfigured as error:
            problems.append(Error(str(error), id="chat.E001"))
    if not conf.APPROVAL_DECIDERS:
        problems.append(Error("APPROVAL_DECIDERS is empty: nobody could decide.", id="chat.E002"))
    if conf.APPROVAL_MAIL and not settings.PUBLIC_URL:
        hint = "Set it to the address under which people reach this server."
        problems.append(Error("APPROVAL_MAIL is on, but PUBLIC_URL is not set.", hint=hint, id="chat.E003"))
    try:
        usage.tiers()
    except ImproperlyConfigured as error:
        problems.append(Error(str(error), id="chat.E004"))
    return problems
