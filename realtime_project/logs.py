"""How the server logs: text for people or JSON for machines, and no secret in either."""

import logging
import re
from collections.abc import Callable
from typing import Any

# Where credentials stand in what gets logged. Each pattern keeps what is before the secret as its first group.
SECRETS = (
    re.compile(r"([?&;\s\"'](?:token|ticket|api_key|access_token|refresh_token)=)[^&\s\"'<>#;,]+", re.IGNORECASE),
    re.compile(r"(\b(?:bearer|basic)(?:\s+|%20|\+))[A-Za-z0-9._~+/=\-]+", re.IGNORECASE),
    re.compile(r"(\bsk_)[A-Za-z0-9]+"),
    # The password of an address may hold what a careless person did not quote: everything up to the last @ of its host part.
    re.compile(r"(\b[a-z][a-z0-9+.\-]*://[^:/@\s]*:)[^\s/]*(?=@)", re.IGNORECASE),
    # A NATS can ask for a token alone.
    re.compile(r"(\b(?:nats|tls)://)[^:/@\s]+(?=@)", re.IGNORECASE),
    # What an authorization server sends back with a browser.
    re.compile(r"([?&](?:code|state)=)[^&\s\"'<>#]+", re.IGNORECASE),
    # Whoever has such a link decides, or ends mails.
    re.compile(r"(/(?:approvals|notifications/unsubscribe)/)(?=[^\s\"'?#]*(?::|%3A))[^\s\"'?#]+", re.IGNORECASE),
    # What webhooks are signed with.
    re.compile(r"(\bwhsec_)[A-Za-z0-9+/=_\-]+"),
    # A JSON web token without anything around it that says so.
    re.compile(r"(\beyJ)[A-Za-z0-9_\-]+\.[A-Za-z0-9_\-]+\.[A-Za-z0-9_\-]*"),
)
REDACTED = "[redacted]"


def redacted(text: str) -> str:
    """The text without the tokens, tickets, keys and passwords in it."""
    for pattern in SECRETS:
        text = pattern.sub(rf"\g<1>{REDACTED}", text)
    return text


CONTROLS = {number: f"\\x{number:02x}" for number in (*range(32), *range(127, 160))} | {
    number: f"\\u{number:04x}"
    for number in (0x2028, 0x2029, 0x202A, 0x202B, 0x202C, 0x202D, 0x202E, 0x2066, 0x2067, 0x2068, 0x2069)
}
"""What in a log would begin a line, or turn the writing around, and how it is written instead."""


def one_line(value: Any) -> Any:
    """An argument of a log message without what could forge another line: what users send gets into logs."""
    text = value if isinstance(value, str | BaseException) else None
    if text is None:
        return value
    escaped = str(text).translate(CONTROLS)
    return escaped if escaped != str(text) else value


class RedactionFilter(logging.Filter):
    """Takes secrets out of every record: its message with its arguments, its exception, its extra fields."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Always True; the record is changed in place."""
        record.args = _changed_arguments(record.args, one_line)
        original = record.getMessage()
        message = redacted(original)
        if message != original:
            # uvicorn's access formatter unpacks the arguments: they keep their number and kinds.
            record.args = _changed_arguments(record.args, _redacted_argument)
            if record.getMessage() != message:
                record.msg, record.args = message, None
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = redacted(record.exc_text)
            record.exc_info = None  # a formatter that has it would print the exception anew
        if record.stack_info:
            record.stack_info = redacted(record.stack_info)
        for name, value in record.__dict__.items():
            if name not in _STANDARD and isinstance(value, str):
                record.__dict__[name] = redacted(value)
        return True


_STANDARD = frozenset(logging.makeLogRecord({}).__dict__)


def _changed_arguments(arguments: Any, change: Callable[[Any], Any]) -> Any:
    if isinstance(arguments, tuple):
        return tuple(map(change, arguments))
    if isinstance(arguments, dict):
        return {name: change(value) for name, value in arguments.items()}
    return arguments


def _redacted_argument(value: Any) -> Any:
    return redacted(value) if isinstance(value, str) else value


def logging_config(log_format: str, level: str) -> dict[str, Any]:
    """The LOGGING setting: `log_format` is text or json, `level` a level's name; everything goes to stderr.

    It also takes over uvicorn's loggers, whose own handlers would print query strings as they are.

    Raises:
        ValueError: an unknown format or level.
    """
    if log_format not in ("text", "json"):
        raise ValueError(f"LOG_FORMAT is {log_format!r}: use text or json.")
    level = level.upper()
    if level not in logging.getLevelNamesMapping():
        raise ValueError(f"LOG_LEVEL is {level!r}: use DEBUG, INFO, WARNING, ERROR or CRITICAL.")
    own = {"handlers": ["stderr"], "propagate": False}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {"redaction": {"()": RedactionFilter}},
        "formatters": {
            "text": {"format": "{asctime} {levelname:<8} {name}: {message}", "style": "{"},
            "json": {
                "()": "pythonjsonlogger.json.JsonFormatter",
                "format": "{asctime}{levelname}{name}{message}",
                "style": "{",
                "rename_fields": {"asctime": "time", "levelname": "level", "name": "logger"},
            },
        },
        "handlers": {
            "stderr": {"class": "logging.StreamHandler", "formatter": log_format, "filters": ["redaction"]},
        },
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            "uvicorn": own | {"level": level},
            "uvicorn.error": {"handlers": [], "propagate": True},
            "uvicorn.access": _access_logger(own | {"level": level}),
            # One line for each statement and each loop would bury the rest even when DEBUG is asked for.
            "django.db.backends": {"level": "INFO"},
            "asyncio": {"level": "INFO"},
            # A line for each request to a provider.
            "httpx": {"level": "WARNING"},
            # Two lines for each answer, with its arguments; runs have their own metrics and their own page.
            "procrastinate": {"level": "WARNING"},
        },
    }


def _access_logger(wanted: dict[str, Any]) -> dict[str, Any]:
    """The configuration of uvicorn's access log, off where `--no-access-log` has turned it off before us."""
    logger = logging.getLogger("uvicorn.access")
    turned_off = not logger.propagate and not logger.handlers
    return {"handlers": [], "propagate": False} if turned_off else wanted
