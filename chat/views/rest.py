"""Conversations and messages over REST."""

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.authentication import caller_of
from accounts.bodies import SmallJSONParser
from accounts.openapi import (
    CURSOR,
    nothing,
    page_of,
    query,
)
from chat.serializers import ApplicationSerializer, ConversationSerializer, ParticipantSerializer, TitleSerializer
from chat.services import applications, conversations, sessions
from chat.told import MessageTold, OpenSessionTold, SessionMessageTold, SessionTold
from events.exceptions import InvalidRequest
from events.paging import parse_id


class ApplicationsView(APIView):
    """`GET /api/v1/applications?cursor=`: those that the caller may ask."""

    @extend_schema(summary="List applications", parameters=[CURSOR], responses=page_of(ApplicationSerializer))
    def get(self, request: Request) -> Response:
        """One page, by their ids."""
        cursor = request.query_params.get("cursor", "")
        found, following = applications.list_applications(caller=caller_of(request), cursor=cursor)
        return Response({"results": ApplicationSerializer(found, many=True).data, "next": following})


class ConversationsView(APIView):
    """`GET /api/v1/conversations?cursor=`: the caller's, newest first."""

    @extend_schema(summary="List conversations", parameters=[CURSOR], responses=page_of(ConversationSerializer))
    def get(self, request: Request) -> Response:
        """One page."""
        cursor = request.query_params.get("cursor", "")
        found, following = conversations.list_conversations(caller=caller_of(request), cursor=cursor)
        return Response({"results": ConversationSerializer(found, many=True).data, "next": following})


class ConversationView(APIView):
    """`GET`, `PATCH {title}`, `DELETE /api/v1/conversations/<id>`."""

    # DRF's own reads bodies of any size, and of any depth until Python gives up.
    parser_classes = (SmallJSONParser,)

    @extend_schema(summary="Get a conversation", responses=ConversationSerializer)
    def get(self, request: Request, conversation_id: str) -> Response:
        """One conversation."""
        id_ = parse_id(conversation_id, what="conversation_id")
        return Response(ConversationSerializer(conversations.conversation(caller=caller_of(request), conversation_id=id_)).data)

    @extend_schema(
        summary="Rename a conversation", request=TitleSerializer, responses={200: ConversationSerializer, 409: "It is a room."}
    )
    def patch(self, request: Request, conversation_id: str) -> Response:
        """Renames it."""
        id_ = parse_id(conversation_id, what="conversation_id")
        serializer = TitleSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        renamed = conversations.rename(caller=caller_of(request), conversation_id=id_, title=serializer.validated_data["title"])
        return Response(ConversationSerializer(renamed).data)

    @extend_schema(summary="Delete a conversation", responses={204: nothing("It is deleted."), 409: "It is a room."})
    def delete(self, request: Request, conversation_id: str) -> Response:
        """Deletes it, with its messages."""
        id_ = parse_id(conversation_id, what="conversation_id")
        conversations.delete(caller=caller_of(request), conversation_id=id_)
        return Response(status=204)


class MessagesView(APIView):
    """`GET /api/v1/conversations/<id>/messages?before=`: a page of messages, oldest first."""

    @extend_schema(
        summary="List messages of a conversation",
        parameters=[CURSOR, query("before", str, "The same as `cursor`.")],
        responses=page_of(MessageTold),
    )
    def get(self, request: Request, conversation_id: str) -> Response:
        """The newest page, or the one before a `next`."""
        id_ = parse_id(conversation_id, what="conversation_id")
        before = request.query_params.get("before", "")
        if before and not (before.isascii() and before.isdigit() and len(before) < 10):
            raise InvalidRequest("before must be a `next` of an earlier page.")
        position = int(before) if before else None
        found, older = conversations.messages(caller=caller_of(request), conversation_id=id_, before=position)
        return Response({"results": found, "next": older})


class ApplicationMessagesView(APIView):
    """`GET /api/v1/chat/<application_id>/messages?cursor=`: what the caller takes part in with an application (S4)."""

    @extend_schema(summary="List messages of an application", parameters=[CURSOR], responses=page_of(SessionMessageTold))
    def get(self, request: Request, application_id: str) -> Response:
        """The newest page, oldest first; `next` is the `cursor` of the one before it."""
        cursor = request.query_params.get("cursor", "")
        found, older = sessions.application_messages(caller=caller_of(request), application_id=application_id, cursor=cursor)
        return Response({"results": found, "next": older})


class SessionsView(APIView):
    """`GET /api/v1/chat/sessions?cursor=`: the sessions of the chat socket in which the caller takes part."""

    @extend_schema(summary="List sessions", parameters=[CURSOR], responses=page_of(SessionTold))
    def get(self, request: Request) -> Response:
        """One page, the newest first."""
        found, following = sessions.list_sessions(caller=caller_of(request), cursor=request.query_params.get("cursor", ""))
        return Response({"results": [sessions.describe(each) for each in found], "next": following})


class SessionView(APIView):
    """`GET /api/v1/chat/sessions/<name or id>`."""

    @extend_schema(summary="Get a session", responses=OpenSessionTold)
    def get(self, request: Request, name: str) -> Response:
        """One session, with the answers in it that are not over."""
        caller = caller_of(request)
        found = sessions.session(caller=caller, name=name)
        running = [str(pk) for pk in sessions.running(caller=caller, session_id=found.pk)]
        return Response(sessions.describe(found) | {"running": running})


class SessionMessagesView(APIView):
    """`GET /api/v1/chat/sessions/<name or id>/messages?cursor=`."""

    @extend_schema(summary="List messages of a session", parameters=[CURSOR], responses=page_of(SessionMessageTold))
    def get(self, request: Request, name: str) -> Response:
        """The newest page, oldest first; `next` is the `cursor` of the one before it."""
        cursor = request.query_params.get("cursor", "")
        found, older = sessions.session_messages(caller=caller_of(request), name=name, cursor=cursor)
        return Response({"results": found, "next": older})


class SessionParticipantsView(APIView):
    """`POST {"user"}` to `/api/v1/chat/sessions/<name or id>/participants`."""

    parser_classes = (SmallJSONParser,)

    @extend_schema(
        summary="Add someone to a session",
        request=ParticipantSerializer,
        responses={200: SessionTold, 409: "There are too many."},
    )
    def post(self, request: Request, name: str) -> Response:
        """Adds a user of one of the caller's organisations, in a session that is made if need be."""
        serializer = ParticipantSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        caller = caller_of(request)
        changed = sessions.add_participant(caller=caller, name=name, user_id=serializer.validated_data["user"])
        return Response(sessions.describe(sessions.session(caller=caller, name=str(changed.pk))))


class SessionParticipantView(APIView):
    """`DELETE /api/v1/chat/sessions/<name or id>/participants/<user>`."""

    @extend_schema(summary="Remove someone from a session", responses={204: nothing("It is done."), 409: "The owner stays."})
    def delete(self, request: Request, name: str, user_id: str) -> Response:
        """Removes a user, or lets the caller leave."""
        sessions.remove_participant(caller=caller_of(request), name=name, user_id=user_id)
        return Response(status=204)
