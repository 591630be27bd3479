"""Publishes to the server at BENCH_PORT."""

import http.client
import json
import os

server = http.client.HTTPConnection("127.0.0.1", int(os.environ["BENCH_PORT"]))


async def publish(events: list[dict[str, int]]) -> None:
    """All in one request."""
    server.request("POST", "/publish", json.dumps(events))
    server.getresponse().read()
