"""What the server prints when it is ready."""

from collections.abc import Sequence

READY = """
Throughline is ready ({seconds:.1f} s).

  Chat      {address}/
  Admin     {address}/admin/
{facts}

Ask something from another terminal:

  {token}
  {question}

Ctrl-C stops it.
"""


def curl_example(address: str) -> tuple[str, str]:
    """The two commands of the README's first example: a token for demo, then a question and its streamed answer."""
    token = (
        f"TOKEN=$(curl -s {address}/api/v1/auth/token -H 'Content-Type: application/json' "
        """-d '{"username":"demo","password":"demo"}' | sed 's/.*"access": *"\\([^"]*\\)".*/\\1/')"""
    )
    question = (
        f"""curl -N {address}/stream -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' """
        """-d '{"question":"Why is the sky blue?"}'"""
    )
    return token, question


def ready(address: str, demo: str, stores: Sequence[str], seconds: float) -> str:
    """The whole text: `demo` says what demo data were made and, in its last line, who can log in; it may be empty."""
    *made, logins = demo.splitlines() or [""]
    facts = [*([f"Log in    {logins}"] if logins else []), *stores]
    token, question = curl_example(address)
    return "".join(f"{line}\n" for line in made) + READY.format(
        seconds=seconds, address=address, facts="\n".join(f"  {line}" for line in facts), token=token, question=question
    )
