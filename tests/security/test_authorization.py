"""Nobody gets at what is another's: every address with an id, found by walking the URL table, asked with every method.

As bob, of alice's own organisation; as eve, of another; and by nobody. What is refused changes nothing and says nothing
of the thing. That the same request is answered for alice shows that it was refused for whose it is, not for a mistake in it.
An address without a line in `tests/security/endpoints.py` fails `test_every_address_says_who_may_call_it`.
"""

import contextlib
import re

import pytest

from accounts.threads import in_thread
from chat.models import ChatSession
from tests.security import people
from tests.security.addresses import METHODS, of_the_admin, of_the_product, sockets
from tests.security.asking import Person, everything_stored, open_socket
from tests.security.endpoints import ANY, ENDPOINTS, HOLDER, OWNER, PUBLIC, SOCKETS

REFUSED = {401, 403, 404, 405}
ADDRESSES = {each.pattern: each for each in of_the_product()}
OPEN_IN_THE_ADMIN = {"admin/login/", "admin/logout/"}


async def asking(who, *names):
    return {name: await in_thread(Person, getattr(who, name, None)) for name in names}


def test_every_address_says_who_may_call_it():
    """And with which methods: a new one of either kind needs a line."""
    assert set(ENDPOINTS) == set(ADDRESSES), "add a line to tests/security/endpoints.py"
    for pattern, lines in ENDPOINTS.items():
        said = {method for line in lines for method in line.methods}
        known = ADDRESSES[pattern].methods
        assert known is None or said == known, f"{pattern} has {known}, its lines say {said}"
        assert said <= set(METHODS)


def test_every_address_with_an_id_is_filled_with_something_of_alices():
    for pattern, lines in ENDPOINTS.items():
        if ADDRESSES[pattern].names:
            assert all(line.make for line in lines), f"{pattern} has an id: say how to make an object for it"
    assert set(SOCKETS) == set(sockets()), "add a line to SOCKETS"


def body_of(line, method, ids):
    body = line.methods.get(method)
    return body(ids) if callable(body) else body


def is_refused(answer):
    return answer.status in REFUSED or (answer.status == 302 and answer.headers["location"].startswith("/login"))


def filled(pattern, line, who):
    """The path to a new thing of alice's, and what it was filled with."""
    ids = line.make(who) if line.make else {}
    return ADDRESSES[pattern].path(**ids) + line.query.format(**ids), ids


def all_lines(who):
    return [(pattern, line, *filled(pattern, line, who)) for pattern, lines in ENDPOINTS.items() for line in lines]


@pytest.mark.parametrize("name", ["bob", "eve", "nobody"])
async def test_who_may_not_is_refused_and_nothing_changed(who, redis_url, name):
    person = (await asking(who, name))[name]
    made = await in_thread(all_lines, who)
    before = await in_thread(everything_stored, redis_url)
    wrong = []
    for pattern, line, path, ids in made:
        # Methods that there are not, too; of several lines each speaks of its own.
        methods = METHODS if len(ENDPOINTS[pattern]) == 1 else tuple(line.methods)
        for method in methods if name not in line.allowed else ():
            answer = await person.ask(method, path, body_of(line, method, ids))
            if not is_refused(answer) or people.SECRET.encode() in answer.body:
                wrong.append(f"{method} {pattern}: {answer.status} {answer.body[:100]!r}")
    after = await in_thread(everything_stored, redis_url)
    changed = {each for each in before | after if before.get(each) != after.get(each)}
    assert not wrong, "\n".join(wrong)
    assert not changed, "a refused request changed these tables or streams"


@pytest.mark.parametrize("name", ["bob", "eve", "nobody"])
async def test_where_everybody_may_ask_nobody_sees_what_is_alices(who, name):
    """Lists, pages and searches of one's own."""
    person = (await asking(who, name))[name]
    made = await in_thread(all_lines, who)
    for pattern, line, path, _ in made:
        if name in line.allowed and line.who not in (OWNER, HOLDER):
            answer = await person.ask("GET", path)
            assert answer.status < 500 or answer.status in line.fails, (pattern, answer.body)
            assert people.SECRET.encode() not in answer.body, pattern


async def test_who_may_is_answered(who):
    """Whoever is alice's is asked for by her, and what is the staff's by the staff; the same requests that others are refused."""
    everybody = await asking(who, "alice", "bob", "eve", "staff", "nobody")
    wrong = []
    for pattern, lines in ENDPOINTS.items():
        for line in lines:
            asks = {ANY: "eve", PUBLIC: "nobody", HOLDER: "nobody"}.get(line.who) or ("alice" if line.who != "staff" else "staff")
            for method in line.methods:
                path, ids = await in_thread(filled, pattern, line, who)
                answer = await everybody[asks].ask(method, path, body_of(line, method, ids))
                fine = answer.status < 400 if line.who == OWNER else answer.status < 500 and answer.status not in REFUSED
                led_away = asks != "nobody" and answer.headers.get("location", "").startswith("/login")
                if led_away or not (fine or answer.status in line.fails):
                    wrong.append(f"{method} {pattern} as {asks}: {answer.status} {answer.body[:200]!r}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("name", ["bob", "eve", "nobody"])
async def test_sockets_let_in_only_who_may(who, name, settings):
    settings.SOCKET_AUTH_SECONDS = 0.2
    user = getattr(who, name, None)
    token = (await in_thread(Person, user)).token
    for pattern, lines in SOCKETS.items():
        for line in lines:
            ids = await in_thread(line.make, who) if line.make else {}
            frames, code = await open_socket(socket_path(pattern, ids), token=token)
            if name in line.allowed:
                assert code is None, pattern
            else:
                assert code in (1008, 4404), (pattern, frames, code)
            assert people.SECRET not in "".join(frames) or line.who == HOLDER, pattern


async def test_sockets_let_in_who_may(who):
    token = (await in_thread(Person, who.alice)).token
    for pattern, lines in SOCKETS.items():
        for line in lines:
            ids = await in_thread(line.make, who) if line.make else {}
            frames, code = await open_socket(socket_path(pattern, ids), token=token)
            assert frames, pattern
            assert code is None, pattern


@pytest.mark.parametrize("name", ["bob", "eve"])
async def test_anothers_session_is_only_a_name(who, name):
    """Its id, its name, or that of a room: who takes no part gets a session of his own, or a refusal; nothing of alice's."""
    person = (await asking(who, name))[name]
    hers, room = (await in_thread(people.session, who))["name"], (await in_thread(people.room, who))["room_id"]
    session = await in_thread(lambda: ChatSession.objects.get(pk=hers))
    rows = ChatSession.objects.filter(pk__in=[hers, room]).order_by("pk")
    told = rows.values_list("pk", "name", "owner__username", "participants__user__username", "conversations")
    before = await in_thread(list, told)
    for called in (hers, session.name, room, f"room:{room}"):
        frames, _ = await open_socket(f"/ws/chat/{called}", token=person.token)
        assert people.SECRET not in "".join(frames)
        assert "alice" not in "".join(frames)
        for method, rest, body in (
            ("POST", "/participants", {"user": f"user_{name}"}),
            ("GET", "", None),
            ("GET", "/messages", None),
        ):
            answer = await person.ask(method, f"/api/v1/chat/sessions/{called}{rest}", body)
            assert people.SECRET.encode() not in answer.body
            assert b"alice" not in answer.body
    assert await in_thread(list, told) == before


def socket_path(pattern, ids):
    plain = pattern.removeprefix("^").removesuffix("/?$")
    return "/" + re.sub(r"\(\?P<(\w+)>[^)]*\)", lambda found: str(ids[found[1]]), plain)


@pytest.mark.parametrize("name", ["eve", "nobody"])
async def test_nothing_of_the_admin_is_shown_to_who_is_not_staff(who, redis_url, name):
    person = (await asking(who, name))[name]
    before = await in_thread(everything_stored, redis_url)
    for address in of_the_admin():
        if address.pattern in OPEN_IN_THE_ADMIN:
            continue
        for method in ("GET", "POST"):
            answer = await person.ask(method, address.path())
            assert answer.status in {302, *REFUSED}, f"{method} {address.pattern}: {answer.status}"
            with contextlib.suppress(KeyError):
                assert "/login" in answer.headers["location"], address.pattern
    assert await in_thread(everything_stored, redis_url) == before


async def test_the_staff_sees_in_the_admin_only_what_it_was_given(who):
    """Being staff opens the index; each model wants a permission."""
    staff = (await asking(who, "staff"))["staff"]
    # What is told at /api/v1/ops/connections, to the staff as well.
    own = {
        "admin/events/durablestream/connections/",
        "admin/",
        "admin/password_change/",
        "admin/password_change/done/",
        "admin/autocomplete/",
        "admin/jsi18n/",
    }
    models = [each for each in of_the_admin() if each.pattern not in own | OPEN_IN_THE_ADMIN]
    assert len(models) > 100
    for address in models:
        answer = await staff.ask("GET", address.path())
        # Django leads what it does not find to the index.
        assert answer.status in {302, 403, 404}, f"{address.pattern}: {answer.status}"
