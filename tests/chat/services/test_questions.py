import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone
from procrastinate.contrib.django.models import ProcrastinateJob

from accounts.models import Organization
from chat.models import Application, Conversation, IdempotencyKey, Message, Run
from chat.services import questions, responding
from chat.services.questions import Question, message_stream
from events import journal
from events.event import START
from events.exceptions import Conflict, InvalidRequest, NotFound, TooMany
from tests.chat.conftest import ask

pytestmark = pytest.mark.usefixtures("stores")


def at_once(count, work):
    """What `count` threads get from `work(number)`: results, or the exceptions they raised."""

    def call(number):
        try:
            return work(number)
        except Exception as error:
            return error
        finally:
            connection.close()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(call, range(count)))


def with_key(caller, key, text="hello", body=None):
    body = text.encode() if body is None else body
    return questions.ask(caller=caller, question=Question(text), idempotency_key=key, body=body)


def test_a_question_is_accepted_whole(alice):
    answer = ask(alice, "What  is\nthis?", attachments=[{"name": "n", "text": "t"}], options={"seed": 1})
    question = Message.objects.get(role="user")
    assert (question.text, question.position, question.author_id) == ("What  is\nthis?", 1, alice.pk)
    assert question.attachments == [{"name": "n", "text": "t"}]
    assert (answer.role, answer.position, answer.text) == ("assistant", 2, "")
    assert (answer.run.status, answer.run.options, answer.run.requested_by_id) == ("queued", {"seed": 1}, alice.pk)
    assert answer.conversation.title == "What is this?"
    assert [event.type for event in journal.read(message_stream(answer.pk), START)] == ["run.started"]
    assert ProcrastinateJob.objects.get().args == {"message_id": str(answer.pk)}


def test_a_question_that_fails_leaves_nothing(alice, monkeypatch):
    monkeypatch.setattr(responding, "defer_answer", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        ask(alice)
    assert not Conversation.objects.exists()
    assert not Message.objects.exists()
    assert journal.DurableStream.objects.count() == 0


def test_a_conversation_goes_on_and_moves_to_the_top(alice):
    first = ask(alice)
    before = first.conversation.updated_at
    second = ask(alice, conversation_id=first.conversation_id)
    assert [second.conversation_id, second.position] == [first.conversation_id, 4]
    assert second.conversation.updated_at > before
    assert Conversation.objects.count() == 1


def test_questions_at_once_get_positions_of_their_own(alice):
    conversation = ask(alice).conversation_id
    answers = at_once(6, lambda _: ask(alice, conversation_id=conversation))
    assert all(isinstance(answer, Message) for answer in answers), answers
    positions = list(Message.objects.filter(conversation=conversation).order_by("position").values_list("position", flat=True))
    assert positions == list(range(1, 15))
    for answer in answers:
        question = Message.objects.get(conversation=conversation, position=answer.position - 1)
        assert question.role == "user"


def test_the_same_key_and_body_is_the_same_answer(alice):
    first, again = with_key(alice, "k"), with_key(alice, "k")
    assert first.pk == again.pk
    assert Message.objects.count() == 2


def test_the_same_key_with_another_body_is_refused(alice):
    with_key(alice, "k")
    with pytest.raises(Conflict, match="another body"):
        with_key(alice, "k", "other")


def test_keys_are_each_users_own(alice, bob):
    assert with_key(alice, "k").pk != with_key(bob, "k").pk


@pytest.mark.parametrize("limit", [1, 20])
def test_the_same_key_at_the_same_moment_is_one_answer(alice, settings, limit):
    settings.CHAT_RUNNING_PER_USER = limit
    answers = at_once(6, lambda _: with_key(alice, "k"))
    assert len({answer.pk for answer in answers}) == 1
    assert (Message.objects.count(), Conversation.objects.count(), ProcrastinateJob.objects.count()) == (2, 1, 1)


def test_a_key_is_forgotten_after_its_time(alice, settings):
    settings.IDEMPOTENCY_HOURS = 24
    first = with_key(alice, "k")
    IdempotencyKey.objects.update(created_at=timezone.now() - timedelta(hours=25))
    assert with_key(alice, "k", "another body").pk != first.pk


def test_a_repeated_request_is_answered_though_the_limit_is_reached(alice, settings):
    settings.CHAT_RUNNING_PER_USER = 1
    first = with_key(alice, "k")
    assert with_key(alice, "k").pk == first.pk


def test_a_key_that_is_too_long_is_refused(alice):
    with pytest.raises(InvalidRequest, match="255"):
        with_key(alice, "k" * 256)


def test_so_many_answers_at_once_and_no_more(alice, bob, settings):
    settings.CHAT_RUNNING_PER_USER = 2
    first, _ = ask(alice), ask(alice)
    with pytest.raises(TooMany, match="2 of your answers") as error:
        ask(alice)
    assert error.value.headers["Retry-After"]
    ask(bob)
    Run.objects.filter(pk=first.pk).update(status=Run.Status.COMPLETED)
    ask(alice)


def test_the_limit_holds_for_questions_at_once(alice, settings):
    settings.CHAT_RUNNING_PER_USER = 2
    answers = at_once(6, lambda _: ask(alice))
    assert sum(isinstance(answer, Message) for answer in answers) == 2
    assert sum(isinstance(answer, TooMany) for answer in answers) == 4
    assert Run.objects.count() == 2


def test_no_limit_when_it_is_0(alice, settings):
    settings.CHAT_RUNNING_PER_USER = 0
    for _ in range(3):
        ask(alice)


def test_other_peoples_conversations_and_applications_are_not_there(alice, bob):
    conversation = ask(alice).conversation_id
    with pytest.raises(NotFound):
        ask(bob, conversation_id=conversation)
    with pytest.raises(NotFound):
        ask(bob, conversation_id=uuid.uuid4())
    theirs = Application.objects.create(name="A", organization=Organization.objects.get())
    with pytest.raises(NotFound, match="no such application"):
        ask(bob, application_id=theirs.public_id)
    assert Message.objects.count() == 2


def test_an_application_chooses_the_engine(alice):
    application = Application.objects.create(name="A", organization=Organization.objects.get(), engine="extractive")
    answer = ask(alice, application_id=application.public_id)
    assert (answer.run.engine, answer.conversation.application_id) == ("extractive", application.pk)


def test_all_participants_hear_of_it(alice, bob, redis_url):
    import redis

    conversation = ask(alice).conversation
    conversation.participants.create(user_id=bob.pk)
    answer = ask(alice, conversation_id=conversation.pk)
    with redis.Redis.from_url(redis_url) as client:
        for caller, count in ((alice, 2), (bob, 1)):
            entries = client.xrange(f"tl:{{user:{caller.user_id}}}")
            assert len(entries) == count
            assert str(answer.pk).encode() in entries[-1][1][b"e"]
            assert b"message.started" in entries[-1][1][b"e"]


def test_a_broker_that_is_away_does_not_lose_the_question(alice, settings):
    """The user feed's event is lost then, the answer is not."""
    from events import publishing

    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    publishing._broker.cache_clear()
    try:
        answer = ask(alice)
    finally:
        publishing._broker.cache_clear()
    assert Run.objects.get(pk=answer.pk).status == "queued"
