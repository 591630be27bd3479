"""The events of a workspace's stream. Its socket tells them without `workspace.` in front."""

from events.event import EventType, register

PREFIX = "workspace."

DOCUMENT_UPDATED = EventType(
    "workspace.document_updated",
    "Workspace: a shared source can be searched, anew, or was deleted: `document_id`, `name`, `action`.",
)
APPLICATION_CHANGED = EventType(
    "workspace.application_changed",
    "Workspace: an application of its organisation was made, changed or deleted: `application_id`, `name`, `action`.",
)
MEMBER_ADDED = EventType(
    "workspace.member_added",
    "Workspace, and the new member's user feed: there is a new member: `workspace_id`, `workspace_name`, `member_id`, "
    "`member_name`, `role`, `added_by`.",
)
MEMBER_REMOVED = EventType(
    "workspace.member_removed",
    "Workspace: somebody is no member any more, and his sockets are closed: `member_id`, `member_name`.",
)
register(DOCUMENT_UPDATED, APPLICATION_CHANGED, MEMBER_ADDED, MEMBER_REMOVED)

BROADCASTS = {each.name.removeprefix(PREFIX): each.name for each in (DOCUMENT_UPDATED, APPLICATION_CHANGED, MEMBER_ADDED)}
"""What members may broadcast themselves: the word of the frame, and the type of the event."""
