import base64
import http.server
import json
import threading
import time

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st
from rest_framework.exceptions import AuthenticationFailed

from accounts import tokens
from accounts.exceptions import IdentityUnavailable, TokensNotIssued

SECRET = "a-secret-of-the-tests-that-is-long-enough-0123456789"


@pytest.fixture(autouse=True)
def _own_key(settings):
    settings.JWT_SIGNING_KEY = SECRET


@pytest.fixture(scope="module")
def rsa_key():
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def private_pem(key):
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()


def public_pem(key):
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()


def signed(key=SECRET, algorithm="HS256", headers=None, **claims):
    payload = {"sub": "user_a", "exp": int(time.time()) + 60} | claims
    return jwt.encode({name: value for name, value in payload.items() if value is not None}, key, algorithm, headers=headers)


def unsigned(payload, algorithm="none"):
    parts = ({"alg": algorithm, "typ": "JWT"}, payload)
    return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts) + "."


def test_an_access_token_carries_the_claims_of_the_wire(settings):
    settings.ACCESS_TOKEN_MINUTES = 5
    before = int(time.time())
    payload = jwt.decode(tokens.issue_access(user_id="user_a", organizations=("org_1", "org_2")), SECRET, ["HS256"])
    assert payload["sub"] == "user_a"
    assert payload["org"] == ["org_1", "org_2"]
    assert before <= payload["iat"] <= time.time()
    assert payload["exp"] - payload["iat"] == 300
    assert payload["jti"]
    assert payload["jti"] != jwt.decode(tokens.issue_access(user_id="user_a", organizations=()), SECRET, ["HS256"])["jti"]


def test_what_is_issued_can_be_read_back():
    claims = tokens.read_access(tokens.issue_access(user_id="user_a", organizations=()))
    assert claims.user_id == "user_a"
    assert claims.expires_at == pytest.approx(time.time() + 3600, abs=5)
    assert tokens.read_refresh(tokens.issue_refresh(user_id="user_a", stamp="s")).stamp == "s"


def test_the_signing_key_is_the_secret_key_when_none_is_set(settings):
    settings.JWT_SIGNING_KEY = ""
    assert jwt.decode(tokens.issue_access(user_id="u", organizations=()), settings.SECRET_KEY, ["HS256"])["sub"] == "u"


@pytest.mark.parametrize(
    "make",
    [
        lambda: unsigned({"sub": "user_a", "exp": int(time.time()) + 60}),
        lambda: unsigned({"sub": "user_a", "exp": int(time.time()) + 60}, algorithm="HS256"),
        lambda: signed(algorithm="HS512"),
        lambda: signed(key="another key that is also long enough to be used"),
        lambda: signed(sub=None),
        lambda: signed(sub=""),
        lambda: signed(sub="nul\0"),
        lambda: signed(sub="\ud800"),
        lambda: signed(sub="a" * 129),
        lambda: signed(exp=None),
        lambda: signed(exp=int(time.time()) - 1),
        lambda: signed(exp="soon"),
        lambda: signed(exp=float("inf")),
        lambda: signed(nbf=int(time.time()) + 60),
        lambda: tokens.issue_refresh(user_id="user_a", stamp=""),
        lambda: signed(token_type=["access"]),
        lambda: signed() + "x",
        lambda: signed().rpartition(".")[0],
        lambda: "",
        lambda: "..",
        lambda: "not a token",
        lambda: base64.urlsafe_b64encode(b"[" * 5000).decode() + ".e30.AA",
    ],
)
def test_a_token_that_is_not_one_of_ours_is_refused(make):
    with pytest.raises(AuthenticationFailed):
        tokens.read_access(make())


def test_a_token_with_a_number_as_subject_is_refused():
    forged = signed(sub="x").split(".")
    body = base64.urlsafe_b64encode(json.dumps({"sub": 7, "exp": int(time.time()) + 60}).encode()).rstrip(b"=").decode()
    signature = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256).sign(
        f"{forged[0]}.{body}".encode(), SECRET.encode()
    )
    with pytest.raises(AuthenticationFailed):
        tokens.read_access(f"{forged[0]}.{body}." + base64.urlsafe_b64encode(signature).rstrip(b"=").decode())


def test_an_access_token_is_no_refresh_token():
    with pytest.raises(AuthenticationFailed, match="not a refresh token"):
        tokens.read_refresh(tokens.issue_access(user_id="user_a", organizations=()))


def test_an_expired_token_is_told_apart():
    with pytest.raises(AuthenticationFailed, match="expired"):
        tokens.read_access(signed(exp=int(time.time()) - 1))


def test_leeway_covers_a_clock_that_differs(settings):
    settings.JWT_LEEWAY_SECONDS = 30
    assert tokens.read_access(signed(exp=int(time.time()) - 5)).user_id == "user_a"


def test_audience_and_issuer_are_checked_when_set(settings):
    settings.JWT_AUDIENCE, settings.JWT_ISSUER = "throughline", "https://id.example"
    assert tokens.read_access(tokens.issue_access(user_id="user_a", organizations=())).user_id == "user_a"
    for claims in ({}, {"aud": "other", "iss": "https://id.example"}, {"aud": "throughline", "iss": "https://evil.example"}):
        with pytest.raises(AuthenticationFailed):
            tokens.read_access(signed(**claims))


def test_rs256_with_a_public_key(settings, rsa_key):
    settings.JWT_ALGORITHM, settings.JWT_PUBLIC_KEY = "RS256", public_pem(rsa_key).replace("\n", "\\n")
    assert tokens.read_access(signed(rsa_key, "RS256")).user_id == "user_a"
    with pytest.raises(AuthenticationFailed):
        tokens.read_access(signed(SECRET, "HS256"))


def test_the_public_key_is_never_taken_as_an_hmac_secret(settings, rsa_key):
    pem = public_pem(rsa_key)
    settings.JWT_ALGORITHM, settings.JWT_PUBLIC_KEY = "RS256", pem
    token = unsigned({"sub": "user_a", "exp": int(time.time()) + 60}, algorithm="HS256")
    signature = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256).sign(token[:-1].encode(), pem.encode())
    with pytest.raises(AuthenticationFailed):
        tokens.read_access(token + base64.urlsafe_b64encode(signature).rstrip(b"=").decode())


def test_rs256_signs_with_a_private_key_and_only_then(settings, rsa_key):
    settings.JWT_ALGORITHM, settings.JWT_PUBLIC_KEY = "RS256", public_pem(rsa_key)
    settings.JWT_SIGNING_KEY = private_pem(rsa_key)
    assert tokens.read_access(tokens.issue_access(user_id="user_a", organizations=())).user_id == "user_a"
    settings.JWT_SIGNING_KEY = ""
    with pytest.raises(TokensNotIssued):
        tokens.issue_access(user_id="user_a", organizations=())


class KeyServer:
    """Serves a JWK set on a local port and counts how often it was asked."""

    def __init__(self):
        self.keys = {}
        self.requests = 0
        self.body = None
        outer = self

        class Answer(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.requests += 1
                self.send_response(200)
                self.end_headers()
                self.wfile.write(outer.body or json.dumps({"keys": list(outer.keys.values())}).encode())

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self.server.server_port}/jwks.json"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def add(self, kid, key):
        self.keys[kid] = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key())) | {"kid": kid, "use": "sig"}

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def key_server(settings, rsa_key):
    server = KeyServer()
    server.add("first", rsa_key)
    settings.JWT_ALGORITHM, settings.JWT_JWKS_URL = "RS256", server.url
    yield server
    server.close()


def test_a_jwk_set_is_fetched_once_and_kept(key_server, rsa_key):
    for _ in range(3):
        assert tokens.read_access(signed(rsa_key, "RS256", {"kid": "first"})).user_id == "user_a"
    assert key_server.requests == 1


def test_a_new_key_is_fetched_when_its_id_is_unknown(key_server, rsa_key, settings):
    settings.JWKS_REFETCH_SECONDS = 0
    tokens.read_access(signed(rsa_key, "RS256", {"kid": "first"}))
    key_server.add("second", rsa_key)
    assert tokens.read_access(signed(rsa_key, "RS256", {"kid": "second"})).user_id == "user_a"
    assert key_server.requests == 2


def test_unknown_key_ids_do_not_make_us_fetch_again_and_again(key_server, rsa_key):
    tokens.read_access(signed(rsa_key, "RS256", {"kid": "first"}))
    for number in range(5):
        with pytest.raises(AuthenticationFailed):
            tokens.read_access(signed(rsa_key, "RS256", {"kid": f"made-up-{number}"}))
    assert key_server.requests == 1


@pytest.mark.parametrize("body", [b"not json", b"[]", b'{"keys": []}'])
def test_a_key_server_that_answers_nonsense_is_our_fault_and_asked_again_only_later(key_server, rsa_key, body):
    key_server.body = body
    for _ in range(3):
        with pytest.raises(IdentityUnavailable):
            tokens.read_access(signed(rsa_key, "RS256", {"kid": "first"}))
    assert key_server.requests == 1


def test_a_key_server_that_cannot_be_reached_is_503(key_server, rsa_key):
    key_server.close()
    with pytest.raises(IdentityUnavailable) as refusal:
        tokens.read_access(signed(rsa_key, "RS256", {"kid": "first"}))
    assert refusal.value.status_code == 503


@given(token=st.text(max_size=200) | st.binary(max_size=100).map(lambda raw: base64.urlsafe_b64encode(raw).decode() + ".e30.AA"))
def test_no_text_does_more_than_fail(token):
    with pytest.raises(AuthenticationFailed):
        tokens.read_access(token)
