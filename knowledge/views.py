"""Sources and attachments over REST."""

import dataclasses
from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.authentication import caller_of
from events.exceptions import InvalidRequest
from events.paging import parse_id
from knowledge.models import Source
from knowledge.parsers import TextParser, UploadParser
from knowledge.serializers import AttachmentSerializer, NewSourceSerializer, SearchSerializer, SourceSerializer
from knowledge.services import retrieval, sources

TOLD: dict[str, Any] = {
    Source.Purpose.SOURCE: SourceSerializer,
    Source.Purpose.ATTACHMENT: AttachmentSerializer,
}


class SourcesView(APIView):
    """`GET`, `POST /api/v1/sources` (and `/api/v1/attachments`)."""

    parser_classes = (UploadParser, TextParser)
    purpose: str = Source.Purpose.SOURCE

    def get(self, request: Request) -> Response:
        """One page, newest first."""
        cursor = request.query_params.get("cursor", "")
        found, following = sources.list_sources(caller=caller_of(request), cursor=cursor, purpose=self.purpose)
        return Response({"results": TOLD[self.purpose](found, many=True).data, "next": following})

    def post(self, request: Request) -> Response:
        """Takes in a file or a text; 201 with its id while it waits to be taken in."""
        serializer = NewSourceSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        new, data = serializer.to_new_source(purpose=self.purpose)
        return Response(TOLD[self.purpose](sources.create(caller=caller_of(request), new=new, data=data)).data, status=201)


class SourceView(APIView):
    """`GET`, `DELETE /api/v1/sources/<id>`."""

    purpose: str = Source.Purpose.SOURCE

    def get(self, request: Request, source_id: str) -> Response:
        """One."""
        found = sources.get(caller=caller_of(request), source_id=parse_id(source_id), purpose=self.purpose)
        return Response(TOLD[self.purpose](found).data)

    def delete(self, request: Request, source_id: str) -> Response:
        """Deletes it with everything made of it."""
        sources.delete(caller=caller_of(request), source_id=parse_id(source_id), purpose=self.purpose)
        return Response(status=204)


class ReingestView(APIView):
    """`POST /api/v1/sources/<id>/reingest`."""

    purpose: str = Source.Purpose.SOURCE

    def post(self, request: Request, source_id: str) -> Response:
        """202 while the new generation waits; 409 when one is being made."""
        found = sources.reingest(caller=caller_of(request), source_id=parse_id(source_id), purpose=self.purpose)
        return Response(TOLD[self.purpose](found).data, status=202)


class CancelView(APIView):
    """`POST /api/v1/sources/<id>/cancel`."""

    purpose: str = Source.Purpose.SOURCE

    def post(self, request: Request, source_id: str) -> Response:
        """202; 409 when nothing is being taken in."""
        found = sources.cancel(caller=caller_of(request), source_id=parse_id(source_id), purpose=self.purpose)
        return Response(TOLD[self.purpose](found).data, status=202)


class SearchView(APIView):
    """`GET /api/v1/sources/<id>/search?q=`."""

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
