"""Encrypting what must not be read from a copy of the database: tokens, codes, verifiers, secrets of webhooks."""

import base64

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.utils.encoding import force_bytes

PURPOSE = b"throughline.plugins.sealing"
"""The name it began with. With another one nothing that is sealed already could be read."""


class Unreadable(Exception):
    """What was sealed was sealed with another SECRET_KEY, or was changed."""


def seal(text: str) -> str:
    """The text, encrypted and authenticated under SECRET_KEY; an empty text stays empty."""
    return _fernet().encrypt(text.encode()).decode("ascii") if text else ""


def unseal(sealed: str) -> str:
    """The text that `seal` sealed, also under one of SECRET_KEY_FALLBACKS. Raises `Unreadable`."""
    if not sealed:
        return ""
    try:
        return _fernet().decrypt(sealed.encode("ascii")).decode()
    except (InvalidToken, UnicodeEncodeError):
        raise Unreadable from None


def _fernet() -> MultiFernet:
    return MultiFernet([Fernet(_key(secret)) for secret in [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]])


def _key(secret: str | bytes) -> bytes:
    # Derived, so that what is signed with SECRET_KEY elsewhere says nothing about it.
    derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=PURPOSE).derive(force_bytes(secret))
    return base64.urlsafe_b64encode(derived)
