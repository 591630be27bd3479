"""The events of a connection on a user's feed."""

from events.event import EventType, register

CONNECTION_EVENTS = {
    step: EventType(f"mcp.oauth.{step}", f"User feed: {meaning}")
    for step, meaning in {
        "in_progress": "a connection to an MCP server is being made: `task_id`, `message`.",
        "awaiting_redirect": "the user must approve it: `task_id`, `message`, `authorization_url`.",
        "completed": "the connection is there: `task_id`, `tools`, `tools_count`.",
        "failed": "the connection could not be made: `task_id`, `error`.",
    }.items()
}
register(*CONNECTION_EVENTS.values())
