"""Pages that take something from their address, asked with what no address has: never a 5xx."""

import re

import pytest
import requests

from tests.fuzzing.conftest import SECONDS
from tests.fuzzing.nasty import SEGMENTS
from tests.realtime_project.test_openapi import PAGES

WITH_PARAMETERS = sorted(page for page in PAGES if "{" in page)
GOOD = "00000000-0000-0000-0000-000000000000"


@pytest.fixture(scope="module")
def browser(server):
    """Somebody who is logged in."""
    session = requests.Session()
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', session.get(f"{server.address}/login").text)[1]
    form = {"username": "demo", "password": "demo", "csrfmiddlewaretoken": token}
    logged_in = session.post(f"{server.address}/login", data=form, headers={"Referer": server.address}, timeout=SECONDS)
    assert logged_in.ok
    return session


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("page", WITH_PARAMETERS)
def test_a_nasty_parameter_is_no_mistake_of_ours(page, method, browser, server):
    for name in re.findall(r"\{(\w+)\}", page):
        for segment in SEGMENTS:
            path = re.sub(r"\{(\w+)\}", lambda match, segment=segment, name=name: segment if match[1] == name else GOOD, page)
            answer = browser.request(method, f"{server.address}/{path}", timeout=SECONDS)
            assert answer.status_code < 500, path


@pytest.mark.parametrize("name", ["state", "code", "error", "error_description", "iss"])
def test_what_an_authorization_server_sends_back_is_no_mistake_of_ours(name, browser, server):
    for segment in SEGMENTS:
        answer = browser.get(f"{server.address}/oauth/callback?{name}={segment}", timeout=SECONDS)
        assert answer.status_code < 500, segment
