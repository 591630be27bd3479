"""People whom no other test knows: what others do on the same server, and what follows of it later, is not told to them."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.live.conftest import Client
from tests.live.processes import Stack

PEOPLE = 40


@dataclass
class Guest(Client):
    """A user of one test."""

    id: str = ""


@pytest.fixture(scope="package")
def everybody(session_stack: Stack) -> Iterator[list[str]]:
    return session_stack.new_people(PEOPLE)


@pytest.fixture
def guests(stack: Stack, everybody: Iterator[list[str]]) -> Iterator[Guest]:
    return (Guest(stack, token, id) for id, token, _ in everybody)


@pytest.fixture
def guest(guests: Iterator[Guest]) -> Guest:
    return next(guests)


@pytest.fixture
def other_guest(guests: Iterator[Guest]) -> Guest:
    return next(guests)
