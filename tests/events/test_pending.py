from accounts.caller import Caller
from events import pending
from events.event import START
from events.publishing import now_ms

ALICE = Caller(pk=1, user_id="u_1", username="alice", organizations=(), is_staff=False, credential="jwt")


def test_providers_tell_what_is_open_for_the_caller_in_their_order(monkeypatch):
    monkeypatch.setattr(pending, "_providers", [])
    asked = []

    @pending.provides_pending
    def first(caller):
        asked.append(caller)
        return [("test.note", {"n": 1}), ("test.note", {"n": 2})]

    @pending.provides_pending
    def second(caller):
        return [("test.delta", {"user": caller.user_id})]

    before = now_ms()
    events = pending.pending_events(ALICE)
    assert [(event.type, event.data) for event in events] == [
        ("test.note", {"n": 1}),
        ("test.note", {"n": 2}),
        ("test.delta", {"user": "u_1"}),
    ]
    assert asked == [ALICE]
    assert all(event.id == START and before <= event.at <= now_ms() for event in events)
    assert first(ALICE)[0] == ("test.note", {"n": 1}), "a provider is still a function"


def test_nobody_has_anything_open_without_providers(monkeypatch):
    monkeypatch.setattr(pending, "_providers", [])
    assert pending.pending_events(ALICE) == []
