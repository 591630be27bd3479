"""Jobs of seed 003: asked for, streamed, polled, decided about, cancelled."""

import asyncio
import logging
from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.authentication import authenticate, caller_of
from accounts.openapi import (
    IDEMPOTENCY_KEY,
    LAST_EVENT_ID,
    event_stream,
    list_of,
    nothing,
    query,
)
from accounts.threads import in_thread
from chat.bodies import checked
from chat.conf import conf
from chat.dialects import superdocs
from chat.dialects.superdocs import RETRY_MS, SuperDocsDialect
from chat.job_requests import ApproveBody, JobBody
from chat.job_told import STATUSES, BegunTold, CancelledTold, CompletedTold, DecidedTold, JobTold, ListedJobTold
from chat.models import Job
from chat.run_events import Type
from chat.services import job_states, jobs
from chat.services.questions import message_stream
from chat.views.following import guarded
from events import journal, sse
from events.event import START, Event, EventId, to_json
from events.exceptions import InvalidRequest, Unavailable
from events.feed import Feed
from events.hub import current_hub
from events.paging import parse_id
from events.responses import EventStreamResponse, stream_endpoint
from events.streams import parse_cursor

logger = logging.getLogger(__name__)

DIALECT = SuperDocsDialect()
BEGIN = sse.retry(RETRY_MS) + sse.CONNECTED
EXPIRED = sse.frame(
    to_json(
        superdocs.error("Your credentials are no longer valid. Come back with others.", code="unauthenticated", retryable=False)
    ),
    event="error",
)
MOST_LISTED = 100
RETRY_SECONDS = 5
PAUSE_SECONDS = 0.5
TIMED_OUT = "run_timeout"
JOB = OpenApiExample(
    "a document",
    value={"message": "Make it shorter.", "document_html": "<p>A long text.</p>", "session_id": "s1"},
    request_only=True,
)
FRAMES = """retry: 1000

:
id: 1
event: intermediate
data: {"type":"intermediate","sequence":1,"content":"Reading the document."}

id: 7
event: final
data: {"type":"final","sequence":7}
"""
LISTING = [
    query("limit", int, f"1 to {MOST_LISTED}; 50."),
    query("status", str, "Only jobs in this state.", enum=STATUSES),
]


@extend_schema(
    summary="Begin a job",
    parameters=[IDEMPOTENCY_KEY],
    request=JobBody,
    responses={
        200: BegunTold,
        404: "",
        409: "The session is busy with another job.",
        422: "",
        429: "The month's usage is used up.",
    },
    examples=[JOB],
)
@stream_endpoint("POST", body_limit=conf.JOBS_BODY_MAX_BYTES, error_shape="detail")
async def begin(request: HttpRequest) -> HttpResponseBase:
    """`POST /v1/chat/async`: accepts a job, and says which."""
    job = await _begun(request)
    told = {"job_id": str(job.pk), "session_id": job.session.name, "status": "pending"}
    return JsonResponse(told | {"message": "Chat request queued for processing"}, headers={"Location": f"/v1/jobs/{job.pk}"})


@extend_schema(
    summary="Do a job and wait",
    parameters=[IDEMPOTENCY_KEY],
    request=JobBody,
    responses={
        200: CompletedTold,
        202: OpenApiResponse(JobTold, description="It waits for decisions."),
        404: "",
        409: "The session is busy, or the job was cancelled.",
        422: "",
        429: "The month's usage is used up.",
        500: "",
        504: "",
    },
    examples=[JOB],
)
@stream_endpoint("POST", body_limit=conf.JOBS_BODY_MAX_BYTES, error_shape="detail")
async def complete(request: HttpRequest) -> HttpResponseBase:
    """`POST /v1/chat`: accepts a job, and answers when it is over; 202 when it waits for decisions."""
    job = await _begun(request)
    last = await _wait(job)
    location = {"Location": f"/v1/jobs/{job.pk}"}
    job = await in_thread(jobs.find, caller=await authenticate(request.scope), job_id=job.pk)  # type: ignore[attr-defined]
    state = await in_thread(job_states.described, job)
    if last.type == Type.COMPLETED:
        return JsonResponse({"job_id": str(job.pk)} | state["result"], headers=location)
    if last.type == Type.APPROVAL_REQUESTED:
        return JsonResponse(state, status=202, headers=location)
    told = {"detail": state["error"], "code": state["error_code"], "job_id": str(job.pk)}
    if state["error_code"] == TIMED_OUT:
        return JsonResponse(told, status=504, headers=location)
    if state["retryable"]:
        return JsonResponse(told, status=503, headers=location | {"Retry-After": str(RETRY_SECONDS)})
    return JsonResponse(told, status=409 if last.type == Type.CANCELLED else 500, headers=location)


async def _begun(request: HttpRequest) -> Job:
    caller = await authenticate(request.scope)  # type: ignore[attr-defined]
    asked = checked(JobBody, request.body).to_job()
    key = request.headers.get("Idempotency-Key", "")
    return await in_thread(jobs.begin, caller=caller, asked=asked, idempotency_key=key, body=request.body)


async def _wait(job: Job) -> Event:
    """The event that ends a job, or asks about its changes; waited for."""
    if await in_thread(jobs.is_over, job):
        return (await in_thread(job_states.ended_events, job))[-1]
    feed = Feed(hub=current_hub(), stream=message_stream(job.pk), cursor=START)
    last: Event | None = None
    async with feed:
        while (batch := await feed.next()) is not None:
            last = batch.events[-1] if batch.events else last
            if last is not None and last.type == Type.APPROVAL_REQUESTED:
                return last
    if last is None or last.type not in (Type.COMPLETED, Type.FAILED, Type.CANCELLED):
        raise Unavailable(f"The server is stopping. The job goes on: GET /v1/jobs/{job.pk}.")
    return last


@extend_schema(
    summary="Read a job",
    parameters=[
        query("job_id", UUID, required=True),
        query("last_sequence", int, "The `sequence` of the last frame that came; the header wins."),
        LAST_EVENT_ID,
    ],
    responses={
        **event_stream("What comes after the cursor, then live, to the end.", example=FRAMES),
        204: nothing("The job is over, and the header names its last event."),
        429: "",
    },
)
@stream_endpoint("GET", error_shape="detail")
async def stream(request: HttpRequest, session_id: str) -> HttpResponseBase:
    """`GET /v1/chat/<session>/stream?job_id=&last_sequence=`: what there is after a cursor, then live, to the end."""
    scope = request.scope  # type: ignore[attr-defined]
    caller = await authenticate(scope)
    job_id = parse_id(request.GET.get("job_id", ""), what="job_id")
    job = await in_thread(jobs.find, caller=caller, job_id=job_id, session=session_id)
    wanted = _sequence(request.GET.get("last_sequence", ""))
    header = request.headers.get("Last-Event-ID", "")
    if header:
        # A browser that was cut: its address still holds the older number. Whatever is no number is the beginning.
        wanted = (parse_cursor(message_stream(job_id), header) or START).major
    return await guarded(scope, caller, lambda: _opened(job, wanted, came_back=bool(header)), expired=EXPIRED)


def _sequence(text: str) -> int:
    if not text:
        return 0
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise InvalidRequest("last_sequence must be the sequence of the last frame that came: 0 or more.")
    return int(text)


async def _opened(job: Job, after: int, *, came_back: bool) -> HttpResponseBase:
    """Who asks for what comes after the end is told the end again; a browser that comes back by itself is told to stop (204)."""
    if not jobs.is_over(job):
        feed = Feed(hub=current_hub(), stream=message_stream(job.pk), cursor=EventId(after, 0))
        return EventStreamResponse(feed=feed, encoder=DIALECT, prelude=BEGIN, fill=_filled)
    if came_back and after == job.run.head:
        return HttpResponse(status=204)
    events = await in_thread(job_states.events_of, job)
    last = [event for event in events if event.type in (Type.JOB_RESULT, Type.COMPLETED, Type.FAILED, Type.CANCELLED)]
    rest = [event for event in events if event.id.major > after] if after <= job.run.head else events
    return EventStreamResponse(feed=None, encoder=DIALECT, prelude=BEGIN + b"".join(map(DIALECT.frame, rest or last)))


async def _filled(events: list[Event]) -> list[Event]:
    """An open stream waits for a database that is away: it must not end without a word."""
    while job_states.needs_filling(events):
        try:
            return await in_thread(job_states.filled, events)
        except journal.UNREACHABLE as error:
            logger.warning("A job's stream waits for the database: %s", error)
            await asyncio.sleep(PAUSE_SECONDS)
    return events


@extend_schema(
    summary="Decide about changes",
    request=ApproveBody,
    responses={200: DecidedTold, 409: "It was decided otherwise before.", 410: "It expired.", 422: ""},
)
@stream_endpoint("POST", body_limit=conf.JOBS_BODY_MAX_BYTES, error_shape="detail")
async def approve(request: HttpRequest, session_id: str) -> HttpResponseBase:
    """`POST /v1/chat/<session>/approve`: decides about proposed changes."""
    caller = await authenticate(request.scope)  # type: ignore[attr-defined]
    body = checked(ApproveBody, request.body)
    found = await in_thread(jobs.decide, caller=caller, job_id=body.job_id, session=session_id, verdict=body.verdict())
    job = await in_thread(jobs.find, caller=caller, job_id=body.job_id)
    state: dict[str, Any] = job_states.listed(job)
    return JsonResponse(
        {
            "job_id": str(job.pk),
            "session_id": job.session.name,
            "status": state["status"],
            "changes": [job_states.decided(each) for each in found],
        }
    )


class JobsView(APIView):
    """`GET /v1/jobs?limit=&status=`: the caller's newest jobs."""

    @extend_schema(summary="List jobs", parameters=LISTING, responses=list_of(ListedJobTold, results="jobs"))
    def get(self, request: Request) -> Response:
        """At most `limit` (100), the newest first."""
        return _listed(request, session=None)


class SessionJobsView(APIView):
    """`GET /v1/sessions/<session>/jobs?limit=&status=`."""

    @extend_schema(summary="List jobs of a session", parameters=LISTING, responses=list_of(ListedJobTold, results="jobs"))
    def get(self, request: Request, session_id: str) -> Response:
        """Those of one session."""
        return _listed(request, session=session_id)


def _listed(request: Request, *, session: str | None) -> Response:
    query = request.query_params
    limit = query.get("limit", "50")
    if not (limit.isascii() and limit.isdigit() and 0 < int(limit[:9]) <= MOST_LISTED):
        raise InvalidRequest(f"limit must be a number from 1 to {MOST_LISTED}.")
    found = jobs.list_jobs(caller=caller_of(request), status=query.get("status", ""), session=session, limit=int(limit))
    return Response({"jobs": [job_states.listed(each) for each in found]})


class JobView(APIView):
    """`GET /v1/jobs/<id>[?compact=1]`: everything that the stream tells, in one piece."""

    @extend_schema(summary="Look at a job", parameters=[query("compact", bool, "Without HTML.")], responses=JobTold)
    def get(self, request: Request, job_id: str) -> Response:
        """The job now; with `compact` without HTML."""
        job = jobs.find(caller=caller_of(request), job_id=parse_id(job_id, what="job_id"))
        compact = request.query_params.get("compact", "false").lower() not in ("false", "0", "no")
        return Response(job_states.described(job, compact=compact))


class CancelView(APIView):
    """`POST /v1/jobs/<id>/cancel`."""

    @extend_schema(summary="Cancel a job", request=None, responses={200: CancelledTold, 409: "It is over."})
    def post(self, request: Request, job_id: str) -> Response:
        """Ends it: at once, or as soon as its worker hears of it."""
        job = jobs.cancel(caller=caller_of(request), job_id=parse_id(job_id, what="job_id"))
        state = "stopped_here" if jobs.is_over(job) else "accepted"
        return Response({"job_id": str(job.pk), "status": job_states.listed(job)["status"], "stop_state": state})
