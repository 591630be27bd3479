from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from chat.models import Conversation, Message, Run
from chat.services import conversations
from events.exceptions import InvalidRequest, NotFound
from events.paging import PAGE, parse_id
from tests.chat.conftest import ask

pytestmark = pytest.mark.usefixtures("stores")


def made(caller, count, *, at=None):
    """So many conversations of a caller, each a second newer than the one before, or all of one moment."""
    start = timezone.now() - timedelta(days=1)
    rows = []
    for number in range(count):
        row = Conversation.objects.create(title=str(number))
        row.participants.create(user_id=caller.pk)
        Conversation.objects.filter(pk=row.pk).update(updated_at=at or start + timedelta(seconds=number))
        rows.append(row)
    return rows


def all_pages(caller):
    found, cursor, pages = [], "", 0
    while cursor is not None:
        page, cursor = conversations.list_conversations(caller=caller, cursor=cursor)
        found += page
        pages += 1
    return found, pages


def test_conversations_come_newest_first_in_pages(alice, bob):
    rows = made(alice, PAGE + 10)
    made(bob, 1)
    found, pages = all_pages(alice)
    assert [row.pk for row in found] == [row.pk for row in reversed(rows)]
    assert pages == 2


def test_conversations_of_one_moment_are_neither_lost_nor_doubled(alice):
    rows = made(alice, PAGE * 2 + 1, at=datetime(2026, 1, 1, tzinfo=UTC))
    found, pages = all_pages(alice)
    assert len(found) == len({row.pk for row in found}) == len(rows)
    assert pages == 3


def test_a_full_last_page_has_no_next(alice):
    made(alice, PAGE)
    assert all_pages(alice)[1] == 1


@pytest.mark.parametrize(
    "cursor",
    [
        "x",
        "~",
        "1~",
        "1~x",
        "-1~5f0c2b1e-7d3a-4c6b-9e8f-0a1b2c3d4e5f",
        f"{10**18}~5f0c2b1e-7d3a-4c6b-9e8f-0a1b2c3d4e5f",
        "2026-01-01T00:00:00~5f0c2b1e-7d3a-4c6b-9e8f-0a1b2c3d4e5f",
        "1~" + "-" * 36,
        "1\x00~5f0c2b1e-7d3a-4c6b-9e8f-0a1b2c3d4e5f",
    ],
)
def test_a_cursor_that_is_none_is_refused(alice, cursor):
    with pytest.raises(InvalidRequest, match="cursor"):
        conversations.list_conversations(caller=alice, cursor=cursor)


def test_a_cursor_survives_a_client_that_does_not_quote_it(alice):
    """A `+` in a query is a space to everyone who reads it."""
    made(alice, PAGE + 1)
    cursor = conversations.list_conversations(caller=alice, cursor="")[1]
    assert not set(cursor) & set("+ &=%#")
    assert len(conversations.list_conversations(caller=alice, cursor=cursor)[0]) == 1


def test_the_running_answer_is_named(alice):
    answer = ask(alice)
    (found,), _ = conversations.list_conversations(caller=alice, cursor="")
    assert found.running_message_id == answer.pk
    Run.objects.update(status=Run.Status.COMPLETED)
    assert conversations.conversation(caller=alice, conversation_id=answer.conversation_id).running_message_id is None


def test_messages_come_in_pages_oldest_first_in_each(alice):
    answer = ask(alice)
    conversation = answer.conversation_id
    Message.objects.bulk_create(
        Message(conversation_id=conversation, position=position, role="user", text=str(position))
        for position in range(3, PAGE * 2 + 4)
    )
    found, before = [], None
    while True:
        page, before = conversations.messages(caller=alice, conversation_id=conversation, before=before)
        found = page + found
        if before is None:
            break
    assert [each["text"] for each in found[2:]] == [str(position) for position in range(3, PAGE * 2 + 4)]
    assert len(found) == PAGE * 2 + 3


def test_an_answer_is_described_with_its_run_and_rendered_once_it_has_ended(alice):
    answer = ask(alice)
    _, running = conversations.messages(caller=alice, conversation_id=answer.conversation_id, before=None)[0]
    assert (running["status"], running["html"], running["error"]) == ("queued", None, None)
    Message.objects.filter(pk=answer.pk).update(text="**bold** <script>x</script>")
    Run.objects.update(status="failed", error_code="producer_stale", error="It died.", retryable=True)
    user, ended = conversations.messages(caller=alice, conversation_id=answer.conversation_id, before=None)[0]
    assert "<strong>bold</strong>" in ended["html"]
    assert "<script" not in ended["html"]
    assert ended["error"] == {"code": "producer_stale", "message": "It died.", "retryable": True}
    assert (user["role"], user["status"], user["html"]) == ("user", None, None)


def test_other_peoples_are_not_there(alice, bob):
    answer = ask(alice)
    conversation = answer.conversation_id
    for call in (
        lambda: conversations.conversation(caller=bob, conversation_id=conversation),
        lambda: conversations.rename(caller=bob, conversation_id=conversation, title="x"),
        lambda: conversations.delete(caller=bob, conversation_id=conversation),
        lambda: conversations.messages(caller=bob, conversation_id=conversation, before=None),
        lambda: conversations.message_of(caller=bob, message_id=answer.pk),
    ):
        with pytest.raises(NotFound):
            call()
    assert all_pages(bob)[0] == []


def test_a_question_is_no_answer(alice):
    answer = ask(alice)
    question = Message.objects.get(role="user")
    with pytest.raises(NotFound):
        conversations.message_of(caller=alice, message_id=question.pk)
    assert conversations.message_of(caller=alice, message_id=answer.pk).run.status == "queued"


def test_a_conversation_with_a_running_answer_is_not_deleted(alice):
    answer = ask(alice)
    with pytest.raises(InvalidRequest, match="Stop it first"):
        conversations.delete(caller=alice, conversation_id=answer.conversation_id)
    Run.objects.update(status="completed")
    conversations.delete(caller=alice, conversation_id=answer.conversation_id)
    assert not Message.objects.exists()


def test_renaming_does_not_move_it(alice):
    answer = ask(alice)
    before = Conversation.objects.get().updated_at
    assert conversations.rename(caller=alice, conversation_id=answer.conversation_id, title="New").title == "New"
    assert (Conversation.objects.get().title, Conversation.objects.get().updated_at) == ("New", before)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "{123e4567-e89b-12d3-a456-426614174000}",
        "urn:uuid:123e4567-e89b-12d3-a456-426614174000",
        "123e4567e89b12d3a456426614174000",
    ],
)
def test_only_the_usual_form_is_an_id(text):
    with pytest.raises(InvalidRequest, match="what must be a UUID"):
        parse_id(text, what="what")
    assert parse_id("123E4567-e89b-12d3-a456-426614174000", what="x").hex.startswith("123e")
