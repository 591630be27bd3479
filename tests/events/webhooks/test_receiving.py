"""`POST /hooks/{id}`: signed requests become events on a topic, once; everything else is refused."""

import json
import time

import pytest
from django.test import Client

from events.exceptions import InvalidRequest
from events.models import WebhookInlet
from events.webhooks import signatures as webhook_signatures
from events.webhooks.admin import WebhookInletForm
from tests.events.topics import asking as topics

pytestmark = pytest.mark.django_db(transaction=True)

# The example of https://github.com/standard-webhooks/standard-webhooks (libraries' test vector).
VECTOR = {
    "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "at": 1614265330,
    "body": b'{"test": 2432232314}',
}
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.fixture
def inlet(valkey):
    topics.user("alice", "org_a")
    organization = topics.Organization.objects.get(public_id="org_a")
    return WebhookInlet.objects.create(
        organization=organization,
        name="Shop",
        source="shop",
        type_path="$.event.type",
        id_path="$.order['id']",
        payload_path="$.order",
    )


@pytest.fixture
def entries(valkey):
    def read():
        return [
            json.loads(fields[b"e"] if b"e" in fields else next(iter(fields.values())))["data"]
            for _, fields in valkey.xrange("tl:{org:org_a}")
        ]

    return read


BODY = {"event": {"type": "order.paid"}, "order": {"id": "A 17", "total": 3}}


def post(inlet, body=BODY, *, own_id="msg_1", seconds=0, secret=None, signature=None, **headers):
    """Post to an inlet; `seconds`: how far off the sender's clock is."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    at = int(time.time()) + seconds
    signature = signature or webhook_signatures.sign(secret or inlet.secret, id=own_id, at=at, body=data)
    signed = {"webhook-id": own_id, "webhook-timestamp": str(at), "webhook-signature": signature}
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    kind = headers.pop("content-type", "application/json")
    return Client().post(f"/hooks/{inlet.public_id}", data=data, content_type=kind, headers=signed | headers)


def test_the_signature_is_that_of_the_standard():
    assert webhook_signatures.sign(VECTOR["secret"], id=VECTOR["id"], at=VECTOR["at"], body=VECTOR["body"]) == SIGNATURE


def test_what_is_posted_becomes_an_event_on_a_topic(inlet, entries):
    answer = post(inlet)
    assert answer.status_code == 200, answer.content
    assert answer.json()["topic"] == "events.org_a.shop.order.paid.A_17"
    [data] = entries()
    assert data["event"]["payload"] == BODY["order"]
    assert data["event"]["metadata"]["publisher"] == inlet.public_id


def test_the_same_request_again_publishes_nothing_and_is_answered_alike(inlet, entries):
    first, again = post(inlet), post(inlet)
    assert again.status_code == 200
    assert first.json() == again.json()
    assert len(entries()) == 1
    post(inlet, own_id="msg_2")
    assert len(entries()) == 2


@pytest.mark.parametrize(
    "wrong",
    [
        {"secret": webhook_signatures.new_secret()},
        {"signature": "v1,AAAA"},
        {"signature": "v2,AAAA"},
        {"seconds": -400},
        {"seconds": 400},
        {"webhook_id": "msg_other"},
        {"webhook_id": ""},
        {"webhook_timestamp": "now"},
        {"webhook_signature": ""},
    ],
)
def test_a_request_that_is_not_signed_by_whom_it_must_be_is_refused(inlet, entries, wrong):
    assert post(inlet, **wrong).status_code == 401
    assert entries() == []


def test_one_of_several_signatures_is_enough_while_a_secret_is_replaced(inlet):
    data = json.dumps(BODY).encode()
    right = webhook_signatures.sign(inlet.secret, id="m", at=int(time.time()), body=data)
    assert post(inlet, own_id="m", signature=f"v1,AAAA {right}").status_code == 200


@pytest.mark.parametrize(
    "body", [b"nonsense", b"[]", {"event": {}}, {"event": {"type": "a"}}, {"event": {"type": ["a"]}, "order": {"id": 1}}]
)
def test_a_body_that_lacks_what_is_needed_is_refused_with_the_path(inlet, entries, body):
    answer = post(inlet, body)
    assert answer.status_code == 400
    assert entries() == []


def test_a_body_that_is_too_large_is_refused(inlet):
    assert post(inlet, BODY | {"more": "x" * 300_000}).status_code == 413


def test_an_unknown_or_switched_off_address_says_so(inlet):
    assert Client().post("/hooks/in_none", data="{}", content_type="application/json").status_code == 404
    inlet.is_enabled = False
    inlet.save()
    assert post(inlet).status_code == 404


def test_a_structured_cloud_event_is_understood(inlet, entries):
    event = {"specversion": "1.0", "id": "e1", "source": "/s", "type": "com.shop.order.paid", "subject": "o/17", "data": {"a": 1}}
    answer = post(inlet, event, content_type="application/cloudevents+json; charset=utf-8")
    assert answer.json()["topic"] == "events.org_a.shop.com_shop_order.paid.o_17"
    assert entries()[0]["event"]["payload"] == {"a": 1}


def test_a_binary_cloud_event_is_understood_and_its_id_counts_where_nothing_is_signed(inlet, entries):
    inlet.secret = ""
    inlet.save()
    headers = {"ce-specversion": "1.0", "ce-id": "e1", "ce-source": "/s", "ce-type": "order.paid"}
    for _ in range(2):
        answer = Client().post(f"/hooks/{inlet.public_id}", data='{"a": 1}', content_type="application/json", headers=headers)
        assert answer.json()["topic"] == "events.org_a.shop.order.paid.e1"
    assert len(entries()) == 1


@pytest.mark.parametrize("path", ["", "$..type", "$.*", "$[?(@.a)]", "$[", "$.a.b[0:2]", "$.a | $.b"])
def test_a_path_that_does_not_name_one_place_is_refused_when_it_is_saved(inlet, path):
    fields = {name: getattr(inlet, name) for name in ("name", "source", "secret", "id_path", "payload_path")}
    form = WebhookInletForm(fields | {"organization": inlet.organization.pk, "type_path": path})
    assert "type_path" in form.errors
    assert WebhookInletForm(fields | {"organization": inlet.organization.pk, "type_path": "$.a[0].b"}).is_valid()


@pytest.mark.parametrize("secret", ["nonsense", "whsec_", "whsec_AAAA", "whsec_!!!"])
def test_a_secret_that_is_none_is_refused(secret):
    with pytest.raises(InvalidRequest, match="whsec_"):
        webhook_signatures.check_secret(secret)
