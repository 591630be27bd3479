from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from chat.engines.provider_errors import error_detail, status_error, stream_error


@pytest.mark.parametrize(
    ("status", "code", "retryable"),
    [
        (301, "provider_error", False),
        (400, "provider_rejected", False),
        (401, "provider_auth", False),
        (402, "provider_rejected", False),
        (403, "provider_auth", False),
        (404, "provider_model_not_found", False),
        (408, "provider_timeout", True),
        (409, "provider_error", True),
        (422, "provider_rejected", False),
        (429, "provider_rate_limited", True),
        (500, "provider_error", True),
        (503, "provider_error", True),
    ],
)
def test_each_status_has_its_code(status: int, code: str, retryable: bool) -> None:
    error = status_error(status, detail="because", model="m")
    assert (error.code, error.retryable) == (code, retryable)


def test_a_refused_key_is_not_shown() -> None:
    error = status_error(401, detail="Incorrect API key provided: sk-secret")
    assert "OPENAI_API_KEY" in error.message
    assert "sk-secret" not in error.message


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("7", "in 7 s"),
        ("99999999999999999999", "in 86400 s"),
        ("Sat, 21 Nov 2020 19:17:31 +0000", "in 0 s"),
        ("soon", "later"),
        ("", "later"),
        ("²", "later"),
    ],
)
def test_retry_after_is_told(value: str, said: str) -> None:
    assert said in status_error(429, retry_after=value).message


def test_retry_after_may_be_a_date() -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=90))
    assert any(f"in {n} s" in status_error(429, retry_after=date).message for n in (88, 89, 90))


def test_no_credit_left_is_not_helped_by_trying_again() -> None:
    assert not status_error(429, detail="You exceeded your current quota").retryable


@pytest.mark.parametrize("body", [{"error": {"message": "why"}}, {"error": "why"}, {"message": "why"}, {"detail": "why"}, "why"])
def test_the_message_is_found_in_every_shape(body: object) -> None:
    assert error_detail(body) == "why"


def test_a_detail_is_short_clean_and_without_the_key() -> None:
    detail = error_detail({"error": {"message": "bad\x00\nkey sk-secret " + "x" * 5000}}, secret="sk-secret")
    assert len(detail) <= 500
    assert "sk-secret" not in detail
    assert "\n" not in detail
    assert "\x00" not in detail


def test_an_odd_body_still_gives_a_message() -> None:
    assert error_detail({"error": {"message": None}}) == "null"
    assert stream_error({"error": [1]}).code == "provider_error"
