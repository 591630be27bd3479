"""The rules that every organisation has from the start, and can switch off and change."""

from typing import Any

from accounts.models import Organization
from notifications.models import Channel, Notification, Rule
from notifications.recipients import PARTICIPANTS, PARTICIPANTS_EXCEPT_SENDER

BUILTIN: dict[str, dict[str, Any]] = {
    "new_message": {
        "name": "New message",
        "pattern": "events.{organization}.conversations.conversation.message_posted.*",
        # What an agent says is an answer to somebody: who asked sees it come.
        "condition": "payload.role != 'assistant'",
        "title": "New message{% if payload.title|default('') %} in {{ payload.title|truncate(120) }}{% endif %}",
        "body": "{{ payload.text|default('')|truncate(500) }}",
        "action_url": "/rooms/{{ event.resourceId }}",
        "recipients": [PARTICIPANTS_EXCEPT_SENDER],
        "channels": [Channel.WEBSOCKET, Channel.PUSH],
    },
    "conversation_created": {
        "name": "Conversation created",
        "pattern": "events.{organization}.conversations.conversation.created.*",
        "title": "You take part in {{ payload.title|default('a new conversation')|truncate(120) }}",
        "action_url": "/rooms/{{ event.resourceId }}",
        "recipients": [PARTICIPANTS_EXCEPT_SENDER],
        "channels": [Channel.WEBSOCKET],
    },
    "task_completed": {
        "name": "Task completed",
        "pattern": "events.{organization}.tasks.task.completed.*",
        # Every answer is a task, and most are read as they come: told are those for which nobody sits and waits.
        "condition": "payload.seconds >= 60",
        "title": "Completed: {{ payload.title|default('an answer')|truncate(120) }}",
        "action_url": "{% if payload.conversation_id is defined %}/rooms/{{ payload.conversation_id }}{% endif %}",
        "recipients": [PARTICIPANTS],
        "channels": [Channel.WEBSOCKET, Channel.PUSH],
    },
    "task_failed": {
        "name": "Task failed",
        "pattern": "events.{organization}.tasks.task.failed.*",
        "priority": Notification.Priority.HIGH,
        "title": "Failed: {{ payload.title|default('an answer')|truncate(120) }}",
        "body": "{{ payload.error|default('')|truncate(500) }}",
        "action_url": "{% if payload.conversation_id is defined %}/rooms/{{ payload.conversation_id }}{% endif %}",
        "recipients": [PARTICIPANTS],
        "channels": [Channel.WEBSOCKET, Channel.PUSH],
    },
}
"""By their slug; a template field that is missing here would be reported to nobody who can help."""


def ensure_builtin(organization: Organization) -> None:
    """Makes the built-in rules that an organisation has not yet; those that were changed stay as they are."""
    rules = Rule.objects.filter(organization=organization).exclude(builtin="")
    missing = BUILTIN.keys() - set(rules.values_list("builtin", flat=True))
    rows = [Rule(organization=organization, builtin=slug, **BUILTIN[slug]) for slug in BUILTIN if slug in missing]
    for row in rows:
        row.pattern = row.pattern.format(organization=organization.public_id)
    # Two processes may find them missing at once.
    Rule.objects.bulk_create(rows, ignore_conflicts=True)
