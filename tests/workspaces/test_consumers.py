"""The workspace socket: who is let in, who is here, and broadcasts - each once, in order, to everybody but its sender."""

import asyncio
import json

import pytest

from accounts import services as accounts
from accounts.threads import in_thread
from events.hub import close_hub, current_hub
from events.publishing import Publication, publish_many
from events.streams import Stream
from tests.events.conftest import until
from tests.events.sockets import Socket
from workspaces import members
from workspaces.consumers import WorkspaceConsumer, announce_left, announce_returned
from workspaces.models import Workspace, WorkspaceMember

STREAM = Stream("workspace", "ws_a")

REMOVED = Publication(STREAM, "workspace.member_removed", {"payload": {"member_id": "user_bob"}})


@pytest.fixture
async def hub(told):
    yield current_hub()
    await close_hub()


@pytest.fixture
async def join(hub, people):
    """Opens a socket of one of the people and returns it once it was told the state (or was closed)."""
    opened = []

    async def open_socket(name, *, workspace="ws_a", wait=True, **query):
        token = await in_thread(accounts.access_token_for, user=people[name])
        path = f"/ws/workspaces/{workspace}"
        socket = Socket(WorkspaceConsumer, path, query={"token": token, **query}, path_args={"workspace_id": workspace})
        opened.append(socket)
        if wait:
            await until(lambda: socket.closed or "workspace_state" in socket.types)
        return socket

    yield open_socket
    for each in opened:
        if not each.task.done():
            await each.leave()


def told_to(socket, *types):
    """The frames of these types that a socket was sent."""
    return [frame for frame in socket.frames if frame["type"] in types]


async def heard(*sockets):
    """Waits until they have been told whatever was said here before: a broadcast takes its way through the broker."""
    await current_hub().groups.send("workspace:ws_a", json.dumps({"type": "fence"}))
    await until(lambda: all(told_to(each, "fence") for each in sockets))


def numbers(socket):
    return [frame["n"] for frame in told_to(socket, "document_updated")]


def say(socket, n, **more):
    socket.say({"type": "document_updated", "n": n} | more)


def _document(n):
    return Publication(STREAM, "workspace.document_updated", {"payload": {"n": n}})


async def test_a_member_is_told_who_is_here_and_from_where_on(join):
    socket = await join("ann")
    connected, state = socket.frames
    assert (connected["type"], connected["user_id"], connected["workspace_id"]) == ("connected", "user_ann", "ws_a")
    assert state["members"] == [{"user_id": "user_ann", "username": "ann"}]
    assert (state["count"], state["cursor"], state["workspace_id"]) == (1, "0-0", "ws_a")


@pytest.mark.parametrize(
    ("name", "workspace"), [("carl", "ws_a"), ("other", "ws_a"), ("staff", "ws_a"), ("ann", "ws_none"), ("ann", "%00")]
)
async def test_whoever_is_no_member_is_refused_as_where_there_is_nothing(join, name, workspace):
    socket = await join(name, workspace=workspace)
    assert await socket.over() == (1008, "Forbidden")
    assert socket.frames == []


async def test_a_bad_token_is_refused(hub, people):
    socket = Socket(WorkspaceConsumer, query={"token": "rubbish"}, path_args={"workspace_id": "ws_a"})
    assert await socket.over() == (1008, "Invalid token")


async def test_a_user_comes_with_his_first_connection_and_leaves_with_his_last(join):
    ann = await join("ann")
    await heard(ann)
    first = await join("bob")
    await heard(first)
    second = await join("bob")
    assert [each["username"] for each in told_to(second, "workspace_state")[0]["members"]] == ["ann", "bob"]
    await first.leave()
    await second.leave()
    await until(lambda: told_to(ann, "user_left"))
    seen = [(frame["type"], frame["user_id"]) for frame in told_to(ann, "user_joined", "user_left")]
    assert seen == [("user_joined", "user_bob"), ("user_left", "user_bob")]
    assert told_to(ann, "user_joined")[0]["username"] == "bob"
    assert told_to(first, "user_joined") == told_to(second, "user_joined") == []


async def test_who_is_in_the_state_is_not_said_to_have_come_though_his_broadcast_is_late(join):
    await join("bob")
    ann = await join("ann")
    await announce_returned("workspace:ws_a", "user_bob")
    await announce_left("workspace:ws_a", "user_carl")
    await announce_left("workspace:ws_a", "user_bob")
    await announce_returned("workspace:ws_a", "user_bob")
    await heard(ann)
    assert [(frame["type"], frame["user_id"]) for frame in told_to(ann, "user_joined", "user_left")] == [
        ("user_left", "user_bob"),
        ("user_joined", "user_bob"),
    ]


async def test_the_state_can_be_asked_for(join):
    ann = await join("ann")
    bob = await join("bob")
    ann.say({"type": "workspace_state"})
    await until(lambda: len(told_to(ann, "workspace_state")) == 2)
    assert told_to(ann, "workspace_state")[1]["count"] == 2
    await bob.leave()


async def test_a_user_whose_process_died_is_told_to_have_left_and_perhaps_to_be_back(join):
    await join("bob")
    ann = await join("ann")
    await heard(ann)
    await announce_left("workspace:ws_a", "user_bob")
    await announce_returned("workspace:ws_a", "user_bob")
    await until(lambda: told_to(ann, "user_joined"))
    left, back = told_to(ann, "user_left", "user_joined")
    assert (left["user_id"], back["user_id"], back["username"]) == ("user_bob", "user_bob", "bob")


@pytest.mark.parametrize("kind", ["document_updated", "application_changed", "member_added"])
async def test_a_broadcast_reaches_the_others_with_its_fields_and_the_name_of_its_real_sender(join, kind):
    ann, bob = await join("ann"), await join("bob")
    ann.say({"type": kind, "document_id": "doc-456", "action": "edited", "user_id": "user_bob", "origin": "server", "id": "9-9"})
    await until(lambda: told_to(bob, kind))
    (frame,) = told_to(bob, kind)
    assert frame.pop("timestamp").endswith("Z")
    head = (await current_hub().log.heads([STREAM]))[STREAM].id
    assert frame == {
        "type": kind,
        "id": str(head),
        "workspace_id": "ws_a",
        "user_id": "user_ann",
        "origin": "member",
        "document_id": "doc-456",
        "action": "edited",
    }


async def test_the_sending_connection_does_not_get_its_own_but_a_second_tab_does(join):
    ann, tab, bob = await join("ann"), await join("ann"), await join("bob")
    say(ann, 1)
    say(bob, 2)
    for socket, expected in ((bob, [1]), (tab, [1, 2]), (ann, [2])):
        await until(lambda socket=socket, expected=expected: numbers(socket) == expected)


async def test_a_sender_that_named_its_broadcast_is_told_of_its_acceptance_in_order(join):
    ann, bob = await join("ann"), await join("bob")
    say(bob, 1)
    await until(lambda: numbers(ann) == [1])
    say(ann, 2, ref="mine")
    await until(lambda: told_to(ann, "accepted"))
    (accepted,) = told_to(ann, "accepted")
    await until(lambda: numbers(bob) == [2])
    assert (accepted["ref"], accepted["id"]) == ("mine", told_to(bob, "document_updated")[0]["id"])
    assert "ref" not in told_to(bob, "document_updated")[0]


async def test_what_was_missed_is_replayed_after_the_cursor_once_and_in_order(join):
    ann, bob = await join("ann"), await join("bob")
    for n in range(20):
        say(ann, n)
    await until(lambda: len(numbers(bob)) == 20)
    cut = told_to(bob, "document_updated")[6]["id"]
    await bob.leave()
    for n in range(20, 40):
        say(ann, n)
    back = await join("bob", since=cut)
    await until(lambda: len(numbers(back)) == 33)
    say(ann, 40)
    await until(lambda: numbers(back)[-1] == 40)
    assert numbers(back) == list(range(7, 41))
    assert told_to(back, "workspace_state")[0]["cursor"] == cut


async def test_a_client_that_comes_back_under_its_name_is_not_replayed_its_own(join):
    ann, bob = await join("ann", client="tab-1"), await join("bob")
    start = told_to(ann, "workspace_state")[0]["cursor"]
    say(ann, 1)
    say(bob, 2)
    await until(lambda: numbers(ann) == [2])
    await ann.leave()
    back, other = await join("ann", client="tab-1", since=start), await join("ann", client="tab-2", since=start)
    await until(lambda: numbers(other) == [1, 2])
    await until(lambda: numbers(back) == [2])
    # Another user under the same name is another client.
    bobs = await join("bob", client="tab-1", since=start)
    await until(lambda: numbers(bobs) == [1, 2])


async def test_a_connection_without_a_cursor_is_told_only_what_comes(join):
    ann = await join("ann")
    say(ann, 1, ref=1)
    await until(lambda: told_to(ann, "accepted"))
    bob = await join("bob")
    say(ann, 2)
    await until(lambda: numbers(bob) == [2])


@pytest.mark.parametrize(("since", "reason"), [("rubbish", "malformed"), ("99999999999999-0", "unknown_cursor")])
async def test_a_cursor_that_leads_nowhere_is_answered_with_all_that_is_kept_and_a_notice(join, since, reason):
    await publish_many([_document(n) for n in range(3)])
    back = await join("bob", since=since)
    await until(lambda: numbers(back) == [0, 1, 2])
    (notice,) = told_to(back, "backlog.truncated")
    assert back.frames.index(notice) < back.frames.index(told_to(back, "document_updated")[0])
    assert (notice["reason"], notice["oldest_retained_id"]) == (reason, told_to(back, "document_updated")[0]["id"])


async def test_a_trimmed_backlog_is_told(join, settings):
    settings.EVENTS_STREAM_MAXLEN = 1
    first, *_ = await publish_many([_document(n) for n in range(300)])
    bob = await join("bob", since=str(first))
    await until(lambda: told_to(bob, "backlog.truncated"))
    assert told_to(bob, "backlog.truncated")[0]["reason"] == "trimmed"
    await until(lambda: numbers(bob)[-1] == 299)


async def test_a_new_cursor_comes_with_the_notice_when_nothing_is_kept(join):
    socket = await join("ann", since="99999999999999-0")
    await until(lambda: told_to(socket, "backlog.truncated"))
    assert told_to(socket, "backlog.truncated")[0] == {
        "type": "backlog.truncated",
        "reason": "expired",
        "oldest_retained_id": "",
        "id": "0-0",
    }


@pytest.mark.parametrize("client", ["", "x" * 65, "a b", "ä"])
async def test_a_bad_client_name_is_refused(join, client):
    socket = await join("ann", client=client)
    code, reason = await socket.over()
    assert code == 4400
    assert reason.startswith("client must be")


async def test_a_broadcast_that_is_too_large_is_refused_and_the_socket_stays(join, settings):
    settings.WORKSPACE_EVENTS_MAX_BYTES = 100
    ann, bob = await join("ann"), await join("bob")
    say(ann, 1, text="x" * 100, ref="big")
    await until(lambda: told_to(ann, "error"))
    (error,) = told_to(ann, "error")
    assert (error["code"], error["ref"]) == ("invalid_request", "big")
    assert "at most 100 are accepted" in error["message"]
    say(ann, 2)
    await until(lambda: numbers(bob) == [2])


async def test_more_broadcasts_than_allowed_are_refused_and_the_socket_stays(join, settings):
    settings.WORKSPACE_EVENTS_MAX_PER_MINUTE = 3
    ann, bob = await join("ann"), await join("bob")
    for n in range(5):
        say(ann, n)
    await until(lambda: len(told_to(ann, "error")) == 2)
    assert {(error["code"], error["retry_after"]) for error in told_to(ann, "error")} == {("too_many", 20)}
    await until(lambda: numbers(bob) == [0, 1, 2])
    assert ann.closed is None


@pytest.mark.parametrize("ref", [{}, [], 1.5, "x" * 129, 2**60])
async def test_a_ref_that_is_no_name_is_refused(join, ref):
    ann = await join("ann")
    say(ann, 1, ref=ref)
    await until(lambda: told_to(ann, "error"))
    assert told_to(ann, "error")[0]["code"] == "invalid_request"


@pytest.mark.parametrize("frame", [{"type": "user_joined"}, {"type": "member_removed"}, {"type": "drop_all"}, {"n": 1}, [], "x"])
async def test_nothing_else_can_be_broadcast(join, frame):
    ann = await join("ann")
    await heard(ann)
    bob = await join("bob")
    ann.say(json.dumps(frame))
    await until(lambda: told_to(ann, "error"))
    say(ann, 1)
    await until(lambda: numbers(bob) == [1])
    assert told_to(bob, "user_joined", "member_removed", "drop_all") == []


async def test_a_member_who_is_removed_is_put_out_and_told_nothing_more(join, people):
    ann, bob = await join("ann"), await join("bob")
    await in_thread(WorkspaceMember.objects.filter(user=people["bob"]).delete)
    assert await bob.over(seconds=1) == (1008, "Forbidden")
    say(ann, 1)
    await until(lambda: told_to(ann, "user_left"))
    assert told_to(ann, "member_removed")[0]["member_id"] == "user_bob"
    assert numbers(bob) == []
    assert told_to(bob, "member_removed") == []
    again = await join("bob")
    assert await again.over() == (1008, "Forbidden")


async def test_nothing_behind_the_removal_is_told_even_when_all_of_it_is_read_at_once(join, people):
    bob = await join("bob")
    # Gone without a word, as after a rude change in the database.
    await in_thread(lambda: people["bob"].workspace_memberships.all()._raw_delete("default"))
    await publish_many([REMOVED, _document(1)])
    assert await bob.over(seconds=1) == (1008, "Forbidden")
    assert numbers(bob) == []


async def test_who_was_added_again_at_once_misses_nothing(join):
    bob = await join("bob")
    await publish_many([REMOVED, *(_document(n) for n in range(3))])
    await until(lambda: numbers(bob) == [0, 1, 2])
    assert bob.closed is None


async def test_an_earlier_removal_that_is_replayed_puts_nobody_out(join, people):
    await publish_many([REMOVED, _document(1)])
    bob = await join("bob", since="0-0")
    await until(lambda: numbers(bob) == [1])
    assert told_to(bob, "member_removed")[0]["member_id"] == "user_bob"


async def test_a_deleted_workspace_puts_everybody_out(join):
    ann, bob = await join("ann"), await join("bob")
    await in_thread(_delete)
    assert await asyncio.gather(ann.over(seconds=1), bob.over(seconds=1)) == [(1008, "Forbidden")] * 2


def _delete():
    Workspace.objects.get(public_id="ws_a").delete()


async def test_a_new_member_is_told_by_the_server(join, people):
    ann = await join("ann")
    workspace = await in_thread(Workspace.objects.get, public_id="ws_a")
    await in_thread(members.enrol, workspace=workspace, user=people["carl"], role="member", added_by="user_chief")
    await until(lambda: told_to(ann, "member_added"))
    (frame,) = told_to(ann, "member_added")
    assert (frame["origin"], frame["user_id"], frame["member_id"]) == ("server", "user_chief", "user_carl")


async def test_what_another_service_publishes_is_told(join):
    ann = await join("ann")
    await publish_many([Publication(STREAM, "build.finished", {"scope": {}, "payload": {"ok": True, "user_id": "x"}})])
    await until(lambda: told_to(ann, "build.finished"))
    (frame,) = told_to(ann, "build.finished")
    assert (frame["ok"], frame["user_id"], frame["origin"]) == (True, None, "server")


async def test_the_connection_is_counted_under_the_workspace(join):
    socket = await join("ann")
    assert socket.consumer.session == "workspace_ws_a"
