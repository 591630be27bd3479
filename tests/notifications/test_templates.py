"""Templates: words with fields of the event, bounded, and refused when they would do more."""

import time

import pytest

from events.exceptions import InvalidRequest
from notifications.templates import TemplateFailed, check, fill
from tests.patience import patiently

EVENT = {"event": {"resourceId": "o7"}, "payload": {"name": "Ann", "items": ["a", "b"], "nothing": None, "big": "x" * 60_000}}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("Hello {{ payload.name }}", "Hello Ann"),
        ("{{ payload.name|upper|truncate(2) }}", "A…"),
        ("{{ payload.items|join }} {{ payload.items|length }}", "a, b 2"),
        ("{% if payload.name == 'Ann' %}you{% else %}other{% endif %}", "you"),
        ("{{ 'you' if payload.name else 'none' }}", "you"),
        ("{{ payload.nope|default('-') }}{{ payload.nothing|default('-') }}", "--"),
        ("/orders/{{ event.resourceId }}", "/orders/o7"),
        ("<b>{{ payload.items }}</b>", "<b>['a', 'b']</b>"),
        ("", ""),
    ],
)
def test_a_template_is_filled(source, expected):
    check(source, what="title")
    assert fill(source, EVENT, what="title", longest=100) == expected


@pytest.mark.parametrize(
    "source",
    [
        "{{ payload.name",
        "{% for x in payload.items %}{{ x }}{% endfor %}",
        "{% set x = 1 %}",
        "{% include 'registration/login.html' %}",
        "{% extends 'base.html' %}",
        "{% import 'a' as b %}",
        "{% macro a() %}{% endmacro %}",
        "{% block a %}{% endblock %}",
        "{% filter upper %}a{% endfilter %}",
        "{% call payload.x() %}{% endcall %}",
        "{% with a = 1 %}{% endwith %}",
        "{{ payload.name.format(1) }}",
        "{{ 'a' * 1000000000 }}",
        "{{ self }}",
        "{{ cycler }}",
        "{{ namespace }}",
        "{{ ().__class__.__mro__ }}{{ x }}",
        "{{ payload.name|attr('upper') }}",
        "{{ payload.name|replace('a', 'b') }}",
        "x" * 4001,
    ],
)
def test_what_is_no_template_is_refused(source):
    with pytest.raises(InvalidRequest, match="title"):
        check(source, what="title")


def test_a_field_that_is_not_there_fails_and_says_which():
    with pytest.raises(TemplateFailed, match=r"title: .*'nope'"):
        fill("{{ payload.nope }}", EVENT, what="title", longest=100)


@pytest.mark.parametrize(
    "source", ["{{ payload.name.upper }}", "{{ payload.keys }}", "{{ ().__class__ }}", "{{ payload.name|join }}"]
)
def test_nothing_of_python_can_be_reached(source):
    with pytest.raises(TemplateFailed):
        fill(source, EVENT, what="title", longest=100)


def test_output_is_bounded_in_size_and_time():
    source = "{{ payload.big|upper|title|lower }}" * 100
    check(source, what="body")
    began = time.perf_counter()
    assert len(fill(source, EVENT, what="body", longest=2000)) == 2000
    assert time.perf_counter() - began < patiently(1)
