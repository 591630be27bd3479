"""Who is asking."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Caller:
    """A verified user, as every service sees the one who asks.

    `pk` is the user's primary key, `user_id` the public id, `organizations` public ids,
    `credential` one of jwt, api_key, session, ticket, and `expires_at` the epoch second at
    which the credential ends (None: not by itself).
    """

    pk: int
    user_id: str
    username: str
    organizations: tuple[str, ...]
    is_staff: bool
    credential: str
    expires_at: float | None = None

    @property
    def is_authenticated(self) -> bool:
        """True: DRF's permission classes ask this of `request.user`."""
        return True
