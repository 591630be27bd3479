"""`/ws/notifications/{user_id}`: what a user is told, as it comes (seed 004, "Notifications WebSocket")."""

from collections.abc import Iterable

from events.consumers import BaseConsumer, timestamp
from events.event import Event
from events.exceptions import Unauthenticated
from events.frames import Frame, truncated_frame
from events.hub import current_hub
from events.ring import Batch
from events.streams import Stream, format_cursor, parse_cursor
from notifications.notification_events import CREATED


class NotificationsConsumer(BaseConsumer):
    """Follows the caller's feed and tells its `notification.created`; `?since=` replays what came after a cursor."""

    cursor = ""
    """Where the telling began: a client that is told nothing has a place to come back to all the same."""

    async def opened(self) -> None:
        """Everybody hears only his own: the address names the `sub` of the token, else `Unauthenticated`."""
        if self.path_args["user_id"] != self.caller.user_id:
            raise Unauthenticated
        stream = Stream("user", self.caller.user_id)
        since = self.query.get("since", "")
        begin = parse_cursor(stream, since) if since else (await current_hub().log.heads([stream]))[stream].id
        self.cursor = format_cursor(stream, begin) if begin is not None else ""
        self.follow("notifications", stream=stream, cursor=begin, render=notification_frames, truncated=_truncated)

    def greeting(self) -> Frame:
        """The cursor that the frames follow."""
        return {"cursor": self.cursor}


def notification_frames(event: Event) -> Iterable[Frame]:
    """The seed's frame, with `id` (the cursor), and what is needed to act on the notification; none for other events."""
    if not _is_told(event):
        return
    # Other services may publish this type, too, with a payload of their own.
    told = event.data.get("payload", event.data)
    yield {
        "type": "notification",
        "notification": {name: told.get(name, "") for name in ("title", "body", "action_url")},
        "timestamp": timestamp(event.at / 1000),
        "id": str(event.id),
        "notification_id": told.get("notification_id"),
        "priority": told.get("priority", "normal"),
    }


def _is_told(event: Event) -> bool:
    return event.type == CREATED.name


def _truncated(batch: Batch) -> Frame:
    return truncated_frame(batch, told=_is_told)
