"""Rooms on the chat socket: messages with several answers and with none, told to everybody once."""

import pytest

from accounts.threads import in_thread
from chat.models import Application, Message
from chat.services import room_participants, rooms
from chat.services.room_accounts import NewParticipant
from tests.chat.test_consumers import _quick, carol, chat, connect, next_of, worker  # noqa: F401 - fixtures

pytestmark = pytest.mark.usefixtures("hub_closed")
CAROL = NewParticipant("user_carol")


@pytest.fixture
def agents(organization):
    return [
        Application.objects.create(public_id=f"app_{n}", organization=organization, name=f"Agent {n}", engine="scripted")
        for n in (1, 2)
    ]


async def made(caller, *participants):
    room, _ = await in_thread(rooms.create, caller=caller, type="standard", participants=participants)
    return str(room.pk)


def agent(number):
    return NewParticipant(f"app_{number}", kind="agent", auto_respond=True)


async def test_a_message_that_nobody_answers_is_accepted_and_told_once_to_the_others(alice, carol, stores):  # noqa: F811
    room = await made(alice, CAROL)
    hers, theirs = await connect(alice, room), await connect(carol, room)
    hers.say(chat(ref=7))
    accepted = await next_of(hers, "accepted")
    assert (accepted["chat_id"], accepted["ref"]) == (room, 7)
    told = await next_of(theirs, "chat")
    assert (told["content"], told["user_id"], told["question_id"]) == ("hello there", "user_alice", accepted["question_id"])
    theirs.say(chat(chat_id=room))
    assert (await next_of(theirs, "accepted"))["chat_id"] == room
    # Not her own again, but the other's.
    assert (await next_of(hers, "chat"))["user_id"] == "user_carol"
    assert await in_thread(Message.objects.count) == 2


async def test_every_agents_answer_is_told_under_its_name_and_the_message_once(alice, carol, agents, worker):  # noqa: F811
    room = await made(alice, CAROL, agent(1), agent(2))
    hers, theirs = await connect(alice, room), await connect(carol, room)
    hers.say(chat({"text": "one answer"}))
    for socket in (hers, theirs):
        frames, ended = [], 0
        while ended < 2:
            frames.append(await next_of(socket, "chat", "response_start", "response_end"))
            ended += frames[-1]["type"] == "response_end"
        begun = [frame for frame in frames if frame["type"] == "response_start"]
        assert sorted(frame["application_id"] for frame in begun) == ["app_1", "app_2"]
        assert len({frame["question_id"] for frame in begun}) == 1
        assert [frame["full_response"] for frame in frames if frame["type"] == "response_end"] == ["one answer"] * 2
        assert len([frame for frame in frames if frame["type"] == "chat"]) == (socket is theirs)


async def test_a_reader_is_refused_and_who_is_removed_is_put_out(alice, carol, stores):  # noqa: F811
    room = await made(alice, NewParticipant("user_carol", role="reader"))
    theirs = await connect(carol, room)
    theirs.say(chat(ref="r"))
    assert (await next_of(theirs, "error"))["code"] == "forbidden"
    room_id = (await in_thread(rooms.list_rooms, caller=alice, cursor=""))[0][0].pk
    await in_thread(room_participants.remove, caller=alice, room_id=room_id, account_id="user_carol")
    await theirs.over()
    assert theirs.closed == (1008, "Forbidden")


async def test_another_conversation_cannot_begin_in_a_room(alice, stores):
    room = await made(alice)
    socket = await connect(alice, room)
    socket.say(chat(chat_id="another"))
    error = await next_of(socket, "error")
    assert error["code"] == "conflict"
    assert "is a room" in error["message"]
