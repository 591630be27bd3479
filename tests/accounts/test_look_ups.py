"""Many credentials at once: everyone gets his own answer, and a query serves a hundred."""

import threading

import pytest
from django.contrib.auth import BACKEND_SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore
from django.test import Client
from rest_framework.exceptions import AuthenticationFailed

from accounts import look_ups as look_ups_module
from accounts import services
from accounts.conf import conf
from accounts.credentials import Credential
from accounts.exceptions import IdentityUnavailable
from accounts.look_ups import TOGETHER, LookUps
from accounts.models import ApiKey, User
from accounts.threads import submit
from tests.patience import patiently

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def hold():
    """Every shared thread waits until this is set, so that what is asked meanwhile is served together."""
    released, inside = threading.Event(), threading.Barrier(conf.DATABASE_THREADS + 1, timeout=patiently(20))

    def wait():
        inside.wait()
        released.wait(patiently(20))

    for _ in range(conf.DATABASE_THREADS):
        submit(wait)
    inside.wait()
    yield released
    released.set()


def outcome(future):
    """What was answered: a name, None, or the class of the refusal."""
    error = future.exception(timeout=patiently(20))
    if error is not None:
        return type(error)
    caller = future.result()
    return caller.username if caller else None


def session_of(user):
    client = Client()
    client.force_login(user)
    return client.session.session_key


def test_everyone_of_a_crowd_gets_his_own_answer_whatever_the_others_sent(hold, alice, bob):
    gone = services.ensure_user(username="gone", password="")
    asked = {
        "token": (Credential("jwt", services.access_token_for(user=alice)), "alice"),
        "another token": (Credential("jwt", services.access_token_for(user=bob)), "bob"),
        "no token": (Credential("jwt", "a.b.c"), AuthenticationFailed),
        "token of nobody": (Credential("jwt", services.access_token_for(user=gone)), AuthenticationFailed),
        "key": (Credential("api_key", services.issue_api_key(user_pk=alice.pk, name="a").key), "alice"),
        "another key of hers": (Credential("api_key", services.issue_api_key(user_pk=alice.pk, name="b").key), "alice"),
        "revoked key": (Credential("api_key", services.issue_api_key(user_pk=bob.pk, name="old").key), AuthenticationFailed),
        "key of his": (Credential("api_key", services.issue_api_key(user_pk=bob.pk, name="c").key), "bob"),
        "unknown key": (Credential("api_key", "sk_" + "0" * 32), AuthenticationFailed),
        "session": (Credential("session", session_of(bob)), "bob"),
        "session of nobody": (Credential("session", session_of(gone)), None),
        "no session": (Credential("session", "x" * 32), None),
    }
    ApiKey.objects.filter(name="old").update(revoked_at="2026-01-01T00:00Z")
    User.objects.filter(pk=gone.pk).delete()
    look_ups = LookUps()
    answers = {name: look_ups.ask(credential) for name, (credential, _) in asked.items()}
    hold.set()
    assert {name: outcome(answer) for name, answer in answers.items()} == {name: wanted for name, (_, wanted) in asked.items()}


def test_a_session_of_a_backend_that_is_not_ours_is_nobody_s(alice, alice_session):
    session = SessionStore(alice_session)
    session[BACKEND_SESSION_KEY] = "elsewhere.Backend"
    session.save()
    assert outcome(LookUps().ask(Credential("session", alice_session))) is None


@pytest.mark.parametrize("engine", ["db", "cached_db", "cache", "signed_cookies"])
def test_sessions_may_be_kept_anywhere(hold, alice, settings, engine):
    settings.SESSION_ENGINE = f"django.contrib.sessions.backends.{engine}"
    look_ups, keys = LookUps(), [session_of(alice), session_of(alice), "x" * 32]
    answers = [look_ups.ask(Credential("session", key)) for key in keys]
    hold.set()
    assert [outcome(answer) for answer in answers] == ["alice", "alice", None]


@pytest.mark.parametrize(("kind", "each"), [("jwt", 1), ("api_key", 1), ("session", 2)])
def test_a_crowd_costs_few_queries(hold, alice, queries, kind, each):
    make = {
        "jwt": lambda number: services.access_token_for(user=alice),
        "api_key": lambda number: services.issue_api_key(user_pk=alice.pk, name=f"key {number}").key,
        "session": lambda number: session_of(alice),
    }[kind]
    secrets = [make(number) for number in range(30)]
    look_ups, before = LookUps(), len(queries)
    answers = [look_ups.ask(Credential(kind, secret)) for secret in secrets]
    hold.set()
    assert {outcome(answer) for answer in answers} == {"alice"}
    # The first may have been served by itself.
    assert len(queries) - before <= 2 * each


def test_a_large_crowd_is_served_in_parts(hold, alice, monkeypatch):
    sizes = []
    real = look_ups_module.verify_many
    monkeypatch.setattr(look_ups_module, "verify_many", lambda kind, secrets: sizes.append(len(secrets)) or real(kind, secrets))
    look_ups = LookUps()
    answers = [look_ups.ask(Credential("jwt", f"{number}.b.c")) for number in range(2 * TOGETHER + 1)]
    hold.set()
    assert {outcome(answer) for answer in answers} == {AuthenticationFailed}
    assert sizes == [TOGETHER, TOGETHER, 1]


def test_a_key_server_that_hangs_holds_up_no_session(alice, alice_session, monkeypatch):
    hangs, real = threading.Event(), look_ups_module.verify_many

    def verify_many(kind, secrets):
        if kind == "jwt":
            hangs.wait(patiently(20))
        return real(kind, secrets)

    monkeypatch.setattr(look_ups_module, "verify_many", verify_many)
    look_ups = LookUps()
    waits = look_ups.ask(Credential("jwt", services.access_token_for(user=alice)))
    assert outcome(look_ups.ask(Credential("session", alice_session))) == "alice"
    assert not waits.done()
    hangs.set()
    assert outcome(waits) == "alice"


def test_a_database_that_is_away_is_told_to_all_and_the_next_is_asked_anew(hold, alice_token, monkeypatch):
    def away(kind, secrets):
        raise IdentityUnavailable

    look_ups = LookUps()
    with monkeypatch.context() as patched:
        patched.setattr(look_ups_module, "verify_many", away)
        answers = [look_ups.ask(Credential("jwt", alice_token)) for _ in range(3)]
        hold.set()
        assert [outcome(answer) for answer in answers] == [IdentityUnavailable] * 3
    assert outcome(look_ups.ask(Credential("jwt", alice_token))) == "alice"


def test_threads_that_are_shutting_down_are_told_and_do_not_block_the_next(alice_token, monkeypatch):
    def closed(*_):
        raise RuntimeError("cannot schedule new futures after shutdown")

    look_ups = LookUps()
    with monkeypatch.context() as patched:
        patched.setattr(look_ups_module, "submit", closed)
        assert outcome(look_ups.ask(Credential("jwt", alice_token))) is RuntimeError
    assert outcome(look_ups.ask(Credential("jwt", alice_token))) == "alice"


def test_one_who_leaves_takes_the_answer_from_nobody(alice_token):
    answer = LookUps().ask(Credential("jwt", alice_token))
    assert not answer.cancel()
    assert outcome(answer) == "alice"
