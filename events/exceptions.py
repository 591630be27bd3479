"""The one tree of errors, and how Django REST framework tells them.

Each class says in its docstring what is told to the client; `code` is for programs,
`http_status` and `close_code` for the two transports (4400-4499 mirror HTTP).
"""

import inspect
from typing import Any

from django.db import InterfaceError, OperationalError
from django.http import Http404, JsonResponse
from rest_framework import exceptions as drf
from rest_framework.response import Response
from rest_framework.views import exception_handler

from events.metrics import REFUSALS


class ThroughlineError(Exception):
    """The server failed to do this. It was logged; trying again may help."""

    code = "internal_error"
    http_status = 500
    close_code = 1011

    def __init__(self, message: str = "", *, retry_after: float | None = None) -> None:
        self.message = message or inspect.cleandoc(self.__doc__ or "")
        self.retry_after = retry_after
        super().__init__(self.message)

    @property
    def headers(self) -> dict[str, str]:
        """Response headers: `Retry-After` in whole seconds, at least 1, where waiting helps."""
        if self.retry_after is None:
            return {}
        return {"Retry-After": str(max(1, int(self.retry_after + 0.999)))}


class InvalidRequest(ThroughlineError):
    """The request is not understood. See the message, correct it and send it again."""

    code = "invalid_request"
    http_status = 400
    close_code = 4400


class Unauthenticated(ThroughlineError):
    """No valid credentials came with the request. Log in or send a token."""

    code = "unauthenticated"
    http_status = 401
    close_code = 1008

    @property
    def headers(self) -> dict[str, str]:
        """Names the scheme to use, as RFC 9110 section 11.6.1 asks."""
        return {"WWW-Authenticate": "Bearer"}


class Forbidden(ThroughlineError):
    """You may not do this."""

    code = "forbidden"
    http_status = 403
    close_code = 1008


class NotFound(ThroughlineError):
    """There is nothing here that you may see."""

    code = "not_found"
    http_status = 404
    close_code = 4404


class MethodNotAllowed(ThroughlineError):
    """This address does not know this method."""

    code = "method_not_allowed"
    http_status = 405
    close_code = 4405


class Conflict(ThroughlineError):
    """This contradicts what happened before."""

    code = "conflict"
    http_status = 409
    close_code = 4409


class Gone(ThroughlineError):
    """This was there and is over. Nothing can be done about it any more."""

    code = "gone"
    http_status = 410
    close_code = 4410


class TooLarge(ThroughlineError):
    """This is larger than the server accepts. Send less."""

    code = "too_large"
    http_status = 413
    close_code = 1009


class Unprocessable(ThroughlineError):
    """Some fields of the request are wrong; `errors` names each."""

    code = "unprocessable"
    http_status = 422
    close_code = 4422

    def __init__(self, message: str = "", *, errors: list[dict[str, Any]] | None = None) -> None:
        super().__init__(message)
        self.errors = errors or []


class TooMany(ThroughlineError):
    """Too many at once. Wait as long as Retry-After says, then try again."""

    code = "too_many"
    http_status = 429
    close_code = 4429

    def __init__(self, message: str = "", *, retry_after: float = 1) -> None:
        super().__init__(message, retry_after=retry_after)


class Unavailable(ThroughlineError):
    """A part of the server is away. Try again shortly."""

    code = "unavailable"
    http_status = 503
    close_code = 1013

    def __init__(self, message: str = "", *, retry_after: float = 2) -> None:
        super().__init__(message, retry_after=retry_after)


class BrokerUnavailable(Unavailable):
    """The broker cannot be reached. Try again shortly."""

    code = "broker_unavailable"


class JournalUnavailable(Unavailable):
    """The database cannot be reached. Try again shortly."""

    code = "database_unavailable"


class LeaseLost(ThroughlineError):
    """Another writer has taken over this stream."""

    code = "lease_lost"
    http_status = 409
    close_code = 4409


BY_STATUS: dict[int, type[ThroughlineError]] = {
    each.http_status: each
    for each in (
        InvalidRequest,
        Unauthenticated,
        Forbidden,
        NotFound,
        MethodNotAllowed,
        Conflict,
        Gone,
        TooLarge,
        Unprocessable,
        TooMany,
        Unavailable,
    )
}


def translated(error: Exception) -> ThroughlineError | None:
    """Our error for one of ours, of Django REST framework's or of the database's; None for a mistake in the code."""
    match error:
        case ThroughlineError():
            return error
        case drf.APIException():
            return _from_drf(error)
        case Http404():
            # Of Django REST framework itself, for a format that it does not know.
            return NotFound()
        case OperationalError() | InterfaceError():
            return JournalUnavailable()
    return None


def _from_drf(error: drf.APIException) -> ThroughlineError:
    # accounts, which knows nothing of this tree, and DRF's parsers raise these.
    other = InvalidRequest if error.status_code < 500 else ThroughlineError
    translated = BY_STATUS.get(error.status_code, other)(_in_words(error.detail))
    translated.retry_after = getattr(error, "wait", None) or translated.retry_after
    return translated


def _in_words(detail: Any) -> str:
    """What DRF says of a request, as sentences; it may say it of each field."""
    if isinstance(detail, dict):
        return " ".join(f"{field}: {_in_words(each)}" for field, each in detail.items())
    if isinstance(detail, list):
        return " ".join(map(_in_words, detail))
    return str(detail)


def error_response(error: ThroughlineError, *, shape: str = "detail") -> JsonResponse:
    """The error as an HTTP response: `{"detail": ...}`, or with shape "success" the body of S0."""
    if isinstance(error, Unprocessable):
        # The shape that FastAPI's clients know (S2).
        return JsonResponse({"detail": error.errors}, status=error.http_status)
    body = {"success": False, "message": error.message} if shape == "success" else {"detail": error.message}
    return JsonResponse(body | {"code": error.code}, status=error.http_status, headers=error.headers)


def drf_exception_handler(error: Exception, context: dict[str, Any]) -> Response | JsonResponse | None:
    """Answers our errors in DRF views; a view with `error_shape = "success"` gets the body of S0. Counts every refusal."""
    shape = getattr(context.get("view"), "error_shape", "detail")
    known = translated(error)
    if known is not None:
        REFUSALS.labels(known.code).inc()
    if known is None or (isinstance(error, drf.APIException) and shape == "detail"):
        # DRF tells its own errors in the body of REST, field by field.
        response = exception_handler(error, context)
        if known is not None and response is not None and isinstance(response.data, dict) and "detail" in response.data:
            response.data["code"] = known.code if response.status_code in BY_STATUS else getattr(error, "default_code", "")
        return response
    return error_response(known, shape=shape)
