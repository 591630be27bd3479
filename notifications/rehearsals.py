"""A dry run: what a rule would have told of the events of late. Nothing is written, nobody is told."""

from collections.abc import Mapping
from typing import Any

from accounts.caller import Caller
from accounts.models import User
from events.frames import timestamp
from events.inspecting import look
from events.topics import access as topic_access
from events.topics.event import TopicEvent, organization_stream
from events.topics.grammar import parse_pattern
from notifications import rules
from notifications.conditions import ConditionFailed, holds
from notifications.evaluation import values_of
from notifications.models import Rule
from notifications.recipients import recipients_of
from notifications.wording import words_for

MOST_EVENTS = 200
"""How many of the latest events are looked at."""

MOST_SHOWN = 20
"""How many that match are told, the newest first."""


def rehearse(*, caller: Caller, organization_id: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """How many of the latest events of the organisation the rule would be about, and the words and recipients of each.

    Of events that the caller may not see nothing is told. Raises as `rules.create` for a rule that could not be saved,
    and `BrokerUnavailable`.
    """
    rule = rules.draft(caller=caller, organization_id=organization_id, fields=fields)
    pattern = parse_pattern(rule.pattern)
    latest = look(stream=organization_stream(rule.organization.public_id), limit=MOST_EVENTS).events
    events = [event for entry in latest if (event := TopicEvent.read(entry)) is not None]
    seen = [event for event in events if pattern.matches(event.topic) and topic_access.may_see(caller, event.topic)]
    results = [told for event in seen if (told := _told(rule, event)) is not None]
    return {"looked_at": len(events), "matched": len(results), "results": results[:MOST_SHOWN]}


def _told(rule: Rule, event: TopicEvent) -> dict[str, Any] | None:
    about = {"topic": str(event.topic), "timestamp": timestamp(event.at.at / 1000)}
    values = values_of(event)
    try:
        if not holds(rule.condition, values):
            return None
    except ConditionFailed as error:
        return about | {"failure": str(error)}
    words, failure = words_for(rule, values)
    if failure:
        return about | {"failure": failure}
    users: list[User] = recipients_of(organization=rule.organization, recipients=rule.recipients, event=event)
    who = [{"id": user.public_id, "username": user.username} for user in users[:MOST_SHOWN]]
    wording = {"title": words.title, "body": words.body, "action_url": words.action_url}
    return about | wording | {"recipients": who, "recipient_count": len(users)}
