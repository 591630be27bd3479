"""Settings of workspaces."""

from accounts.conf import AppSettings


class WorkspacesSettings(AppSettings):
    """What workspaces can be told."""

    WORKSPACES_PER_ORGANIZATION: int = 200
    """Most workspaces that one organisation may have: a change of its sources or applications is told in each."""

    WORKSPACE_MEMBERS_MAX: int = 1000
    """Most members that one workspace may have."""

    WORKSPACE_EVENTS_MAX_PER_MINUTE: int = 120
    """Broadcasts that one connection to a workspace may send in a minute, and as many at once; 0: no limit."""

    WORKSPACE_EVENTS_MAX_BYTES: int = 8192
    """Largest broadcast that a member may send, in bytes of its JSON."""


conf = WorkspacesSettings()
