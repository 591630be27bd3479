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

    PLUGINS_EXECUTION_HOURS: float = 24.0
    """How long an execution can be reported to, and its debug socket be opened with its id alone, in hours."""

    PLUGINS_EXECUTION_RETENTION_DAYS: int = 30
    """How long executions are kept for those who may see them, in days."""

    PLUGINS_EXECUTION_MAX_EVENTS: int = 10_000
    """Most events of one execution; then only its end is taken."""

    PLUGINS_BATCH_MAX: int = 100
    """Most events in one request that reports to an execution."""

    PLUGINS_BODY_MAX_BYTES: int = 1_048_576
    """Largest body of one request that reports to an execution, in bytes."""

    PLUGINS_VALUE_MAX_BYTES: int = 16_384
    """Largest value that is recorded whole, in bytes of its JSON; of larger ones the beginning is kept."""

    PLUGINS_RECORDER_BUFFER: int = 1000
    """Most events that a recorder holds while they cannot be written; what comes then is dropped, and counted."""

    PLUGINS_RECORDER_WAIT_SECONDS: float = 2.0
    """How long a plugin waits at its end for its last events to be written; later they are written behind its back."""

    PLUGINS_TOOL_SECONDS: float = 30.0
    """Longest time that one call of a tool may take, in seconds."""

    PLUGINS_TOOL_RESULT_MAX_BYTES: int = 65_536
    """Largest result of a tool that a run is given, in bytes of its JSON."""

    PLUGINS_CALL_LEASE_SECONDS: float = 15.0
    """How long a call of a tool outlives the process that made it; then it is repeated, or its outcome is unknown."""

    PLUGINS_HTTP_HOSTS: list[str] = []  # noqa: RUF012 - a declaration, never mutated
    """Hosts that the tool http_request may call, such as api.example.org or *.example.org; empty: there is no such tool."""

    PLUGINS_HTTP_UNSAFE_NEEDS_APPROVAL: bool = True
    """Whether a human must approve each http_request that may change something (POST, PUT, PATCH, DELETE)."""


conf = PluginsSettings()
