import re
from datetime import timedelta
from html import unescape

import pytest
from django.contrib import admin
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import Organization
from chat.models import Application, Conversation, IdempotencyKey, Message, Participant, Run, Worker
from chat.services import runs
from tests.chat.conftest import ask

pytestmark = pytest.mark.usefixtures("stores")

READ_ONLY = {"conversation": Conversation, "message": Message, "run": Run, "participant": Participant, "worker": Worker}


def page(client, address, **query):
    response = client.get(address, query)
    assert response.status_code == 200, response
    return unescape(response.content.decode())


@pytest.fixture
def answer(alice):
    message = ask(alice, "<b>What?</b>", attachments=[{"name": "<i>", "text": "t"}])
    runs.claim(message_id=message.pk, worker="host-7-abc")
    runs.beat(worker="host-7-abc")
    return message


@pytest.mark.parametrize("name", READ_ONLY)
def test_the_pages_open_and_nothing_can_be_written(admin_client, answer, name):
    pk = READ_ONLY[name].objects.first().pk
    count = READ_ONLY[name].objects.count()
    for address in (f"/admin/chat/{name}/", f"/admin/chat/{name}/?q=a", f"/admin/chat/{name}/{pk}/change/"):
        assert "<b>What" not in admin_client.get(address).content.decode()
        assert admin_client.get(address).status_code == 200
    assert admin_client.get(f"/admin/chat/{name}/add/").status_code == 403
    assert admin_client.post(f"/admin/chat/{name}/{pk}/change/", {"text": "x"}).status_code == 403
    assert admin_client.post(f"/admin/chat/{name}/{pk}/delete/", {"post": "yes"}).status_code == 403
    assert READ_ONLY[name].objects.count() == count


def found(client, name, text):
    return re.findall(r"(\d+) (?:runs?|messages?|conversations?)\s*\n", page(client, f"/admin/chat/{name}/", q=text))[-1:]


@pytest.mark.parametrize(
    ("name", "text", "count"),
    [
        ("run", "{message}", "1"),
        ("run", "{conversation}", "1"),
        ("run", "host-7", "1"),
        ("run", "alice", "1"),
        ("run", "user_alice", "1"),
        ("run", "ali", "0"),
        ("message", "{message}", "1"),
        ("message", "{conversation}", "2"),
        ("message", "alice", "1"),
        ("conversation", "{conversation}", "1"),
        ("conversation", "user_alice", "1"),
        ("conversation", "nobody", "0"),
        ("conversation", "{message}", "0"),
    ],
)
def test_rows_are_found_by_id_and_user(admin_client, answer, name, text, count):
    text = text.format(message=answer.pk, conversation=answer.conversation_id)
    assert found(admin_client, name, text) == [count]


def test_a_search_never_compares_an_id_as_text(admin_client, answer):
    for name in ("run", "message", "conversation"):
        for text in (str(answer.pk), "alice"):
            with CaptureQueriesContext(connection) as seen:
                page(admin_client, f"/admin/chat/{name}/", q=text)
            assert not [each["sql"] for each in seen if "UPPER(" in each["sql"] or "id::text" in each["sql"]]


def test_a_run_shows_its_state_and_links_to_message_and_stream(admin_client, answer):
    text = page(admin_client, f"/admin/chat/run/{answer.pk}/change/")
    assert "host-7-abc" in text
    (message,) = set(re.findall(r'href="(/admin/chat/message/[^"]+)"', text)) - {"/admin/chat/message/"}
    assert f"assistant {answer.pk}" in page(admin_client, message)
    (live,) = re.findall(r'href="(/admin/events/durablestream/live/\?[^"]+)"', text)
    assert "run.started" in page(admin_client, live)


def test_a_conversation_links_to_its_messages_and_names_its_people(admin_client, answer):
    text = page(admin_client, f"/admin/chat/conversation/{answer.conversation_id}/change/")
    assert "alice" in text
    (messages,) = re.findall(r'href="(/admin/chat/message/\?[^"]+)"', text)
    assert "2 messages" in page(admin_client, messages)


def test_runs_are_filtered_by_status(admin_client, alice, answer):
    ask(alice)
    assert "1 run\n" in page(admin_client, "/admin/chat/run/?status__exact=queued")


def test_a_worker_that_is_silent_is_not_living(admin_client, answer):
    assert "icon-yes" in page(admin_client, "/admin/chat/worker/")
    Worker.objects.update(beat_at=timezone.now() - timedelta(minutes=1))
    assert "icon-no" in page(admin_client, "/admin/chat/worker/")


def test_an_application_is_edited_and_its_engine_is_one_there_is(admin_client, organization):
    body = {"public_id": "app_new", "organization": Organization.objects.get().pk, "name": "New", "engine": "extractive"}
    assert admin_client.post("/admin/chat/application/add/", body).status_code == 302
    row = Application.objects.get(public_id="app_new")
    assert row.engine == "extractive"
    refused = admin_client.post(f"/admin/chat/application/{row.pk}/change/", body | {"engine": "made-up"})
    assert "made-up is not one of the available choices" in unescape(refused.content.decode())
    assert admin_client.post(f"/admin/chat/application/{row.pk}/change/", body | {"engine": ""}).status_code == 302
    assert "app_new" in page(admin_client, "/admin/chat/application/", q="app_")


def test_idempotency_keys_are_nobodys_business():
    assert not admin.site.is_registered(IdempotencyKey)
