"""What went wrong at a provider, as `EngineError`s that say what to do."""

import json
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from chat.engines.base import EngineError
from chat.engines.text import excerpt

MESSAGE_MAX_CHARS = 500


def status_error(status: int, *, detail: str = "", model: str = "", retry_after: str = "") -> EngineError:
    """The error of an HTTP status that is not 200.

    `detail` is the provider's own message, already without secrets; `retry_after` is the
    header's value: seconds or a date (RFC 9110, section 10.2.3).
    """
    said = f": {detail}" if detail else ""
    if status in (401, 403):
        # Providers quote the key they refuse, so their message is left out.
        return EngineError(
            "provider_auth", f"The provider refused our credentials ({status}): check OPENAI_API_KEY.", retryable=False
        )
    if status == 404:
        named = f"the model {model!r}" if model else "the model"
        return EngineError(
            "provider_model_not_found",
            f"The provider does not know {named} (404): check OPENAI_MODEL, and that OPENAI_BASE_URL ends with /v1{said}",
            retryable=False,
        )
    if status == 429:
        return _rate_limited(said, retry_after)
    if status == 408:
        return EngineError("provider_timeout", f"The provider gave up waiting (408){said}", retryable=True)
    if 400 <= status < 500 and status not in (409, 425):
        return EngineError("provider_rejected", f"The provider rejected the request ({status}){said}", retryable=False)
    if 300 <= status < 400:
        message = f"The provider redirects elsewhere ({status}): check OPENAI_BASE_URL."
        return EngineError("provider_error", message, retryable=False)
    return EngineError("provider_error", f"The provider failed ({status}){said}", retryable=True)


def stream_error(payload: dict[str, Any], *, secret: str = "") -> EngineError:
    """The error of an error object that came where a piece of the answer was expected."""
    error = payload.get("error", payload)
    code = error.get("code") if isinstance(error, dict) else None
    detail = error_detail(payload, secret=secret)
    if isinstance(code, int) and 400 <= code < 600:
        return status_error(code, detail=detail)
    said = f": {detail}" if detail else ""
    return EngineError("provider_error", f"The provider failed in the middle of the answer{said}", retryable=True)


def error_detail(body: object, *, secret: str = "") -> str:
    """The message in an error body (JSON already decoded, or text), in one short line without `secret`."""
    message: object = body
    # {"error": {"message": …}}, {"error": "…"}, {"message": …} and {"detail": …} are all in use.
    for key in ("error", "message", "detail"):
        if isinstance(message, dict) and key in message:
            message = message[key]
    text = message if isinstance(message, str) else json.dumps(message, ensure_ascii=False, default=str)
    if secret:
        text = text.replace(secret, "[key]")
    return excerpt(text, MESSAGE_MAX_CHARS)


def incomplete() -> EngineError:
    """The stream ended and the provider never said that the answer did."""
    return EngineError("provider_incomplete", "The provider's answer broke off before its end. Try again.", retryable=True)


def garbage(why: str) -> EngineError:
    """What came is no chat completion."""
    return EngineError(
        "provider_garbage",
        f"The provider's answer cannot be read ({why}): check that OPENAI_BASE_URL is an OpenAI-compatible address.",
        retryable=False,
    )


def _rate_limited(said: str, retry_after: str) -> EngineError:
    seconds = _seconds(retry_after)
    when = f" Try again in {seconds} s." if seconds is not None else " Try again later."
    # An account without credit also answers 429; no waiting helps that.
    exhausted = "insufficient_quota" in said or "exceeded your current quota" in said
    return EngineError(
        "provider_rate_limited", f"The provider limits our rate (429){said}.{'' if exhausted else when}", retryable=not exhausted
    )


def _seconds(retry_after: str) -> int | None:
    """Whole seconds to wait, from a `Retry-After` value; None when it says nothing we can read."""
    value = retry_after.strip()
    if value.isascii() and value.isdigit():
        return min(int(value[:9]), 86_400)
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, TypeError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return min(max(0, round((moment - datetime.now(UTC)).total_seconds())), 86_400)
