"""Sources and attachments over REST."""

import dataclasses
from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_view
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.authentication import caller_of
from accounts.openapi import (
    CURSOR,
    list_of,
    nothing,
    page_of,
)
from events.exceptions import InvalidRequest
from events.paging import parse_id
from knowledge.models import Source
from knowledge.parsers import TextParser, UploadParser
from knowledge.serializers import AttachmentSerializer, NewSourceSerializer, PassageSerializer, SearchSerializer, SourceSerializer
from knowledge.services import retrieval, sources

TOLD: dict[str, Any] = {
    Source.Purpose.SOURCE: SourceSerializer,
    Source.Purpose.ATTACHMENT: AttachmentSerializer,
}


TEXT = OpenApiExample(
    "a text",
    value={"name": "Tea", "text": "Green tea is steeped at 70 to 80 degrees."},
    request_only=True,
    media_type="application/json",
)


class SourcesView(APIView):
    """`GET`, `POST /api/v1/sources` (and `/api/v1/attachments`)."""

    parser_classes = (UploadParser, TextParser)
    purpose: str = Source.Purpose.SOURCE

    @extend_schema(summary="List sources", parameters=[CURSOR], responses=page_of(SourceSerializer))
    def get(self, request: Request) -> Response:
        """One page, newest first."""
        cursor = request.query_params.get("cursor", "")
        found, following = sources.list_sources(caller=caller_of(request), cursor=cursor, purpose=self.purpose)
        return Response({"results": TOLD[self.purpose](found, many=True).data, "next": following})

    @extend_schema(
        summary="Add a source",
        request=NewSourceSerializer,
        responses={201: SourceSerializer, 409: "The organisation is at its limit."},
        examples=[TEXT],
    )
    def post(self, request: Request) -> Response:
        """Takes in a file or a text; 201 with its id while it waits to be taken in."""
        serializer = NewSourceSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        new, data = serializer.to_new_source(purpose=self.purpose)
        return Response(TOLD[self.purpose](sources.create(caller=caller_of(request), new=new, data=data)).data, status=201)


class SourceView(APIView):
    """`GET`, `DELETE /api/v1/sources/<id>`."""

    purpose: str = Source.Purpose.SOURCE

    @extend_schema(summary="Get a source", responses=SourceSerializer)
    def get(self, request: Request, source_id: str) -> Response:
        """One."""
        found = sources.get(caller=caller_of(request), source_id=parse_id(source_id), purpose=self.purpose)
        return Response(TOLD[self.purpose](found).data)

    @extend_schema(summary="Delete a source", responses={204: nothing("It is deleted, with everything made of it.")})
    def delete(self, request: Request, source_id: str) -> Response:
        """Deletes it with everything made of it."""
        sources.delete(caller=caller_of(request), source_id=parse_id(source_id), purpose=self.purpose)
        return Response(status=204)


class ReingestView(APIView):
    """`POST /api/v1/sources/<id>/reingest`."""

    purpose: str = Source.Purpose.SOURCE

    @extend_schema(
        summary="Take a source in again", request=None, responses={202: SourceSerializer, 409: "It is being taken in."}
    )
    def post(self, request: Request, source_id: str) -> Response:
        """202 while the new generation waits; 409 when one is being made."""
        found = sources.reingest(caller=caller_of(request), source_id=parse_id(source_id), purpose=self.purpose)
        return Response(TOLD[self.purpose](found).data, status=202)


class CancelView(APIView):
    """`POST /api/v1/sources/<id>/cancel`."""

    purpose: str = Source.Purpose.SOURCE

    @extend_schema(summary="Stop taking a source in", request=None, responses={202: SourceSerializer, 409: "Nothing is."})
    def post(self, request: Request, source_id: str) -> Response:
        """202; 409 when nothing is being taken in."""
        found = sources.cancel(caller=caller_of(request), source_id=parse_id(source_id), purpose=self.purpose)
        return Response(TOLD[self.purpose](found).data, status=202)


class SearchView(APIView):
    """`GET /api/v1/sources/<id>/search?q=`."""

    @extend_schema(summary="Search a source", parameters=[SearchSerializer], responses=list_of(PassageSerializer))
    def get(self, request: Request, source_id: str) -> Response:
        """The passages that match best."""
        serializer = SearchSerializer(data=request.query_params)
        serializer.is_valid(raise_exception=True)
        asked: dict[str, Any] = serializer.validated_data
        caller = caller_of(request)
        found = sources.get(caller=caller, source_id=parse_id(source_id))
        if found.generation == 0:
            raise InvalidRequest("This source cannot be searched yet: it has not been taken in completely.")
        wanted = retrieval.SourceQuery(
            source_ids=(found.pk,), limit=asked["limit"], similarity_threshold=asked["similarity_threshold"]
        )
        result = retrieval.retrieve(
            caller=caller, query=asked["q"], sources=[wanted], strategy=asked["strategy"], max_total=asked["limit"]
        )
        return Response({"results": [dataclasses.asdict(passage) for passage in result.passages]})


# Attachments: the same, told with their `storage_key`.


@extend_schema_view(
    get=extend_schema(summary="List attachments", parameters=[CURSOR], responses=page_of(AttachmentSerializer)),
    post=extend_schema(summary="Add an attachment", request=NewSourceSerializer, responses={201: AttachmentSerializer, 409: ""}),
)
class AttachmentsView(SourcesView):
    """`GET`, `POST /api/v1/attachments`."""

    purpose = Source.Purpose.ATTACHMENT


@extend_schema_view(
    get=extend_schema(summary="Get an attachment", responses=AttachmentSerializer),
    delete=extend_schema(summary="Delete an attachment", responses={204: nothing("It is deleted.")}),
)
class AttachmentView(SourceView):
    """`GET`, `DELETE /api/v1/attachments/<id>`."""

    purpose = Source.Purpose.ATTACHMENT


@extend_schema_view(
    post=extend_schema(summary="Take an attachment in again", request=None, responses={202: AttachmentSerializer, 409: ""})
)
class ReingestAttachmentView(ReingestView):
    """`POST /api/v1/attachments/<id>/reingest`."""

    purpose = Source.Purpose.ATTACHMENT


@extend_schema_view(
    post=extend_schema(summary="Stop taking an attachment in", request=None, responses={202: AttachmentSerializer, 409: ""})
)
class CancelAttachmentView(CancelView):
    """`POST /api/v1/attachments/<id>/cancel`."""

    purpose = Source.Purpose.ATTACHMENT
