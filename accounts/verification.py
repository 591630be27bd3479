"""From a credential to the caller it stands for: sync, and the only place that asks the database about it."""

from collections.abc import Iterable
from datetime import UTC, datetime

from django.contrib.postgres.aggregates import ArrayAgg
from django.db import InterfaceError, OperationalError, connection
from django.db.models import Q, QuerySet, Value
from django.utils import timezone
from rest_framework.exceptions import AuthenticationFailed

from accounts import tokens
from accounts.caller import Caller
from accounts.credentials import Credential
from accounts.digests import digest
from accounts.exceptions import IdentityUnavailable
from accounts.models import Membership, User
from accounts.sessions import logged_in_user

NO_USER = "The user of this credential does not exist or is deactivated."


def verify(credential: Credential, *, path: str) -> Caller | None:
    """The caller that `credential` stands for on `path` (the URL path without query; only tickets are bound to one).

    None for a session that is not logged in. Raises AuthenticationFailed for a bad credential,
    IdentityUnavailable when the database or the key server cannot be reached.
    """
    try:
        if credential.kind == "jwt":
            return _by_token(credential.secret)
        if credential.kind == "api_key":
            return _by_api_key(credential.secret)
        if credential.kind == "ticket":
            return _by_ticket(credential.secret, path=path)
        return _by_session(credential.secret)
    except (OperationalError, InterfaceError) as error:
        raise IdentityUnavailable from error


def _by_token(token: str) -> Caller:
    claims = tokens.read_access(token)
    user = _active_users().filter(public_id=claims.user_id).first()
    if user is None:
        raise AuthenticationFailed(NO_USER)
    return _caller(user, "jwt", expires_at=claims.expires_at)


def _by_api_key(key: str) -> Caller:
    user = _active_users().filter(api_keys__digest=digest(key), api_keys__revoked_at__isnull=True).first()
    if user is None:
        raise AuthenticationFailed("The API key is unknown or revoked, or its user is deactivated.")
    return _caller(user, "api_key")


def _by_session(session_key: str) -> Caller | None:
    user = logged_in_user(session_key)
    if user is None:
        return None
    organizations = Membership.objects.filter(user=user).order_by("organization__public_id")
    return _caller(user, "session", organizations=organizations.values_list("organization__public_id", flat=True))


TAKE_TICKET = "DELETE FROM accounts_ticket WHERE digest = %s RETURNING user_id, path, expires_at, caller_expires_at"
"""One statement, so that of two uses at the same moment, in any two processes, one finds the ticket gone."""


def _by_ticket(ticket: str, *, path: str) -> Caller:
    with connection.cursor() as cursor:
        cursor.execute(TAKE_TICKET, [digest(ticket)])
        row = cursor.fetchone()
    # A ticket shown on another path is used up as well: it has been seen where it should not be.
    if row is None or row[1] != path or row[2] <= timezone.now():
        raise AuthenticationFailed("The ticket is unknown, used, expired, or for another path. Ask for a new one.")
    user = _active_users().filter(pk=row[0]).first()
    if user is None:
        raise AuthenticationFailed(NO_USER)
    ends: datetime | None = row[3]
    return _caller(user, "ticket", expires_at=ends.astimezone(UTC).timestamp() if ends else None)


def _active_users() -> QuerySet[User]:
    # One query for the user and the organisations: this is what a reconnect storm costs.
    return User.objects.filter(is_active=True).annotate(
        organization_ids=ArrayAgg(
            "organizations__public_id",
            filter=Q(organizations__isnull=False),
            order_by="organizations__public_id",
            distinct=True,
            default=Value([]),
        )
    )


def _caller(
    user: User, credential: str, *, expires_at: float | None = None, organizations: Iterable[str] | None = None
) -> Caller:
    ids: Iterable[str] = user.organization_ids if organizations is None else organizations  # type: ignore[attr-defined]
    return Caller(
        pk=user.pk,
        user_id=user.public_id,
        username=user.username,
        organizations=tuple(ids),
        is_staff=user.is_staff,
        credential=credential,
        expires_at=expires_at,
    )


def is_active(user_pk: int) -> bool:
    """Whether the user still exists and may log in. Raises `IdentityUnavailable`."""
    return _active_users().filter(pk=user_pk).exists()


def caller_of_user(user_pk: int) -> Caller:
    """The caller as whom work goes on that a user began earlier. Raises `AuthenticationFailed` when the user is gone."""
    user = _active_users().filter(pk=user_pk).first()
    if user is None:
        raise AuthenticationFailed(NO_USER)
    return _caller(user, "work")
