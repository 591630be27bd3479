"""Who a session cookie belongs to, with the rules of `django.contrib.auth.get_user`."""

from importlib import import_module
from typing import Any

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY, load_backend
from django.utils.crypto import constant_time_compare

from accounts.models import User


def logged_in_user(session_key: str) -> User | None:
    """The active user that is logged in to this session, or None.

    Not `get_user` itself: that flushes or re-keys the session, which needs a response to set
    the new cookie on; a stream or a socket has none, and the user would be logged out.
    """
    session = import_module(settings.SESSION_ENGINE).SessionStore(session_key)
    backend_path = session.get(BACKEND_SESSION_KEY)
    if SESSION_KEY not in session or backend_path not in settings.AUTHENTICATION_BACKENDS:
        return None
    user = load_backend(backend_path).get_user(User._meta.pk.to_python(session[SESSION_KEY]))
    if user is None or not _password_unchanged(user, session.get(HASH_SESSION_KEY)):
        return None
    return user if user.is_active else None


def _password_unchanged(user: Any, session_hash: str | None) -> bool:
    if not session_hash:
        return False
    hashes = (user.get_session_auth_hash(), *user.get_session_auth_fallback_hash())
    return any(constant_time_compare(session_hash, each) for each in hashes)


def users_of(session: Any) -> list[str]:
    """The public id of the user who is logged in to a stored session; none where nobody is."""
    return list(User.objects.filter(pk=session.get_decoded().get(SESSION_KEY)).values_list("public_id", flat=True))
