"""Secrets in what processes wrote, found by their shape: whatever a test gave a server, it must not stand in a log."""

import re
from pathlib import Path

SHAPES = {
    "a token": r"eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]{8,}",
    "an API key": r"sk_[0-9a-f]{32}",
    "a webhook's secret": r"whsec_[\w+/=-]{16,}",
    "a credential in an address": r"[?&](?:token|api_key|ticket)=(?!\[redacted\])[^\s&\"']{8,}",
    "a session": r"sessionid=(?!\[redacted\])\w{16,}",
    "a private key": r"BEGIN (?:\w+ )?PRIVATE KEY",
}


def leaks(folder: Path, *, known: str) -> list[str]:
    """What stands in the logs of a folder and must not: `known`, a secret of the whole server, or what looks like one."""
    found = []
    for log in sorted(folder.glob("*.log")):
        text = log.read_text(errors="replace")
        found += [f"{what} in {log.name}: {line}" for what, shape in SHAPES.items() for line in _lines(text, shape)]
        found += [f"the secret key in {log.name}"] if known in text else []
    return found


def _lines(text: str, shape: str) -> list[str]:
    return [line[:300] for line in text.splitlines() if re.search(shape, line)]
