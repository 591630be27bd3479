"""The events of notifications on a user's feed. No I/O."""

from events.event import EventType, register

CREATED = EventType(
    "notification.created",
    "User feed: there is a new notification: `notification_id`, `title`, `body`, `action_url`, `priority`.",
)
UPDATED = EventType(
    "notification.updated",
    "User feed: notifications were seen, read, archived or deleted: `action`, `ids` (null: too many to name), `counts`.",
)
register(CREATED, UPDATED)
