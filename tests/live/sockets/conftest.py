"""People whom no other test knows: what others do on the same server, and what follows of it later, is not told to them."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.live.conftest import Client
from tests.live.processes import PROJECT, Stack

PEOPLE = 40


@dataclass
class Guest(Client):
    """A user of one test."""

    id: str = ""


@pytest.fixture(scope="package")
def everybody(session_stack: Stack) -> Iterator[tuple[str, str]]:
    made = subprocess.run(
        [sys.executable, "-m", "tests.live.user_feed.people", str(PEOPLE)],
        env=session_stack.environment,
        cwd=PROJECT,
        capture_output=True,
        check=True,
    )
    return iter([(id, token) for id, token, _ in json.loads(made.stdout)])


@pytest.fixture
def guest(stack: Stack, everybody: Iterator[tuple[str, str]]) -> Guest:
    id, token = next(everybody)
    return Guest(stack, token, id)


@pytest.fixture
def other_guest(stack: Stack, everybody: Iterator[tuple[str, str]]) -> Guest:
    id, token = next(everybody)
    return Guest(stack, token, id)
