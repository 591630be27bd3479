"""What is told in a workspace: by the server, with the change that it tells of, and by members to each other."""

from collections.abc import Sequence
from typing import Any

from events import frames
from events.event import Event, to_json
from events.exceptions import InvalidRequest
from events.outbox import publish_all_with_commit
from events.publishing import Publication, publish_many
from events.streams import Stream
from workspaces.conf import conf
from workspaces.models import Workspace
from workspaces.workspace_events import BROADCASTS, PREFIX

RESERVED = ("type", "id", "ref", "workspace_id", "user_id", "origin", "timestamp")
"""Fields of a frame that the server writes: a member could otherwise speak in another's name."""


def workspace_stream(workspace_id: str) -> Stream:
    """The stream of the workspace with this public id."""
    return Stream("workspace", workspace_id)


def announce(*, workspaces: Sequence[Workspace], type: str, payload: dict[str, Any], user_id: str | None = None) -> None:
    """Tells the members of workspaces with the current transaction, or not at all; each exactly once.

    `type`: one of `workspaces.workspace_events`; `user_id`: the public id of who made the change, where that is known.
    """
    data = {"payload": payload, "user_id": user_id}
    publish_all_with_commit([Publication(workspace_stream(each.public_id), type, data) for each in workspaces])


def announce_in_organization(*, organization_pk: int, type: str, payload: dict[str, Any], user_id: str | None = None) -> None:
    """As `announce`, in every workspace of the organisation with this primary key."""
    workspaces = list(Workspace.objects.filter(organization_id=organization_pk).order_by("pk"))
    announce(workspaces=workspaces, type=type, payload=payload, user_id=user_id)


async def send(*, workspace_id: str, user_id: str, client: str, frame: frames.Frame) -> None:
    """Appends a member's own broadcast to the workspace's stream. `client`: which of the member's connections sends it.

    The caller of this is a member. Raises `InvalidRequest` and `BrokerUnavailable`.
    """
    payload = {key: value for key, value in frame.items() if key not in RESERVED}
    size = len(to_json(payload))
    if size > conf.WORKSPACE_EVENTS_MAX_BYTES:
        # Not `TooLarge`, which closes the socket.
        raise InvalidRequest(f"The broadcast has {size} bytes; at most {conf.WORKSPACE_EVENTS_MAX_BYTES} are accepted.")
    data = {"payload": payload, "user_id": user_id, "client": client, "ref": checked_ref(frame.get("ref"))}
    await publish_many([Publication(workspace_stream(workspace_id), BROADCASTS[frames.type_of(frame)], data)])


def checked_ref(ref: Any) -> str | int | None:
    """The client's own name for a broadcast, as it came; raises `InvalidRequest`."""
    if ref is None or (isinstance(ref, int) and abs(ref) < 2**53) or (isinstance(ref, str) and len(ref) <= 128):
        return ref
    raise InvalidRequest("ref must be a string of at most 128 characters or an integer.")


def frame_of(event: Event, *, workspace_id: str) -> frames.Frame:
    """The frame of an event, the same for every member; `id` is the cursor after it."""
    payload = event.data.get("payload")
    fields = payload if isinstance(payload, dict) else {}
    return fields | {
        "type": event.type.removeprefix(PREFIX),
        "id": str(event.id),
        "workspace_id": workspace_id,
        "user_id": event.data.get("user_id"),
        "origin": "member" if "client" in event.data else "server",
        "timestamp": frames.timestamp(event.at / 1000),
    }
