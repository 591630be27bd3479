"""Tokens that bring a key along, or say where one is; more of them: `tests/accounts/test_tokens.py`."""

import time

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from rest_framework.exceptions import AuthenticationFailed

from accounts import tokens

SECRET = "the key that this server signs its tokens with"
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OWN = jwt.algorithms.RSAAlgorithm.to_jwk(KEY.public_key(), as_dict=True)
KIDS = [
    "../../../../dev/null",
    "/dev/null",
    "' UNION SELECT 'x' --",
    "x | sleep 5",
    "http://evil.example/k",
    "",
    "\x00",
    "k" * 5000,
]


def claims():
    return {"sub": "user_a", "exp": int(time.time()) + 60}


@pytest.fixture(autouse=True)
def _no_network(settings, monkeypatch):
    settings.JWT_SIGNING_KEY = SECRET

    def fetch(*args, **kwargs):
        raise AssertionError("an address from a token was asked")

    monkeypatch.setattr("urllib.request.urlopen", fetch)


@pytest.mark.parametrize("kid", KIDS, ids=range(len(KIDS)))
def test_a_key_id_leads_to_no_file_query_or_address(kid):
    for key in ("x", "null", "\0"):
        forged = jwt.encode(claims(), key, "HS256", headers={"kid": kid})
        with pytest.raises(AuthenticationFailed):
            tokens.read_access(forged)
    assert tokens.read_access(jwt.encode(claims(), SECRET, "HS256", headers={"kid": kid})).user_id == "user_a"


@pytest.mark.parametrize("algorithm", ["HS256", "RS256"])
@pytest.mark.parametrize(
    "header", [{"jwk": OWN}, {"jku": "http://evil.example/jwks"}, {"x5u": "http://evil.example/cert"}, {"x5c": ["AAAA"]}]
)
def test_a_key_that_the_token_brings_is_never_used(settings, algorithm, header):
    settings.JWT_ALGORITHM = algorithm
    settings.JWT_PUBLIC_KEY = (
        jwt.algorithms.RSAAlgorithm.from_jwk(
            jwt.algorithms.RSAAlgorithm.to_jwk(rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key())
        )
        .public_bytes(*_pem())
        .decode()
    )
    with pytest.raises(AuthenticationFailed):
        tokens.read_access(jwt.encode(claims(), KEY, "RS256", headers=header))


def _pem():
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
