import asyncio
import os
import subprocess
import sys
import time

import pytest
from django.db import OperationalError, connection
from django.utils import timezone
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from rest_framework.exceptions import AuthenticationFailed, NotAuthenticated

from accounts import services
from accounts.authentication import authenticate
from accounts.credentials import Credential
from accounts.exceptions import IdentityUnavailable
from accounts.models import ApiKey, Ticket, User
from accounts.recent import find_caller, recent_callers
from tests.accounts.conftest import PASSWORD, make_scope
from tests.accounts.test_credentials import NAMES, QUERIES, VALUES, st
from tests.patience import patiently

pytestmark = pytest.mark.django_db(transaction=True)


def refuses(scope, error=AuthenticationFailed, **kwargs):
    with pytest.raises(error, **kwargs):
        asyncio.run(authenticate(scope))


def caller_of(scope):
    return asyncio.run(authenticate(scope))


def ticket_for(user, path="/api/events", **changes):
    caller = caller_of(make_scope(token=services.access_token_for(user=user)))
    return services.create_ticket(caller=caller, path=path)["ticket"]


def key_of(user):
    return services.issue_api_key(user_pk=user.pk, name="test").key


@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_a_token_stands_for_its_user(alice, alice_token, kind):
    caller = caller_of(make_scope(kind=kind, headers={"Authorization": f"Bearer {alice_token}"}))
    assert (caller.pk, caller.user_id, caller.username) == (alice.pk, alice.public_id, "alice")
    assert caller.organizations == ("org_tests",)
    assert (caller.is_staff, caller.credential, caller.is_authenticated) == (False, "jwt", True)
    assert caller.expires_at == pytest.approx(time.time() + 3600, abs=10)
    assert caller_of(make_scope(kind=kind, token=alice_token)) == caller


def test_an_api_key_stands_for_its_user_and_does_not_expire(bob):
    caller = caller_of(make_scope(api_key=key_of(bob)))
    assert (caller.pk, caller.credential, caller.expires_at, caller.organizations) == (bob.pk, "api_key", None, ())


def test_a_session_stands_for_the_one_logged_in(alice, alice_session):
    caller = caller_of(make_scope(cookies={"sessionid": alice_session}))
    assert (caller.pk, caller.credential, caller.organizations) == (alice.pk, "session", ("org_tests",))


def test_organizations_are_those_of_now_sorted(alice, alice_token):
    for name in ("org_z", "org_a"):
        services.ensure_user(username="alice", password="", organization=services.ensure_organization(public_id=name))
    assert caller_of(make_scope(token=alice_token)).organizations == ("org_a", "org_tests", "org_z")


def test_nothing_presented_says_what_to_present():
    refuses(make_scope(), NotAuthenticated, match="Authorization: Bearer")


@pytest.mark.parametrize(
    "bad", [{"headers": {"Authorization": "Bearer bad.token.here"}}, {"ticket": "unknown"}, {"token": "x.y.z"}]
)
def test_a_bad_credential_is_never_passed_over_for_a_good_one_after_it(bob, bad):
    refuses(make_scope(**bad, api_key=key_of(bob)))


def test_a_session_that_is_not_logged_in_is_passed_over(client, alice, alice_token):
    client.session.save()
    scope = make_scope(cookies={"sessionid": client.session.session_key}, token=alice_token)
    assert caller_of(scope).credential == "jwt"
    refuses(make_scope(cookies={"sessionid": client.session.session_key}), NotAuthenticated)
    refuses(make_scope(cookies={"sessionid": "a" * 32}), NotAuthenticated)


def test_a_password_change_logs_sessions_out(alice, alice_session):
    alice.set_password("new one")
    alice.save()
    refuses(make_scope(cookies={"sessionid": alice_session}), NotAuthenticated)


def test_a_session_survives_the_rotation_of_the_secret_key(alice, alice_session, settings):
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "a new secret key that is long enough to be used here"
    for _ in range(2):
        assert caller_of(make_scope(cookies={"sessionid": alice_session})).pk == alice.pk
        recent_callers.clear()


@pytest.mark.parametrize("gone", ["deactivated", "deleted"])
@pytest.mark.parametrize("credential", ["token", "api_key", "session", "ticket"])
def test_a_user_that_is_gone_is_refused(alice, alice_session, gone, credential):
    scope = {
        "token": lambda: make_scope(token=services.access_token_for(user=alice)),
        "api_key": lambda: make_scope(api_key=key_of(alice)),
        "session": lambda: make_scope(cookies={"sessionid": alice_session}),
        "ticket": lambda: make_scope(ticket=ticket_for(alice)),
    }[credential]()
    recent_callers.clear()
    if gone == "deleted":
        alice.delete()
    else:
        User.objects.filter(pk=alice.pk).update(is_active=False)
    refuses(scope, NotAuthenticated if credential == "session" else AuthenticationFailed)


def test_a_revoked_key_is_refused(bob):
    key = key_of(bob)
    ApiKey.objects.update(revoked_at=timezone.now())
    refuses(make_scope(api_key=key), match="revoked")


def test_a_ticket_holds_once(alice):
    scope = make_scope(ticket=ticket_for(alice))
    caller = caller_of(scope)
    assert (caller.pk, caller.credential) == (alice.pk, "ticket")
    refuses(scope, match="ticket")


def test_a_ticket_is_used_once_even_by_many_at_the_same_moment(alice):
    scope = make_scope(ticket=ticket_for(alice))

    async def all_at_once():
        return await asyncio.gather(*[authenticate(scope) for _ in range(16)], return_exceptions=True)

    outcomes = asyncio.run(all_at_once())
    assert len([each for each in outcomes if not isinstance(each, Exception)]) == 1
    assert {type(each) for each in outcomes if isinstance(each, Exception)} == {AuthenticationFailed}


def test_a_ticket_is_for_one_path_without_its_query(alice):
    assert caller_of(make_scope(path="/api/events", ticket=ticket_for(alice, "/api/events?last_event_id=1"), other="2"))
    assert caller_of(make_scope(path="/ws/chat/a b/", kind="websocket", ticket=ticket_for(alice, "/ws/chat/a%20b/")))


def test_a_ticket_shown_on_another_path_is_used_up(alice):
    ticket = ticket_for(alice)
    refuses(make_scope(path="/api/other", ticket=ticket))
    refuses(make_scope(path="/api/events", ticket=ticket))


def test_a_ticket_expires(alice):
    ticket = ticket_for(alice)
    Ticket.objects.update(expires_at=timezone.now())
    refuses(make_scope(ticket=ticket))


def test_a_ticket_ends_with_the_credential_that_asked_for_it(alice, alice_token):
    parent = caller_of(make_scope(token=alice_token))
    assert caller_of(make_scope(ticket=ticket_for(alice))).expires_at == pytest.approx(parent.expires_at, abs=5)
    by_key = services.create_ticket(caller=caller_of(make_scope(api_key=key_of(alice))), path="/api/events")
    assert caller_of(make_scope(ticket=by_key["ticket"])).expires_at is None


USE_TICKET = """
import asyncio, sys, django
django.setup()
from accounts.authentication import authenticate
scope = {"type": "http", "method": "GET", "path": "/api/events", "query_string": b"ticket=" + sys.argv[1].encode(), "headers": []}
print(asyncio.run(authenticate(scope)).user_id)
"""


def test_a_ticket_works_once_over_all_processes(alice):
    ticket = ticket_for(alice)
    database = connection.settings_dict
    address = f"postgres://{database['USER']}:{database['PASSWORD']}@{database['HOST']}:{database['PORT']}/{database['NAME']}"
    environment = os.environ | {"DATABASE_URL": address, "DJANGO_SETTINGS_MODULE": "realtime_project.settings"}
    done = subprocess.run(
        [sys.executable, "-c", USE_TICKET, ticket], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.strip() == alice.public_id, done.stderr
    refuses(make_scope(ticket=ticket))


def test_many_at_the_same_moment_share_one_query(alice_token, queries):
    async def storm():
        return await asyncio.gather(*[authenticate(make_scope(token=alice_token)) for _ in range(200)])

    callers = asyncio.run(storm())
    assert len(callers) == 200
    assert len(queries) == 1


def test_a_caller_is_remembered_for_a_while_and_then_asked_about_again(alice, alice_token, settings, queries):
    scope = make_scope(token=alice_token)
    caller_of(scope)
    User.objects.filter(pk=alice.pk).update(is_active=False)
    seen = len(queries)
    assert caller_of(scope).pk == alice.pk
    assert len(queries) == seen
    settings.CALLER_CACHE_SECONDS = 0.05
    recent_callers.clear()
    User.objects.filter(pk=alice.pk).update(is_active=True)
    caller_of(scope)
    User.objects.filter(pk=alice.pk).update(is_active=False)
    wait_until_refused(scope, within=5)


def wait_until_refused(scope, *, within):
    deadline = time.monotonic() + patiently(within)
    while time.monotonic() < deadline:
        try:
            caller_of(scope)
        except AuthenticationFailed:
            return
    pytest.fail("still accepted")


def test_a_token_is_not_remembered_beyond_its_end(alice, settings):
    settings.CALLER_CACHE_SECONDS = 3600
    settings.ACCESS_TOKEN_MINUTES = 1 / 60
    scope = make_scope(token=services.access_token_for(user=alice))
    caller_of(scope)
    wait_until_refused(scope, within=10)


def test_one_waiter_that_leaves_does_not_end_the_look_up_for_the_others(alice_token, queries):
    async def scenario():
        scope = make_scope(token=alice_token)
        tasks = [asyncio.create_task(authenticate(scope)) for _ in range(3)]
        await asyncio.sleep(0)
        tasks[0].cancel()
        return await asyncio.gather(*tasks, return_exceptions=True)

    first, *others = asyncio.run(scenario())
    assert isinstance(first, asyncio.CancelledError)
    assert [each.username for each in others] == ["alice", "alice"]
    assert len(queries) == 1


def test_a_bad_signature_costs_no_query(queries):
    refuses(make_scope(token="eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.AAAA"))
    assert queries == []


def test_a_database_that_is_away_is_503_and_not_a_bad_credential(alice_token):
    def broken(execute, sql, params, many, context):
        raise OperationalError("server closed the connection unexpectedly")

    with connection.execute_wrapper(broken), pytest.raises(IdentityUnavailable) as refusal:
        find_caller(Credential("jwt", alice_token), path="")
    assert refusal.value.status_code == 503


def test_a_log_in_is_found_by_the_token_it_gives(alice):
    pair = services.log_in(username="alice", password=PASSWORD, address="127.0.0.1")
    assert caller_of(make_scope(token=pair["access"])).pk == alice.pk
    refuses(make_scope(token=pair["refresh"]), match="not an access token")


def test_what_goes_wrong_is_logged_without_the_secret(alice, alice_token, alice_session, caplog):
    caplog.set_level("DEBUG")
    key, ticket = key_of(alice), ticket_for(alice)
    for good in (make_scope(token=alice_token), make_scope(api_key=key), make_scope(ticket=ticket)):
        caller_of(good)
    caller_of(make_scope(cookies={"sessionid": alice_session}))
    for bad in (make_scope(token=alice_token + "x"), make_scope(api_key=key[:-1]), make_scope(ticket=ticket)):
        refuses(bad)
    for secret in (key, ticket, alice_token, alice_session):
        assert secret not in caplog.text


@given(headers=st.lists(st.tuples(NAMES, VALUES), max_size=3), query=QUERIES)
@hypothesis_settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_bytes_do_more_than_fail_to_authenticate(headers, query):
    scope = make_scope() | {"headers": headers, "query_string": query}
    with pytest.raises((NotAuthenticated, AuthenticationFailed)):
        asyncio.run(authenticate(scope))
