"""From credentials to the callers they stand for: sync, and the only place that asks the database about it."""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from django.contrib.postgres.aggregates import ArrayAgg
from django.db import InterfaceError, OperationalError, connection
from django.db.models import F, Q, QuerySet, Value
from django.utils import timezone
from rest_framework.exceptions import AuthenticationFailed

from accounts import sessions, tokens
from accounts.caller import Caller
from accounts.credentials import Credential, Kind
from accounts.digests import digest
from accounts.exceptions import IdentityUnavailable
from accounts.models import User

NO_USER = "The user of this credential does not exist or is deactivated."
NO_KEY = "The API key is unknown or revoked, or its user is deactivated."

Outcomes = dict[str, Caller | Exception | None]
"""By secret what `verify` returns or raises for it."""


def verify(credential: Credential, *, path: str) -> Caller | None:
    """The caller that `credential` stands for on `path` (the URL path without query; only tickets are bound to one).

    None for a session that is not logged in. Raises AuthenticationFailed for a bad credential,
    IdentityUnavailable when the database or the key server cannot be reached.
    """
    if credential.kind == "ticket":
        with _database():
            return _by_ticket(credential.secret, path=path)
    outcome = verify_many(credential.kind, [credential.secret])[credential.secret]
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def verify_many(kind: Kind, secrets: Collection[str]) -> Outcomes:
    """What `verify` says of each secret of one kind, with one query, for sessions two. Not for tickets.

    Raises IdentityUnavailable.
    """
    with _database():
        return LOOK_UPS[kind](secrets)


@contextmanager
def _database() -> Iterator[None]:
    try:
        yield
    except (OperationalError, InterfaceError) as error:
        raise IdentityUnavailable from error


def _by_token(secrets: Collection[str]) -> Outcomes:
    claims = {token: _claims(token) for token in secrets}
    good = {claim.user_id for claim in claims.values() if isinstance(claim, tokens.Claims)}
    users = {user.public_id: user for user in _active_users().filter(public_id__in=good)} if good else {}
    return {
        token: claim if isinstance(claim, Exception) else _outcome(users.get(claim.user_id), "jwt", expires_at=claim.expires_at)
        for token, claim in claims.items()
    }


def _claims(token: str) -> tokens.Claims | Exception:
    try:
        return tokens.read_access(token)
    except Exception as error:  # whatever it is, it is about this token and must not be told to those beside it
        return error


def _by_api_key(secrets: Collection[str]) -> Outcomes:
    digests = {digest(key): key for key in secrets}
    keys = _active_users().filter(api_keys__digest__in=digests, api_keys__revoked_at__isnull=True)
    users = {digests[user.key_digest]: user for user in keys.annotate(key_digest=F("api_keys__digest"))}
    return {key: _outcome(users.get(key), "api_key", refusal=NO_KEY) for key in secrets}


def _by_session(secrets: Collection[str]) -> Outcomes:
    logins = sessions.logins(secrets)
    pks = {login.user_pk for login in logins.values()}
    users = {user.pk: user for user in _active_users().filter(pk__in=pks)} if pks else {}
    owners = {key: user for key, login in logins.items() if (user := users.get(login.user_pk)) and login.is_of(user)}
    return {key: _outcome(owners[key], "session") if key in owners else None for key in secrets}


LOOK_UPS: dict[Kind, Callable[[Collection[str]], Outcomes]] = {"jwt": _by_token, "api_key": _by_api_key, "session": _by_session}


TAKE_TICKET = "DELETE FROM accounts_ticket WHERE digest = %s RETURNING user_id, path, expires_at, caller_expires_at"
"""One statement, so that of two uses at the same moment, in any two processes, one finds the ticket gone."""


def _by_ticket(ticket: str, *, path: str) -> Caller:
    with connection.cursor() as cursor:
        cursor.execute(TAKE_TICKET, [digest(ticket)])
        row = cursor.fetchone()
    # A ticket shown on another path is used up as well: it has been seen where it should not be.
    if row is None or row[1] != path or row[2] <= timezone.now():
        raise AuthenticationFailed("The ticket is unknown, used, expired, or for another path. Ask for a new one.")
    ends: datetime | None = row[3]
    return _of_user(row[0], "ticket", expires_at=ends.astimezone(UTC).timestamp() if ends else None)


def _of_user(user_pk: int, credential: str, *, expires_at: float | None = None) -> Caller:
    outcome = _outcome(_active_users().filter(pk=user_pk).first(), credential, expires_at=expires_at)
    if isinstance(outcome, AuthenticationFailed):
        raise outcome
    return outcome


def _active_users() -> QuerySet[User]:
    # One query for users and their organisations: this is what a reconnect storm costs.
    return User.objects.filter(is_active=True).annotate(
        organization_ids=ArrayAgg(
            "organizations__public_id",
            filter=Q(organizations__isnull=False),
            order_by="organizations__public_id",
            distinct=True,
            default=Value([]),
        )
    )


def _outcome(
    user: User | None, credential: str, *, refusal: str = NO_USER, expires_at: float | None = None
) -> Caller | AuthenticationFailed:
    if user is None:
        return AuthenticationFailed(refusal)
    return Caller(
        pk=user.pk,
        user_id=user.public_id,
        username=user.username,
        organizations=tuple(user.organization_ids),  # type: ignore[attr-defined]  # of _active_users
        is_staff=user.is_staff,
        credential=credential,
        expires_at=expires_at,
    )


def is_active(user_pk: int) -> bool:
    """Whether the user still exists and may log in. Raises `IdentityUnavailable`."""
    with _database():
        return User.objects.filter(pk=user_pk, is_active=True).exists()


def caller_of_user(user_pk: int) -> Caller:
    """The caller as whom work goes on that a user began earlier. Raises `AuthenticationFailed` when the user is gone."""
    return _of_user(user_pk, "work")
