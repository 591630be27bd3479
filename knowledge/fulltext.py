"""Full text: the chunks that hold the rare words of a question, found and ranked by Postgres.

Postgres' own ranks know nothing of how rare a word is, and a question's words joined by AND find
nothing. So the words are joined by OR, and each counts as much as it is rare in what is searched.
"""

import math
import re
from collections.abc import Sequence
from typing import NamedTuple

from django.db import connection

from knowledge.vectors import ANY, Condition

MOST_WORDS = 32
LEAST_COVERAGE = 0.35
"""A chunk must carry so much of the question's weight: one common word in common is no match."""

_SPACED = re.compile("([\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af])")
WEIGHTS = "{0.1, 0.4, 0.7, 1.0}"
"""Of the classes D (text), C, B (headings), A of the column `search`."""


class Match(NamedTuple):
    """A chunk and how well its words match; comparable only within one search."""

    chunk_id: int
    rank: float


def matching(*, documents: Sequence[int], query: str, limit: int, condition: Condition = ANY) -> list[Match]:
    """The `limit` chunks of these documents that match the words of `query` best, best first."""
    words = _words(query)
    if not words or not documents:
        return []
    weights = _weights(words, documents)
    total = sum(weights.values())
    known = {word: weight for word, weight in weights.items() if weight > 0}
    if not known:
        return []
    held = " + ".join(["CASE WHEN c.search @@ %s::tsquery THEN %s ELSE 0 END"] * len(known))
    # A second occurrence adds little, a long chunk is not better for its length: flag 1 divides by the logarithm of it.
    rank = " + ".join(["%s * ts_rank(%s, c.search, %s::tsquery, 1)"] * len(known))
    parameters: list[str | float] = [value for word, weight in known.items() for value in (_quoted(word), weight)]
    ranks: list[str | float] = [value for word, weight in known.items() for value in (weight, WEIGHTS, _quoted(word))]
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT id, held * (1 + rank) FROM (SELECT c.id, {held} AS held, {rank} AS rank FROM knowledge_chunk c "  # noqa: S608
            f"WHERE c.document_id = ANY(%s) AND c.search @@ %s::tsquery {condition.sql}) found "
            "WHERE held >= %s ORDER BY 2 DESC, id LIMIT %s",
            (
                *parameters,
                *ranks,
                list(documents),
                " | ".join(map(_quoted, known)),
                *condition.params,
                LEAST_COVERAGE * total,
                limit,
            ),
        )
        return [Match(id_, float(score)) for id_, score in cursor.fetchall()]


def _words(query: str) -> list[str]:
    """The words of a question as the column `search` holds them, without those that are everywhere."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT tsvector_to_array(to_tsvector('english', %s))", [_SPACED.sub(r" \1 ", query.replace("\x00", " "))])
        found: list[str] = cursor.fetchone()[0]
    return found[:MOST_WORDS]


def _weights(words: list[str], documents: Sequence[int]) -> dict[str, float]:
    """What each word is worth: its inverse document frequency among the chunks. One that occurs nowhere counts as the rarest."""
    counts = ", ".join(["count(*) FILTER (WHERE c.search @@ %s::tsquery)"] * len(words))
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT count(*), {counts} FROM knowledge_chunk c WHERE c.document_id = ANY(%s)",  # noqa: S608 - placeholders
            [*map(_quoted, words), list(documents)],
        )
        number, *found = cursor.fetchone()
    return {word: math.log(1 + (number - count + 0.5) / (count + 0.5)) for word, count in zip(words, found, strict=True)}


def _quoted(word: str) -> str:
    """A lexeme as a tsquery."""
    return "'" + word.replace("\\", "\\\\").replace("'", "''") + "'"
