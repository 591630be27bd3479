"""A real endpoint over TCP, with each fault that providers have."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from knowledge.embeddings.base import EmbeddingError
from knowledge.embeddings.openai import OpenAIEmbedder


class Endpoint:
    """Answers `/v1/embeddings`; `faults` are (status, headers, body) given first, one a request."""

    def __init__(self):
        self.requests, self.faults = [], []
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                endpoint.requests.append((self.path, dict(self.headers), body))
                status, headers, answer = endpoint.faults.pop(0) if endpoint.faults else (200, {}, endpoint.answer(body))
                data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                self.send_response(status)
                for name, value in {"Content-Length": len(data), **headers}.items():
                    self.send_header(name, str(value))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.base_url = f"http://127.0.0.1:{self.server.server_port}/v1"

    def answer(self, body):
        # Out of order, as an endpoint may.
        rows = [{"index": n, "embedding": [len(text), 1.0, 0.0]} for n, text in enumerate(body["input"])]
        return {"data": rows[::-1]}


@pytest.fixture
def endpoint():
    endpoint = Endpoint()
    yield endpoint
    endpoint.server.shutdown()
    endpoint.server.server_close()


@pytest.fixture
def model(endpoint):
    return OpenAIEmbedder(base_url=endpoint.base_url, api_key="sk-x", model="m", dimensions=3, anchor=0.35)


def test_each_text_gets_its_own_vector_of_length_1(endpoint, model):
    first, second = model.embed(["abc", "abcdefgh"])
    assert first[0] / first[1] == pytest.approx(3)
    assert second[0] / second[1] == pytest.approx(8)
    path, headers, body = endpoint.requests[0]
    assert path == "/v1/embeddings"
    assert headers["Authorization"] == "Bearer sk-x"
    assert body["model"] == "m"


@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_fails_for_a_moment_is_tried_again(endpoint, model, status):
    endpoint.faults = [(status, {"Retry-After": "0"}, {"error": {"message": "busy"}})] * 2
    assert len(model.embed(["a"])) == 1
    assert len(endpoint.requests) == 3


def test_a_wrong_key_is_not_tried_again_and_told_in_the_words_of_the_provider(endpoint, model):
    endpoint.faults = [(401, {}, {"error": {"message": "Incorrect API key"}})]
    with pytest.raises(EmbeddingError, match="401: Incorrect API key"):
        model.embed(["a"])
    assert len(endpoint.requests) == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"<html>",
        {"data": []},
        {"nothing": 1},
        {"data": [{"index": 0, "embedding": [1.0]}]},
        {"data": [{"index": 0, "embedding": ["a", "b", "c"]}]},
        b'{"data": [{"index": 0, "embedding": [NaN, 1, 1]}]}',
    ],
)
def test_garbage_is_an_error_and_never_a_vector(endpoint, model, answer):
    endpoint.faults = [(200, {}, answer)]
    with pytest.raises(EmbeddingError):
        model.embed(["a"])


def test_an_endpoint_that_is_not_there(monkeypatch):
    monkeypatch.setattr("knowledge.embeddings.openai.ATTEMPTS", 1)
    model = OpenAIEmbedder(base_url="http://127.0.0.1:9/v1", api_key="", model="m", dimensions=3, anchor=0.35)
    with pytest.raises(EmbeddingError, match="cannot be reached"):
        model.embed(["a"])
