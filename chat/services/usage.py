"""What an account may use in a month. A job takes its place when it is accepted, and gives it back unless it completes.

Counted at the beginning: of any number of jobs at the same moment no more are accepted than the month has left.
"""

from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta

from django.core.exceptions import ImproperlyConfigured
from django.db.models import F
from django.utils import timezone

from chat.conf import conf
from chat.models import Subscription, UsageMonth
from events.exceptions import TooMany


class UsedUp(TooMany):
    """This month's jobs are used up. Wait for the next month, or ask for another tier."""

    code = "usage_used_up"


@dataclass(frozen=True, slots=True)
class Usage:
    """An account's month as clients of seed 003 are told. `monthly_limit` None: none."""

    monthly_used: int
    monthly_limit: int | None
    monthly_remaining: int | None
    was_billable: bool
    subscription_tier: str

    @property
    def data(self) -> dict[str, int | bool | str | None]:
        """As JSON."""
        return asdict(self)


def tiers() -> dict[str, int]:
    """The tiers of USAGE_TIERS with their limits, 0: none. Raises `ImproperlyConfigured`."""
    found = {}
    for entry in conf.USAGE_TIERS:
        name, _, limit = entry.strip().partition("=")
        if not name or not (limit.isascii() and limit.isdigit()):
            raise ImproperlyConfigured(f"USAGE_TIERS holds {entry!r}; write name=jobs a month, such as free=500.")
        found[name] = int(limit)
    if conf.USAGE_TIER not in found:
        raise ImproperlyConfigured(f"USAGE_TIER is {conf.USAGE_TIER!r}, which is not among USAGE_TIERS.")
    return found


def this_month() -> date:
    """The first day of the month, in UTC."""
    return timezone.now().astimezone(UTC).date().replace(day=1)


def refuse_used_up(*, user_pk: int) -> None:
    """Raises `UsedUp` where `take` surely would: before anything costly is done for a request."""
    now = of_month(user_pk=user_pk)
    if now.monthly_remaining == 0:
        raise _used_up(now.monthly_limit or 0, now.subscription_tier, this_month())


def take(*, user_pk: int) -> tuple[date, Usage]:
    """Takes one of the account's month, in the caller's transaction; the month, and how it stands then. Raises `UsedUp`."""
    tier, limit, month = *_tier(user_pk), this_month()
    # Its transaction may wait here for another's of the same account: that one knows first whether there is room.
    row, _ = UsageMonth.objects.select_for_update().get_or_create(user_id=user_pk, month=month)
    if limit and row.used >= limit:
        raise _used_up(limit, tier, month)
    row.used += 1
    row.save(update_fields=["used"])
    return month, _usage(row.used, limit, tier, was_billable=True)


def give_back(*, user_pk: int | None, month: date) -> Usage | None:
    """Gives back what a job took that did not complete; how the month stands then. None when the account is gone."""
    if user_pk is None:
        return None
    UsageMonth.objects.filter(user_id=user_pk, month=month, used__gt=0).update(used=F("used") - 1)
    return of_month(user_pk=user_pk, month=month)


def of_month(*, user_pk: int, month: date | None = None) -> Usage:
    """How an account's month stands, this one if none is given."""
    tier, limit = _tier(user_pk)
    row = UsageMonth.objects.filter(user_id=user_pk, month=month or this_month()).first()
    return _usage(row.used if row else 0, limit, tier, was_billable=False)


def _used_up(limit: int, tier: str, month: date) -> UsedUp:
    message = f"This month's {limit} jobs of the tier {tier!r} are used up. The next month begins on {_next(month)}."
    return UsedUp(message, retry_after=_seconds_left(month))


def _tier(user_pk: int) -> tuple[str, int]:
    known = tiers()
    row = Subscription.objects.filter(user_id=user_pk).first()
    # A tier that is not configured any more is the usual one: an account must not be without a limit by mistake.
    name = row.tier if row is not None and row.tier in known else conf.USAGE_TIER
    return name, known[name]


def _usage(used: int, limit: int, tier: str, *, was_billable: bool) -> Usage:
    return Usage(used, limit or None, max(0, limit - used) if limit else None, was_billable, tier)


def _next(month: date) -> date:
    return (month + timedelta(days=32)).replace(day=1)


def _seconds_left(month: date) -> float:
    following = _next(month)
    return (datetime(following.year, following.month, 1, tzinfo=UTC) - timezone.now()).total_seconds()
