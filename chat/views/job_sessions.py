"""Sessions of jobs (seed 003): what was said, their document, its versions, and going back."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.authentication import caller_of
from accounts.openapi import (
    CURSOR,
    page_of,
    query,
    shape,
)
from chat.bodies import checked
from chat.job_requests import RevertBody
from chat.job_told import DocumentTold, JobSessionTold, RevertedTold, SaidTold, VersionTold
from chat.models import DocumentVersion
from chat.services import documents, job_sessions
from events.exceptions import InvalidRequest

BEFORE = query("before", int, "The `next` of the page after; without it the newest page.")


class JobSessionsView(APIView):
    """`GET /v1/sessions?cursor=`: the sessions that have jobs."""

    @extend_schema(summary="List sessions with jobs", parameters=[CURSOR], responses=page_of(JobSessionTold, results="sessions"))
    def get(self, request: Request) -> Response:
        """One page, the newest first."""
        found, following = job_sessions.list_sessions(caller=caller_of(request), cursor=request.query_params.get("cursor", ""))
        return Response({"sessions": found, "next": following})


class HistoryView(APIView):
    """`GET /v1/sessions/<session>/history?before=`."""

    @extend_schema(
        summary="Read what was said in a session",
        parameters=[BEFORE],
        responses=shape(
            "History",
            session_id=serializers.CharField(),
            messages=SaidTold(many=True),
            next=serializers.IntegerField(allow_null=True),
        ),
    )
    def get(self, request: Request, session_id: str) -> Response:
        """The last turns, oldest first; `next` is the `before` of the page before it."""
        before = _number(request, "before")
        found, older = job_sessions.history(caller=caller_of(request), session=session_id, before=before)
        return Response({"session_id": session_id, "messages": found, "next": older})


class RevertView(APIView):
    """`POST /v1/sessions/<session>/revert`."""

    @extend_schema(
        summary="Revert a document",
        request=RevertBody,
        responses={200: RevertedTold, 409: "A job of the session is not over.", 422: ""},
    )
    def post(self, request: Request, session_id: str) -> Response:
        """The document as it was at the end of a turn, or as a version was."""
        body = checked(RevertBody, request.body)
        made = job_sessions.revert(
            caller=caller_of(request), session=session_id, turn_index=body.turn_index, version_id=body.version_id
        )
        return Response({"session_id": session_id, "turn_index": body.turn_index, "document_changes": _told(made)})


class DocumentView(APIView):
    """`GET /v1/sessions/<session>/document`."""

    @extend_schema(summary="Get the document of a session", responses=DocumentTold)
    def get(self, request: Request, session_id: str) -> Response:
        """The version in force, with its HTML."""
        caller = caller_of(request)
        found = job_sessions.document(caller=caller, session=session_id)
        version = documents.current(caller=caller, document_id=found.pk)
        about = {"document_id": str(found.pk), "title": found.title, "number": version.number}
        return Response(about | _told(version))


class VersionsView(APIView):
    """`GET /v1/sessions/<session>/versions?before=`."""

    @extend_schema(
        summary="List versions of a document",
        parameters=[BEFORE],
        responses=shape("Versions", versions=VersionTold(many=True), next=serializers.IntegerField(allow_null=True)),
    )
    def get(self, request: Request, session_id: str) -> Response:
        """A page of versions without their HTML, the newest first."""
        caller = caller_of(request)
        found = job_sessions.document(caller=caller, session=session_id)
        rows, older = documents.versions(caller=caller, document_id=found.pk, before=_number(request, "before"))
        return Response({"versions": rows, "next": older})


def _told(version: DocumentVersion) -> dict[str, Any]:
    return {"updated_html": version.html, "version_id": str(version.pk), "changes_summary": version.summary}


def _number(request: Request, name: str) -> int | None:
    text = request.query_params.get(name, "")
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise InvalidRequest(f"{name} must be a `next` of an earlier page.")
    return int(text)
