"""Masking: no secret is recorded, whatever it is wrapped in."""

import json
from dataclasses import dataclass
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from events.event import to_json
from plugins.masking import MASK, cut, is_secret, mask, mask_text, shown

HIDDEN = "hunter2-ZQXJKV"

NAMES = st.sampled_from(
    [
        "password",
        "Password",
        "db_password",
        "PASSWD",
        "token",
        "access_token",
        "refreshToken",
        "X-Auth-Token",
        "client_secret",
        "Authorization",
        "proxy-authorization",
        "api_key",
        "apiKey",
        "X-API-Key",
        "Cookie",
        "set-cookie",
        "AWS_SECRET_ACCESS_KEY",
    ]
)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4) | st.tuples(inner, inner),
    max_leaves=12,
)
SECRETS = st.one_of(
    st.builds(lambda name: {name: HIDDEN}, NAMES),
    st.builds(lambda name, inner: {name: [inner, {"a": HIDDEN}]}, NAMES, PLAIN),
    st.builds(lambda name: [[name, HIDDEN], ["Accept", "*/*"]], NAMES),
    st.builds(lambda name: (name.encode(), HIDDEN.encode()), NAMES),
    st.builds(lambda name: {"name": name, "value": HIDDEN}, NAMES),
    st.builds(lambda name: f"https://example.org/a?x=1&{quote(name)}={HIDDEN}&y=2", NAMES),
    st.builds(lambda name: f"https://example.org/a#{name}={HIDDEN}", NAMES),
    st.just(f"postgres://user:{HIDDEN}@db.example.org/x"),
    st.builds(lambda name: f"GET / HTTP/1.1\r\n{name}: {HIDDEN}\r\nAccept: */*", NAMES),
    st.just(f"curl -H 'Authorization: Bearer {HIDDEN}'"),
    st.just(f"Cookie: a=b; session={HIDDEN}"),
    st.builds(lambda name: f"{name}={HIDDEN}", NAMES),
    st.builds(lambda name: json.dumps({"a": [{name: f"{HIDDEN} two words"}]}), NAMES),
    st.builds(lambda name: f"it said {json.dumps({name: HIDDEN + ' two'})}", NAMES),
    st.builds(lambda name: repr({name: f"{HIDDEN} two"}), NAMES),
)


def nested(inner):
    return st.recursive(
        inner,
        lambda deeper: (
            st.builds(lambda a, b: [a, b], PLAIN, deeper)
            | st.builds(lambda a, b: {"first": a, "second": b}, PLAIN, deeper)
            | st.builds(lambda a: {"body": to_json(mask(a)), "more": (a,)}, deeper)
        ),
        max_leaves=6,
    )


@settings(max_examples=400, deadline=None)
@given(nested(SECRETS))
def test_no_secret_is_recorded(value):
    text = to_json(mask(value))
    assert HIDDEN not in text
    assert HIDDEN[:7] not in text


@settings(max_examples=200, deadline=None)
@given(PLAIN, st.integers(200, 2000))
def test_whatever_is_recorded_is_json_of_a_bounded_size(value, most):
    recorded = shown(value, most=most)
    assert len(to_json(recorded)) <= most
    assert json.loads(to_json(recorded)) == recorded


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=3000), st.integers(200, 1000))
def test_large_texts_are_cut_with_a_note(text, most):
    recorded = cut(text, most=most)
    assert len(to_json(recorded)) <= most
    if recorded != text:
        assert recorded["truncated"] is True
        assert recorded["bytes"] == len(to_json(text))
        assert text.startswith(recorded["beginning"])


def test_what_is_no_secret_stays():
    value = {"name": "Ada", "count": 3, "items": [1.5, None, True], "url": "https://example.org/?page=2", "value": "x"}
    assert mask(value) == value


@pytest.mark.parametrize("name", ["tokens_used", "max_tokens", "prompt_tokens", "token_count"])
def test_numbers_of_tokens_are_no_secrets(name):
    assert mask({name: 12}) == {name: 12}
    assert mask_text(f"{name}=12") == f"{name}=12"
    assert mask({name: "abc"}) == {name: MASK}


@pytest.mark.parametrize("name", ["author", "footprint", "tokenizer", "keyboard", "monkey", "pinned", "compass", "session"])
def test_names_that_only_look_like_secrets(name):
    assert not is_secret(name)
    assert mask({name: "x"}) == {name: "x"}


def test_a_secret_number_is_masked_and_a_missing_one_is_told():
    assert mask({"password": 1234, "pin": 42, "token": None, "secret": "", "cookie": False}) == {
        "password": MASK,
        "pin": MASK,
        "token": None,
        "secret": "",
        "cookie": False,
    }


def test_an_address_keeps_what_is_not_secret():
    url = "https://user:pw@api.example.org:8443/v1/things?page=2&api_key=abc&q=a%20b#part"
    assert mask_text(url) == "https://***@api.example.org:8443/v1/things?page=2&api_key=***&q=a%20b#part"


def test_values_of_any_kind_are_recorded():
    @dataclass
    class Login:
        user: str
        password: str

    class Broken:
        def __str__(self):
            raise RuntimeError

    circle = []
    circle.append(circle)
    recorded = mask(
        {"login": Login("ada", "pw"), "broken": Broken(), "circle": circle, 3: {1, 2}, "raw": b"\x00\x01", "nan": float("nan")}
    )
    assert recorded["login"] == {"user": "ada", "password": MASK}
    assert recorded["broken"] == "<Broken>"
    assert recorded["raw"] == "<2 bytes>"
    assert recorded["nan"] == "nan"
    assert sorted(recorded["3"]) == [1, 2]


def test_a_value_that_branches_into_itself_ends():
    knot = {}
    knot.update({str(number): knot for number in range(10)})
    assert len(to_json(mask(knot))) < 1_000_000


@pytest.mark.parametrize(
    "text",
    [
        "a" * 300_000,
        "password" * 30_000,
        "://" * 80_000,
        "?" * 200_000,
        "a=" * 100_000,
        '"' * 200_000,
        "token:\\" * 30_000,
        "-" * 200_000,
        "token-" * 30_000,
    ],
)
@pytest.mark.timeout(10)
def test_long_texts_take_no_long_time(text):
    assert len(mask_text(text)) <= 450_000


def test_what_is_cut_off_does_not_lose_the_name_of_a_secret():
    recorded = shown({"note": "x" * 5000, "password": HIDDEN}, most=1000)
    assert HIDDEN not in to_json(recorded)
    long = "x " * 99_990 + f"https://user:{HIDDEN}@example.org/ and more"
    assert HIDDEN not in mask_text(long)
