"""`/api/v1/ws/plugin/debug/{execution_id}`: watching an execution live (seed 004, "Plugin Debug WebSocket")."""

from typing import Any, ClassVar

from accounts.threads import in_thread
from events.consumers import BaseConsumer
from events.event import START, EventId, is_terminal, to_json
from events.exceptions import InvalidRequest, NotFound
from events.frames import error_frame, timestamp
from events.hub import current_hub
from events.paging import parse_id
from events.ring import Batch
from events.streams import Stream, parse_cursor
from plugins import executions
from plugins.debug_frames import frames
from plugins.models import Execution

HISTORY_BYTES = 262_144
"""Most bytes of one `debug_data` frame: clients refuse large ones (Python's websockets those above 1 MiB)."""


class PluginDebugConsumer(BaseConsumer):
    """Tells what an execution is, what was recorded so far, and what is recorded from now on.

    Nobody is asked who they are: the id is unguessable, and good until the execution expires. With `?since=<seq>` what came
    after that event is told frame by frame, instead of all in `debug_data`.
    """

    credentials: ClassVar[bool] = False
    greets: ClassVar[bool] = False

    @property
    def session(self) -> str:
        """Not the whole id: it lets in whoever knows it."""
        return f"execution-{self.path_args.get('execution_id', '')[:8]}"

    async def opened(self) -> None:
        """Raises `NotFound` where there is no such execution or it has expired: told in a frame, and as 4404."""
        try:
            execution = await in_thread(executions.find, execution_id=parse_id(self.path_args["execution_id"]))
        except (InvalidRequest, NotFound):
            refused = NotFound("There is no such execution, or it has expired. Begin a new one.")
            await self.tell(error_frame(refused))
            raise refused from None
        await self.tell({"type": "execution_info", "data": _info(execution), "timestamp": timestamp()})
        stream = executions.execution_stream(execution.pk)
        cursor = parse_cursor(stream, self.query["since"]) if "since" in self.query else await self._tell_history(stream)
        self.follow("execution", stream=stream, cursor=cursor, render=frames, truncated=_truncated)

    async def on_text(self, text: str) -> bool:
        """The seed's bare `ping`."""
        if text.strip() != "ping":
            return False
        await self.tell_text("pong")
        return True

    async def _tell_history(self, stream: Stream) -> EventId:
        """Tells all that is there, but for the end, which has a frame of its own; the place from which to go on."""
        log = current_hub().log
        cursor, waiting, size = START, list[dict[str, Any]](), 0
        while events := (await log.read(stream, cursor)).events:
            for event in events:
                if is_terminal(event):
                    await self._tell_debug_data(waiting)
                    return cursor
                for frame in frames(event):
                    if waiting and size + len(to_json(frame)) > HISTORY_BYTES:
                        await self._tell_debug_data(waiting)
                        waiting, size = [], 0
                    waiting.append(frame)
                    size += len(to_json(frame))
                cursor = event.id
        await self._tell_debug_data(waiting)
        return cursor

    async def _tell_debug_data(self, told: list[dict[str, Any]]) -> None:
        if told:
            await self.tell({"type": "debug_data", "seq": told[-1]["seq"], "data": {"events": told}, "timestamp": timestamp()})


def _info(execution: Execution) -> dict[str, Any]:
    moments = {name: getattr(execution, name) for name in ("created_at", "started_at", "ended_at", "expires_at")}
    return {
        "execution_id": str(execution.pk),
        "plugin_id": str(execution.plugin_id),
        "plugin": execution.plugin.name,
        "tool_name": execution.tool_name,
        "status": execution.status,
        "input": execution.input,
    } | {name: None if moment is None else timestamp(moment.timestamp()) for name, moment in moments.items()}


def _truncated(batch: Batch) -> dict[str, Any]:
    """Says that `since` names no event of this execution, or that its events are no longer kept: all that there is follows."""
    return {"type": "backlog.truncated", "reason": batch.reason, "timestamp": timestamp()}
