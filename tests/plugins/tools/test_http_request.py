"""`http_request`: only where the operator allows, at the address that was checked, and bounded."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from events import journal
from events.event import START
from plugins.executions import execution_stream
from plugins.tools.http_request import _allowed
from plugins.tools.registry import ToolError, tools


class Site(BaseHTTPRequestHandler):
    """Says what it was asked."""

    seen: list

    def answer(self):
        length = int(self.headers.get("Content-Length", 0))
        self.server.seen.append((self.command, self.path, dict(self.headers), self.rfile.read(length).decode()))
        status, headers, body = self.server.answers.get(self.path, (200, {"Content-Type": "text/plain"}, b"hello"))
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = answer  # noqa: N815 - http.server's names

    def log_message(self, *args):
        pass


def serving():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    server.seen, server.answers = [], {}
    server.url = f"http://localhost:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


@pytest.fixture
def site(settings):
    server = serving()
    settings.PLUGINS_HTTP_HOSTS = [f"localhost:{server.server_port}"]
    yield server
    server.shutdown()
    server.server_close()


def test_without_hosts_there_is_no_such_tool(settings):
    settings.PLUGINS_HTTP_HOSTS = []
    assert "http_request" not in tools()


def test_a_request_and_its_answer(called, site):
    site.answers["/v1?q=a"] = (201, {"Content-Type": "application/json", "Set-Cookie": "session=abc"}, b'{"a": 1}')
    arguments = {"url": f"{site.url}/v1?q=a", "method": "POST", "headers": {"X-Token": "abc"}, "body": "häl"}
    result = called("http_request", arguments)
    assert result.content == {
        "status": 201,
        "url": f"{site.url}/v1?q=a",
        "headers": {"content-type": "application/json"},
        "body": '{"a": 1}',
    }
    method, path, headers, body = site.seen[0]
    assert (method, path, body) == ("POST", "/v1?q=a", "häl")
    assert headers["X-Token"] == "abc"
    assert headers["Host"] == f"localhost:{site.server_port}"


def test_the_call_is_recorded_without_its_secrets(called, site):
    result = called("http_request", {"url": f"{site.url}/?token=abc", "headers": {"Authorization": "Bearer abc"}})
    events = journal.read(execution_stream(result.execution_id), START)
    assert [event.type for event in events] == ["execution.api_call", "execution.complete"]
    assert events[0].data["url"] == f"{site.url}/?token=***"
    assert events[0].data["status"] == 200
    assert "abc" not in str([event.data for event in events])


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_what_may_change_something_needs_approval_and_is_not_repeated(site, settings, method):
    tool = tools()["http_request"]
    assert tool.asks({"url": "x", "method": method})
    assert not tool.may_repeat({"url": "x", "method": method})
    settings.PLUGINS_HTTP_UNSAFE_NEEDS_APPROVAL = False
    assert not tools()["http_request"].asks({"url": "x", "method": method})
    assert not tools()["http_request"].may_repeat({"url": "x", "method": method})


@pytest.mark.parametrize("arguments", [{"url": "x"}, {"url": "x", "method": "GET"}, {"url": "x", "method": "HEAD"}])
def test_what_only_reads_does_not(site, arguments):
    tool = tools()["http_request"]
    assert not tool.asks(arguments)
    assert tool.may_repeat(arguments)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:{port}/",
        "http://localhost/",
        "https://localhost:{port}@example.org/",
        "http://localhost:{port}.example.org/",
        "http://example.org/#localhost:{port}",
        "http://user:pw@localhost:{port}/",
        "ftp://localhost:{port}/",
        "file:///etc/passwd",
        "//localhost:{port}/",
        "http://localhost:{port}\\@example.org/",
        "http://loc\nalhost:{port}/",
        "http://[::1]:{port}/",
        "http://2130706433:{port}/",
        "",
    ],
)
def test_other_places_are_refused_without_a_word_to_them(called, site, url):
    result = called("http_request", {"url": url.format(port=site.server_port)})
    assert not result.ok
    assert result.error
    assert site.seen == []


@pytest.mark.parametrize(
    ("allowed", "url", "fits"),
    [
        ("*.example.org", "https://api.example.org/", True),
        ("*.example.org", "https://a.b.example.org/", True),
        ("*.example.org", "https://example.org/", False),
        ("*.example.org", "https://badexample.org/", False),
        ("example.org", "https://EXAMPLE.org./", True),
        ("example.org", "https://example.org:8443/", False),
        ("example.org:8443", "https://example.org:8443/", True),
        ("example.org", "http://example.org/", True),
        ("example.org", "https://example.org.evil.net/", False),
    ],
)
def test_which_hosts_a_pattern_allows(settings, allowed, url, fits):
    settings.PLUGINS_HTTP_HOSTS = [allowed]
    if fits:
        assert _allowed(url) == url
    else:
        with pytest.raises(ToolError):
            _allowed(url)


def test_an_allowed_name_that_leads_into_the_own_network_is_refused(called, site, settings):
    settings.PLUGINS_ALLOW_PRIVATE_ADDRESSES = False
    result = called("http_request", {"url": f"{site.url}/"})
    assert "private network" in result.error
    assert site.seen == []


def test_redirects_are_followed_where_it_is_allowed_and_without_what_was_meant_for_another(called, site, settings):
    other = serving()
    try:
        site.answers["/a"] = (302, {"Location": "/b"}, b"")
        site.answers["/b"] = (307, {"Location": f"{other.url}/c"}, b"")
        arguments = {"url": f"{site.url}/a", "headers": {"Authorization": "Bearer abc"}}
        assert "may not be called" in called("http_request", arguments).error
        assert other.seen == []
        settings.PLUGINS_HTTP_HOSTS = [*settings.PLUGINS_HTTP_HOSTS, f"localhost:{other.server_port}"]
        assert called("http_request", arguments).content["url"] == f"{other.url}/c"
        assert site.seen[-1][2]["Authorization"] == "Bearer abc"
        assert "Authorization" not in other.seen[0][2]
    finally:
        other.shutdown()
        other.server_close()


def test_what_may_change_something_is_not_sent_on(called, site):
    site.answers["/a"] = (307, {"Location": "/b"}, b"")
    result = called("http_request", {"url": f"{site.url}/a", "method": "POST", "body": "x"})
    assert (result.content["status"], result.content["headers"]["location"]) == (307, "/b")
    assert len(site.seen) == 1


def test_a_circle_ends(called, site):
    site.answers["/a"] = (302, {"Location": "/a"}, b"")
    assert "more than 3 times" in called("http_request", {"url": f"{site.url}/a"}).error
    assert len(site.seen) == 4


@pytest.mark.parametrize(
    "headers", [{"Host": "x"}, {"content-length": "5"}, {"X-A": "a\r\nX-B: b"}, {"X A": "b"}, {"X-Ä": "b"}, {"X": "ä"}, {"": "x"}]
)
def test_headers_that_are_not_sent(called, site, headers):
    assert not called("http_request", {"url": f"{site.url}/", "headers": headers}).ok
    assert site.seen == []


def test_a_large_answer_is_told_in_part_or_refused(called, site, settings):
    site.answers["/a"] = (200, {}, b"x" * 50_000)
    content = called("http_request", {"url": f"{site.url}/a"}).content
    assert (len(content["body"]), content["truncated"], content["characters"]) == (20_000, True, 50_000)
    settings.PLUGINS_ANSWER_MAX_BYTES = 1000
    assert "more than 1000 bytes" in called("http_request", {"url": f"{site.url}/a"}).error


def test_an_answer_that_is_no_text(called, site):
    site.answers["/a"] = (200, {}, bytes(range(256)))
    assert called("http_request", {"url": f"{site.url}/a"}).ok


def test_a_server_that_is_not_there(called, site):
    site.shutdown()
    site.server_close()
    result = called("http_request", {"url": f"{site.url}/"})
    assert "cannot be reached" in result.error
