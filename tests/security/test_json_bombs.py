"""JSON that is made to hurt, sent to every address that takes a body: an answer of the 400s, and never an error of ours.

The sockets' own: `tests/events/test_frames.py`.
"""

import json

from accounts.threads import in_thread
from tests.security.addresses import of_the_product
from tests.security.asking import CSRF, Person
from tests.security.endpoints import ENDPOINTS, STAFF

DEEP = 100_000
BOMBS = {
    "nested lists": b"[" * DEEP,
    "nested objects": b'{"a":' * DEEP,
    "nested lists that are closed": b"[" * 20_000 + b"]" * 20_000,
    "just not too deep for the parser": b'{"name":' + b"[" * 900 + b"]" * 900 + b"}",
    "a number of many digits": b'{"name": ' + b"9" * 10_000 + b"}",
    "a number beyond all": b'{"name": 1e999, "limit": -1e999}',
    "no number": b'{"name": NaN, "limit": Infinity}',
    "a huge key": b'{"' + b"k" * 60_000 + b'": 1}',
    "many keys": json.dumps({f"k{n}": n for n in range(5000)}).encode(),
    "half a character": rb'{"name": "\ud800", "\udfff": 1}',
    "a NUL": rb'{"name": "\u0000", "\u0000": 1}',
    "no UTF-8": b'{"name": "\xff\xfe"}',
    "a list": b"[]",
    "null": b"null",
    "nothing": b"",
}
FIELDS = """
    name message text content title body user users role input tool_name events event data type payload topic organization
    question query conversation_id changes change_id approved decisions approval_id action ids endpoint keys path username
    password refresh participants account_id message_id turn_index version_id session_id document_html metadata scope stream
    pattern condition channels recipients choices quiet tools server_url history rag_config attachments seed sources
"""


async def test_no_body_is_an_error_of_ours(who):
    wrong = []
    for person, method, path in await in_thread(places, who):
        for bomb, raw in BOMBS.items():
            answer = await send(person, method, path, raw)
            if not 200 <= answer.status < 500:
                wrong.append(f"{bomb} to {method} {path}: {answer.status} {answer.body[:200]!r}")
    assert not wrong, "\n".join(wrong)


async def test_no_field_of_a_body_is_an_error_of_ours_however_deep_it_is(who):
    """What the parser lets through reaches the checks of each field, and whatever stores it."""
    wrong = []
    for person, method, path in await in_thread(places, who):
        for deep in (60, 450, 900):
            for raw in bodies(deep):
                answer = await send(person, method, path, raw)
                if not 200 <= answer.status < 500:
                    wrong.append(f"{deep} deep to {method} {path}: {answer.status} {answer.body[:200]!r}")
    assert not wrong, "\n".join(wrong)


def bodies(deep):
    """One with every field that there is anywhere, each so deep; and one that every check but the last takes."""
    value = "[" * deep + "]" * deep
    yield ("{" + ",".join(f'"{name}": {value}' for name in FIELDS.split()) + "}").encode()
    logged = f'[{{"type": "log", "data": {{"message": "x", "v": {value}}}}}]'
    yield f'{{"events": {logged}, "tool_name": "t", "input": {{"v": {value}}}, "metadata": {{"v": {value}}}}}'.encode()


def places(who):
    """Every address and method that looks at a body, filled with things of alice's, and who may ask it."""
    asking = {name: Person(getattr(who, name)) for name in ("alice", "staff")}
    views = {each.pattern: each for each in of_the_product()}
    return [
        (asking["staff" if line.who == STAFF else "alice"], method, views[pattern].path(**ids))
        for pattern, lines in ENDPOINTS.items()
        for line in lines
        for ids in [line.make(who) if line.make else {}]
        for method in line.methods
        if method in ("POST", "PUT", "PATCH")
    ]


async def send(person, method, path, raw):
    headers = {"cookie": person.cookies, "x-csrftoken": CSRF}
    return await person.request(method, path, body=raw, headers=headers, until=lambda _: True)
