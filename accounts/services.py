"""What can be done with users, organisations and their credentials."""

import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypedDict
from urllib.parse import unquote

from django.contrib.auth import authenticate
from django.contrib.auth.hashers import make_password
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from rest_framework.exceptions import AuthenticationFailed, NotFound, ParseError, PermissionDenied

from accounts import changes, throttle, tokens
from accounts.caller import Caller
from accounts.conf import conf
from accounts.digests import digest
from accounts.exceptions import TooManyApiKeys
from accounts.models import ApiKey, Membership, Organization, Ticket, User

LONGEST_PATH = 2000
MAY_CREATE_KEYS = frozenset({"jwt", "session"})
KEY_PREFIX_LENGTH = 8
"""How much of an API key is kept readable, so that its owner can tell keys apart: `sk_` and 5 of 32 digits."""


class TokenPair(TypedDict):
    """Both tokens of a log-in, encoded."""

    access: str
    refresh: str


@dataclass(frozen=True, slots=True)
class NewApiKey:
    """A key that was just made; `key` is readable here and never again."""

    row: ApiKey
    key: str

    def __repr__(self) -> str:
        return f"NewApiKey({self.row})"


def ensure_organization(*, public_id: str, name: str = "") -> Organization:
    """The organisation with this public id, made if it is not there."""
    organization, _ = Organization.objects.get_or_create(public_id=public_id, defaults={"name": name or public_id})
    return organization


@transaction.atomic
def ensure_user(
    *,
    username: str,
    password: str,
    is_staff: bool = False,
    is_superuser: bool = False,
    public_id: str = "",
    organization: Organization | None = None,
    role: str = Membership.Role.MEMBER,
) -> User:
    """The user of this name, made if it is not there, and its membership in `organization`.

    A user that exists keeps its password and rights: this may run at every start.
    """
    # Hashed only for a new user: it takes its time.
    defaults: dict[str, Any] = {
        "is_staff": is_staff,
        "is_superuser": is_superuser,
        "password": lambda: make_password(password),
    }
    if public_id:
        defaults["public_id"] = public_id
    user, _ = User.objects.get_or_create(username=username, defaults=defaults)
    if organization is not None:
        Membership.objects.get_or_create(organization=organization, user=user, defaults={"role": role})
    return user


def organization_ids(*, user: User) -> tuple[str, ...]:
    """Public ids of the organisations that `user` belongs to, sorted."""
    return tuple(user.organizations.order_by("public_id").values_list("public_id", flat=True))


def describe(caller: Caller) -> dict[str, Any]:
    """The caller as `/auth/me` tells it: `id`, `username`, `is_staff`, `organizations` as `{id, name, role}`."""
    memberships = Membership.objects.filter(user_id=caller.pk).select_related("organization").order_by("organization__public_id")
    return {
        "id": caller.user_id,
        "username": caller.username,
        "is_staff": caller.is_staff,
        "organizations": [
            {"id": each.organization.public_id, "name": each.organization.name, "role": each.role} for each in memberships
        ],
    }


def check_password(*, username: str, password: str, address: str) -> User:
    """The active user with this name and password; `address` is where the attempt comes from.

    Takes the same time whether the name exists or not. Raises AuthenticationFailed, or
    Throttled after LOGIN_ATTEMPTS_PER_MINUTE.
    """
    throttle.count_attempt(username=username, address=address)
    user = authenticate(request=None, username=username, password=password)
    if not isinstance(user, User):
        raise AuthenticationFailed("Wrong user name or password.")
    throttle.forget_attempts(username=username, address=address)
    return user


def log_in(*, username: str, password: str, address: str) -> TokenPair:
    """An access and a refresh token for a name and password. Raises as `check_password`, and TokensNotIssued."""
    return tokens_for(user=check_password(username=username, password=password, address=address))


def tokens_for(*, user: User) -> TokenPair:
    """An access and a refresh token for `user`. Raises TokensNotIssued where another service signs."""
    return {"access": access_token_for(user=user), "refresh": tokens.issue_refresh(user_id=user.public_id, stamp=_stamp(user))}


def access_token_for(*, user: User) -> str:
    """An access token for `user`. Raises TokensNotIssued where another service signs."""
    return tokens.issue_access(user_id=user.public_id, organizations=organization_ids(user=user))


def refresh(*, refresh_token: str) -> str:
    """A new access token for a refresh token.

    Raises AuthenticationFailed when it is not one, when its user is deactivated or gone, or
    when the password was changed since.
    """
    claims = tokens.read_refresh(refresh_token)
    user = User.objects.filter(public_id=claims.user_id, is_active=True).first()
    if user is None or not constant_time_compare(claims.stamp, _stamp(user)):
        raise AuthenticationFailed("The refresh token no longer holds: the password was changed or the user deactivated. Log in.")
    return access_token_for(user=user)


def _stamp(user: User) -> str:
    # As sessions do it: a keyed hash of the password hash, of which a part is enough to notice a change.
    return user.get_session_auth_hash()[:32]


def create_ticket(*, caller: Caller, path: str) -> dict[str, Any]:
    """A ticket for one request to `path` within TICKET_SECONDS: `{ticket, expires_in, path}`.

    The query of `path` is dropped, since it may change until the ticket is used. Raises
    ParseError for what is not a path of this server.
    """
    bare = _bare_path(path)
    now = timezone.now()
    Ticket.objects.filter(expires_at__lte=now).delete()
    ticket = secrets.token_urlsafe(32)
    Ticket.objects.create(
        user_id=caller.pk,
        digest=digest(ticket),
        path=bare,
        expires_at=now + timedelta(seconds=conf.TICKET_SECONDS),
        caller_expires_at=_as_datetime(caller.expires_at),
    )
    return {"ticket": ticket, "expires_in": conf.TICKET_SECONDS, "path": bare}


def _bare_path(path: str) -> str:
    bare = unquote(re.split(r"[?#]", path, maxsplit=1)[0])
    if not bare.startswith("/") or bare.startswith("//"):
        raise ParseError("`path` must be a path of this server, such as `/api/events`.")
    if len(bare) > LONGEST_PATH or not bare.isprintable():
        raise ParseError(f"`path` must be at most {LONGEST_PATH} printable characters.")
    return bare


def _as_datetime(epoch: float | None) -> datetime | None:
    if epoch is None or epoch >= datetime.max.replace(tzinfo=UTC).timestamp():
        return None
    return datetime.fromtimestamp(epoch, tz=UTC)


def create_api_key(*, caller: Caller, name: str) -> NewApiKey:
    """A new API key of the caller, who must have logged in.

    A key cannot make keys: whoever got hold of one would survive its revocation. Raises
    PermissionDenied for that, TooManyApiKeys at API_KEYS_PER_USER keys in force.
    """
    if caller.credential not in MAY_CREATE_KEYS:
        raise PermissionDenied("An API key or a ticket cannot create API keys. Log in and use a token.")
    return issue_api_key(user_pk=caller.pk, name=name)


@transaction.atomic
def issue_api_key(*, user_pk: int, name: str) -> NewApiKey:
    """A new API key of a user, for an operator. Raises TooManyApiKeys at API_KEYS_PER_USER keys in force."""
    # Locking the user makes two creations at the same moment count each other.
    User.objects.select_for_update().get(pk=user_pk)
    if has_all_api_keys(user_pk=user_pk):
        raise TooManyApiKeys
    key = f"sk_{secrets.token_hex(16)}"
    row = ApiKey.objects.create(user_id=user_pk, name=name, prefix=key[:KEY_PREFIX_LENGTH], digest=digest(key))
    return NewApiKey(row=row, key=key)


def has_all_api_keys(*, user_pk: int) -> bool:
    """Whether a user has as many API keys in force as allowed."""
    return ApiKey.objects.filter(user_id=user_pk, revoked_at__isnull=True).count() >= conf.API_KEYS_PER_USER


def list_api_keys(*, user_pk: int) -> list[ApiKey]:
    """The keys of a user that are in force, newest first."""
    return list(ApiKey.objects.filter(user_id=user_pk, revoked_at__isnull=True).order_by("-created_at", "-pk"))


def revoke_api_key(*, user_pk: int, key_id: int) -> None:
    """End a key of this user: open connections at once, requests everywhere within CALLER_CACHE_SECONDS.

    Raises NotFound for others' keys and for ended ones.
    """
    if not revoke_api_keys(keys=ApiKey.objects.filter(pk=key_id, user_id=user_pk)):
        raise NotFound("You have no API key with this id.")


def revoke_api_keys(*, keys: QuerySet[ApiKey]) -> int:
    """End those of `keys` that are in force; how many that were."""
    with transaction.atomic():
        ended = keys.filter(revoked_at__isnull=True)
        user_ids = set(ended.values_list("user__public_id", flat=True))
        count = ended.update(revoked_at=timezone.now())
        changes.announce(user_ids)
    return count


def credential_for(*, username: str, api_key_name: str | None = None) -> str:
    """An access token of a user, or a new API key of that name, for an operator.

    Raises NotFound for an unknown or deactivated user, TokensNotIssued, TooManyApiKeys.
    """
    user = User.objects.filter(username=username, is_active=True).first()
    if user is None:
        raise NotFound(f"There is no active user {username!r}.")
    if api_key_name is not None:
        return issue_api_key(user_pk=user.pk, name=api_key_name).key
    return access_token_for(user=user)
