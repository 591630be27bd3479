"""What a user wants, and when: tables, with the clock given."""

import uuid
from datetime import UTC, datetime, time

import pytest

from events.exceptions import InvalidRequest, NotFound
from notifications.preferences import Quiet, Wishes, choose, chosen, set_quiet, wishes_of
from tests.notifications.rules import caller, organization, rule

RULE, OTHER = uuid.uuid4(), uuid.uuid4()


@pytest.mark.parametrize(
    ("choices", "websocket", "email"),
    [
        ({}, True, True),
        ({(None, ""): False}, False, False),
        ({(None, "email"): False}, True, False),
        ({(None, ""): False, (None, "email"): True}, False, True),
        ({(RULE, ""): False}, False, False),
        ({(RULE, ""): False, (RULE, "websocket"): True}, True, False),
        ({(None, "email"): False, (RULE, ""): True}, True, True),
        ({(RULE, "email"): False}, True, False),
        ({(OTHER, ""): False}, True, True),
    ],
)
def test_the_most_special_choice_decides(choices, websocket, email):
    wishes = Wishes(choices)
    assert wishes.wants(rule_id=RULE, channel="websocket") is websocket
    assert wishes.wants(rule_id=RULE, channel="email") is email


def at(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("begins", "ends", "zone", "now", "over"),
    [
        ("22:00", "07:00", "UTC", "2026-01-10T21:59", None),
        ("22:00", "07:00", "UTC", "2026-01-10T22:00", "2026-01-11T07:00"),
        ("22:00", "07:00", "UTC", "2026-01-11T00:00", "2026-01-11T07:00"),
        ("22:00", "07:00", "UTC", "2026-01-11T06:59", "2026-01-11T07:00"),
        ("22:00", "07:00", "UTC", "2026-01-11T07:00", None),
        ("12:00", "13:30", "UTC", "2026-01-11T12:15", "2026-01-11T13:30"),
        ("12:00", "13:30", "UTC", "2026-01-11T14:00", None),
        ("22:00", "07:00", "Europe/Berlin", "2026-01-10T21:30", "2026-01-11T06:00"),
        ("22:00", "07:00", "Europe/Berlin", "2026-07-10T20:30", "2026-07-11T05:00"),
        ("22:00", "07:00", "America/New_York", "2026-01-11T04:00", "2026-01-11T12:00"),
        # Clocks are put forward at 02:00: the end is not there, and is taken as an hour later.
        ("22:00", "02:30", "Europe/Berlin", "2026-03-29T00:30", "2026-03-29T01:30"),
        # Clocks are put back at 03:00: 02:30 is there twice; the first is past.
        ("22:00", "02:30", "Europe/Berlin", "2026-10-25T00:10", "2026-10-25T00:30"),
        ("22:00", "02:30", "Europe/Berlin", "2026-10-25T01:10", "2026-10-25T01:30"),
    ],
)
def test_quiet_hours_by_the_users_clock(begins, ends, zone, now, over):
    quiet = Quiet(time.fromisoformat(begins), time.fromisoformat(ends), zone)
    assert quiet.over(at(now)) == (at(over) if over else None)


def test_choices_are_kept_changed_and_taken_back(people):
    organization(people)
    alice, made = people["alice"], rule(people["ops"])
    choose(caller=caller(alice), choices=[(None, "email", False), (made.pk, "", True)])
    choose(caller=caller(alice), choices=[(None, "email", True), (made.pk, "", None)])
    found, quiet = chosen(caller=caller(alice))
    assert [(each.rule_id, each.channel, each.enabled) for each in found] == [(None, "email", True)]
    assert quiet is None


def test_what_is_wrong_is_refused_as_a_whole(people):
    organization(people)
    alice = caller(people["alice"])
    with pytest.raises(NotFound):
        choose(caller=alice, choices=[(None, "", False), (RULE, "", False)])
    with pytest.raises(InvalidRequest, match="websocket, push, email"):
        choose(caller=alice, choices=[(None, "", False), (None, "sms", False)])
    assert chosen(caller=alice) == ([], None)


def test_a_rule_of_another_organisation_is_not_there(people):
    organization({"ops": people["ops"]})
    made = rule(people["ops"])
    with pytest.raises(NotFound):
        choose(caller=caller(people["alice"]), choices=[(made.pk, "", False)])


@pytest.mark.parametrize("zone", ["Mars/Olympus", "", "../etc/passwd", "x" * 100, "localtime\x00"])
def test_a_time_zone_that_is_none_is_refused(people, zone):
    with pytest.raises(InvalidRequest, match="time zone"):
        set_quiet(caller=caller(people["alice"]), quiet=Quiet(time(22), time(7), zone))


def test_quiet_hours_are_kept_and_ended(people):
    alice = people["alice"]
    quiet = Quiet(time(22), time(7), "Europe/Berlin")
    set_quiet(caller=caller(alice), quiet=quiet)
    assert wishes_of([alice.pk], rule_ids=[])[alice.pk].quiet == quiet
    with pytest.raises(InvalidRequest, match="different times"):
        set_quiet(caller=caller(alice), quiet=Quiet(time(7), time(7), "UTC"))
    set_quiet(caller=caller(alice), quiet=None)
    assert wishes_of([alice.pk], rule_ids=[])[alice.pk].quiet is None
