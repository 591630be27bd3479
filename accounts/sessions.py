"""Who session cookies belong to, with the rules of `django.contrib.auth.get_user`."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore as DatabaseStore
from django.utils import timezone
from django.utils.crypto import constant_time_compare

from accounts.models import User


@dataclass(frozen=True, slots=True)
class Login:
    """What a session says: the primary key of the user who logged in, and a digest of the password of that time."""

    user_pk: Any
    password_digest: str

    def is_of(self, user: User) -> bool:
        """Whether this is the user, and the password is still the same."""
        digests = (user.get_session_auth_hash(), *user.get_session_auth_fallback_hash())
        return user.pk == self.user_pk and any(constant_time_compare(self.password_digest, each) for each in digests)


def logins(session_keys: Collection[str]) -> dict[str, Login]:
    """The log-ins of those sessions that have one, by session key: one query when sessions are in the database.

    Not `get_user` itself: that flushes or re-keys the session, which needs a response to set
    the new cookie on; a stream or a socket has none, and the user would be logged out.
    """
    found = {key: _login(content) for key, content in _contents(session_keys).items()}
    return {key: login for key, login in found.items() if login is not None}


def _contents(session_keys: Collection[str]) -> dict[str, Mapping[str, Any]]:
    store = import_module(settings.SESSION_ENGINE).SessionStore
    if not issubclass(store, DatabaseStore):
        return {key: store(key).load() for key in session_keys}
    kept = store.get_model_class().objects.filter(session_key__in=session_keys, expire_date__gt=timezone.now())
    return {session.session_key: session.get_decoded() for session in kept}


def _login(content: Mapping[str, Any]) -> Login | None:
    if SESSION_KEY not in content or content.get(BACKEND_SESSION_KEY) not in settings.AUTHENTICATION_BACKENDS:
        return None
    return Login(User._meta.pk.to_python(content[SESSION_KEY]), content.get(HASH_SESSION_KEY) or "")


def users_of(session: Any) -> list[str]:
    """The public id of the user who is logged in to a stored session; none where nobody is."""
    return list(User.objects.filter(pk=session.get_decoded().get(SESSION_KEY)).values_list("public_id", flat=True))
