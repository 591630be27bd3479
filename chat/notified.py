"""Who takes part in what chat publishes on topics: what notification rules call participants."""

from collections.abc import Collection
from uuid import UUID

from chat.models import Conversation
from chat.services.telling import people_of
from notifications.recipients import participants_by


def _participants(organization_id: str, resource_id: str) -> Collection[str]:
    """Of a conversation; none of what is not there, or is another organisation's."""
    found = _conversation(resource_id)
    return people_of(found) if found is not None and _is_of(found, organization_id) else []


def _task_participants(organization_id: str, resource_id: str) -> Collection[str]:
    """Of the conversation in which a task was run: its id is that of the answer."""
    try:
        found = Conversation.objects.filter(messages__pk=UUID(resource_id)).first()
    except ValueError:
        return []
    return people_of(found) if found is not None and _is_of(found, organization_id) else []


def _conversation(resource_id: str) -> Conversation | None:
    try:
        return Conversation.objects.filter(pk=UUID(resource_id)).first()
    except ValueError:
        return None


def _is_of(conversation: Conversation, organization_id: str) -> bool:
    return conversation.organization is None or conversation.organization.public_id == organization_id


participants_by("conversations", _participants)
participants_by("tasks", _task_participants)
