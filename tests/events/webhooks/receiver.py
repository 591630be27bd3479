"""What tests of outgoing webhooks share: a receiver, endpoints, events, and a worker that does one thing at a time."""

import base64
import hashlib
import hmac
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from asgiref.sync import async_to_sync

from events.broker.connect import connect
from events.models import WebhookDelivery
from events.topics.publishing import publish_topic
from events.webhooks import endpoints as webhook_endpoints
from events.webhooks.worker import WebhookWorker
from tests.events.topics import asking as topics

ORG = "org_hooks"
ALL = f"events.{ORG}.*.*.*.*"


class Receiver:
    """A real HTTP server that keeps what it is posted. `answers` (status, headers, body) are given to the next ones, else 204."""

    def __init__(self, port=0):
        self.requests, self.answers = [], []
        outer = self

        class Answering(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                length = int(self.headers["Content-Length"])
                body = self.rfile.read(length)
                if len(body) < length:
                    # Its worker was killed between the headers and the end of the body: no server hands that on.
                    self.close_connection = True
                    return
                outer.requests.append(({name.lower(): value for name, value in self.headers.items()}, body, self.path))
                status, headers, answer = outer.answers.pop(0) if outer.answers else (204, {}, b"")
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                if status != 204:
                    self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *arguments):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", port), Answering)
        self.server.daemon_threads = True
        # Of a worker that was killed, or has read enough.
        self.server.handle_error = lambda request, address: None
        self.port = self.server.server_port
        self.url = f"http://127.0.0.1:{self.port}/hook"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    @property
    def ids(self):
        return [headers["webhook-id"] for headers, _, _ in self.requests]

    @property
    def told(self):
        return [json.loads(body) for _, body, _ in self.requests]


def signatures_of(secret, headers, body):
    """What the header must hold for a secret, made from the text of the specification and with none of our code."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    content = b"%s.%s.%s" % (headers["webhook-id"].encode(), headers["webhook-timestamp"].encode(), body)
    return "v1," + base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()


def is_signed(request, secret):
    headers, body, _ = request
    return signatures_of(secret, headers, body) in headers["webhook-signature"].split(" ")


def register(user, url, **fields):
    """An endpoint as its owner makes it, and its secret."""
    return webhook_endpoints.create(
        caller=topics.caller_for(user), organization_id=ORG, fields={"url": url, "patterns": [ALL]} | fields
    )


def happen(number=1, *, source="shop", event="placed", resource_id="", key="", **payload):
    publish_topic(
        organization=ORG,
        source=source,
        resource="order",
        event=event,
        resource_id=resource_id or f"o{number}",
        payload={"n": number, **payload},
        idempotency_key=key,
    )


def work(*, deliver=True):
    """All events are compared, and what is due is tried once."""

    async def once():
        worker = WebhookWorker(connect())
        try:
            while await worker.compare():
                pass
            while deliver and await worker.deliver():
                await worker.settle()
        finally:
            await worker.close()

    async_to_sync(once)()


def later(rows=None):
    """As if the pause before the next attempt were over."""
    for row in WebhookDelivery.objects.all() if rows is None else rows:
        row.next_attempt = row.created_at
        row.save(update_fields=["next_attempt"])


def states():
    """(status, attempts) of all deliveries, in order."""
    return list(WebhookDelivery.objects.order_by("created_at").values_list("status", "attempts"))
