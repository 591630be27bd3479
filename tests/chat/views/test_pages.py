"""What the chat page is told, and what telling a conversation costs."""

import json
import re

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from chat.markdown import render
from chat.models import Application, Message, Run
from chat.services import conversations
from tests.chat.conftest import ask

pytestmark = pytest.mark.usefixtures("stores")


def told(caller):
    """The page's data for its scripts."""
    client = Client()
    client.force_login(User.objects.get(pk=caller.pk))
    page = client.get("/").content.decode()
    return json.loads(re.search(r'<script id="page-data" type="application/json">(.*?)</script>', page)[1])


@pytest.mark.parametrize(
    ("chosen", "alias"),
    [("scripted", "scripted"), ("extractive", "extractive"), ("none", None), ("openai", None), ("no-such-engine", None)],
)
def test_the_page_names_the_engine_that_would_answer(alice, settings, chosen, alias):
    settings.CHAT_ENGINE = chosen
    assert told(alice)["engine"] == alias


def test_auto_is_told_as_the_engine_that_it_finds(alice, settings):
    settings.CHAT_ENGINE = "auto"
    settings.CHAT_ENGINES = {"extractive": settings.CHAT_ENGINES["extractive"]}
    assert told(alice)["engine"] == "extractive"


def test_the_page_knows_the_applications_to_choose_from_the_first_made_first(alice, bob, organization):
    Application.objects.create(public_id="app_b", name="One", organization=organization)
    Application.objects.create(public_id="app_a", name="Other", organization=organization)
    assert [each["id"] for each in told(alice)["applications"]] == ["app_b", "app_a"]
    assert told(bob)["applications"] == []


def messages(caller, answer):
    found, _ = conversations.messages(caller=caller, conversation_id=answer.conversation_id, before=None)
    return found


def test_only_ended_answers_are_rendered_and_each_once(alice):
    answer = ask(alice, "**why**")
    Message.objects.filter(pk=answer.pk).update(text="**so**")
    assert [each["html"] for each in messages(alice, answer)] == [None, None]
    Run.objects.update(status="completed")
    before = render.__globals__["_remembered"].cache_info()
    for _ in range(3):
        question, told_answer = messages(alice, answer)
        assert (question["html"], told_answer["html"]) == (None, "<p><strong>so</strong></p>\n")
    after = render.__globals__["_remembered"].cache_info()
    assert after.misses - before.misses <= 1
    assert after.hits - before.hits >= 2


def test_a_page_of_messages_costs_as_many_queries_as_one_message(alice):
    answer = ask(alice)
    with CaptureQueriesContext(
        connection,
    ) as few:
        messages(alice, answer)
    for position in range(3, 40):
        Message.objects.create(conversation_id=answer.conversation_id, role="user", text="More.", position=position)
    with CaptureQueriesContext(connection) as many:
        assert len(messages(alice, answer)) == 39
    assert len(many) == len(few)
