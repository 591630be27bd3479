"""A real mail server in this process, and a push service that decrypts what it is sent."""

import base64
import json
import os
import socket
import threading
from contextlib import contextmanager
from email import message_from_bytes, policy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import http_ece
import jwt
from aiosmtpd.controller import Controller
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Mailbox:
    """What an SMTP server took; `answers` are given to the next mails instead of taking them."""

    def __init__(self):
        self.mails = []
        self.answers = []

    async def handle_DATA(self, server, session, envelope):  # noqa: N802 - aiosmtpd's name
        if self.answers:
            return self.answers.pop(0)
        self.mails.append(message_from_bytes(envelope.content, policy=policy.default))
        return "250 OK"


@contextmanager
def smtp(port, box):
    controller = Controller(box, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield box
    finally:
        controller.stop()


class PushService:
    """Takes pushes for browsers; `answers` (status, headers) are given to the next ones instead of taking them."""

    def __init__(self):
        self.requests, self.answers = [], []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.requests.append((self.path, dict(self.headers), body))
                status, headers = outer.answers.pop(0) if outer.answers else (201, {})
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *arguments):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.origin = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Browser:
    """One that subscribed: has the keys, and reads what was pushed to it."""

    def __init__(self, service, name):
        self.service, self.name = service, name
        self.private = ec.generate_private_key(ec.SECP256R1())
        self.secret = os.urandom(16)

    @property
    def endpoint(self):
        return f"{self.service.origin}/push/{self.name}"

    @property
    def subscription(self):
        point = self.private.public_key().public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
        return {"endpoint": self.endpoint, "keys": {"p256dh": _text(point), "auth": _text(self.secret)}, "expirationTime": None}

    @property
    def read(self):
        """All that was pushed, decrypted as a browser does (RFC 8291)."""
        return [
            json.loads(http_ece.decrypt(body, private_key=self.private, auth_secret=self.secret, version="aes128gcm"))
            for path, _, body in self.service.requests
            if path.endswith(f"/{self.name}")
        ]


def signed_by(headers, key):
    """The claims of a push's VAPID header, verified with the key that browsers were given (RFC 8292)."""
    token, public = (part.partition("=")[2] for part in headers["Authorization"].removeprefix("vapid ").split(","))
    assert public.strip() == key
    raw = base64.urlsafe_b64decode(key + "=" * (-len(key) % 4))
    verifying = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), raw)
    return jwt.decode(token.strip(), verifying, algorithms=["ES256"], options={"verify_aud": False})


def _text(raw):
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
