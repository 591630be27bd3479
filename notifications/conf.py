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

    NOTIFICATIONS_EVALUATE_SECONDS: float = 0.5
    """Pause between looks of the worker for new events and due deliveries, in seconds."""

    NOTIFICATIONS_RULES_MAX: int = 200
    """Most rules of one organisation."""

    NOTIFICATIONS_RULE_RECIPIENTS_MAX: int = 1000
    """Most users that one event notifies by one rule; the others are left out, which the rule's owner is told."""

    NOTIFICATIONS_PUSH_SECONDS: float = 5.0
    """How long a push waits for its user to see the notification on a page, in seconds."""

    NOTIFICATIONS_IDLE_SECONDS: float = 120.0
    """After how long without doing anything on a page a user gets pushes although a tab is open, in seconds."""

    NOTIFICATIONS_OFFLINE_SECONDS: float = 60.0
    """How long a mail waits for its user to be there, in seconds; it is not sent when he is."""

    NOTIFICATIONS_AWAY_SECONDS: float = 900.0
    """After how long without doing anything on a page a user gets mails although a tab is open, in seconds."""

    NOTIFICATIONS_LEASE_SECONDS: float = 120.0
    """After how long another worker takes over a delivery whose worker died, in seconds."""

    NOTIFICATIONS_SEND_SECONDS: float = 10.0
    """How long a mail server or a push service may take for one answer, in seconds."""

    NOTIFICATIONS_ATTEMPTS_MAX: int = 20
    """How often a delivery is tried before it is dead, and waits for an operator to replay it."""

    NOTIFICATIONS_RETRY_SECONDS: float = 5.0
    """Pause before a delivery is tried again, in seconds; it doubles with every attempt, up to an hour."""

    NOTIFICATIONS_DELIVERIES_AT_ONCE: int = 50
    """Most deliveries that one worker takes at once."""

    NOTIFICATIONS_PUSH_SUBSCRIPTIONS_MAX: int = 20
    """Most browsers that take pushes for one user; the one that subscribed first makes room."""

    NOTIFICATIONS_PUSH_CONTACT: str = ""
    """Whom push services write to about our pushes (VAPID's `sub`), such as mailto:ops@example.org; empty: EMAIL_FROM."""

    NOTIFICATIONS_PUSH_PRIVATE_ADDRESSES: bool = False
    """Whether pushes may go to addresses of private networks, and over http: for tests and closed networks."""


conf = NotificationsSettings()
