"""How well the quoting engine answers from what is found: the labelled questions of `test_quality.py`, through `chat.grounding`.

A question counts as answered well when a quote is of a passage that answers it. What has no answer must
be said to have none: an invented one costs more than a missed one.
"""

import asyncio
import json
import re

import pytest

from chat.engines.base import EngineRequest
from chat.engines.extractive import NO_ANSWER, compose
from chat.grounding import ground
from chat.rag_request import parse
from chat.views.rag import GROUNDING_FIELDS
from knowledge.embeddings import minilm
from tests.knowledge.conftest import CORPUS, QUESTIONS, add_text, work_off

pytestmark = pytest.mark.skipif(not minilm.installed(), reason="the offline embedding model is not installed")


@pytest.fixture
def library(alice, settings):
    settings.KNOWLEDGE_EMBEDDINGS = "minilm"
    names = [path.stem for path in sorted(CORPUS.glob("*.md"))]
    for path in sorted(CORPUS.glob("*.md")):
        add_text(alice, path.read_text(), name=path.stem)
    work_off()
    return names


def plain(text):
    return " ".join(re.sub(r"[`*|>]", " ", text).split()).casefold()


class Answer:
    """What a request with the quoting engine would say, and what it rests on."""

    def __init__(self, caller, question, body):
        asked = parse(json.dumps({"query": question} | body).encode())
        wanted = asked.model_dump(include=GROUNDING_FIELDS)
        self.texts = asyncio.run(ground(query=question, wanted=wanted, user_pk=caller.pk)).texts
        self.text, _ = compose(EngineRequest(question, attachments=tuple(self.texts), grounded=True))
        self.cited = [int(number) for number in re.findall(r"\[(\d+)\]$", self.text, re.MULTILINE)]

    @property
    def says_that_there_is_none(self):
        return NO_ANSWER in self.text and not self.cited

    def cites(self, question):
        """Whether a quote is of a passage that answers."""
        phrases = [plain(answer["phrase"]) for answer in question["answers"]]
        return any(phrase in plain(self.texts[number - 1][1]) for number in self.cited for phrase in phrases)


ANY_PASSAGE = {"model_name": "openai-small", "similarity_threshold": 0, "limit": 2}


@pytest.mark.timeout(600)
def test_what_has_no_answer_is_said_to_have_none_whatever_was_found(alice, library):
    every = {"sources": [ANY_PASSAGE | {"name": name} for name in library], "retrieval_strategy": "ensemble"}
    for config in ({}, {"retrieval_strategy": "ensemble"}, every):
        answers = [Answer(alice, question, {"rag_config": config}) for question in QUESTIONS["unanswered"]]
        invented = [answer.text for answer in answers if not answer.says_that_there_is_none]
        assert len(answers) >= 15
        assert len(answers) - len(invented) >= 13, invented
    assert all(answer.texts for answer in answers)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("strategy", ["merge", "ensemble"])
def test_what_has_an_answer_is_answered(alice, library, strategy):
    config = {"rag_config": {"retrieval_strategy": strategy}}
    answered = [(question, Answer(alice, question["question"], config)) for question in QUESTIONS["answered"]]
    silent = [question["question"] for question, answer in answered if answer.says_that_there_is_none]
    missed = [question["question"] for question, answer in answered if not answer.cites(question)]
    assert len(silent) <= 0.1 * len(answered), silent
    assert len(missed) <= 0.3 * len(answered), missed
