"""`/ws/workspaces/{workspace_id}`: who is here, and what members and server tell (seed 004, "Workspace Collaboration WebSocket").

Presence is ephemeral: told at most once, and whole on joining or when asked for. Broadcasts are in the workspace's
stream: each member is told each once, in order, also across a reconnect with `?since=`.
"""

import re
from collections.abc import Iterable

from accounts.threads import in_thread
from events.consumers import BaseConsumer, timestamp
from events.event import START, Event, EventId, to_json
from events.exceptions import Forbidden, InvalidRequest, TooMany
from events.frames import Frame, truncated_frame
from events.hub import current_hub
from events.presence import current_presence, on_left, on_returned
from events.rates import Rate
from events.streams import parse_cursor
from workspaces import broadcasts, members
from workspaces.arrivals import CAME, LEFT, Arrivals
from workspaces.conf import conf
from workspaces.workspace_events import MEMBER_REMOVED

KIND = "workspace"
CLIENT = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)


class WorkspaceConsumer(BaseConsumer):
    """One member's connection to one workspace."""

    def __init__(self) -> None:
        super().__init__()
        self.client = self.connection_id
        """Under what name this connection sends; a client that gives its own (`?client=`) keeps it when it comes back."""
        self._sends = Rate(per_second=conf.WORKSPACE_EVENTS_MAX_PER_MINUTE / 60, burst=conf.WORKSPACE_EVENTS_MAX_PER_MINUTE)
        self._early: list[str] | None = []
        self._arrivals = Arrivals()
        self._joined_at = START
        self._removed_at: EventId | None = None

    @property
    def workspace_id(self) -> str:
        """The public id in the address."""
        return self.path_args["workspace_id"]

    @property
    def place(self) -> str:
        """The workspace as presence, and the group of its connections, name it."""
        return f"{KIND}:{self.workspace_id}"

    @property
    def session(self) -> str:
        """As the seed's statistics name it."""
        return f"workspace_{self.workspace_id}"

    def greeting(self) -> Frame:
        """Which workspace this is."""
        return {"workspace_id": self.workspace_id}

    async def opened(self) -> None:
        """Lets members in, tells them who is here, and the others of them. `Forbidden` also where there is no such workspace."""
        client = self.query.get("client", self.client)
        if not CLIENT.fullmatch(client):
            raise InvalidRequest("client must be 1 to 64 of the characters A-Z a-z 0-9 _ -.")
        self.client = client
        stream = broadcasts.workspace_stream(self.workspace_id)
        # The head is taken before membership is looked at: a removal in between is told after it, and heard.
        self._joined_at = (await current_hub().log.heads([stream]))[stream].id
        await self.allowed()
        await self.join_group(self.place)
        joined = await current_presence().join(place=self.place, user_id=self.caller.user_id, connection_id=self.connection_id)
        since = self.query.get("since", "")
        cursor = parse_cursor(stream, since) if since else self._joined_at
        await self._tell_state(joined.here, joined.count, cursor=str(START if cursor is None else cursor))
        if joined.first:
            await self.broadcast(self.place, _came(self.workspace_id, self.caller.user_id, self.caller.username))
        self.follow(KIND, stream=stream, cursor=cursor, render=self._frames, truncated=truncated_frame)

    async def allowed(self) -> None:
        """Only members; asked again with the credential, and when the stream says that the caller was removed."""
        if not await in_thread(members.is_member, workspace_id=self.workspace_id, user_pk=self.caller.pk):
            raise Forbidden
        if self._removed_at is not None:
            # Added again meanwhile.
            cursor, self._joined_at, self._removed_at = self._removed_at, self._removed_at, None
            stream = broadcasts.workspace_stream(self.workspace_id)
            self.follow(KIND, stream=stream, cursor=cursor, render=self._frames, truncated=truncated_frame)

    async def gone(self) -> None:
        """The user leaves with the last of his connections."""
        self._arrivals.close()
        last = await current_presence().leave(place=self.place, user_id=self.caller.user_id, connection_id=self.connection_id)
        if last:
            await self.broadcast(self.place, _left(self.workspace_id, self.caller.user_id))

    def offer(self, text: str) -> None:
        """Presence that changes before the state was told must follow it, not precede it, and not repeat it."""
        if self._early is not None:
            self._early.append(text)
        elif self._arrivals.is_news(text):
            super().offer(text)

    async def on_workspace_state(self, frame: Frame) -> None:
        """Tells again who is here, for whoever cannot know whether a change of presence was lost."""
        del frame
        here = await current_presence().look(self.place)
        await self._tell_state(here.user_ids, here.count)

    async def on_document_updated(self, frame: Frame) -> None:
        """A member says that a document was changed."""
        await self._send(frame)

    async def on_application_changed(self, frame: Frame) -> None:
        """A member says that an application was changed."""
        await self._send(frame)

    async def on_member_added(self, frame: Frame) -> None:
        """A member says that somebody was added; the server's own frames say `"origin": "server"`."""
        await self._send(frame)

    async def _send(self, frame: Frame) -> None:
        if self._removed_at is not None:
            raise Forbidden
        if not self._sends.allows():
            most = conf.WORKSPACE_EVENTS_MAX_PER_MINUTE
            raise TooMany(f"More than {most} broadcasts a minute. This one was not sent: wait.", retry_after=60 / most)
        await broadcasts.send(workspace_id=self.workspace_id, user_id=self.caller.user_id, client=self.client, frame=frame)

    async def _tell_state(self, user_ids: list[str], count: int, **more: str) -> None:
        names = await in_thread(members.names_of, user_ids)
        here = [{"user_id": each, "username": names.get(each, "")} for each in sorted(user_ids)]
        state = {"type": "workspace_state", "workspace_id": self.workspace_id, "members": here, "count": count, **more}
        await self.tell(state | {"timestamp": timestamp()})
        self._arrivals.told(user_ids, whole=len(user_ids) == count)
        early, self._early = self._early or [], None
        for text in early:
            self.offer(text)

    def _frames(self, event: Event) -> Iterable[Frame]:
        """What this connection is told of an event. Not shared with others, so it may note that its own user was removed."""
        if self._removed_at is not None:
            return
        data = event.data
        if data.get("client") == self.client and data.get("user_id") == self.caller.user_id:
            if data.get("ref") is not None:
                yield {"type": "accepted", "ref": data["ref"], "id": str(event.id), "workspace_id": self.workspace_id}
            return
        if self._is_removal(event):
            self._removed_at = event.id
            self.recheck()
            return
        yield broadcasts.frame_of(event, workspace_id=self.workspace_id)

    def _is_removal(self, event: Event) -> bool:
        """Of this caller, and not one from before he joined, which a replay tells again."""
        if event.type != MEMBER_REMOVED.name or event.id <= self._joined_at:
            return False
        payload = event.data.get("payload")
        return isinstance(payload, dict) and payload.get("member_id") == self.caller.user_id


def _came(workspace_id: str, user_id: str, username: str) -> Frame:
    return {
        "type": CAME,
        "workspace_id": workspace_id,
        "user_id": user_id,
        "username": username,
        "timestamp": timestamp(),
    }


def _left(workspace_id: str, user_id: str) -> Frame:
    return {"type": LEFT, "workspace_id": workspace_id, "user_id": user_id, "timestamp": timestamp()}


async def announce_left(place: str, user_id: str) -> None:
    """Tells those who are here that a user left whose process died."""
    await current_hub().groups.send(place, to_json(_left(place.partition(":")[2], user_id)))


async def announce_returned(place: str, user_id: str) -> None:
    """Tells those who are here that a user whom they were told to have left is here after all."""
    names = await in_thread(members.names_of, [user_id])
    frame = _came(place.partition(":")[2], user_id, names.get(user_id, ""))
    await current_hub().groups.send(place, to_json(frame))


on_left(KIND, announce_left)
on_returned(KIND, announce_returned)
