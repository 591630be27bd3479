"""Settings of plugins."""

from accounts.conf import AppSettings


class PluginsSettings(AppSettings):
    """What plugins can be told."""

    PLUGINS_PUBLIC_URL: str = ""
    """Address at which browsers reach this server, such as https://ai.example.org; empty: that of the request."""

    PLUGINS_ALLOW_PRIVATE_ADDRESSES: bool = False
    """Whether MCP servers may be on this machine or in a private network; users could then reach what is there."""

    PLUGINS_TIMEOUT_SECONDS: float = 10.0
    """Longest wait for one answer of an MCP or authorization server, in seconds."""

    PLUGINS_ANSWER_MAX_BYTES: int = 1_048_576
    """Largest answer that is read from an MCP or authorization server, in bytes."""

    PLUGINS_APPROVAL_SECONDS: int = 600
    """How long a user has to approve at the authorization server, in seconds."""

    PLUGINS_CONNECTING: int = 8
    """How many connections one worker process works on at once; the others wait their turn."""

    PLUGINS_CONNECTIONS_PER_USER: int = 100
    """Connections that one user may have; 0: no limit."""


conf = PluginsSettings()
