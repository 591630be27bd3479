"""The tool `current_time`: language models do not know what day it is."""

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from plugins.tools.registry import Arguments, Context, Tool, ToolError


async def _run(arguments: Arguments, context: Context) -> dict[str, Any]:
    del context
    name = arguments.get("timezone") or "UTC"
    try:
        zone = ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ToolError(f"There is no time zone called {name[:100]!r}. Use a name such as Europe/Berlin or UTC.") from None
    now = datetime.now(UTC).astimezone(zone)
    return {
        "time": now.isoformat(timespec="seconds"),
        "timezone": name,
        "weekday": now.strftime("%A"),
        "unix": int(now.timestamp()),
    }


def current_time() -> Tool:
    """The tool."""
    return Tool(
        name="current_time",
        description="Tells the current date, time and weekday, in a time zone.",
        parameters={
            "type": "object",
            "properties": {"timezone": {"type": "string", "maxLength": 100, "description": "IANA name, such as Europe/Berlin."}},
            "additionalProperties": False,
        },
        run=_run,
    )
