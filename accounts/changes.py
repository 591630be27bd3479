"""Changes after which credentials may be worth less than before: for those who hold connections open by them."""

from collections.abc import Iterable

from django.dispatch import Signal

access_changed = Signal()
"""Carries `user_ids`, public ids of the users concerned. Sent within the transaction of the change, before its commit."""


def announce(user_ids: Iterable[str]) -> None:
    """Says that something about the access of these users has changed: a key revoked, a session over, a user deactivated."""
    ids = sorted(set(user_ids))
    if ids:
        access_changed.send(None, user_ids=ids)
