import pytest
from hypothesis import given
from hypothesis import strategies as st
from rest_framework.exceptions import AuthenticationFailed

from accounts.credentials import Credential, Credentials
from tests.accounts.conftest import make_scope

KEY = "sk_" + "0123456789abcdef" * 2
SESSION = "abcdefghijklmnopqrstuvwxyz012345"


def kinds(scope):
    return [(each.kind, each.secret) for each in Credentials.from_scope(scope)]


def test_nothing_presented_is_nothing():
    assert kinds(make_scope()) == []


@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_the_order_is_bearer_session_ticket_token_api_key(kind):
    everything = {
        "headers": {"Authorization": "Bearer jwt.in.header"},
        "cookies": {"sessionid": SESSION},
        "ticket": "t1",
        "token": "jwt.in.query",
        "api_key": KEY,
    }
    expected = [
        ("headers", [("jwt", "jwt.in.header")]),
        ("cookies", [("session", SESSION), ("ticket", "t1")]),
        ("ticket", [("ticket", "t1")]),
        ("token", [("jwt", "jwt.in.query")]),
        ("api_key", [("api_key", KEY)]),
    ]
    for name, outcome in expected:
        assert kinds(make_scope(kind=kind, **everything)) == outcome
        del everything[name]


def test_a_bearer_that_begins_with_sk_is_an_api_key():
    assert kinds(make_scope(headers={"Authorization": f"bearer  {KEY}"})) == [("api_key", KEY)]


def test_an_api_key_may_be_given_as_token():
    assert kinds(make_scope(token=KEY)) == [("api_key", KEY)]


@pytest.mark.parametrize(
    "parts",
    [
        {"headers": {"Authorization": "Bearer"}},
        {"headers": {"Authorization": "Bearer "}},
        {"headers": {"Authorization": "Bearer two words"}},
        {"headers": {"Authorization": "Bearer \xfc"}},
        {"headers": {"Authorization": "Bearer " + "a" * 8193}},
        {"headers": {"Authorization": "Bearer sk_nothex"}},
        {"headers": {"Authorization": "Bearer " + KEY + "0"}},
        {"ticket": ""},
        {"token": ""},
        {"api_key": ""},
        {"token": "nul\0"},
        {"api_key": "a.jwt.here"},
        {"api_key": KEY.upper()},
    ],
)
def test_what_cannot_be_a_credential_is_an_error_and_never_falls_through(parts):
    with pytest.raises(AuthenticationFailed):
        Credentials.from_scope(make_scope(**{"api_key": KEY, **parts}))


def test_two_bearer_headers_are_an_error():
    scope = make_scope()
    scope["headers"] += [(b"authorization", b"Bearer a"), (b"Authorization", b"Bearer b")]
    with pytest.raises(AuthenticationFailed, match="several"):
        Credentials.from_scope(scope)


def test_a_parameter_given_twice_is_an_error():
    scope = make_scope()
    scope["query_string"] = b"token=a&token=b"
    with pytest.raises(AuthenticationFailed, match="several times"):
        Credentials.from_scope(scope)


def test_other_schemes_and_foreign_session_cookies_are_absent():
    scope = make_scope(headers={"Authorization": "Basic dXNlcjpwYXNz"}, cookies={"sessionid": "short"}, token="a.b.c")
    assert kinds(scope) == [("jwt", "a.b.c")]


def test_cookies_in_several_headers_are_read_together():
    scope = make_scope(cookies={"other": "1"})
    scope["headers"].append((b"cookie", f"sessionid={SESSION}".encode()))
    assert kinds(scope) == [("session", SESSION)]


def test_no_representation_shows_the_secret():
    assert "very-secret" not in repr(Credential("jwt", "very-secret"))
    assert "very-secret" not in repr(Credentials.from_scope(make_scope(token="very-secret")))


NAMES = st.sampled_from([b"authorization", b"Authorization", b"cookie", b"x-other"]) | st.binary(max_size=20)
VALUES = st.binary(max_size=60) | st.builds(
    lambda start, rest: start + rest,
    st.sampled_from([b"Bearer ", b"bearer sk_", b"sessionid=", b"sessionid=\x00"]),
    st.binary(max_size=60),
)
QUERIES = st.binary(max_size=80) | st.lists(
    st.builds(
        lambda name, value: name + b"=" + value,
        st.sampled_from([b"token", b"ticket", b"api_key", b"%74oken"]),
        st.binary(max_size=40),
    ),
    max_size=3,
).map(b"&".join)


@given(headers=st.lists(st.tuples(NAMES, VALUES), max_size=4), query=QUERIES, kind=st.sampled_from(["http", "websocket"]))
def test_no_bytes_do_more_than_fail_authentication(headers, query, kind):
    scope = make_scope(kind=kind) | {"headers": headers, "query_string": query}
    try:
        presented = list(Credentials.from_scope(scope))
    except AuthenticationFailed:
        return
    for credential in presented:
        assert credential.secret.isascii()
        assert credential.secret.isprintable()
