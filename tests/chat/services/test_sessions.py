import uuid

import pytest

from chat.models import ChatSession, Conversation, Participant, Run
from chat.services import sessions
from chat.services.questions import Question, ask
from events.exceptions import Conflict, Forbidden, InvalidRequest, NotFound
from events.models import OutboxEvent
from tests.chat.conftest import _person

pytestmark = pytest.mark.usefixtures("stores")


@pytest.fixture
def carol(organization):
    return _person("carol", organization)


def asked(caller, name="abc", text="hello", **fields):
    """An answer in the caller's session of that name."""
    return ask(caller=caller, question=Question(text, session=sessions.resolve(caller=caller, name=name), **fields))


def session_of(caller, name="abc"):
    return sessions.resolve(caller=caller, name=name)


def test_a_name_is_the_same_session_for_its_owner_and_another_for_others(alice, bob):
    assert session_of(alice).pk == session_of(alice).pk != session_of(bob).pk
    assert session_of(alice).pk != session_of(alice, "abd").pk
    assert not ChatSession.objects.exists()


def test_it_is_written_down_with_its_first_question(alice):
    answer = asked(alice)
    row = ChatSession.objects.get()
    assert (row.pk, row.owner_id, row.name) == (session_of(alice).pk, alice.pk, "abc")
    assert answer.conversation.session_id == row.pk
    assert sessions.participants(row) == ["user_alice"]


@pytest.mark.parametrize("name", ["", "x" * 256, "a\x00b"])
def test_a_name_that_is_none_is_refused(alice, name):
    with pytest.raises(InvalidRequest):
        session_of(alice, name)


def test_who_is_added_takes_part_in_what_was_and_what_comes(alice, carol):
    earlier = asked(alice)
    sessions.add_participant(caller=alice, name="abc", user_id="user_carol")
    later = asked(alice)
    assert session_of(carol).pk == session_of(alice).pk
    for answer in (earlier, later):
        assert {each.user_id for each in answer.conversation.participants.all()} == {alice.pk, carol.pk}
    theirs = asked(carol)
    assert theirs.conversation.session_id == session_of(alice).pk
    assert {each.user_id for each in theirs.conversation.participants.all()} == {alice.pk, carol.pk}


def test_a_session_can_be_shared_before_anything_is_said(alice, carol):
    sessions.add_participant(caller=alice, name="abc", user_id="user_carol")
    assert session_of(carol).pk == session_of(alice).pk
    assert sessions.participants(session_of(carol)) == ["user_alice", "user_carol"]


def test_ones_own_session_goes_before_one_of_the_same_name_and_both_are_found_by_id(alice, carol):
    asked(carol)
    own = session_of(carol)
    sessions.add_participant(caller=alice, name="abc", user_id="user_carol")
    assert session_of(carol).pk == own.pk
    assert session_of(carol, str(session_of(alice).pk)).pk == session_of(alice).pk != own.pk


def test_an_id_of_a_session_of_others_is_only_a_name(alice, bob):
    asked(alice)
    assert session_of(bob, str(session_of(alice).pk)).pk != session_of(alice).pk


def test_only_colleagues_can_be_added(alice, bob):
    for user_id in ("user_bob", "user_nobody", "a\x00"):
        with pytest.raises(NotFound):
            sessions.add_participant(caller=alice, name="abc", user_id=user_id)
    assert not ChatSession.objects.exists()


def test_only_the_owner_adds_and_adding_twice_is_once(alice, carol, organization):
    _person("dave", organization)
    for _ in range(2):
        sessions.add_participant(caller=alice, name="abc", user_id="user_carol")
    with pytest.raises(Forbidden):
        sessions.add_participant(caller=carol, name="abc", user_id="user_dave")
    assert sessions.participants(session_of(alice)) == ["user_alice", "user_carol"]


def test_a_session_has_so_many_participants(alice, carol, organization, settings):
    settings.CHAT_SESSION_PARTICIPANTS = 2
    _person("dave", organization)
    sessions.add_participant(caller=alice, name="abc", user_id="user_carol")
    sessions.add_participant(caller=alice, name="abc", user_id="user_carol")
    with pytest.raises(Conflict):
        sessions.add_participant(caller=alice, name="abc", user_id="user_dave")


@pytest.mark.parametrize("leaves_himself", [True, False])
def test_who_is_removed_sees_nothing_more_and_is_told(alice, carol, leaves_himself):
    answer = asked(alice)
    shared = session_of(alice)
    sessions.add_participant(caller=alice, name="abc", user_id="user_carol")
    OutboxEvent.objects.all().delete()
    sessions.remove_participant(caller=carol if leaves_himself else alice, name="abc", user_id="user_carol")
    assert not Participant.objects.filter(user_id=carol.pk).exists()
    assert session_of(carol).pk != shared.pk
    assert sessions.takes_part(caller=alice, session=shared)
    assert not sessions.takes_part(caller=carol, session=shared)
    with pytest.raises(NotFound):
        sessions.question_of(caller=carol, message_id=answer.pk)
    with pytest.raises(NotFound):
        ask(caller=carol, question=Question("x", session=shared))


def test_the_owner_stays_and_others_remove_only_themselves(alice, carol, organization):
    _person("dave", organization)
    for user_id in ("user_carol", "user_dave"):
        sessions.add_participant(caller=alice, name="abc", user_id=user_id)
    with pytest.raises(Conflict):
        sessions.remove_participant(caller=alice, name="abc", user_id="user_alice")
    with pytest.raises(Forbidden):
        sessions.remove_participant(caller=carol, name="abc", user_id="user_dave")
    with pytest.raises(NotFound):
        sessions.remove_participant(caller=alice, name="abc", user_id="user_bob")
    with pytest.raises(NotFound):
        sessions.remove_participant(caller=alice, name="abc", user_id="a\x00")


def test_a_chat_of_the_clients_own_name_belongs_to_the_session(alice, carol):
    sessions.add_participant(caller=alice, name="abc", user_id="user_carol")
    first = asked(alice, conversation="chat-1")
    assert asked(carol, conversation="chat-1").conversation_id == first.conversation_id
    assert asked(alice, name="other", conversation="chat-1").conversation_id != first.conversation_id
    assert asked(carol, conversation=str(first.conversation_id)).conversation_id == first.conversation_id
    assert Conversation.objects.count() == 2


def test_running_answers_are_those_of_the_session(alice, carol):
    sessions.add_participant(caller=alice, name="abc", user_id="user_carol")
    hers, theirs, _ = asked(alice), asked(carol), asked(alice, name="other")
    over = asked(alice)
    Run.objects.filter(pk=over.pk).update(status=Run.Status.COMPLETED)
    pk = session_of(alice).pk
    assert sessions.running(caller=alice, session_id=pk) == [hers.pk, theirs.pk]
    assert sessions.running(caller=alice, session_id=pk, own=True) == [hers.pk]


def test_the_question_of_an_answer_is_the_one_before_it(alice):
    first = asked(alice, text="one", conversation="c")
    second = asked(alice, text="two", conversation="c")
    found = [sessions.question_of(caller=alice, message_id=each.pk).text for each in (first, second)]
    assert found == ["one", "two"]
    with pytest.raises(NotFound):
        sessions.question_of(caller=alice, message_id=uuid.uuid4())
