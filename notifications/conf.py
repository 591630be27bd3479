"""Settings of notifications."""

from accounts.conf import AppSettings


class NotificationsSettings(AppSettings):
    """What notifications can be told."""

    NOTIFICATIONS_RETENTION_DAYS: int = 90
    """How long notifications are kept, in days."""


conf = NotificationsSettings()
