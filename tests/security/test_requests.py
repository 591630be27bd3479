"""Requests that try for more than they may: by fields nobody asked for, by what differs between two refusals, by compression."""

import gzip
import uuid

from accounts.models import User
from accounts.threads import in_thread
from chat.models import Conversation, EditedDocument, Message
from events.models import WebhookEndpoint
from knowledge.models import Source
from notifications.models import Notification, Rule
from plugins.models import Connection, Plugin
from tests.security.addresses import of_the_product
from tests.security.asking import CSRF, Person
from tests.security.endpoints import ENDPOINTS, OWNER
from workspaces.models import Workspace

VIEWS = {each.pattern: each for each in of_the_product()}
MORE = {
    "is_staff": True,
    "is_superuser": True,
    "is_active": False,
    "owner": "user_eve",
    "owner_id": 1,
    "user_id": "user_eve",
    "author": "user_eve",
    "organization_id": "org_e",
    "public_id": "chosen",
    "id": "11111111-1111-4111-8111-111111111111",
    "pk": 1,
    "created_at": "1999-01-01T00:00:00Z",
    "builtin": "new_message",
    "credential": "jwt",
    "sealed_access_token": "x",
}
GOOD = {
    "/api/v1/auth/api-keys": {"name": "k"},
    "/api/v1/sources": {"name": "n", "text": "t"},
    "/api/v1/workspaces": {"organization": "org_a", "name": "w"},
    "/api/v1/plugins": {"organization": "org_a", "name": "p"},
    "/api/v1/rooms": {"type": "standard", "participants": [{"account_id": "user_carol", "kind": "user"}]},
    "/api/v1/connections": {"name": "c", "server_url": "https://example.org/mcp"},
    "/v1/chat/async": {"message": "hello", "document_html": "<p>x</p>"},
    "/api/v1/webhooks": {"url": "https://example.org/h", "patterns": ["events.org_a.*.*.*.*"]},
    "/api/v1/notifications/rules": {
        "name": "r",
        "pattern": "events.org_a.shop.order.placed.*",
        "title": "t",
        "channels": ["websocket"],
        "recipients": ["user:user_alice"],
    },
}


async def test_fields_that_nobody_asked_for_change_nothing(who):
    """Every body that is good by itself, and beside it what would make its thing another's, and its sender staff."""
    alice = await in_thread(Person, who.alice)
    made = 0
    for path, body in GOOD.items():
        answer = await alice.ask("POST", path, body | MORE)
        assert answer.status < 500, (path, answer.body)
        made += answer.status < 300
    for pattern, lines in ENDPOINTS.items():
        for line in lines:
            for method in {"POST", "PATCH", "PUT"} & set(line.methods):
                if line.who != OWNER or callable(line.methods[method]):
                    continue
                path = VIEWS[pattern].path(**await in_thread(line.make, who))
                answer = await alice.ask(method, path, (line.methods[method] or {}) | MORE)
                assert answer.status < 500, (path, answer.body)
    assert made >= 8
    await in_thread(nothing_is_eves, who)


def nothing_is_eves(who):
    assert set(User.objects.filter(is_staff=True).values_list("username", flat=True)) == {"staff"}
    assert not User.objects.filter(is_superuser=True).exists()
    assert not User.objects.filter(is_active=False).exists()
    for model in (Connection, Rule, Source, EditedDocument):
        assert not model.objects.filter(owner=who.eve).exists(), model
    for model in (Workspace, Plugin, Rule, Source, Conversation, WebhookEndpoint):
        assert not model.objects.filter(organization=who.org_e).exists(), model
    assert not Notification.objects.filter(user=who.eve).exists()
    assert not Message.objects.filter(author=who.eve).exists()
    assert not Rule.objects.exclude(builtin="").filter(owner=who.alice).exists()
    for model in (Connection, Rule, Source, Plugin, Conversation):
        assert not model.objects.filter(pk=MORE["id"]).exists(), model
    assert not Workspace.objects.filter(public_id="chosen").exists()


async def test_what_is_anothers_is_refused_in_the_words_for_what_is_not_there(who):
    """Or ids could be told apart: eve asks for alice's things, and for such as never were."""
    eve = await in_thread(Person, who.eve)
    wrong = []
    for pattern, lines in ENDPOINTS.items():
        for line in lines:
            if line.who != OWNER or "document" in pattern.split("/")[0]:
                continue
            ids = await in_thread(line.make, who)
            others = {name: _another(value) if name not in ("action", "side") else value for name, value in ids.items()}
            for method, body in line.methods.items():
                told = []
                for each in (ids, others):
                    sent = body(each) if callable(body) else body
                    answer = await eve.ask(method, VIEWS[pattern].path(**each) + line.query.format(**each), sent)
                    text = answer.body
                    for value in each.values():
                        text = text.replace(str(value).encode(), b"ID")
                    # A page has a token of its own in it each time.
                    told.append((answer.status, b"a page" if text.startswith(b"<!doctype") else text))
                if told[0] != told[1]:
                    wrong.append(f"{method} {pattern}: {told}")
    assert not wrong, "\n".join(wrong)


def _another(value):
    """A value of the same form that names nothing."""
    if isinstance(value, uuid.UUID):
        return uuid.uuid4()
    return value + 10_000 if isinstance(value, int) else f"{value[:3]}{uuid.uuid4().hex}"


async def test_compressed_bodies_are_not_unpacked(who):
    """A megabyte can be a gigabyte of spaces: whatever says that it is compressed is read as it stands, which is no JSON."""
    alice = await in_thread(Person, who.alice)
    raw = gzip.compress(b'{"name": "' + b" " * 1_000_000 + b'"}')
    headers = {"cookie": alice.cookies, "x-csrftoken": CSRF, "content-encoding": "gzip"}
    for path in ["/stream", "/api/v1/chat/stream", *GOOD]:
        answer = await alice.request("POST", path, body=raw, headers=headers)
        assert answer.status in (400, 422), (path, answer.status)
    assert not await in_thread(Message.objects.exists)
