"""Settings of workspaces."""

from accounts.conf import AppSettings


class WorkspacesSettings(AppSettings):
    """What workspaces can be told."""

    WORKSPACE_EVENTS_MAX_PER_MINUTE: int = 120
    """Broadcasts that one connection to a workspace may send in a minute."""


conf = WorkspacesSettings()
