"""Limits password attempts per user name and address, over all processes: the count is in the database."""

import math
from datetime import timedelta

from django.db import connection
from django.utils import timezone
from rest_framework.exceptions import Throttled

from accounts.conf import conf
from accounts.digests import digest
from accounts.models import LoginWindow

WINDOW = timedelta(minutes=1)

COUNT_ATTEMPT = """
    INSERT INTO accounts_loginwindow AS seen (digest, started_at, attempts) VALUES (%(digest)s, %(now)s, 1)
    ON CONFLICT (digest) DO UPDATE SET
        attempts = CASE WHEN seen.started_at <= %(stale)s THEN 1 ELSE seen.attempts + 1 END,
        started_at = CASE WHEN seen.started_at <= %(stale)s THEN excluded.started_at ELSE seen.started_at END
    RETURNING started_at, attempts
"""
"""One atomic statement: attempts at the same moment in several processes are all counted."""


def count_attempt(*, username: str, address: str) -> None:
    """Count a password attempt before the password is looked at.

    Raises DRF's Throttled (429, `wait` in seconds) when LOGIN_ATTEMPTS_PER_MINUTE are used up
    in the minute that began with the first of them. Refused attempts do not prolong it.
    """
    if conf.LOGIN_ATTEMPTS_PER_MINUTE <= 0:
        return
    now = timezone.now()
    with connection.cursor() as cursor:
        cursor.execute(COUNT_ATTEMPT, {"digest": _digest(username, address), "now": now, "stale": now - WINDOW})
        started_at, attempts = cursor.fetchone()
    if attempts > conf.LOGIN_ATTEMPTS_PER_MINUTE:
        wait = max(1, math.ceil((started_at + WINDOW - now).total_seconds()))
        raise Throttled(wait=wait, detail="Too many password attempts for this user name.")
    if attempts == 1:
        LoginWindow.objects.filter(started_at__lte=now - WINDOW).delete()


def forget_attempts(*, username: str, address: str) -> None:
    """Start anew: the password was right, so these were not guesses."""
    LoginWindow.objects.filter(digest=_digest(username, address)).delete()


def _digest(username: str, address: str) -> str:
    return digest(username, address)
