"""Server-Sent Events as bytes that every client survives. No I/O.

LF only, one `data:` line of ASCII JSON, `id:` only on events with data, keep-alive as a comment
with one newline: a client that dispatches on every blank line sees no empty event.
Source: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

KEEPALIVE = b":\n"
CONNECTED = b": connected\n"
PUSH_DISABLED = b": push_disabled\n"


def frame(data: str, *, id: str | None = None, event: str | None = None) -> bytes:
    """One event; `data` is one line of ASCII. Control frames carry no id, so that no client takes it as its cursor."""
    lines = [f"event: {event}\n"] if event else []
    if id is not None:
        lines.append(f"id: {id}\n")
    return f"{''.join(lines)}data: {data}\n\n".encode("ascii")


def retry(milliseconds: int) -> bytes:
    """Tells browsers how soon to come back."""
    return f"retry: {milliseconds}\n".encode("ascii")
