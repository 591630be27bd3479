import asyncio

import pytest
from django.conf import settings as django_settings
from django.middleware.csrf import _get_new_csrf_string, _mask_cipher_secret
from rest_framework.exceptions import PermissionDenied

from accounts.authentication import authenticate
from accounts.forgery import refuse_forged
from tests.accounts.conftest import make_scope

TOKEN = _get_new_csrf_string()


def posting(*, cookie=TOKEN, header=TOKEN, method="POST", **more):
    headers = more.pop("headers", {})
    if header is not None:
        headers = headers | {"X-CSRFToken": header}
    return make_scope(method=method, headers=headers, cookies={"csrftoken": cookie} if cookie else None, **more)


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "get"])
def test_safe_methods_need_nothing(method):
    refuse_forged(posting(method=method, cookie=None, header=None))


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "post", "LINK"])
def test_unsafe_methods_need_the_token_in_cookie_and_header(method):
    refuse_forged(posting(method=method))
    refuse_forged(posting(method=method, header=_mask_cipher_secret(TOKEN)))
    for wrong in (
        {"header": None},
        {"cookie": None},
        {"header": _get_new_csrf_string()},
        {"header": "short"},
        {"cookie": "short"},
    ):
        with pytest.raises(PermissionDenied, match="X-CSRFToken"):
            refuse_forged(posting(method=method, **wrong))


def test_a_header_with_an_underscore_does_not_pass_for_the_token():
    scope = posting(header=None)
    scope["headers"].append((b"x_csrftoken", TOKEN.encode()))
    with pytest.raises(PermissionDenied):
        refuse_forged(scope)


def test_the_origin_of_a_post_must_be_ours(settings):
    refuse_forged(posting(headers={"Origin": "http://testserver"}))
    for foreign in ("http://evil.example", "https://testserver", "null", "http://testserver.evil.example", "http://["):
        with pytest.raises(PermissionDenied):
            refuse_forged(posting(headers={"Origin": foreign}))
    settings.CSRF_TRUSTED_ORIGINS = ["https://app.example"]
    refuse_forged(posting(headers={"Origin": "https://app.example"}))


def test_over_https_a_post_without_origin_needs_a_referer_of_ours():
    refuse_forged(posting(scheme="https", headers={"Referer": "https://testserver/page"}))
    with pytest.raises(PermissionDenied, match=r"[Rr]eferer"):
        refuse_forged(posting(scheme="https"))


@pytest.mark.parametrize(("scheme", "origin"), [("ws", "http://testserver"), ("wss", "https://testserver")])
def test_a_handshake_from_our_own_page_passes(scheme, origin):
    refuse_forged(make_scope(kind="websocket", scheme=scheme, headers={"Origin": origin}))


@pytest.mark.parametrize("origin", [None, "http://evil.example", "null", "http://testserver:81", "https://testserver", ""])
def test_a_handshake_from_elsewhere_is_refused(origin):
    headers = {} if origin is None else {"Origin": origin}
    with pytest.raises(PermissionDenied, match="Origin"):
        refuse_forged(make_scope(kind="websocket", headers=headers))


def test_a_handshake_for_a_host_that_is_not_ours_is_refused():
    scope = make_scope(kind="websocket", headers={"Origin": "http://rebound.example"})
    scope["headers"][0] = (b"host", b"rebound.example")
    with pytest.raises(PermissionDenied):
        refuse_forged(scope)


def test_a_handshake_from_a_trusted_origin_passes(settings):
    settings.CSRF_TRUSTED_ORIGINS = ["https://app.example", "https://*.pages.example"]
    for origin in ("https://app.example", "https://a.pages.example"):
        refuse_forged(make_scope(kind="websocket", headers={"Origin": origin}))
    assert django_settings.CSRF_TRUSTED_ORIGINS


@pytest.mark.django_db(transaction=True)
def test_authenticate_checks_sessions_and_only_sessions(alice, alice_session, alice_token):
    def run(scope):
        return asyncio.run(authenticate(scope)).credential

    cookies = {"sessionid": alice_session}
    assert run(make_scope(cookies=cookies)) == "session"
    with pytest.raises(PermissionDenied):
        run(make_scope(cookies=cookies, method="POST"))
    with pytest.raises(PermissionDenied):
        run(make_scope(cookies=cookies, kind="websocket", headers={"Origin": "http://evil.example"}))
    both = cookies | {"csrftoken": TOKEN}
    assert run(make_scope(cookies=both, method="POST", headers={"X-CSRFToken": TOKEN})) == "session"
    assert run(make_scope(cookies=cookies, kind="websocket", headers={"Origin": "http://testserver"})) == "session"
    assert run(make_scope(method="POST", token=alice_token)) == "jwt"
    assert run(make_scope(kind="websocket", token=alice_token, headers={"Origin": "http://evil.example"})) == "jwt"
