"""A stand-in for an MCP server and its authorization server: real HTTP, with as many faults as one asks for.

`answers[path]` replaces what a path would say: `(status, headers, body)`, or "hang".
"""

import base64
import hashlib
import json
import secrets
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, parse_qsl, urlsplit

TOOLS = [{"name": f"tool_{number}", "description": f"Does {number}.", "inputSchema": {}} for number in range(3)]


class Stub:
    """Everything it was asked is in `requests`: (method, path, headers, body)."""

    def __init__(self):
        self.answers = {}
        self.metadata = {}
        self.requests = []
        self.codes = {}
        self.tokens = set()
        self.tools = list(TOOLS)
        self.streams = False
        self.open_to_all = False
        self.registered = {}
        self.released = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self.mcp_url = f"{self.url}/mcp"

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.released.set()
        self._server.shutdown()
        self._server.server_close()

    def approve(self, authorization_url, **changes):
        """What the user's browser brings back after approving: the query of the redirect."""
        asked = dict(parse_qsl(urlsplit(authorization_url).query))
        assert asked["response_type"] == "code"
        assert asked["code_challenge_method"] == "S256"
        code = secrets.token_urlsafe(8)
        self.codes[code] = asked
        return {"code": code, "state": asked["state"], "iss": self.url} | changes

    def paths(self):
        return [path for _, path, _, _ in self.requests]

    def _handler(stub):  # noqa: N805 - the handler has a `self` of its own
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_GET(self):
                self._answer(b"")

            def do_POST(self):
                self._answer(self.rfile.read(int(self.headers.get("Content-Length", 0))))

            def _answer(self, body):
                path = self.path.partition("?")[0]
                stub.requests.append((self.command, path, dict(self.headers), body.decode()))
                told = stub.answers.get(path) or stub.answer(self.command, path, self.headers, body)
                if told == "hang":
                    stub.released.wait(30)
                    self.close_connection = True
                    return
                status, headers, content = told
                content = content if isinstance(content, bytes) else json.dumps(content).encode()
                self.send_response(status)
                open_ended = headers.pop("open-ended", False)
                if not open_ended:
                    self.send_header("Content-Length", str(len(content)))
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)
                self.wfile.flush()
                if open_ended:
                    stub.released.wait(30)
                    self.close_connection = True

        return Handler

    def answer(self, method, path, headers, body):
        match method, path:
            case "GET", "/.well-known/oauth-protected-resource/mcp":
                return 200, {}, {"resource": self.mcp_url, "authorization_servers": [self.url], "scopes_supported": ["tools"]}
            case "GET", "/.well-known/oauth-authorization-server":
                return 200, {}, self.server_metadata()
            case "POST", "/register":
                self.registered = json.loads(body)
                return 201, {}, {"client_id": "client-1"} | self.registered
            case "POST", "/token":
                return self.token(dict(parse_qsl(body.decode())))
            case "POST", "/mcp":
                return self.mcp(headers, json.loads(body))
        return 404, {}, {}

    def server_metadata(self):
        return {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "registration_endpoint": f"{self.url}/register",
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": True,
        } | self.metadata

    def token(self, form):
        asked = self.codes.pop(form.get("code"), None)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(form.get("code_verifier", "").encode()).digest()).rstrip(b"=")
        if asked is None or challenge.decode() != asked["code_challenge"] or form["redirect_uri"] != asked["redirect_uri"]:
            return 400, {}, {"error": "invalid_grant", "error_description": "no such code"}
        token = f"access-{secrets.token_urlsafe(8)}"
        self.tokens.add(token)
        return 200, {}, {"access_token": token, "token_type": "bearer", "expires_in": 3600, "refresh_token": "refresh-me"}

    def mcp(self, headers, body):
        if not self.open_to_all and headers.get("Authorization", "").removeprefix("Bearer ") not in self.tokens:
            resource = f"{self.url}/.well-known/oauth-protected-resource/mcp"
            return 401, {"WWW-Authenticate": f'Bearer resource_metadata="{resource}"'}, {}
        if "id" not in body:
            return 202, {}, b""
        if body["method"] == "initialize":
            result = {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": {"name": "stub"}}
            return self._reply(body, result, {"Mcp-Session-Id": "session-1"})
        assert headers["Mcp-Session-Id"] == "session-1"
        # In pages of two.
        start = int(body["params"].get("cursor", 0))
        page = {"tools": self.tools[start : start + 2]}
        if start + 2 < len(self.tools):
            page["nextCursor"] = str(start + 2)
        return self._reply(body, page, {})

    def _reply(self, body, result, headers):
        reply = {"jsonrpc": "2.0", "id": body["id"], "result": result}
        if not self.streams:
            return 200, {"Content-Type": "application/json"} | headers, reply
        note = json.dumps({"jsonrpc": "2.0", "method": "notifications/message", "params": {}})
        text = f": hello\n\ndata: {note}\n\nid: 1\ndata: {json.dumps(reply)}\n\n"
        return 200, {"Content-Type": "text/event-stream", "open-ended": True} | headers, text.encode()


def query_of(url):
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
