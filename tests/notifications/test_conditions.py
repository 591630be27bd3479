"""Conditions: true or not, refused when they are no conditions, and never more than that."""

import time

import pytest

from events.exceptions import InvalidRequest
from notifications.conditions import ConditionFailed, check, holds
from tests.patience import patiently

EVENT = {
    "event": {"eventName": "placed"},
    "payload": {"amount": 5, "tags": ["urgent"], "name": "Ann", "at": {"city": "Rome"}, "items": []},
}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("", True),
        ("payload.amount > 3", True),
        ("payload.amount > 5 or 'urgent' in payload.tags", True),
        ("payload.amount > 3 and not payload.items", True),
        ("payload.at.city == 'Rome'", True),
        ("payload.at['city']|lower == 'rome'", True),
        ("payload.tags|length == 1 and payload.tags[0] == 'urgent'", True),
        ("event.eventName in ['placed', 'paid']", True),
        ("payload.amount > -1", True),
        ("3 < payload.amount < 6", True),
        # What is not there is none: nothing fails, nothing is more or less than it.
        ("payload.nope == none", True),
        ("payload.nope != none", False),
        ("payload.nope.deeper.still > 3", False),
        ("payload.nope < 3", False),
        ("payload.nope", False),
        ("payload.nope is defined", False),
        ("payload.nope|default(9) > 3", True),
        # Fields, not what Python knows of the value.
        ("payload.items is defined", True),
        ("payload.keys is defined", False),
        ("payload.__class__ is defined", False),
        ("payload.name.upper is defined", False),
        ("payload.name|length", True),
    ],
)
def test_a_condition_is_true_or_not(source, expected):
    check(source)
    assert holds(source, EVENT) is expected


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("payload.amount >", "condition, line 1"),
        ("payload.amount > 3 }} {{ 4", "without braces"),
        ("payload.amount()", "calls cannot be used"),
        ("range(10)", "calls cannot be used"),
        ("payload.amount * 2 > 3", "arithmetic cannot be used"),
        ("'a' * 1000000000", "arithmetic cannot be used"),
        ("9 ** 9 ** 9", "arithmetic cannot be used"),
        ("'a' ~ 'b'", "cannot be used"),
        ("amount > 3", "there is no 'amount'"),
        ("request", "there is no 'request'"),
        ("self", "there is no 'self'"),
        ("payload.tags|map('upper')", "No filter named 'map'"),
        ("payload.name is callable", "No test named 'callable'"),
        ("payload.amount > 3 #}", "without braces"),
        ("(" * 400 + ")" * 400, "condition"),
        ("not " * 240 + "payload", "condition"),
        ("payload.amount > " + "1" * 1000, "at most"),
    ],
)
def test_what_is_no_condition_is_refused(source, words):
    with pytest.raises(InvalidRequest, match="condition") as refused:
        check(source)
    assert words in refused.value.message


def test_comparing_what_cannot_be_compared_is_the_rules_failure():
    with pytest.raises(ConditionFailed, match="not supported between"):
        holds("payload.name > 3", EVENT)


def test_the_largest_event_and_the_longest_condition_take_no_time():
    big = {"event": {}, "payload": {"xs": list(range(10_000)), "text": "x" * 60_000}}
    source = " or ".join(["'y' in payload.text|upper"] * 30)
    check(source)
    began = time.perf_counter()
    assert not holds(source, big)
    assert time.perf_counter() - began < patiently(0.5)
