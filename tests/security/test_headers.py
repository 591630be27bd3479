"""What every answer tells browsers: pages run scripts of this server only, and nothing is taken for what it is not."""

import re

import pytest

from accounts.threads import in_thread
from tests.security.addresses import of_the_admin, of_the_product
from tests.security.asking import Person
from tests.security.endpoints import ENDPOINTS, HOLDER, PUBLIC, STAFF

STRICT = {
    "default-src": "'self'",
    "object-src": "'none'",
    "base-uri": "'none'",
    "form-action": "'self'",
    "frame-ancestors": "'none'",
}


def policy(answer):
    return dict(part.strip().partition(" ")[::2] for part in answer.headers["content-security-policy"].split(";"))


def problems(answer):
    """What is missing on one answer."""
    headers = answer.headers
    if headers.get("x-content-type-options") != "nosniff":
        yield "no nosniff"
    if not headers.get("content-type", "").startswith("text/html"):
        return
    said = policy(answer) if "content-security-policy" in headers else {}
    if "sandbox" in said:
        # A document of the user's in a frame: a stranger to our pages, in which nothing runs.
        if said["default-src"] != "'none'" or said["sandbox"] or "script-src" in said:
            yield f"a sandbox with holes: {said}"
    else:
        wanted = {name: said.get(name) for name in STRICT}
        if wanted != STRICT or "unsafe" in str(said) or "*" in str(said):
            yield f"no strict policy: {said}"
        if headers.get("x-frame-options") != "DENY":
            yield "may be framed"
        if re.search(rb"<[^>]+\son[a-z]+=|<script(?![^>]*(src=|application/json))|<style|javascript:", answer.body):
            yield "what the policy forbids is in the page"
    if headers.get("referrer-policy") not in ("same-origin", "no-referrer"):
        yield "tells others where one comes from"
    if headers.get("cross-origin-opener-policy") != "same-origin":
        yield "shares its window with who opened it"


async def test_every_answer_of_every_address_carries_them(who):
    asking = {name: await in_thread(Person, getattr(who, name, None)) for name in ("alice", "staff", "nobody")}
    views = {each.pattern: each for each in of_the_product()}
    wrong, pages = [], 0
    for pattern, lines in ENDPOINTS.items():
        for line in lines:
            ids = await in_thread(line.make, who) if line.make else {}
            path = views[pattern].path(**ids) + line.query.format(**ids)
            for name in ("nobody", "staff" if line.who == STAFF else "alice"):
                answer = await asking[name].ask("GET", path)
                pages += answer.headers.get("content-type", "").startswith("text/html")
                wrong += [f"{path} ({answer.status}, {name}): {each}" for each in problems(answer)]
    assert pages > 20
    assert not wrong, "\n".join(wrong)


async def test_pages_of_the_admin_carry_them_too(who):
    who.staff.is_superuser = True
    await in_thread(who.staff.save)
    staff = await in_thread(Person, who.staff)
    wrong = []
    for address in of_the_admin():
        answer = await staff.ask("GET", address.path())
        wrong += [f"{address.pattern} ({answer.status}): {each}" for each in problems(answer)]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("status", [400, 403, 404, 405])
async def test_error_pages_carry_them_too(who, status):
    bob = await in_thread(Person, who.bob)
    target = {400: ("GET", "/healthz"), 403: ("GET", "/ops"), 404: ("GET", "/nowhere"), 405: ("GET", "/logout")}[status]
    headers = {"cookie": bob.cookies} | ({"host": "evil.example"} if status == 400 else {})
    answer = await bob.request(*target, headers=headers)
    assert answer.status == status
    assert not list(problems(answer))


async def test_answers_with_what_is_somebodys_are_kept_by_no_cache_between(who):
    """What a proxy or a shared cache stores, the next one to ask is shown."""
    alice = await in_thread(Person, who.alice)
    views = {each.pattern: each for each in of_the_product()}
    wrong = []
    for pattern, lines in ENDPOINTS.items():
        for line in lines:
            if line.who in (PUBLIC, HOLDER, STAFF) or "GET" not in line.methods:
                continue
            ids = await in_thread(line.make, who) if line.make else {}
            answer = await alice.ask("GET", views[pattern].path(**ids) + line.query.format(**ids))
            if answer.status < 300 and not re.search("private|no-store|no-cache", answer.headers.get("cache-control", "")):
                wrong.append(pattern)
    assert not wrong, "\n".join(wrong)
