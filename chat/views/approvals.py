"""Approvals over REST, and the page behind a link in a mail."""

import json
from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.authentication import caller_of
from accounts.openapi import (
    CURSOR,
    list_of,
    page_of,
    query,
)
from accounts.verification import caller_of_user
from chat.approval_requests import FEEDBACK_CHARS, BatchBody, DecisionBody
from chat.approvals import deciding, links, looking
from chat.approvals.deciding import Decision
from chat.approvals.links import Opened, opened
from chat.bodies import Model, checked
from chat.conf import conf
from chat.told import ApprovalTold, ApprovalWithHistoryTold
from events.exceptions import InvalidRequest, NotFound, ThroughlineError, TooLarge, Unprocessable
from events.paging import parse_id

STATUSES = {"open": True, "decided": False, "all": None}


class ApprovalsView(APIView):
    """`GET /api/v1/approvals?status=open|decided|all&message_id=&cursor=`: what the caller may see, newest first."""

    @extend_schema(
        summary="List approvals",
        parameters=[query("status", str, "open if not given.", enum=list(STATUSES)), query("message_id", UUID), CURSOR],
        responses=page_of(ApprovalTold),
    )
    def get(self, request: Request) -> Response:
        """One page."""
        query = request.query_params
        status = query.get("status", "open")
        if status not in STATUSES:
            raise InvalidRequest("status must be open, decided or all.")
        message_id = parse_id(query["message_id"], what="message_id") if query.get("message_id") else None
        found, following = looking.listed(
            caller=caller_of(request), open_only=STATUSES[status], message_id=message_id, cursor=query.get("cursor", "")
        )
        return Response({"results": found, "next": following})


class ApprovalView(APIView):
    """`GET /api/v1/approvals/<id>`."""

    @extend_schema(summary="Look at an approval", responses=ApprovalWithHistoryTold)
    def get(self, request: Request, approval_id: str) -> Response:
        """One, with its history."""
        return Response(looking.one(caller=caller_of(request), approval_id=parse_id(approval_id, what="approval_id")))


class DecisionView(APIView):
    """`POST /api/v1/approvals/<id>/decision`."""

    @extend_schema(
        summary="Decide",
        request=DecisionBody,
        responses={200: ApprovalWithHistoryTold, 409: "It was decided otherwise, or is about something else.", 410: "", 422: ""},
        examples=[OpenApiExample("yes", value={"approved": True, "feedback": "Go on."}, request_only=True)],
    )
    def post(self, request: Request, approval_id: str) -> Response:
        """Decides one; as it is then."""
        id_ = parse_id(approval_id, what="approval_id")
        decision = _body(DecisionBody, request).decision()
        deciding.decide(caller=caller_of(request), approval_id=id_, decision=decision)
        return Response(looking.one(caller=caller_of(request), approval_id=id_))


class BatchDecisionView(APIView):
    """`POST /api/v1/approvals/batches/<batch_id>/decision`."""

    @extend_schema(
        summary="Decide about a batch",
        request=BatchBody,
        responses={200: list_of(ApprovalWithHistoryTold), 409: "", 410: "", 422: ""},
    )
    def post(self, request: Request, batch_id: str) -> Response:
        """Decides several of a batch, all or none."""
        id_ = parse_id(batch_id, what="batch_id")
        decisions = {item.approval_id: item.decision() for item in _body(BatchBody, request).decisions}
        approvals = deciding.decide_batch(caller=caller_of(request), batch_id=id_, decisions=decisions)
        return Response({"results": [looking.one(caller=caller_of(request), approval_id=each.pk) for each in approvals]})


def _body(model: type[Model], request: Request) -> Model:
    body = request.body
    if len(body) > conf.CHAT_BODY_MAX_BYTES:
        raise TooLarge(f"The body is larger than {conf.CHAT_BODY_MAX_BYTES} bytes.")
    return checked(model, body)


@login_required
@never_cache
def page(request: HttpRequest) -> HttpResponse:
    """`/approvals`: what waits for the user's decision, also in conversations that he cannot open."""
    caller = caller_of_user(request.user.pk)  # type: ignore[arg-type]  # logged in
    found, _ = looking.listed(caller=caller, open_only=True)
    mine = [
        _for_page(each) | {"path": links.path(approval_id=each["id"], user_pk=caller.pk)} for each in found if each["may_decide"]
    ]
    return render(request, "chat/approvals.html", {"approvals": mine})


@never_cache
@csrf_exempt  # whoever can make a browser post here knows the token, and needs no browser
@require_http_methods(["GET", "HEAD", "POST"])
def link(request: HttpRequest, token: str) -> HttpResponse:
    """`/approvals/<token>`: shows what is asked. Only a POST decides: those who look at links for others only GET them."""
    try:
        found = opened(token)
    except (AuthenticationFailed, NotFound) as error:
        return _page(request, {"problem": getattr(error, "message", str(error))}, status=404)
    problem, status = "", 200
    if request.method == "POST":
        try:
            deciding.decide(caller=found.caller, approval_id=found.approval_id, decision=_from_form(request), via="link")
        except ThroughlineError as error:
            problem, status = error.message, error.http_status
    return _shown(request, found, problem, status)


def _from_form(request: HttpRequest) -> Decision:
    form = request.POST
    if form.get("decision") not in ("approve", "deny"):
        raise Unprocessable("Press one of the two buttons.")
    feedback = form.get("feedback", "").replace("\x00", "")[:FEEDBACK_CHARS]
    # What was on the page when the button was pressed.
    return Decision(form["decision"] == "approve", feedback=feedback, payload_sha256=form.get("payload_sha256", ""))


def _shown(request: HttpRequest, found: Opened, problem: str, status: int) -> HttpResponse:
    try:
        approval = looking.one(caller=found.caller, approval_id=found.approval_id)
    except NotFound:
        return _page(request, {"problem": "This is not yours to see any more."}, status=404)
    payload = json.dumps(approval["payload"], indent=2, ensure_ascii=False)
    context = {"approval": _for_page(approval), "payload": payload, "problem": problem, "decides_as": found.caller.username}
    return _page(request, context, status=status)


def _for_page(approval: dict[str, Any]) -> dict[str, Any]:
    return approval | {"until": datetime.fromisoformat(approval["expires_at"])}


def _page(request: HttpRequest, context: dict[str, Any], *, status: int) -> HttpResponse:
    response = render(request, "chat/approval.html", context, status=status)
    # The address is the secret.
    response.headers["Referrer-Policy"] = "no-referrer"
    return response
