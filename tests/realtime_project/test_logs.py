"""No credential reaches a log, whatever record carries it."""

import io
import json
import logging
import logging.config

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uvicorn.logging import AccessFormatter

from realtime_project.logs import RedactionFilter, logging_config, redacted

TOKEN_CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_."
secrets = st.text(TOKEN_CHARACTERS, min_size=12, max_size=80)
carriers = st.sampled_from(
    [
        "GET /api/events?token={}&pending=0",
        "GET /api/events?pending=0&ticket={} HTTP/1.1",
        "GET /oauth/callback?code={}&state=x HTTP/1.1",
        "GET /oauth/callback?iss=x&state={} HTTP/1.1",
        "/ws?api_key={}",
        "GET /approvals/x:{}:y HTTP/1.1",
        "GET /notifications/unsubscribe/x%3A{} HTTP/1.1",
        "the secret whsec_{} is none",
        "/ws?ACCESS_TOKEN={}#top",
        "Authorization: Bearer {}",
        "authorization: bearer  {}, next",
        "'Authorization': 'Basic {}'",
        "postgres://user:{}@db.example:5432/name",
        "cannot reach redis://:{}@127.0.0.1:6379/0: refused",
    ]
)


@given(secret=secrets, carrier=carriers, before=st.text(max_size=20), after=st.text(max_size=20))
def test_a_secret_does_not_survive_in_any_carrier(secret, carrier, before, after):
    said = redacted(f"{before} {carrier.format(secret)} {after}")
    assert secret not in said.replace(before, "").replace(after, "")
    assert "[redacted]" in said


@given(key=st.text("0123456789abcdef", min_size=32, max_size=32), around=st.text(max_size=10))
def test_an_api_key_is_taken_out_wherever_it_stands(key, around):
    assert key not in redacted(f"{around} sk_{key} {around}").replace(around, "")


@given(text=st.text(st.characters(exclude_characters="?&;=:/@_'\""), max_size=200))
def test_text_without_secrets_stays_as_it_is(text):
    if "bearer" not in text.lower() and "basic" not in text.lower() and "eyJ" not in text:
        assert redacted(text) == text


@pytest.mark.parametrize("password", ["s3cret", "p@ss", "a/b".replace("/", "%2F"), "ünï"])
def test_only_the_password_of_an_address_is_taken_out(password):
    assert redacted(f"postgres://ann:{password}@db:5432/x") == "postgres://ann:[redacted]@db:5432/x"


def test_addresses_without_a_password_are_kept():
    for address in (
        "http://127.0.0.1:8000/",
        "unix:///tmp/run/valkey.sock?db=0",
        "postgres://throughline@/throughline?host=/tmp",
    ):
        assert redacted(address) == address


def logged(log_format, name, *args, **kwargs):
    """What a logger configured by us writes."""
    config = logging_config(log_format, "INFO")
    stream = io.StringIO()
    config["handlers"]["stderr"]["stream"] = stream
    root, uvicorn_access = logging.getLogger(), logging.getLogger("uvicorn.access")
    kept = [(logger, logger.handlers[:], logger.level, logger.propagate) for logger in (root, uvicorn_access)]
    try:
        logging.config.dictConfig(config)
        logging.getLogger(name).log(logging.INFO, *args, **kwargs)
    finally:
        for logger, handlers, level, propagate in kept:
            logger.handlers[:], logger.level, logger.propagate = handlers, level, propagate
    return stream.getvalue()


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_uvicorns_access_line_loses_its_query_secrets(log_format):
    arguments = ("127.0.0.1:5000", "GET", "/api/events?ticket=abcdef123456&x=1", "1.1", 200)
    said = logged(log_format, "uvicorn.access", '%s - "%s %s HTTP/%s" %d', *arguments)
    assert "abcdef123456" not in said
    assert "/api/events?ticket=[redacted]&x=1" in said


def test_uvicorns_own_formatter_still_works_on_a_redacted_record():
    record = logging.LogRecord(
        "uvicorn.access",
        logging.INFO,
        "",
        0,
        '%s - "%s %s HTTP/%s" %d',
        ("c:1", "GET", "/x?token=abcdef123456", "1.1", 200),
        None,
    )
    RedactionFilter().filter(record)
    assert "token=[redacted]" in AccessFormatter("%(client_addr)s %(request_line)s %(status_code)s", use_colors=False).format(
        record
    )


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_exceptions_and_extra_fields_lose_their_secrets(log_format):
    try:
        raise ValueError("no answer from redis://:hunter2hunter2@db:6379")
    except ValueError:
        said = logged(log_format, "events", "lost", exc_info=True, extra={"url": "/x?api_key=hunter2hunter2"})
    assert "hunter2hunter2" not in said
    assert "ValueError" in said


def test_a_secret_split_between_message_and_argument_is_taken_out():
    assert "hunter2hunter2" not in logged("text", "events", "GET /x?token=%s", "hunter2hunter2")


def test_json_is_one_object_a_line():
    said = logged("json", "events", "opened %s", "user:1", extra={"readers": 3})
    assert {key: json.loads(said)[key] for key in ("level", "logger", "message", "readers")} == {
        "level": "INFO",
        "logger": "events",
        "message": "opened user:1",
        "readers": 3,
    }


@pytest.mark.parametrize(("log_format", "level"), [("xml", "INFO"), ("text", "LOUD")])
def test_a_wrong_format_or_level_is_refused_with_the_choices(log_format, level):
    with pytest.raises(ValueError, match="use "):
        logging_config(log_format, level)


@pytest.mark.parametrize("around", ["\n", "\r", "\r\n", "\x85", "\u2028", "\x1b[2K\x1b[1A", "\u202e"])
@pytest.mark.parametrize("log_format", ["text", "json"])
def test_what_a_client_sends_makes_no_line_of_its_own(log_format, around):
    """A name with a line break in it would otherwise put words into the log that nobody said."""
    forged = f"ann{around}2026-01-01 00:00:00,000 CRITICAL accounts: everybody is staff now"
    said = logged(log_format, "accounts", "No user %s: %s.", forged, ValueError(forged))
    assert len(said.splitlines()) == 1
    assert around not in said.rstrip("\n")
    assert "ann" in said
