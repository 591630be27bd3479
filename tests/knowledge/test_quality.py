"""How well passages are found, measured on questions about this project's own documents.

`corpus/` are copies, so that the measure does not move with the documents. A question counts as
answered when one of the first five passages holds one of the phrases that answer it.
"""

import pytest

from knowledge.embeddings import minilm
from knowledge.fulltext import matching
from knowledge.models import Document
from knowledge.services.retrieval import SourceQuery, retrieve
from tests.knowledge.conftest import CORPUS, QUESTIONS, add_text, ready, work_off

pytestmark = pytest.mark.skipif(not minilm.installed(), reason="the offline embedding model is not installed")


@pytest.fixture
def library(alice, settings):
    settings.KNOWLEDGE_EMBEDDINGS = "minilm"
    sources = [add_text(alice, path.read_text(), name=path.stem) for path in sorted(CORPUS.glob("*.md"))]
    work_off()
    for source in sources:
        source.refresh_from_db()
        assert source.status == "ready", source.error


def answers(question, passages):
    return any(
        name == answer["document"] and " ".join(answer["phrase"].split()) in " ".join(text.split())
        for name, text in passages
        for answer in question["answers"]
    )


def recall(search):
    missed = [question["question"] for question in QUESTIONS["answered"] if not answers(question, search(question["question"]))]
    return 1 - len(missed) / len(QUESTIONS["answered"]), missed


def test_there_are_questions_enough():
    assert len(QUESTIONS["answered"]) >= 45
    assert len(QUESTIONS["unanswered"]) >= 15
    assert len(QUESTIONS["answered"]) + len(QUESTIONS["unanswered"]) >= 60


@pytest.mark.timeout(300)
def test_recall_of_each_strategy_with_the_default_threshold(alice, library):
    def search(strategy):
        def one(question):
            passages = retrieve(caller=alice, query=question, sources=[SourceQuery(limit=5)], strategy=strategy).passages
            return [(passage.source_name, passage.text) for passage in passages[:5]]

        return one

    def words(question):
        documents = list(Document.objects.values_list("pk", flat=True))
        ids = [match.chunk_id for match in matching(documents=documents, query=question, limit=5)]
        from knowledge.models import Chunk

        chunks = Chunk.objects.select_related("document").in_bulk(ids)
        return [(chunks[pk].document.path, chunks[pk].text) for pk in ids]

    merge, ensemble, text = recall(search("merge")), recall(search("ensemble")), recall(words)
    assert merge[0] >= 0.9, merge[1]
    assert ensemble[0] >= 0.9, ensemble[1]
    assert ensemble[0] >= max(merge[0], text[0]), ensemble[1]
    silent = [q for q in QUESTIONS["unanswered"] if not search("merge")(q)]
    assert len(silent) >= 13, sorted(set(QUESTIONS["unanswered"]) - set(silent))


def test_a_threshold_of_0_7_separates_what_answers_from_what_does_not(alice, settings):
    settings.KNOWLEDGE_EMBEDDINGS = "minilm"
    ready(add_text(alice, "Lighthouses warn ships of rocks at night. Their lamps are lit by a keeper."))
    assert retrieve(caller=alice, query="How are ships kept away from rocks?").passages
    assert not retrieve(caller=alice, query="How much flour goes into the bread?").passages
