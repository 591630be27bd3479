"""Who decides, once, what everybody else is told, and what is refused."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.utils import timezone

from chat.approvals import kinds, streaming, waiting
from chat.approvals.deciding import Decision, close_open, decide, decide_all, decide_batch, expire_due
from chat.approvals.looking import listed, one, open_approvals
from chat.approvals.payloads import sha256_of
from chat.approvals.requesting import Item
from chat.models import Approval, ApprovalStep, Run
from chat.services.questions import message_stream
from events import journal
from events.exceptions import Conflict, Forbidden, Gone, NotFound, Unprocessable
from events.models import DurableStream
from tests.chat.approvals.conftest import PAY, SCHEMA, expire, feed_of, join, opened, people
from tests.chat.conftest import journaled, run_of, types
from tests.chat.services.conftest import claim, end
from tests.patience import patiently

pytestmark = pytest.mark.usefixtures("application")

YES, NO = Decision(approved=True), Decision(approved=False)


def jobs(message):
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM procrastinate_jobs WHERE args->>'message_id' = %s", [str(message.pk)])
        return cursor.fetchone()[0]


def unchanged(message, approval):
    approval.refresh_from_db()
    assert (approval.status, approval.decided_by, approval.edited_payload) == ("pending", None, None)
    assert run_of(message).status == "awaiting_approval"
    assert types(journaled(message)) == ["run.started", "approval.requested"]
    assert approval.history.count() == 1


def test_of_fifty_deciders_at_once_one_wins_and_the_others_learn_who(alice):
    others = people(50)
    message, (approval,) = opened(alice, also=others)
    start = threading.Barrier(10)

    def try_it(number):
        # The pool has ten threads: the first ten really begin together, and the others meet a decided approval.
        if number < 10:
            start.wait(10)
        decision = YES if number % 2 else NO
        try:
            return others[number].username, decide(caller=others[number], approval_id=approval.pk, decision=decision)
        except Conflict as error:
            return others[number].username, error
        finally:
            connection.close()

    with ThreadPoolExecutor(10) as pool:
        results = dict(pool.map(try_it, range(50)))
    approval.refresh_from_db()
    winner = approval.decided_by.username
    for number, other in enumerate(others):
        result = results[other.username]
        if ("approved" if number % 2 else "denied") == approval.status:
            assert result.decided_by.username == winner
        else:
            assert f"{approval.status} by {winner}" in result.message
    assert types(journaled(message)) == ["run.started", "approval.requested", "approval.decided"]
    assert [step.what for step in approval.history.all()] == ["requested", approval.status]
    assert jobs(message) == 2  # the question's, and one that goes on


def test_the_decision_is_told_to_all_who_may_decide_and_the_run_is_queued(alice, bob, redis_url):
    message, (approval,) = opened(alice, also=[bob])
    for caller in (alice, bob):
        (told,) = feed_of(redis_url, caller, "tool.approval.required")
        assert told["pending_tool_calls"][0]["approval_id"] == str(approval.pk)
        assert told["message_id"] == str(message.pk)
        assert "amount" not in str(told)
    decide(caller=bob, approval_id=approval.pk, decision=Decision(approved=True, feedback="fine"))
    for caller in (alice, bob):
        (told,) = feed_of(redis_url, caller, "tool.approval.cleared")
        assert (told["reason"], told["approvals"][0]["status"], told["approvals"][0]["decided_by"]) == (
            "decided",
            "approved",
            "bob",
        )
    run = run_of(message)
    assert (run.status, jobs(message)) == ("queued", 2)
    data = journaled(message)[-1].data
    assert (data["status"], data["decided_by"], data["feedback"], data["edited"]) == ("approved", "bob", "fine", False)
    step = approval.history.last()
    assert (step.what, step.actor.username, step.via, step.note) == ("approved", "bob", "rest", "fine")


def test_the_same_again_changes_nothing_and_is_no_error(alice, bob):
    message, (approval,) = opened(alice, also=[bob])
    first = decide(caller=alice, approval_id=approval.pk, decision=YES)
    before = types(journaled(message))
    for caller in (alice, bob):
        again = decide(caller=caller, approval_id=approval.pk, decision=YES)
        assert (again.decided_by.username, again.decided_at) == ("alice", first.decided_at)
    assert types(journaled(message)) == before
    assert approval.history.count() == 2
    with pytest.raises(Conflict, match="approved by alice"):
        decide(caller=bob, approval_id=approval.pk, decision=NO)
    with pytest.raises(Conflict, match="approved by alice"):
        decide(caller=bob, approval_id=approval.pk, decision=Decision(approved=True, edited=PAY | {"amount": 1}))


@pytest.mark.parametrize(
    ("decision", "error", "words"),
    [
        (Decision(approved=True, payload_sha256="0" * 64), Conflict, "hash of something else"),
        (Decision(approved=True, edited={"to": "bob", "amount": 0}), Unprocessable, "less than the minimum"),
        (Decision(approved=True, edited={"to": "bob", "amount": 1, "x": 1}), Unprocessable, "Additional properties"),
        (Decision(approved=True, edited=[]), Unprocessable, "not of type 'object'"),
        (Decision(approved=False, edited=PAY), Unprocessable, "Only what is approved"),
    ],
)
def test_a_decision_that_does_not_fit_is_refused_and_changes_nothing(alice, decision, error, words):
    message, (approval,) = opened(alice)
    with pytest.raises(error, match=words):
        decide(caller=alice, approval_id=approval.pk, decision=decision)
    unchanged(message, approval)


def test_the_right_hash_is_accepted_in_any_case(alice):
    _, (approval,) = opened(alice)
    assert approval.payload_sha256 == sha256_of({"amount": 5, "to": "bob"})
    seen = Decision(approved=True, payload_sha256=approval.payload_sha256.upper())
    assert decide(caller=alice, approval_id=approval.pk, decision=seen).status == "approved"


def test_what_has_no_schema_cannot_be_edited(alice):
    message, (approval,) = opened(alice, Item("call_1", "pay", PAY))
    with pytest.raises(Unprocessable, match="cannot be edited"):
        decide(caller=alice, approval_id=approval.pk, decision=Decision(approved=True, edited=PAY))
    unchanged(message, approval)


def test_strangers_find_nothing_and_participants_may_be_no_deciders(alice, bob, dave):
    message, (approval,) = opened(alice, also=[bob], deciders=["requester"])
    with pytest.raises(NotFound):
        decide(caller=dave, approval_id=approval.pk, decision=YES)
    with pytest.raises(Forbidden):
        decide(caller=bob, approval_id=approval.pk, decision=YES)
    assert one(caller=bob, approval_id=approval.pk)["may_decide"] is False
    assert one(caller=alice, approval_id=approval.pk)["may_decide"] is True
    unchanged(message, approval)


def test_who_has_left_the_conversation_decides_nothing_in_it(alice, bob):
    message, (approval,) = opened(alice, also=[bob])
    message.conversation.participants.filter(user_id=bob.pk).delete()
    with pytest.raises(NotFound):
        decide(caller=bob, approval_id=approval.pk, decision=YES)
    unchanged(message, approval)


def test_who_may_only_read_in_a_room_decides_nothing_in_it(alice, bob, redis_url):
    message, (approval,) = opened(alice, also=[bob])
    message.conversation.participants.filter(user_id=bob.pk).update(role="reader")
    with pytest.raises(Forbidden):
        decide(caller=bob, approval_id=approval.pk, decision=YES)
    assert open_approvals(bob) == []
    unchanged(message, approval)
    assert decide(caller=alice, approval_id=approval.pk, decision=NO).decided_by.username == "alice"
    assert not feed_of(redis_url, bob, "tool.approval.cleared")


def test_admins_of_the_organisation_and_named_users_may_be_deciders(alice, bob, carol, dave, redis_url):
    _, (first,) = opened(alice, deciders=["admins"])
    _, (second,) = opened(alice, deciders=["user:user_dave"])
    assert feed_of(redis_url, carol, "tool.approval.required")
    assert not feed_of(redis_url, alice, "tool.approval.required")
    with pytest.raises(NotFound):
        decide(caller=dave, approval_id=first.pk, decision=YES)
    assert decide(caller=carol, approval_id=first.pk, decision=YES).decided_by.username == "carol"
    assert decide(caller=dave, approval_id=second.pk, decision=NO).decided_by.username == "dave"


def test_after_its_time_nothing_can_be_decided_and_the_run_goes_on(alice, redis_url):
    message, (approval,) = opened(alice)
    expire(message)
    with pytest.raises(Gone):
        decide(caller=alice, approval_id=approval.pk, decision=YES)
    unchanged(message, approval)
    assert expire_due() == 1
    assert expire_due() == 0
    with pytest.raises(Gone):
        decide(caller=alice, approval_id=approval.pk, decision=YES)
    approval.refresh_from_db()
    assert (approval.status, run_of(message).status, jobs(message)) == ("expired", "queued", 2)
    assert journaled(message)[-1].data["status"] == "expired"
    (told,) = feed_of(redis_url, alice, "tool.approval.cleared")
    assert told["reason"] == "expired"


def test_a_decision_at_the_moment_of_expiry_is_one_or_the_other(alice):
    for _ in range(5):
        message, (approval,) = opened(alice)
        Approval.objects.filter(pk=approval.pk).update(expires_at=timezone.now() + timedelta(milliseconds=20))
        end = threading.Event()

        def sweep(end=end):
            while not end.is_set():
                expire_due()
            connection.close()

        sweeper = threading.Thread(target=sweep)
        sweeper.start()
        won = True
        try:
            for _ in range(20):
                decide(caller=alice, approval_id=approval.pk, decision=YES)
        except Gone:
            won = False
        end.set()
        sweeper.join()
        expire_due()
        approval.refresh_from_db()
        assert approval.status == ("approved" if won else "expired")
        assert types(journaled(message)).count("approval.decided") == 1


def test_the_end_of_the_run_closes_what_is_open(alice, redis_url):
    message, (approval,) = opened(alice)
    close_open(run_of(message), reason="failed")
    approval.refresh_from_db()
    assert approval.status == "cancelled"
    assert feed_of(redis_url, alice, "tool.approval.cleared")[0]["reason"] == "failed"
    with pytest.raises(Conflict, match="cancelled by the server"):
        decide(caller=alice, approval_id=approval.pk, decision=YES)


@pytest.mark.parametrize(("late", "told"), [(YES, "approved"), (NO, "approved by alice")])
def test_who_decides_while_another_does_and_the_run_ends_is_told_of_the_decision(alice, late, told):
    message, (approval,) = opened(alice)

    def decide_too():
        try:
            return decide(caller=alice, approval_id=approval.pk, decision=late).status
        except Conflict as error:
            return error.message
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            journal.take_lease(stream=message_stream(message.pk))
            # The other has seen that it is open, and waits for the stream.
            answer = pool.submit(decide_too)
            wait_for_a_lock()
            decide(caller=alice, approval_id=approval.pk, decision=YES)
            end(message, claim(message).lease)
        assert told in answer.result(patiently(20))


def wait_for_a_lock():
    """Until somebody waits for what this transaction holds."""
    end = time.monotonic() + patiently(20)
    with connection.cursor() as cursor:
        while time.monotonic() < end:
            cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
            if cursor.fetchone()[0]:
                return
    raise AssertionError("nobody waits")


def test_batches_of_two_runs_are_not_decided_together(alice):
    _, (first,) = opened(alice)
    _, (second,) = opened(alice)
    with pytest.raises(Unprocessable, match="several runs"):
        decide_all(caller=alice, decisions={first.pk: YES, second.pk: YES})
    with pytest.raises(NotFound):
        decide_batch(caller=alice, batch_id=first.batch_id, decisions={second.pk: YES})
    assert Approval.objects.filter(status="pending").count() == 2


def test_two_who_decide_different_parts_of_a_batch_at_once_let_the_run_go_on_once(alice, bob):
    for _ in range(5):
        message, approvals = opened(alice, Item("a", "pay", PAY, SCHEMA), Item("b", "pay", PAY, SCHEMA), also=[bob])
        start = threading.Barrier(2)

        def decide_one(caller, approval, start=start):
            start.wait(5)
            decide(caller=caller, approval_id=approval.pk, decision=YES)
            connection.close()

        threads = [threading.Thread(target=decide_one, args=pair) for pair in zip((alice, bob), approvals, strict=True)]
        [each.start() for each in threads]
        [each.join() for each in threads]
        assert run_of(message).status == "queued"
        assert jobs(message) == 2
        events = journaled(message)
        assert types(events)[2:] == ["approval.decided", "approval.decided"]
        assert [event.id.major for event in events] == [1, 2, 3, 4]


def test_another_kind_says_itself_what_happens_when_all_is_decided(alice, monkeypatch):
    monkeypatch.setattr(kinds, "_completed", {})
    seen = []

    @kinds.when_decided("tool_call")
    def note(run, batch):
        seen.append((run.pk, [each.status for each in batch]))

    message, approvals = opened(alice, Item("a", "pay", PAY), Item("b", "pay", PAY))
    decide(caller=alice, approval_id=approvals[0].pk, decision=YES)
    assert seen == []
    decide(caller=alice, approval_id=approvals[1].pk, decision=NO)
    assert seen == [(message.pk, ["approved", "denied"])]
    assert run_of(message).status == "awaiting_approval"


def test_an_input_must_be_given(alice):
    _message, (approval,) = opened(alice, Item("q", "Which?", {}, {"type": "string"}))
    Approval.objects.filter(pk=approval.pk).update(kind="input")
    with pytest.raises(Unprocessable, match="asks for an input"):
        decide(caller=alice, approval_id=approval.pk, decision=YES)
    assert decide(caller=alice, approval_id=approval.pk, decision=Decision(approved=True, edited="this")).edited_payload == "this"


def test_a_fresh_feed_is_told_what_is_open_for_its_reader_and_nothing_else(alice, bob, dave):
    message, approvals = opened(alice, Item("a", "pay", PAY), Item("b", "pay", PAY), also=[bob])
    for caller in (alice, bob):
        ((kind, data),) = open_approvals(caller)
        assert kind == "tool.approval.required"
        assert data["scope"] == {"kind": "conversation", "id": str(message.conversation_id)}
        assert [call["call_id"] for call in data["payload"]["pending_tool_calls"]] == ["a", "b"]
        assert "amount" not in str(data)
    assert open_approvals(dave) == []
    for each in approvals:
        decide(caller=alice, approval_id=each.pk, decision=YES)
    assert open_approvals(alice) == []


def test_the_list_has_what_one_may_see_by_status_and_message_in_pages(alice, bob, dave, monkeypatch):
    monkeypatch.setattr("events.paging.PAGE", 2)
    message, _ = opened(alice)
    _, (decided,) = opened(alice, also=[bob])
    opened(alice)
    decide(caller=bob, approval_id=decided.pk, decision=YES)
    assert [each["status"] for each in listed(caller=alice, open_only=False)[0]] == ["approved"]
    assert len(listed(caller=alice, open_only=True)[0]) == 2
    assert [each["message_id"] for each in listed(caller=alice, open_only=None, message_id=message.pk)[0]] == [str(message.pk)]
    first, cursor = listed(caller=alice, open_only=None)
    rest, end = listed(caller=alice, open_only=None, cursor=cursor)
    assert (len(first), len(rest), end) == (2, 1, None)
    assert [each["id"] for each in listed(caller=bob, open_only=None)[0]] == [str(decided.pk)]
    assert listed(caller=dave, open_only=None)[0] == []


def test_nobody_decides_they_are_told_again_then_a_second_group_may_too(alice, carol, redis_url, settings):
    settings.APPROVAL_REMIND_SECONDS = 10.0
    settings.APPROVAL_ESCALATE_SECONDS = 20.0
    settings.APPROVAL_ESCALATE_TO = ["admins"]
    message, (approval,) = opened(alice)
    assert waiting.remind_due() == waiting.escalate_due() == 0

    later = timezone.now() - timedelta(seconds=1)
    Approval.objects.update(reminds_at=later)
    assert (waiting.remind_due(), waiting.remind_due()) == (1, 0)
    assert [each.get("reminder") for each in feed_of(redis_url, alice, "tool.approval.required")] == [None, True]
    with pytest.raises(NotFound):
        decide(caller=carol, approval_id=approval.pk, decision=YES)

    Approval.objects.update(escalates_at=later)
    assert (waiting.escalate_due(), waiting.escalate_due()) == (1, 0)
    assert len(feed_of(redis_url, carol, "tool.approval.required")) == 1
    assert decide(caller=carol, approval_id=approval.pk, decision=YES).status == "approved"
    assert list(ApprovalStep.objects.values_list("what", flat=True)) == ["requested", "reminded", "escalated", "approved"]
    assert run_of(message).status == "queued"
    assert len(feed_of(redis_url, carol, "tool.approval.cleared")) == 1


def test_a_payload_that_is_too_long_for_an_event_is_in_the_approval_only(alice):
    message, (approval,) = opened(alice, Item("a", "pay", {"to": "x" * 50_000, "amount": 1}, SCHEMA))
    (told,) = journaled(message)[-1].data["approvals"]
    assert "payload" not in told
    assert told["payload_sha256"] == approval.payload_sha256
    assert len(approval.payload["to"]) == 50_000


def test_users_that_are_told_are_those_who_take_part_now(alice, bob, redis_url):
    message, (approval,) = opened(alice)
    join(message, bob)
    decide(caller=bob, approval_id=approval.pk, decision=NO)
    assert len(feed_of(redis_url, bob, "tool.approval.cleared")) == 1
    assert Run.objects.filter(pk=message.pk, status="queued").exists()


def test_who_has_nothing_to_say_in_a_stream_takes_nobodys_lease(alice):
    message, _ = opened(alice)
    lease = DurableStream.objects.get(name=f"message:{message.pk}").lease
    with streaming.Appending(message.pk):
        pass
    assert DurableStream.objects.get(name=f"message:{message.pk}").lease == lease
