import json
import re

import pytest
from django.db import InterfaceError, OperationalError
from rest_framework import exceptions as drf
from rest_framework.response import Response

from events import exceptions
from events.exceptions import (
    BrokerUnavailable,
    InvalidRequest,
    JournalUnavailable,
    LeaseLost,
    ThroughlineError,
    TooMany,
    Unauthenticated,
    Unavailable,
    drf_exception_handler,
    error_response,
    translated,
)


def tree(kind=ThroughlineError):
    return [kind, *(each for child in kind.__subclasses__() for each in tree(child))]


def body(response):
    return json.loads(response.content)


@pytest.mark.parametrize("kind", tree())
def test_every_error_says_what_was_wrong(kind):
    error = kind()
    assert error.message == str(error)
    assert re.fullmatch(r"[A-Z].+\.", error.message)
    assert kind("In particular.").message == "In particular."
    assert 400 <= kind.http_status <= 599
    assert kind.close_code in {1008, 1009, 1011, 1013} or 4400 <= kind.close_code <= 4499


def test_each_code_means_one_thing():
    codes = [kind.code for kind in tree()]
    assert len(codes) == len(set(codes))


@pytest.mark.parametrize(("seconds", "header"), [(0, "1"), (0.2, "1"), (1, "1"), (1.2, "2"), (59.001, "60"), (3600, "3600")])
def test_retry_after_is_in_whole_seconds_and_never_too_soon(seconds, header):
    assert TooMany(retry_after=seconds).headers == {"Retry-After": header}


@pytest.mark.parametrize("kind", [TooMany, Unavailable, BrokerUnavailable, JournalUnavailable])
def test_whoever_may_come_back_is_told_when(kind):
    response = error_response(kind())
    assert int(response["Retry-After"]) >= 1


def test_other_errors_do_not_ask_to_come_back():
    assert "Retry-After" not in error_response(InvalidRequest())
    assert error_response(Unauthenticated())["WWW-Authenticate"] == "Bearer"


def test_bodies_of_rest_and_of_the_first_seed():
    assert body(error_response(LeaseLost("Gone."))) == {"detail": "Gone.", "code": "lease_lost"}
    response = error_response(LeaseLost("Gone."), shape="success")
    assert (response.status_code, body(response)) == (409, {"success": False, "message": "Gone.", "code": "lease_lost"})


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (drf.NotAuthenticated(), Unauthenticated),
        (drf.AuthenticationFailed("Bad token."), Unauthenticated),
        (drf.PermissionDenied(), exceptions.Forbidden),
        (drf.NotFound(), exceptions.NotFound),
        (drf.MethodNotAllowed("PUT"), exceptions.MethodNotAllowed),
        (drf.ParseError("Not JSON."), InvalidRequest),
        (drf.Throttled(wait=7.5), TooMany),
        (OperationalError("away"), JournalUnavailable),
        (InterfaceError("closed"), JournalUnavailable),
    ],
)
def test_errors_of_others_become_ours(error, kind):
    assert type(translated(error)) is kind


def test_a_throttle_of_drf_keeps_its_wait():
    assert translated(drf.Throttled(wait=7.5)).headers == {"Retry-After": "8"}
    assert translated(drf.Throttled()).headers == {"Retry-After": "1"}


def test_an_error_of_the_client_never_becomes_one_of_the_server():
    for error in (drf.UnsupportedMediaType("text/x"), drf.NotAcceptable()):
        assert 400 <= translated(error).http_status < 500


def test_field_errors_are_told_in_words():
    message = translated(drf.ValidationError({"question": ["This field is required."], "n": ["Too big.", "Not even."]})).message
    assert "ErrorDetail" not in message
    for words in ("question", "This field is required.", "Too big.", "Not even."):
        assert words in message
    assert translated(drf.ValidationError("Just this.")).message == "Just this."


def test_a_mistake_of_ours_is_nobodys_business():
    assert translated(ZeroDivisionError()) is None


def test_drf_views_answer_in_their_shape():
    plain, first_seed = type("View", (), {}), type("View", (), {"error_shape": "success"})
    response = drf_exception_handler(drf.NotFound("No."), {"view": plain()})
    assert isinstance(response, Response)
    assert response.data == {"detail": "No.", "code": "not_found"}
    not_issued = drf.APIException("No.", code="x")
    not_issued.status_code, not_issued.default_code = 501, "tokens_not_issued"
    assert drf_exception_handler(not_issued, {"view": plain()}).data["code"] == "tokens_not_issued"
    assert drf_exception_handler(drf.ValidationError({"name": ["No."]}), {"view": plain()}).data == {"name": ["No."]}
    assert body(drf_exception_handler(drf.NotFound("No."), {"view": first_seed()}))["success"] is False
    assert body(drf_exception_handler(InvalidRequest("No."), {"view": plain()}))["detail"] == "No."
    assert drf_exception_handler(ZeroDivisionError(), {"view": plain()}) is None
