"""Rules: who may make which, and what is refused when they are saved."""

import uuid
from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from accounts.caller import Caller
from accounts.models import Membership, Organization, User
from events.event import storable
from events.exceptions import Conflict, Forbidden, InvalidRequest, NotFound, TooMany
from events.organizations import is_admin, own_organization
from events.paging import page
from events.topics.grammar import WILDCARD, parse_pattern
from notifications import conditions, recipients, templates
from notifications.builtin import ensure_builtin
from notifications.conf import conf
from notifications.models import LONGEST_PATTERN, LONGEST_TITLE, Channel, Notification, Rule

LONGEST_SECONDS = 7 * 24 * 3600
FIELDS = (
    "name",
    "pattern",
    "condition",
    "priority",
    "title",
    "body",
    "action_url",
    "channels",
    "recipients",
    "throttle_limit",
    "throttle_seconds",
    "digest_seconds",
    "always",
    "enabled",
)
"""What a request may say of a rule."""


def list_rules(*, caller: Caller, organization_id: str, cursor: str) -> tuple[list[Rule], str | None]:
    """One page of the rules that the caller sees: his own, and all of organisations he administers; the newest first."""
    organization = own_organization(caller, organization_id)
    ensure_builtin(organization)
    query = Rule.objects.filter(organization=organization).select_related("organization", "owner")
    if not is_admin(caller, organization):
        # What is built in is told to everybody, so everybody may say that he does not want it.
        query = query.filter(Q(owner_id=caller.pk) | ~Q(builtin=""))
    return page(query, by="created_at", cursor=cursor)


def get(*, caller: Caller, rule_id: uuid.UUID) -> Rule:
    """A rule that the caller may change. Raises `NotFound`, `Forbidden`."""
    return _of(caller, Rule.objects.all(), rule_id)


@transaction.atomic
def create(*, caller: Caller, organization_id: str, fields: Mapping[str, Any]) -> Rule:
    """Makes a rule; the caller owns it. Members make rules that tell only themselves, admins any.

    Raises `InvalidRequest` that says what is wrong, `Forbidden`, `TooMany`.
    """
    organization = own_organization(caller, organization_id)
    # One at a time: two requests must not both be the last that fits.
    Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)
    if Rule.objects.filter(organization=organization).count() >= conf.NOTIFICATIONS_RULES_MAX:
        raise TooMany(f"An organisation has at most {conf.NOTIFICATIONS_RULES_MAX} rules. Delete one first.", retry_after=60)
    rule = Rule(organization=organization, owner_id=caller.pk, since=timezone.now())
    _set(caller, rule, fields)
    rule.save(force_insert=True)
    return rule


def draft(*, caller: Caller, organization_id: str, fields: Mapping[str, Any]) -> Rule:
    """A rule that is not saved, for looking at what it would do. Raises as `create`."""
    rule = Rule(organization=own_organization(caller, organization_id), owner_id=caller.pk)
    _set(caller, rule, fields)
    return rule


@transaction.atomic
def change(*, caller: Caller, rule_id: uuid.UUID, fields: Mapping[str, Any]) -> Rule:
    """Changes a rule. What happened while it was off is not told afterwards. Raises as `create`, and `NotFound`."""
    rule = _of(caller, Rule.objects.select_for_update(of=("self",)), rule_id)
    was_enabled = rule.enabled
    _set(caller, rule, fields)
    if rule.enabled and not was_enabled:
        rule.since = timezone.now()
    rule.failure, rule.failed_at = "", None
    rule.save()
    return rule


@transaction.atomic
def delete(*, caller: Caller, rule_id: uuid.UUID) -> None:
    """Deletes a rule and its deliveries; what it told stays. Raises `NotFound`, `Conflict` for one that is built in."""
    rule = _of(caller, Rule.objects.select_for_update(of=("self",)), rule_id)
    if rule.builtin:
        raise Conflict("This rule is built in. Switch it off instead: enabled false.")
    rule.delete()


def failures_go_to(rule: Rule) -> list[User]:
    """Who is told that a rule failed: its owner while he is a member, else the admins of the organisation."""
    members = User.objects.filter(is_active=True, memberships__organization=rule.organization)
    owner = members.filter(pk=rule.owner_id) if rule.owner_id else members.none()
    return list(owner or members.filter(memberships__role=Membership.Role.ADMIN).distinct())


def gaps_go_to(organization: Organization) -> list[User]:
    """Who is told that rules may have missed events: those to whom the failures of its enabled rules go."""
    members = User.objects.filter(is_active=True, memberships__organization=organization)
    enabled = Rule.objects.filter(organization=organization, enabled=True)
    owners = enabled.filter(owner__isnull=False).values("owner_id")
    admins = Q(memberships__organization=organization, memberships__role=Membership.Role.ADMIN)
    told = Q(pk__in=owners)
    # Failures of rules that nobody owns, or whose owner has left, are for the admins.
    if enabled.exclude(owner__in=members).exists():
        told |= admins
    return list(members.filter(told).distinct().order_by("pk"))


def checked(rule: Rule) -> Rule:
    """The rule itself, when nothing is wrong with it. Raises `InvalidRequest`."""
    if not rule.name.strip() or len(rule.name) > LONGEST_TITLE:
        raise InvalidRequest(f"name: 1 to {LONGEST_TITLE} characters.")
    _check_pattern(rule)
    conditions.check(rule.condition)
    if not rule.title.strip():
        raise InvalidRequest("title must not be empty: it is what people see first.")
    for what in ("title", "body", "action_url"):
        templates.check(getattr(rule, what), what=what)
    recipients.check(rule.recipients)
    if rule.priority not in Notification.Priority.values:
        raise InvalidRequest(f"priority must be one of {', '.join(Notification.Priority.values)}, not {rule.priority!r}.")
    if not rule.channels or set(rule.channels) - set(Channel.values):
        raise InvalidRequest(f"channels: one or more of {', '.join(Channel.values)}.")
    if (rule.throttle_limit is None) != (rule.throttle_seconds is None) or rule.throttle_limit == 0:
        raise InvalidRequest("throttle: a limit of at least 1, and seconds, or neither.")
    for name, seconds in (("throttle", rule.throttle_seconds), ("digest", rule.digest_seconds)):
        if seconds is not None and not 1 <= seconds <= LONGEST_SECONDS:
            raise InvalidRequest(f"{name}: 1 to {LONGEST_SECONDS} seconds.")
    return rule


def _check_pattern(rule: Rule) -> None:
    if len(rule.pattern) > LONGEST_PATTERN:
        raise InvalidRequest(f"pattern has {len(rule.pattern)} characters; at most {LONGEST_PATTERN} are accepted.")
    organization = parse_pattern(rule.pattern).organization
    if organization not in (WILDCARD, rule.organization.public_id):
        raise InvalidRequest(
            f"pattern: a rule of {rule.organization.public_id} is about its events, not those of {organization!r}."
        )


def _set(caller: Caller, rule: Rule, fields: Mapping[str, Any]) -> None:
    for name in FIELDS:
        if name in fields:
            setattr(rule, name, storable(fields[name]))
    rule.channels = list(dict.fromkeys(rule.channels))
    rule.recipients = list(dict.fromkeys(rule.recipients))
    checked(rule)
    if rule.recipients != [f"user:{caller.user_id}"] and not is_admin(caller, rule.organization):
        raise Forbidden(f"Only admins of the organisation tell others. Members may tell themselves: user:{caller.user_id}.")


def _of(caller: Caller, query: QuerySet[Rule], rule_id: uuid.UUID) -> Rule:
    rule = query.select_related("organization", "owner").filter(pk=rule_id).first()
    if rule is None:
        raise NotFound("There is no rule with this id that you may see.")
    if is_admin(caller, rule.organization):
        return rule
    _organization_of_others(caller, rule)
    return rule


def _organization_of_others(caller: Caller, rule: Rule) -> None:
    is_member = Membership.objects.filter(organization=rule.organization, user_id=caller.pk).exists()
    if is_member and rule.builtin:
        raise Forbidden("Only admins of the organisation change this rule; your preferences say whether it tells you.")
    if not is_member or rule.owner_id != caller.pk:
        raise NotFound("There is no rule with this id that you may see.")
