"""Who is told of an event: people of its organisation who may see it."""

import re
from collections.abc import Callable, Collection, Sequence

from django.db.models import Q

from accounts.caller import Caller
from accounts.models import Membership, Organization, User
from events.exceptions import InvalidRequest
from events.topics import access as topic_access
from events.topics.event import TopicEvent

PARTICIPANTS = "participants"
PARTICIPANTS_EXCEPT_SENDER = "participants_except_sender"
MEMBERS = "members"
_NAMED = re.compile(r"(user|role):([!-~]{1,128})", re.ASCII)

Participants = Callable[[str, str], Collection[str]]
"""The public ids of the users who take part in a resource: of an organisation (public id) and a resource id."""

_participants: dict[str, Participants] = {}


def participants_by(source: str, find: Participants) -> None:
    """From now on `find` says who takes part in the resources of events of `source`."""
    _participants[source] = find


def check(recipients: Sequence[str]) -> None:
    """Refuses what names nobody. Raises `InvalidRequest`."""
    if not recipients:
        raise InvalidRequest(f"recipients: at least one of {_known()}.")
    for each in recipients:
        match = _NAMED.fullmatch(each)
        if each not in (PARTICIPANTS, PARTICIPANTS_EXCEPT_SENDER, MEMBERS) and match is None:
            raise InvalidRequest(f"recipients: {each[:64]!r} is none of {_known()}.")
        if match and match[1] == "role" and match[2] not in Membership.Role.values:
            raise InvalidRequest(f"recipients: there is no role {match[2]!r}, only {', '.join(Membership.Role.values)}.")


def _known() -> str:
    return f"{PARTICIPANTS}, {PARTICIPANTS_EXCEPT_SENDER}, {MEMBERS}, user:<id>, role:<role>"


def recipients_of(*, organization: Organization, recipients: Sequence[str], event: TopicEvent) -> list[User]:
    """The users that a rule names for an event, each once: active members of the organisation who may see the event."""
    members = User.objects.filter(is_active=True, memberships__organization=organization)
    taking_part = _participants_of(event)
    if taking_part:
        # Whoever does not take part may not see it: asking about each member of a large organisation would take long.
        members = members.filter(public_id__in=taking_part)
    if MEMBERS not in recipients:
        roles = [each.partition(":")[2] for each in recipients if each.startswith("role:")]
        ids = {each.partition(":")[2] for each in recipients if each.startswith("user:")}
        if PARTICIPANTS in recipients:
            ids |= taking_part
        elif PARTICIPANTS_EXCEPT_SENDER in recipients:
            ids |= taking_part - {sender_of(event)}
        by_role = Membership.objects.filter(organization=organization, role__in=roles).values("user_id")
        members = members.filter(Q(public_id__in=ids) | Q(pk__in=by_role))
    return [user for user in members.order_by("pk") if topic_access.may_see(_caller(user), event.topic)]


def _participants_of(event: TopicEvent) -> set[str]:
    find = _participants.get(event.topic.source)
    return set(find(event.topic.organization, event.topic.resource_id)) if find else set()


def sender_of(event: TopicEvent) -> str:
    """The public id of who caused an event: its payload's `sender_id` or `user_id`, else who published it; or nothing."""
    told = event.at.data.get("event", {})
    payload, metadata = told.get("payload", {}), told.get("metadata", {})
    return str(payload.get("sender_id") or payload.get("user_id") or metadata.get("publisher") or "")


def _caller(user: User) -> Caller:
    return Caller(user.pk, user.public_id, user.username, (), user.is_staff, "rule")
