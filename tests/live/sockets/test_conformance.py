"""Autobahn's cases (PyPI `kosoku`) against the served stack, under an echo consumer.

uvicorn runs as in production, but for three settings: the cases send messages of up to 16 MiB, and thousands a second, and the
suite on a busy machine may answer a ping only behind 128 MiB that it has yet to work through.
Permessage-deflate (cases 12 and 13) is offered only with SOCKET_COMPRESSION: one process has it, the other has not. Since it is
off by default, and its 216 cases of a thousand messages each take nine minutes where two cores are shared (all others together
15 s), six of each group of 18 are asked by default: small and large messages, whole and in fragments, of each kind of
data and with each set of parameters. `CONFORMANCE=full` asks all.
"""

import os
from collections import Counter
from collections.abc import Iterator

import pytest
from kosoku import FailureError, run_fuzzingclient

from tests.live.processes import Stack

DEFLATE = ("12.*", "13.*")
CASES, DEFLATE_CASES = 301, 216
FULL = os.environ.get("CONFORMANCE") == "full"
PARTS = ["*"] if FULL else ["1", "3", "5", "7", "9", "11"]
GROUPS = [f"12.{group}" for group in range(1, 6)] + [f"13.{group}" for group in range(1, 8)]

# Whole, those of compression take a minute or two each on a busy machine; kosoku itself gives up after eight.
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    stack = Stack(
        webs=1,
        settings={"SOCKET_FRAME_MAX_BYTES": str(2**24), "SOCKET_FRAMES_PER_SECOND": "0", "SOCKET_PING_SECONDS": "600"},
        application="tests.live.sockets.application:application",
    )
    try:
        stack.start()
        stack.start_web(SOCKET_COMPRESSION="1")
        stack.wait_ready()
        yield stack
    finally:
        stack.stop()


async def verdicts(stack: Stack, cases: list[str], *, at: int, exclude: tuple[str, ...] = ()) -> dict[str, str]:
    """What the suite says of each case that did not pass; "passed" of the others."""
    url = stack.addresses[at].replace("http", "ws", 1) + "/ws/echo"
    found = await ask(url, cases, exclude)
    # The suite allows each case some seconds, whatever else the machine has to do meanwhile: those are asked once more.
    late = [case for case, verdict in found.items() if "did not finish" in verdict]
    return found | (await ask(url, late, ()) if late else {})


async def ask(url: str, cases: list[str], exclude: tuple[str, ...]) -> dict[str, str]:
    try:
        results = await run_fuzzingclient(url, cases, list(exclude))
    except FailureError as error:
        results = error.results
    return {
        each.case_id: "passed" if each.passed else f"{each.behavior.value}: {each.result} {each.result_close}" for each in results
    }


async def test_every_case_passes(stack: Stack) -> None:
    found = await verdicts(stack, ["*"], at=0, exclude=DEFLATE)
    assert {case: verdict for case, verdict in found.items() if verdict != "passed"} == {}
    assert len(found) == CASES
    assert "Traceback" not in stack.logs()


async def test_compression_is_declined_unless_it_is_switched_on(stack: Stack) -> None:
    found = await verdicts(stack, list(DEFLATE), at=0)
    assert Counter(verdict.partition(":")[0] for verdict in found.values()) == {"UNIMPLEMENTED": DEFLATE_CASES}


@pytest.mark.parametrize("group", GROUPS)
async def test_the_cases_of_compression_pass_where_it_is_switched_on(stack: Stack, group: str) -> None:
    found = await verdicts(stack, [f"{group}.{part}" for part in PARTS], at=1)
    assert len(found) == (18 if FULL else len(PARTS))
    assert {case: verdict for case, verdict in found.items() if verdict != "passed"} == {}
