"""What a user wants to be told, and when he wants quiet."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from django.db import transaction
from django.db.models import Q

from accounts.caller import Caller
from accounts.models import Membership
from events.exceptions import InvalidRequest, NotFound
from notifications.models import Channel, Preference, QuietHours, Rule

Choices = Mapping[tuple[UUID | None, str], bool]
"""What one user chose: by rule (None: all) and channel (empty: all)."""


@dataclass(frozen=True, slots=True)
class Quiet:
    """Hours of the day in which a user is left alone, by the clock of his time zone; `ends` is no longer one of them."""

    begins: time
    ends: time
    time_zone: str

    def over(self, now: datetime) -> datetime | None:
        """When the quiet that `now` is in will be over; None when it is in none."""
        zone = ZoneInfo(self.time_zone)
        local = now.astimezone(zone)
        clock = local.time().replace(tzinfo=None)
        through_midnight = self.ends < self.begins
        after, before = clock >= self.begins, clock < self.ends
        inside = after or before if through_midnight else after and before
        if not inside:
            return None
        day = local.date() if clock < self.ends else local.date() + timedelta(days=1)
        end = datetime.combine(day, self.ends, tzinfo=zone).astimezone(now.tzinfo)
        # When clocks are put back, an hour is there twice: its first end may be past.
        return end if end > now else datetime.combine(day, self.ends, tzinfo=zone).replace(fold=1).astimezone(now.tzinfo)


@dataclass(frozen=True, slots=True)
class Wishes:
    """All that one user wants."""

    choices: Choices = field(default_factory=dict)
    quiet: Quiet | None = None

    def wants(self, *, rule_id: UUID, channel: str) -> bool:
        """Whether he wants to be told of a rule in this way: the most special choice decides, without one he does."""
        for key in ((rule_id, channel), (rule_id, ""), (None, channel), (None, "")):
            if key in self.choices:
                return self.choices[key]
        return True


def wishes_of(user_pks: Collection[int], *, rule_ids: Collection[UUID]) -> dict[int, Wishes]:
    """What each of these users wants, as far as it matters to these rules."""
    choices: dict[int, dict[tuple[UUID | None, str], bool]] = {pk: {} for pk in user_pks}
    for each in Preference.objects.filter(Q(rule=None) | Q(rule_id__in=rule_ids), user_id__in=user_pks):
        choices[each.user_id][each.rule_id, each.channel] = each.enabled
    quiet = {
        each.user_id: Quiet(each.begins, each.ends, each.time_zone) for each in QuietHours.objects.filter(user_id__in=user_pks)
    }
    return {pk: Wishes(choices[pk], quiet.get(pk)) for pk in user_pks}


def chosen(*, caller: Caller) -> tuple[list[Preference], Quiet | None]:
    """The caller's choices, and his quiet hours."""
    found = list(Preference.objects.filter(user_id=caller.pk).order_by("rule_id", "channel"))
    hours = QuietHours.objects.filter(user_id=caller.pk).first()
    return found, Quiet(hours.begins, hours.ends, hours.time_zone) if hours else None


@transaction.atomic
def choose(*, caller: Caller, choices: Sequence[tuple[UUID | None, str, bool | None]]) -> None:
    """Sets choices (rule or None, channel or "", wanted; None: no choice any more). All or, raising `NotFound`, none."""
    rules = {rule_id for rule_id, _, _ in choices if rule_id is not None}
    known = Rule.objects.filter(pk__in=rules, organization__memberships__user_id=caller.pk).values_list("pk", flat=True)
    if rules - set(known):
        raise NotFound(f"You have no rule with the id {min(rules - set(known))}.")
    for rule_id, channel, enabled in choices:
        if channel and channel not in Channel.values:
            raise InvalidRequest(f"channel must be one of {', '.join(Channel.values)}, or left out, not {channel!r}.")
        if enabled is None:
            Preference.objects.filter(user_id=caller.pk, rule=rule_id, channel=channel).delete()
        else:
            set_choice(user_pk=caller.pk, rule_id=rule_id, channel=channel, enabled=enabled)


def set_choice(*, user_pk: int, rule_id: UUID | None, channel: str, enabled: bool) -> None:
    """Sets one choice of a user; doing it again changes nothing."""
    rule = Rule.objects.get(pk=rule_id) if rule_id is not None else None
    Preference.objects.update_or_create(user_id=user_pk, rule=rule, channel=channel, defaults={"enabled": enabled})


def set_quiet(*, caller: Caller, quiet: Quiet | None) -> None:
    """Sets the caller's quiet hours; None: he has none. Raises `InvalidRequest`."""
    if quiet is None:
        QuietHours.objects.filter(user_id=caller.pk).delete()
        return
    if quiet.begins == quiet.ends:
        raise InvalidRequest("Quiet hours begin and end at different times.")
    try:
        ZoneInfo(quiet.time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InvalidRequest(f"There is no time zone {quiet.time_zone[:64]!r}; one is Europe/Berlin.") from None
    if quiet.time_zone not in available_timezones():
        raise InvalidRequest(f"There is no time zone {quiet.time_zone[:64]!r}; one is Europe/Berlin.")
    values = {"begins": quiet.begins, "ends": quiet.ends, "time_zone": quiet.time_zone}
    QuietHours.objects.update_or_create(user_id=caller.pk, defaults=values)


def is_member(*, user_pk: int, rule: Rule) -> bool:
    """Whether a user is still in the organisation of a rule."""
    return Membership.objects.filter(user_id=user_pk, organization_id=rule.organization_id, user__is_active=True).exists()
