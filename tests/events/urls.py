"""Addresses that the tests of the ASGI handler serve."""

from django.http import HttpResponse, JsonResponse
from django.urls import path

from accounts.threads import in_thread
from events.event import START
from events.exceptions import TooMany
from events.feed import Feed
from events.hub import current_hub
from events.responses import EventStreamResponse, stream_endpoint
from events.streams import Stream
from events.userfeed import UserFeedDialect, truncated_frame
from events.views import user_feed

closed = []


@stream_endpoint("GET", "POST", body_limit=100)
async def backlog(request, user):
    stream = Stream("user", user)

    async def note_closing():
        closed.append(user)

    return EventStreamResponse(
        feed=Feed(hub=current_hub(), stream=stream, cursor=START),
        encoder=UserFeedDialect(stream),
        truncated=truncated_frame,
        closing=note_closing,
        headers={"X-Own": "yes"},
    )


@stream_endpoint("POST", body_limit=100)
async def body(request):
    return HttpResponse(request.body)


@stream_endpoint("GET")
async def refused(request):
    raise TooMany("Wait.", retry_after=6.2)


@stream_endpoint("GET", error_shape="detail")
async def broken(request):
    raise ZeroDivisionError


@stream_endpoint("GET")
async def in_a_thread(request, user):
    await in_thread(lambda: None)
    return await backlog(request, user)


def plain(request):
    return JsonResponse({"path": request.path})


urlpatterns = [
    path("backlog/<str:user>", backlog),
    path("threaded/<str:user>", in_a_thread),
    path("body", body),
    path("refused", refused),
    path("broken", broken),
    path("plain", plain),
    path("api/events", user_feed),
]
