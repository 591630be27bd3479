"""Rooms over REST (S1)."""

import hashlib
from typing import Any, TypeVar

from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.authentication import caller_of
from accounts.bodies import SmallJSONParser
from accounts.openapi import (
    CURSOR,
    IDEMPOTENCY_KEY,
    list_of,
    nothing,
    page_of,
    query,
    shape,
)
from chat.conf import conf
from chat.serializers import (
    ReadSerializer,
    RoomMessageSerializer,
    RoomParticipantSerializer,
    RoomRightsSerializer,
    RoomSerializer,
    TitleSerializer,
)
from chat.services import questions, room_accounts, room_participants, rooms
from chat.services.room_accounts import NewParticipant
from chat.told import AccountsTold, ParticipantTold, PostedMessageTold, RoomMessageTold, RoomTold
from events.exceptions import InvalidRequest
from events.paging import parse_id

ROOM = {
    "type": "standard",
    "title": "Support",
    "participants": [{"account_id": "app_demo", "kind": "agent", "auto_respond": True}],
}

S = TypeVar("S", bound=serializers.Serializer[Any])


class MessageJSONParser(SmallJSONParser):
    """For messages, which may have attachments."""

    largest = conf.CHAT_BODY_MAX_BYTES


def _checked(serializer_class: type[S], request: Request) -> S:
    serializer = serializer_class(data=request.data)
    serializer.is_valid(raise_exception=True)
    return serializer


class RoomsView(APIView):
    """`GET`, `POST /api/v1/rooms`."""

    parser_classes = (SmallJSONParser,)

    @extend_schema(summary="List rooms", parameters=[CURSOR], responses=page_of(RoomTold))
    def get(self, request: Request) -> Response:
        """One page of the caller's rooms, those with the newest message first."""
        found, following = rooms.list_rooms(caller=caller_of(request), cursor=request.query_params.get("cursor", ""))
        return Response({"results": rooms.described(found), "next": following})

    @extend_schema(
        summary="Make a room",
        request=RoomSerializer,
        responses={
            201: RoomTold,
            200: OpenApiResponse(RoomTold, description="There is an immutable one already."),
            404: "There is no such organisation.",
            409: "Too many.",
        },
        examples=[OpenApiExample("with an agent", value=ROOM, request_only=True)],
    )
    def post(self, request: Request) -> Response:
        """201 with the new room; 200 with the immutable room that these participants have already."""
        asked = _checked(RoomSerializer, request).validated_data
        room, is_new = rooms.create(
            caller=caller_of(request),
            type=asked["type"],
            participants=[NewParticipant(**each) for each in asked["participants"]],
            title=asked["title"],
            organization_id=asked["organization"],
        )
        return Response(rooms.describe(room), status=201 if is_new else 200)


class AccountsView(APIView):
    """`GET /api/v1/rooms/accounts?search=`: who can be in a room with the caller, by organisation."""

    @extend_schema(
        summary="Find accounts for a room",
        parameters=[query("search", str, "A part of a name, or an id.")],
        responses=list_of(AccountsTold),
    )
    def get(self, request: Request) -> Response:
        """The first of each by name."""
        search = request.query_params.get("search", "")
        return Response({"results": room_accounts.accounts_of(caller=caller_of(request), search=search)})


class RoomView(APIView):
    """`GET`, `PATCH {title}`, `DELETE /api/v1/rooms/<id>`."""

    parser_classes = (SmallJSONParser,)

    @extend_schema(summary="Get a room", responses=RoomTold)
    def get(self, request: Request, room_id: str) -> Response:
        """One room."""
        return Response(rooms.describe(rooms.get(caller=caller_of(request), room_id=parse_id(room_id, what="room_id"))))

    @extend_schema(summary="Rename a room", request=TitleSerializer, responses=RoomTold)
    def patch(self, request: Request, room_id: str) -> Response:
        """Renames it."""
        title = _checked(TitleSerializer, request).validated_data["title"]
        renamed = rooms.rename(caller=caller_of(request), room_id=parse_id(room_id, what="room_id"), title=title)
        return Response(rooms.describe(renamed))

    @extend_schema(summary="Delete a room", responses={204: nothing("It is deleted."), 409: "An answer is running in it."})
    def delete(self, request: Request, room_id: str) -> Response:
        """Deletes it, with its messages."""
        rooms.delete(caller=caller_of(request), room_id=parse_id(room_id, what="room_id"))
        return Response(status=204)


class ParticipantsView(APIView):
    """`GET`, `POST /api/v1/rooms/<id>/participants`."""

    parser_classes = (SmallJSONParser,)

    @extend_schema(summary="List participants of a room", responses=page_of(ParticipantTold))
    def get(self, request: Request, room_id: str) -> Response:
        """All of them: a room has at most CHAT_ROOM_PARTICIPANTS."""
        found = room_participants.list_participants(caller=caller_of(request), room_id=parse_id(room_id, what="room_id"))
        return Response({"results": [rooms.describe_participant(each) for each in found], "next": None})

    @extend_schema(
        summary="Add a participant",
        request=RoomParticipantSerializer,
        responses={
            201: ParticipantTold,
            200: OpenApiResponse(ParticipantTold, description="Who takes part already, as he is."),
            409: "",
        },
    )
    def post(self, request: Request, room_id: str) -> Response:
        """201 for a new one; 200 for who takes part already, as he is."""
        wanted = NewParticipant(**_checked(RoomParticipantSerializer, request).validated_data)
        id_ = parse_id(room_id, what="room_id")
        added, is_new = room_participants.add(caller=caller_of(request), room_id=id_, wanted=wanted)
        return Response(rooms.describe_participant(added), status=201 if is_new else 200)


class ParticipantView(APIView):
    """`PATCH {role, auto_respond}`, `DELETE /api/v1/rooms/<id>/participants/<account>`."""

    parser_classes = (SmallJSONParser,)

    @extend_schema(
        summary="Change a participant",
        request=RoomRightsSerializer,
        responses={200: ParticipantTold, 409: "It is the last owner, or the room is immutable."},
    )
    def patch(self, request: Request, room_id: str, account_id: str) -> Response:
        """Changes what a participant may do."""
        fields = dict(_checked(RoomRightsSerializer, request).validated_data)
        id_ = parse_id(room_id, what="room_id")
        changed = room_participants.change(caller=caller_of(request), room_id=id_, account_id=account_id, fields=fields)
        return Response(rooms.describe_participant(changed))

    @extend_schema(
        summary="Remove a participant",
        responses={204: nothing("It is done."), 409: "It is the last owner, or the room is immutable."},
    )
    def delete(self, request: Request, room_id: str, account_id: str) -> Response:
        """Removes a participant, or lets the caller leave."""
        id_ = parse_id(room_id, what="room_id")
        room_participants.remove(caller=caller_of(request), room_id=id_, account_id=account_id)
        return Response(status=204)


class MessagesView(APIView):
    """`GET`, `POST /api/v1/rooms/<id>/messages`."""

    parser_classes: tuple[type[BaseParser], ...] = (MessageJSONParser,)

    @extend_schema(summary="List messages of a room", parameters=[CURSOR], responses=page_of(RoomMessageTold))
    def get(self, request: Request, room_id: str) -> Response:
        """The newest page, oldest first; `next` is the `cursor` of the one before it."""
        cursor = request.query_params.get("cursor", "")
        if cursor and not (cursor.isascii() and cursor.isdigit() and len(cursor) < 10):
            raise InvalidRequest("cursor must be a `next` of an earlier page.")
        id_ = parse_id(room_id, what="room_id")
        found, older = rooms.messages(caller=caller_of(request), room_id=id_, before=int(cursor) if cursor else None)
        return Response({"results": found, "next": None if older is None else str(older)})

    @extend_schema(
        summary="Write in a room",
        parameters=[IDEMPOTENCY_KEY],
        request=RoomMessageSerializer,
        responses={201: PostedMessageTold, 409: "", 429: ""},
        examples=[OpenApiExample("a message", value={"text": "Who is on call?"}, request_only=True)],
    )
    def post(self, request: Request, room_id: str) -> Response:
        """201 with the message, and the ids of the answers that have begun; each is read like every answer."""
        caller, id_ = caller_of(request), parse_id(room_id, what="room_id")
        rooms.get(caller=caller, room_id=id_)
        posted = questions.post(
            caller=caller,
            question=_checked(RoomMessageSerializer, request).to_question(room_id=id_),
            idempotency_key=request.headers.get("Idempotency-Key", ""),
            # The same words under the same key in another room are another message.
            body=hashlib.sha256(f"{id_}\n{request.data!r}".encode()).digest(),
        )
        message = rooms.message(caller=caller, message_id=posted.message.pk)
        return Response(message | {"answers": [str(each.pk) for each in posted.answers]}, status=201)


class ReadView(APIView):
    """`POST /api/v1/rooms/<id>/read {message_id?}`."""

    parser_classes = (SmallJSONParser,)

    @extend_schema(
        summary="Mark a room as read", request=ReadSerializer, responses=shape("Unread", unread=serializers.IntegerField())
    )
    def post(self, request: Request, room_id: str) -> Response:
        """Keeps how far the caller has read; without a message all of it. How many he has not."""
        message_id = _checked(ReadSerializer, request).validated_data["message_id"]
        id_ = parse_id(room_id, what="room_id")
        return Response({"unread": rooms.mark_read(caller=caller_of(request), room_id=id_, message_id=message_id)})
