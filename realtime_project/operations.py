"""How the server is doing, for the page of those who run it."""

from typing import Any

from accounts.threads import in_thread
from chat.services.runs import counts
from events import registry
from events.hub import current_hub
from realtime_project.exposition import readings
from realtime_project.readiness import OK, check_parts

READINGS = {
    "journal_seconds": "throughline_journal_lag_seconds",
    "journal_events": "throughline_journal_waiting_events",
}


async def overview() -> dict[str, Any]:
    """Parts, connections, processes, runs and lag, at this moment; what cannot be known is None.

    `connections` as `/ws/stats` counts sockets, without details, and `processes` as `registry.processes` tells them.
    """
    parts = await check_parts()
    found: dict[str, Any] = {"parts": parts, "connections": None, "processes": [], "runs": None}
    if parts["broker"] == OK:
        broker = current_hub().broker
        found["connections"] = await registry.stats(broker)
        del found["connections"]["details"]
        found["processes"] = await registry.processes(broker)
    # A database that hangs would hold this answer up, too.
    if parts["database"] == OK:
        found["runs"] = await in_thread(counts)
    values = readings(READINGS.values())
    return found | {"lag": {name: values.get(metric) for name, metric in READINGS.items()}}
