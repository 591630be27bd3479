import re

import pytest
from django.test import Client

from accounts.services import ensure_user

pytestmark = pytest.mark.django_db
PAGES = ["/sources", "/explorer"]


def visitor(*, staff=False):
    client = Client()
    client.force_login(
        ensure_user(
            username="staff" if staff else "alice",
            password="pw",
            public_id="user_staff" if staff else "user_alice",
            is_staff=staff,
        )
    )
    return client


@pytest.mark.parametrize("path", PAGES)
def test_strangers_are_led_to_the_login_and_back(client, path):
    response = client.get(path)
    assert (response.status_code, response["Location"]) == (302, f"/login?next={path}")


@pytest.mark.parametrize("path", ["/", *PAGES])
def test_every_page_has_the_bell_the_toasts_and_a_csrf_cookie(path):
    response = visitor().get(path)
    html = response.content.decode()
    for part in ("bell", "toasts", "connection", "announcements", "shell-user"):
        assert len(re.findall(f'id="{part}"', html)) == 1, part
    assert "csrftoken" in response.cookies
    assert '"user_alice"' in html


@pytest.mark.parametrize("path", ["/", "/login", "/nowhere", *PAGES])
def test_pages_keep_to_their_content_security_policy(path):
    response = visitor().get(path)
    html = response.content.decode()
    assert "default-src 'self'" in response["Content-Security-Policy"]
    assert "unsafe-inline" not in response["Content-Security-Policy"]
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=", html)
    assert all("src=" in tag or "application/json" in tag for tag in re.findall(r"<script[^>]*>", html))


def test_only_staff_may_publish_from_the_explorer():
    assert 'id="publish-form"' not in visitor().get("/explorer").content.decode()
    assert 'id="publish-form"' in visitor(staff=True).get("/explorer").content.decode()


def test_the_page_of_sources_tells_what_is_taken(settings):
    settings.KNOWLEDGE_MAX_BYTES = 3 << 20
    html = visitor().get("/sources").content.decode()
    assert "txt, md, html, pdf, docx, csv" in html
    assert "3 MiB" in html
    assert '"max_bytes": 3145728' in html
