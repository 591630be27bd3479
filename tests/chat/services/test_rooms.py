import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from asgiref.sync import async_to_sync
from django.db import connection

from accounts.models import Membership
from chat.models import Application, ChatSession, Conversation, Message, Participant, Run
from chat.services import claiming, conversations, questions, room_accounts, room_participants, rooms, runs, sessions
from chat.services.questions import Question
from chat.services.room_accounts import NewParticipant
from events.broker.connect import connect
from events.event import START
from events.exceptions import Conflict, Forbidden, InvalidRequest, NotFound, TooMany
from events.log import Log
from events.streams import Stream
from tests.chat.conftest import _person, answered, ask, script

pytestmark = pytest.mark.usefixtures("stores")
STANDARD, IMMUTABLE = Conversation.Type.STANDARD, Conversation.Type.IMMUTABLE


@pytest.fixture
def carol(organization):
    return _person("carol", organization)


@pytest.fixture
def agents(organization):
    return [Application.objects.create(public_id=f"app_{n}", organization=organization, name=f"Agent {n}") for n in (1, 2)]


def user(name, **fields):
    return NewParticipant(f"user_{name}", **fields)


def agent(number, *, auto_respond=True, **fields):
    return NewParticipant(f"app_{number}", kind="agent", auto_respond=auto_respond, **fields)


def room_of(caller, *participants, type=STANDARD, **fields):
    room, _ = rooms.create(caller=caller, type=type, participants=participants, **fields)
    return room


def say(caller, room, text="hello", **fields):
    return questions.post(caller=caller, question=Question(text, conversation_id=room.pk, **fields))


def unread(caller, room):
    return rooms.get(caller=caller, room_id=room.pk).unread


def told(user_id):
    """What the user's feed holds, as (type, data)."""

    async def read():
        broker = connect()
        try:
            return (await Log(broker).read_many([(Stream("user", user_id), START)]))[0].events
        finally:
            await broker.close()

    return [(event.type, event.data) for event in async_to_sync(read)()]


# Making them.


def test_who_makes_a_room_is_its_owner_and_the_others_are_what_was_said(alice, carol, agents):
    room, is_new = rooms.create(
        caller=alice, type=STANDARD, participants=[user("carol", role="reader"), agent(1)], title="Plans", organization_id=""
    )
    assert is_new
    found = rooms.describe(room)
    assert (
        found.items() >= {"type": "standard", "title": "Plans", "organization": "org_tests", "role": "owner", "unread": 0}.items()
    )
    assert [(each["account_id"], each["kind"], each["role"], each["auto_respond"]) for each in found["participants"]] == [
        ("user_alice", "user", "owner", False),
        ("user_carol", "user", "reader", False),
        ("app_1", "agent", "member", True),
    ]
    assert [type_ for type_, _ in told("user_carol")] == ["room.changed"]


def test_an_immutable_room_of_the_same_participants_in_any_order_is_the_same_room(alice, carol, agents):
    room, _ = rooms.create(caller=alice, type=IMMUTABLE, participants=[user("carol"), agent(1)], title="One")
    again, is_new = rooms.create(caller=carol, type=IMMUTABLE, participants=[agent(1), user("alice"), user("carol")], title="Two")
    assert (again.pk, is_new, again.title, again.my_role) == (room.pk, False, "One", "member")
    assert room_of(alice, user("carol"), type=IMMUTABLE).pk != room.pk
    assert room_of(alice, user("carol"), agent(1)).pk != room_of(alice, user("carol"), agent(1)).pk


def test_of_many_who_ask_for_the_same_immutable_room_at_once_one_makes_it(alice, carol):
    def make(number):
        try:
            caller, other = (alice, "carol") if number % 2 else (carol, "alice")
            return rooms.create(caller=caller, type=IMMUTABLE, participants=[user(other)])
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(make, range(16)))
    assert len({room.pk for room, _ in made}) == 1
    assert sum(is_new for _, is_new in made) == 1
    assert Conversation.objects.count() == 1


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        (user("nobody"), "user_nobody is not an active user of org_tests"),
        (user("bob"), "user_bob is not"),
        (NewParticipant("app_none", kind="agent"), "app_none is not an application"),
        (NewParticipant("app_1"), "app_1 is not an active user"),
        (NewParticipant("user_carol", kind="agent"), "user_carol is not an application"),
        (NewParticipant("a\x00b"), "is not an active user"),
        (user("carol", auto_respond=True), "only agents respond"),
        (agent(1, role="owner"), "never an owner"),
        (agent(1, role="reader"), "a reader cannot answer"),
    ],
)
def test_who_cannot_take_part_is_named(alice, bob, carol, agents, wanted, says):
    with pytest.raises(InvalidRequest, match=says):
        room_of(alice, wanted)
    assert not Conversation.objects.exists()


def test_an_account_is_named_once_and_a_room_has_its_limits(alice, carol, agents, settings):
    with pytest.raises(InvalidRequest, match="once"):
        room_of(alice, user("carol"), user("carol"))
    settings.CHAT_ROOM_AGENTS = 1
    with pytest.raises(Conflict, match="1 agents"):
        room_of(alice, agent(1), agent(2))
    room = room_of(alice, agent(1))
    with pytest.raises(Conflict, match="1 agents"):
        room_participants.add(caller=alice, room_id=room.pk, wanted=agent(2))
    settings.CHAT_ROOM_PARTICIPANTS = 2
    with pytest.raises(Conflict, match="2 participants"):
        room_participants.add(caller=alice, room_id=room.pk, wanted=user("carol"))


def test_the_organisation_is_named_by_who_is_in_several_and_must_be_his(alice, bob, organization):
    from accounts import services as accounts
    from accounts.models import User

    with pytest.raises(Forbidden, match="in none"):
        room_of(bob)
    with pytest.raises(NotFound):
        room_of(alice, organization_id="org_other")
    other = accounts.ensure_organization(public_id="org_zwei")
    Membership.objects.create(organization=other, user=User.objects.get(pk=alice.pk))
    with pytest.raises(InvalidRequest, match="org_tests, org_zwei"):
        room_of(alice)
    assert room_of(alice, organization_id="org_zwei").organization_id == other.pk


# Who may what.


def test_others_see_nothing_of_a_room(alice, carol):
    room = room_of(alice)
    message = say(alice, room).message
    actions = [
        lambda: rooms.get(caller=carol, room_id=room.pk),
        lambda: rooms.messages(caller=carol, room_id=room.pk, before=None),
        lambda: rooms.message(caller=carol, message_id=message.pk),
        lambda: rooms.rename(caller=carol, room_id=room.pk, title="Mine"),
        lambda: rooms.delete(caller=carol, room_id=room.pk),
        lambda: rooms.mark_read(caller=carol, room_id=room.pk),
        lambda: room_participants.add(caller=carol, room_id=room.pk, wanted=user("carol")),
        lambda: room_participants.change(caller=carol, room_id=room.pk, account_id="user_alice", fields={"role": "reader"}),
        lambda: room_participants.remove(caller=carol, room_id=room.pk, account_id="user_alice"),
        lambda: room_participants.remove(caller=carol, room_id=room.pk, account_id="user_carol"),
        lambda: say(carol, room),
        lambda: sessions.message_of(caller=carol, message_id=message.pk),
        lambda: conversations.conversation(caller=carol, conversation_id=room.pk),
    ]
    for action in actions:
        with pytest.raises(NotFound):
            action()
    assert rooms.list_rooms(caller=carol, cursor="") == ([], None)
    assert Message.objects.count() == 1


def test_who_leaves_the_organisation_sees_its_rooms_no_more(alice, carol, organization):
    room = room_of(alice, user("carol"))
    shared = sessions.resolve(caller=carol, name=str(room.pk))
    Membership.objects.filter(user_id=carol.pk).delete()
    before = len(told("user_carol"))
    say(alice, room)
    with pytest.raises(NotFound):
        rooms.get(caller=carol, room_id=room.pk)
    with pytest.raises(NotFound):
        say(carol, room)
    assert not sessions.takes_part(caller=carol, session=shared)
    assert sessions.resolve(caller=carol, name=str(room.pk)).pk != room.pk
    assert len(told("user_carol")) == before


def test_a_reader_reads_and_does_nothing_else(alice, carol, agents):
    room = room_of(alice, user("carol", role="reader"), agent(1))
    (answer,) = say(alice, room).answers
    assert len(rooms.messages(caller=carol, room_id=room.pk, before=None)[0]) == 2
    actions = [
        lambda: say(carol, room),
        lambda: runs.request_stop(caller=carol, message_id=answer.pk),
        lambda: rooms.rename(caller=carol, room_id=room.pk, title="x"),
        lambda: rooms.delete(caller=carol, room_id=room.pk),
        lambda: room_participants.add(caller=carol, room_id=room.pk, wanted=agent(2)),
        lambda: room_participants.remove(caller=carol, room_id=room.pk, account_id="app_1"),
    ]
    for action in actions:
        with pytest.raises(Forbidden):
            action()
    room_participants.change(caller=alice, room_id=room.pk, account_id="user_carol", fields={"role": "member"})
    assert len(say(carol, room).answers) == 1


def test_only_owners_change_who_takes_part_and_anybody_may_leave(alice, carol, organization):
    _person("dave", organization)
    room = room_of(alice, user("carol"))
    with pytest.raises(Forbidden):
        room_participants.add(caller=carol, room_id=room.pk, wanted=user("dave"))
    assert room_participants.add(caller=alice, room_id=room.pk, wanted=user("dave"))[1]
    added, is_new = room_participants.add(caller=alice, room_id=room.pk, wanted=user("dave", role="owner"))
    assert (is_new, added.role) == (False, "member")
    with pytest.raises(Forbidden):
        room_participants.remove(caller=carol, room_id=room.pk, account_id="user_dave")
    room_participants.remove(caller=alice, room_id=room.pk, account_id="user_dave")
    room_participants.remove(caller=carol, room_id=room.pk, account_id="user_carol")
    assert [each.user_id for each in room_participants.list_participants(caller=alice, room_id=room.pk)] == [alice.pk]
    with pytest.raises(NotFound):
        room_participants.remove(caller=alice, room_id=room.pk, account_id="user_dave")
    assert told("user_carol")[-1] == ("session.left", {"session_id": str(room.pk), "room_id": str(room.pk)})


def test_the_last_owner_stays_until_there_is_another(alice, carol):
    room = room_of(alice, user("carol"))
    for action in (
        lambda: room_participants.remove(caller=alice, room_id=room.pk, account_id="user_alice"),
        lambda: room_participants.change(caller=alice, room_id=room.pk, account_id="user_alice", fields={"role": "member"}),
    ):
        with pytest.raises(Conflict, match="last owner"):
            action()
    room_participants.change(caller=alice, room_id=room.pk, account_id="user_carol", fields={"role": "owner"})
    room_participants.remove(caller=alice, room_id=room.pk, account_id="user_alice")
    assert rooms.get(caller=carol, room_id=room.pk).my_role == "owner"
    assert ChatSession.objects.get(pk=room.pk).owner_id == carol.pk


def test_who_takes_part_in_an_immutable_room_never_changes(alice, carol, agents):
    room = room_of(alice, user("carol"), type=IMMUTABLE)
    for action in (
        lambda: room_participants.add(caller=alice, room_id=room.pk, wanted=agent(1)),
        lambda: room_participants.remove(caller=alice, room_id=room.pk, account_id="user_carol"),
        lambda: room_participants.remove(caller=carol, room_id=room.pk, account_id="user_carol"),
    ):
        with pytest.raises(Conflict, match="immutable"):
            action()


def test_a_room_is_renamed_and_deleted_by_its_owner_and_all_are_told(alice, carol, agents):
    room = room_of(alice, user("carol"), agent(1))
    rooms.rename(caller=alice, room_id=room.pk, title="Other")
    (answer,) = say(alice, room).answers
    with pytest.raises(Conflict, match="still running"):
        rooms.delete(caller=alice, room_id=room.pk)
    Run.objects.filter(pk=answer.pk).update(status=Run.Status.CANCELLED)
    before = len(told("user_carol"))
    rooms.delete(caller=alice, room_id=room.pk)
    assert [(type_, data.get("change")) for type_, data in told("user_carol")[before:]] == [
        ("room.changed", "deleted"),
        ("session.left", None),
    ]
    assert not Conversation.objects.exists()
    assert not ChatSession.objects.exists()


# Messages and who answers them.


def test_people_talk_without_any_answer_and_are_told(alice, carol):
    room = room_of(alice, user("carol"))
    before = len(told("user_carol"))
    posted = say(alice, room, "to all")
    assert posted.answers == []
    assert not Run.objects.exists()
    (found,), _ = rooms.messages(caller=carol, room_id=room.pk, before=None)
    assert (found["text"], found["author"]) == ("to all", {"account_id": "user_alice", "kind": "user", "name": "alice"})
    room_id = str(room.pk)
    expected = {
        "message_id": found["id"],
        "user_id": "user_alice",
        "room_id": room_id,
        "conversation_id": room_id,
        "session_id": room_id,
    }
    assert told("user_carol")[before:] == told("user_alice")[before:] == [("message.posted", expected)]


def test_each_agent_that_responds_by_itself_answers_as_itself(alice, carol, agents):
    agents[1].engine = "scripted"
    agents[1].save()
    room = room_of(alice, user("carol"), agent(1), agent(2))
    posted = say(carol, room)
    assert [each.application.public_id for each in posted.answers] == ["app_1", "app_2"]
    for answer in posted.answers:
        run = answer.run
        assert (run.requested_by_id, run.status, answer.question_id, answer.depth) == (carol.pk, "queued", posted.message.pk, 1)
    assert [each.run.engine for each in posted.answers] == ["", "scripted"]
    assert [each.position for each in (posted.message, *posted.answers)] == [1, 2, 3]


def test_an_agent_that_does_not_respond_by_itself_answers_who_names_it(alice, agents):
    room = room_of(alice, agent(1, auto_respond=False), agent(2, auto_respond=False))
    assert say(alice, room).answers == []
    (answer,) = say(alice, room, application_id="app_2").answers
    assert answer.application.public_id == "app_2"
    with pytest.raises(InvalidRequest, match="app_3 is no agent"):
        say(alice, room, application_id="app_3")
    room_participants.change(caller=alice, room_id=room.pk, account_id="app_1", fields={"auto_respond": True})
    assert [each.application.public_id for each in say(alice, room, application_id="app_2").answers] == ["app_1", "app_2"]


async def test_agents_do_not_answer_each_other(alice, agents, runner):
    from accounts.threads import in_thread

    room = await in_thread(room_of, alice, agent(1), agent(2))
    posted = await in_thread(say, alice, room)
    for answer in posted.answers:
        run, _ = await answered(runner, answer)
        assert run.status == "completed"
    assert await in_thread(Message.objects.count) == 3


async def test_agents_answer_each_other_as_often_as_is_allowed(alice, agents, runner, settings):
    from accounts.threads import in_thread

    settings.CHAT_ROOM_AGENT_DEPTH = 2
    room = await in_thread(room_of, alice, agent(1), agent(2))
    posted = await in_thread(say, alice, room)
    for answer in posted.answers:
        await answered(runner, answer)
    replies = await in_thread(lambda: list(Message.objects.filter(depth=2).select_related("question", "run")))
    one, two = posted.answers
    # In the order in which the two ended, which nobody promises.
    assert len(replies) == 2
    assert {(each.question_id, each.application_id, each.run.requested_by_id) for each in replies} == {
        (one.pk, agents[1].pk, alice.pk),
        (two.pk, agents[0].pk, alice.pk),
    }
    for reply in replies:
        await answered(runner, reply)
    assert await in_thread(Message.objects.count) == 5


async def test_a_stopped_or_failed_answer_is_not_passed_on(alice, agents, runner, settings):
    from accounts.threads import in_thread

    settings.CHAT_ROOM_AGENT_DEPTH = 2
    room = await in_thread(room_of, alice, agent(1), agent(2, auto_respond=False))
    await in_thread(room_participants.change, caller=alice, room_id=room.pk, account_id="app_2", fields={"auto_respond": True})
    posted = await in_thread(say, alice, room, script({"fail": {"code": "down", "message": "Away."}}))
    for answer in posted.answers:
        run, _ = await answered(runner, answer)
        assert run.status == "failed"
    assert await in_thread(Message.objects.count) == 3


def test_an_agent_is_told_who_said_what_and_not_what_others_answer_now(alice, carol, agents):
    room = room_of(alice, user("carol"), agent(1), agent(2))
    first = say(alice, room, "first")
    for answer, text in zip(first.answers, ("from one", "from two"), strict=True):
        Message.objects.filter(pk=answer.pk).update(text=text)
    second = say(carol, room, "second")
    claims = [claiming.claim(message_id=each.pk, worker="w") for each in second.answers]
    assert [claim.request.question for claim in claims] == ["second", "second"]
    assert [(turn.role, turn.text) for turn in claims[0].request.history] == [
        ("user", "alice: first"),
        ("assistant", "from one"),
        ("user", "Agent 2: from two"),
    ]
    assert [turn.role for turn in claims[1].request.history] == ["user", "user", "assistant"]


def test_the_same_key_is_the_same_message_with_its_answers(alice, agents):
    room = room_of(alice, agent(1), agent(2))
    quiet = room_of(alice)

    def keyed(where, body=b"x"):
        return questions.post(
            caller=alice, question=Question("hello", conversation_id=where.pk), idempotency_key=f"k{where.pk}", body=body
        )

    for where in (room, quiet):
        first, again = keyed(where), keyed(where)
        assert (again.message.pk, [each.pk for each in again.answers]) == (first.message.pk, [each.pk for each in first.answers])
        with pytest.raises(Conflict):
            keyed(where, b"y")
    assert Message.objects.count() == 4


def test_a_message_that_nobody_answers_is_accepted_however_much_is_running(alice, agents, settings):
    settings.CHAT_RUNNING_PER_USER = 1
    room, quiet = room_of(alice, agent(1)), room_of(alice)
    say(alice, room)
    with pytest.raises(TooMany):
        say(alice, room)
    assert say(alice, quiet).message.pk


def test_as_a_question_it_wants_an_answer(alice, agents):
    room = room_of(alice, agent(1))
    assert ask(alice, conversation_id=room.pk).application.public_id == "app_1"
    with pytest.raises(Conflict, match="No agent of this room"):
        ask(alice, conversation_id=room_of(alice).pk)


# What is unread.


def test_what_others_wrote_is_unread_until_it_is_read(alice, carol, agents):
    room = room_of(alice, user("carol"), agent(1))
    say(alice, room)
    say(alice, room)
    # The agent answers both; its first answer was there when alice wrote again.
    assert (unread(alice, room), unread(carol, room)) == (1, 4)
    messages, _ = rooms.messages(caller=carol, room_id=room.pk, before=None)
    before, hers = len(told("user_carol")), len(told("user_alice"))
    assert rooms.mark_read(caller=carol, room_id=room.pk, message_id=uuid.UUID(messages[1]["id"])) == 2
    assert rooms.mark_read(caller=carol, room_id=room.pk, message_id=uuid.UUID(messages[0]["id"])) == 2  # never back
    assert rooms.mark_read(caller=carol, room_id=room.pk) == 0
    assert [data["unread"] for _, data in told("user_carol")[before:]] == [2, 0]
    assert (unread(alice, room), len(told("user_alice"))) == (1, hers)
    with pytest.raises(NotFound):
        rooms.mark_read(caller=carol, room_id=room.pk, message_id=uuid.uuid4())


def test_who_comes_later_has_nothing_unread_and_can_read_it_all(alice, carol):
    room = room_of(alice)
    say(alice, room)
    room_participants.add(caller=alice, room_id=room.pk, wanted=user("carol"))
    assert unread(carol, room) == 0
    assert len(rooms.messages(caller=carol, room_id=room.pk, before=None)[0]) == 1
    say(alice, room)
    assert unread(carol, room) == 1


def test_rooms_are_listed_with_their_last_message_the_newest_first(alice, carol):
    one, two = room_of(alice, user("carol"), title="One"), room_of(alice, title="Two")
    say(alice, one, "the last\nword")
    found, following = rooms.list_rooms(caller=alice, cursor="")
    described = rooms.described(found)
    assert [(each["title"], (each["last_message"] or {}).get("text")) for each in described] == [
        ("One", "the last word"),
        ("Two", None),
    ]
    assert (following, described[1]["id"]) == (None, str(two.pk))
    assert [each.pk for each in rooms.list_rooms(caller=carol, cursor="")[0]] == [one.pk]


# Beside them.


def test_a_room_is_a_session_with_its_id_and_people(alice, carol, agents):
    room = room_of(alice, user("carol"), agent(1))
    session = sessions.resolve(caller=carol, name=str(room.pk))
    assert (session.pk, sessions.participants(session)) == (room.pk, ["user_alice", "user_carol"])
    asked = questions.post(caller=carol, question=Question("by socket", session=session))
    assert asked.message.conversation_id == room.pk
    assert sessions.running(caller=alice, session_id=room.pk) == [each.pk for each in asked.answers]


def test_a_session_of_a_room_has_one_conversation_and_is_not_changed_as_a_session(alice, carol):
    room = room_of(alice, user("carol"))
    session = sessions.resolve(caller=alice, name=str(room.pk))
    for action in (
        lambda: questions.post(caller=alice, question=Question("x", session=session, conversation="another")),
        lambda: sessions.add_participant(caller=alice, name=str(room.pk), user_id="user_carol"),
        lambda: sessions.remove_participant(caller=alice, name=str(room.pk), user_id="user_carol"),
    ):
        with pytest.raises(Conflict, match="is a room"):
            action()
    assert Conversation.objects.count() == 1


def test_the_name_of_a_rooms_session_is_nobodys_to_take(alice, carol):
    room = room_of(alice)
    for name in (f"room:{room.pk}", "room:x"):
        with pytest.raises(NotFound):
            sessions.resolve(caller=carol, name=name)
    # Someone may have called a session of his own so, before he came in.
    ask(carol, session=sessions.resolve(caller=carol, name=str(room.pk)))
    room_participants.add(caller=alice, room_id=room.pk, wanted=user("carol"))
    assert sessions.resolve(caller=carol, name=str(room.pk)).pk == room.pk


def test_rooms_are_not_in_the_list_of_conversations_nor_changed_there(alice):
    room = room_of(alice)
    ask(alice)
    assert [each.type for each in conversations.list_conversations(caller=alice, cursor="")[0]] == [""]
    for action in (
        lambda: conversations.rename(caller=alice, conversation_id=room.pk, title="x"),
        lambda: conversations.delete(caller=alice, conversation_id=room.pk),
    ):
        with pytest.raises(Conflict, match="is a room"):
            action()


def test_a_room_outlives_the_account_of_who_made_it(alice, carol):
    from accounts.models import User

    room = room_of(alice, user("carol", role="owner"))
    User.objects.get(pk=alice.pk).delete()
    say(carol, room)
    rooms.rename(caller=carol, room_id=room.pk, title="Still here")
    assert sessions.resolve(caller=carol, name=str(room.pk)).pk == room.pk


def test_who_can_be_added_is_of_ones_own_organisations(alice, bob, carol, agents):
    (found,) = room_accounts.accounts_of(caller=alice)
    assert (found["organization"], [each["name"] for each in found["people"]]) == ("org_tests", ["carol"])
    assert [each["id"] for each in found["agents"]] == ["app_1", "app_2"]
    (found,) = room_accounts.accounts_of(caller=alice, search="agent 2")
    assert (found["people"], [each["id"] for each in found["agents"]]) == ([], ["app_2"])
    assert room_accounts.accounts_of(caller=bob) == []


def test_a_participant_is_a_user_or_an_application(alice, agents):
    from django.db import IntegrityError

    room = room_of(alice)
    for fields in ({}, {"user_id": alice.pk, "application": agents[0]}):
        with pytest.raises(IntegrityError):
            Participant.objects.create(conversation=room, **fields)
