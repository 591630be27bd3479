import json

import pytest

from plugins.mcp import Replies

REPLY = {"jsonrpc": "2.0", "id": 1, "result": {"a": "\u20ac"}}
STREAM = f": hi\r\n\r\nevent: message\r\ndata: {json.dumps(REPLY, indent=1, ensure_ascii=False)}\r\n\r\n"


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_a_reply_is_found_however_the_stream_is_cut(size):
    stream = STREAM.replace("\n ", "\ndata:  ").replace("\n}", "\ndata: }").encode()
    replies = Replies(1)
    found = [replies.feed(stream[start : start + size]) for start in range(0, len(stream), size)]
    assert found[-1]
    assert not any(found[:-1])
    assert replies.found == REPLY


@pytest.mark.parametrize("data", ["", "x", "[]", "7", '{"jsonrpc":"2.0","id":2,"result":{}}', '{"id":1}', "[" * 9999])
def test_what_is_no_reply_to_us_is_passed_over(data):
    replies = Replies(1)
    assert not replies.feed(f"data: {data}\n\n".encode())
    assert replies.feed(f"data: {json.dumps(REPLY)}\n\n".encode())
