"""What throttle, digest, quiet hours and preferences change, and nothing else: a table, with the clock given."""

import uuid
from datetime import UTC, datetime, time, timedelta

import pytest

from notifications.models import Rule
from notifications.plans import Digest, plan, retry_at
from notifications.preferences import Quiet, Wishes

NOON = datetime(2026, 1, 10, 12, tzinfo=UTC)
NIGHT = datetime(2026, 1, 10, 23, tzinfo=UTC)
MORNING = datetime(2026, 1, 11, 7, tzinfo=UTC)
QUIET = Wishes(quiet=Quiet(time(22), time(7), "UTC"))
OFF = Wishes({(None, ""): False})
OPEN = Digest(uuid.uuid4(), NOON + timedelta(minutes=3))


def seconds(count):
    return NOON + timedelta(seconds=count)


@pytest.mark.parametrize(
    ("fields", "channel", "wishes", "told", "now", "status", "due"),
    [
        ({}, "websocket", Wishes(), 0, NOON, "held", NOON),
        ({}, "push", Wishes(), 0, NOON, "held", seconds(5)),
        ({}, "email", Wishes(), 0, NOON, "held", seconds(60)),
        ({"always": True}, "email", Wishes(), 0, NOON, "held", NOON),
        ({"always": True}, "push", Wishes(), 0, NOON, "held", NOON),
        # A preference.
        ({}, "websocket", OFF, 0, NOON, "skipped", NOON),
        ({"always": True}, "email", OFF, 0, NOON, "skipped", NOON),
        ({"priority": "high"}, "email", OFF, 0, NOON, "skipped", NOON),
        ({"priority": "critical"}, "email", OFF, 0, NOON, "held", seconds(60)),
        # Quiet hours hold back what makes noise.
        ({}, "websocket", QUIET, 0, NIGHT, "held", NIGHT),
        ({}, "push", QUIET, 0, NIGHT, "held", MORNING),
        ({}, "email", QUIET, 0, NIGHT, "held", MORNING),
        ({"always": True}, "email", QUIET, 0, NIGHT, "held", MORNING),
        ({"priority": "critical"}, "push", QUIET, 0, NIGHT, "held", NIGHT + timedelta(seconds=5)),
        ({}, "push", QUIET, 0, NOON, "held", seconds(5)),
        # A mail that would be due when the quiet has begun.
        ({}, "email", QUIET, 0, NIGHT - timedelta(hours=1, seconds=30), "held", MORNING),
        # A throttle; also of what is critical, for it is the rule's own.
        ({"throttle_limit": 2}, "push", Wishes(), 1, NOON, "held", seconds(5)),
        ({"throttle_limit": 2}, "push", Wishes(), 2, NOON, "skipped", NOON),
        ({"throttle_limit": 2, "priority": "critical"}, "push", Wishes(), 2, NOON, "skipped", NOON),
        # A digest.
        ({"digest_seconds": 600}, "websocket", Wishes(), 0, NOON, "held", seconds(600)),
        ({"digest_seconds": 600}, "email", Wishes(), 0, NOON, "held", seconds(600)),
        ({"digest_seconds": 600}, "email", QUIET, 0, NIGHT, "held", MORNING),
        ({"digest_seconds": 600}, "email", OFF, 0, NOON, "skipped", NOON),
        ({"digest_seconds": 600, "throttle_limit": 2}, "email", Wishes(), 2, NOON, "skipped", NOON),
    ],
)
def test_each_changes_exactly_what_it_should(fields, channel, wishes, told, now, status, due):
    made = plan(rule=Rule(**{"priority": "normal"} | fields), channel=channel, wishes=wishes, told=told, digest=None, now=now)
    assert (made.status, made.due_at) == (status, due)
    assert bool(made.reason) == (status == "skipped")
    assert (made.digest is not None) == ("digest_seconds" in fields and status == "held")


def test_a_digest_that_is_being_collected_takes_what_comes():
    made = plan(rule=Rule(digest_seconds=600), channel="email", wishes=Wishes(), told=0, digest=OPEN, now=NOON)
    assert (made.digest, made.due_at) == (OPEN.id, OPEN.due_at)


@pytest.mark.parametrize(
    ("attempts", "wait", "pause"),
    [(1, 0, 5), (2, 0, 10), (5, 0, 80), (11, 0, 3600), (500, 0, 3600), (1, 120, 120), (1, 10**9, 24 * 3600), (3, 1, 20)],
)
def test_pauses_between_attempts_double_and_hear_what_was_asked_for(attempts, wait, pause):
    assert retry_at(attempts=attempts, now=NOON, wait=wait) == seconds(pause)
