"""Deliveries by mail: text and HTML, with an address that ends them in one click.

A mail server that does not answer after it was given everything may have taken the mail: it is sent again then, with the
same Message-ID, by which mail programs know it. Every other failure is told before anything is taken.
"""

import smtplib
from email.utils import parseaddr
from urllib.parse import urljoin

from django.conf import settings
from django.core.mail import EmailMultiAlternatives, get_connection
from django.template.loader import render_to_string

from notifications import unsubscribing
from notifications.conf import conf
from notifications.deliveries import SHOWN_IN_DIGEST, Claim


class MailRefused(Exception):
    """A mail server does not take this mail; the message says why. Trying again does not help."""


class MailFailed(Exception):
    """A mail could not be handed over now; the message says why."""


def send(found: Claim) -> None:
    """Hands a mail to the mail server at EMAIL_URL. Raises `MailRefused`, `MailFailed`."""
    message = compose(found)
    try:
        with get_connection(timeout=conf.NOTIFICATIONS_SEND_SECONDS) as connection:
            connection.send_messages([message])
    except (smtplib.SMTPRecipientsRefused, smtplib.SMTPResponseException) as error:
        code, words = _answer(error)
        if 500 <= code < 600 and not isinstance(error, smtplib.SMTPAuthenticationError | smtplib.SMTPConnectError):
            raise MailRefused(f"The mail server refused it: {code} {words}") from error
        raise MailFailed(f"The mail server answered {code} {words}") from error
    except (smtplib.SMTPException, OSError) as error:
        raise MailFailed(f"The mail server cannot be reached: {error}") from error


def _answer(error: smtplib.SMTPRecipientsRefused | smtplib.SMTPResponseException) -> tuple[int, str]:
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        refusals: dict[str, tuple[int, bytes]] = error.recipients
        code, said = next(iter(refusals.values()))
        return code, said.decode(errors="replace")
    words = error.smtp_error
    return error.smtp_code, words.decode(errors="replace") if isinstance(words, bytes) else str(words)


def compose(found: Claim) -> EmailMultiAlternatives:
    """The mail of one delivery or one digest."""
    rows = found.rows
    unsubscribe = unsubscribing.address(user_pk=found.user.pk, rule_id=found.rule.pk)
    newest = [row.title for row in reversed(rows)][:SHOWN_IN_DIGEST] if len(rows) > 1 else []
    more = len(rows) - len(newest)
    context = {
        "title": found.title,
        "body": found.body if len(rows) == 1 else "",
        "lines": newest + ([f"and {more} more"] if newest and more else []),
        "url": _whole(found.action_url),
        "rule": found.rule.name,
        "unsubscribe": unsubscribe,
    }
    sender = settings.DEFAULT_FROM_EMAIL
    domain = parseaddr(sender)[1].partition("@")[2] or "localhost"
    headers = {"Message-ID": f"<delivery.{found.first.pk}@{domain}>", "Auto-Submitted": "auto-generated"}
    if unsubscribe:
        headers |= {"List-Unsubscribe": f"<{unsubscribe}>", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}
    message = EmailMultiAlternatives(
        subject=" ".join(found.title.split()),
        body=render_to_string("notifications/mail.txt", context),
        from_email=sender,
        to=[found.user.email],
        headers=headers,
    )
    message.attach_alternative(render_to_string("notifications/mail.html", context), "text/html")
    return message


def _whole(url: str) -> str:
    """An address as a mail needs it: with the server's name; nothing where that is not known."""
    if url.startswith("/"):
        return urljoin(settings.PUBLIC_URL, url) if settings.PUBLIC_URL else ""
    return url
