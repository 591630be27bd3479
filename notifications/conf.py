"""Settings of notifications."""

from accounts.conf import AppSettings


class NotificationsSettings(AppSettings):
    """What notifications can be told."""

    NOTIFICATIONS_RETENTION_DAYS: int = 90
    """How long notifications are kept, in days."""

    NOTIFICATIONS_BODY_MAX_CHARS: int = 2000
    """Longest body of a notification, in characters."""

    NOTIFICATIONS_RECIPIENTS_MAX: int = 100
    """Most users that one request to `POST /api/v1/notifications` may notify."""

    NOTIFICATIONS_ACTION_MAX: int = 100
    """Most notifications that one action may name by their ids, and that one `notification.updated` names."""


conf = NotificationsSettings()
