"""Conversations and messages over REST."""

from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.authentication import caller_of
from accounts.bodies import SmallJSONParser
from chat.serializers import ConversationSerializer, TitleSerializer
from chat.services import conversations
from events.exceptions import InvalidRequest
from events.paging import parse_id


class ConversationsView(APIView):
    """`GET /api/v1/conversations?cursor=`: the caller's, newest first."""

    def get(self, request: Request) -> Response:
        """One page."""
        cursor = request.query_params.get("cursor", "")
        found, following = conversations.list_conversations(caller=caller_of(request), cursor=cursor)
        return Response({"results": ConversationSerializer(found, many=True).data, "next": following})


class ConversationView(APIView):
    """`GET`, `PATCH {title}`, `DELETE /api/v1/conversations/<id>`."""

    # DRF's own reads bodies of any size, and of any depth until Python gives up.
    parser_classes = (SmallJSONParser,)

    def get(self, request: Request, conversation_id: str) -> Response:
        """One conversation."""
        id_ = parse_id(conversation_id, what="conversation_id")
        return Response(ConversationSerializer(conversations.conversation(caller=caller_of(request), conversation_id=id_)).data)

    def patch(self, request: Request, conversation_id: str) -> Response:
        """Renames it."""
        id_ = parse_id(conversation_id, what="conversation_id")
        serializer = TitleSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        renamed = conversations.rename(caller=caller_of(request), conversation_id=id_, title=serializer.validated_data["title"])
        return Response(ConversationSerializer(renamed).data)

    def delete(self, request: Request, conversation_id: str) -> Response:
        """Deletes it, with its messages."""
        id_ = parse_id(conversation_id, what="conversation_id")
        conversations.delete(caller=caller_of(request), conversation_id=id_)
        return Response(status=204)


class MessagesView(APIView):
    """`GET /api/v1/conversations/<id>/messages?before=`: a page of messages, oldest first."""

    def get(self, request: Request, conversation_id: str) -> Response:
        """The newest page, or the one before a `next`."""
        id_ = parse_id(conversation_id, what="conversation_id")
        before = request.query_params.get("before", "")
        if before and not (before.isascii() and before.isdigit() and len(before) < 10):
            raise InvalidRequest("before must be a `next` of an earlier page.")
        position = int(before) if before else None
        found, older = conversations.messages(caller=caller_of(request), conversation_id=id_, before=position)
        return Response({"results": found, "next": older})
