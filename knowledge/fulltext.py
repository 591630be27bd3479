"""Full text: the chunks that hold the rare words of a question, found and ranked by Postgres.

Postgres' own ranks know nothing of how rare a word is, and a question's words joined by AND find
nothing. So the words are joined by OR, and each counts as much as it is rare in what is searched.
"""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from django.db import connection

from knowledge.vectors import ANY, Condition

MOST_WORDS = 32
LEAST_COVERAGE = 0.35
"""A chunk must carry so much of the question's weight: one common word in common is no match."""

_SPACED = re.compile("([\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af])")
CANDIDATES = 200
"""So many of the best are ranked in detail."""
WEIGHTS = "{0.1, 0.4, 0.7, 1.0}"
"""Of the classes D (text), C, B (headings), A of the column `search`."""


class Match(NamedTuple):
    """A chunk and how well its words match; comparable only within one search."""

    chunk_id: int
    rank: float


_RANKED = """
WITH hits AS MATERIALIZED ({hits}),
weights AS (
    SELECT number, lexeme::tsquery AS query, ln(1 + (total.chunks - found.chunks + 0.5) / (found.chunks + 0.5)) AS weight
    FROM unnest(%s::text[]) WITH ORDINALITY AS word(lexeme, number),
    LATERAL (SELECT count(*)::float8 AS chunks FROM hits WHERE hits.number = word.number) found,
    (SELECT count(*)::float8 AS chunks FROM knowledge_chunk c WHERE c.document_id = ANY(%s) {condition}) total
),
best AS (
    SELECT hits.id, sum(weight) AS held FROM hits JOIN weights USING (number) GROUP BY hits.id
    HAVING sum(weight) >= %s * (SELECT sum(weight) FROM weights) ORDER BY held DESC, hits.id LIMIT %s
)
SELECT c.id, held * (1 + (SELECT sum(weight * ts_rank(%s, c.search, query, 1)) FROM weights)) AS score
FROM best JOIN knowledge_chunk c ON c.id = best.id ORDER BY score DESC, c.id LIMIT %s
"""
# Each word apart, so that the index answers for it: `@@` on a chunk itself reads and unpacks all its words.
_HITS = (
    "SELECT {number} AS number, c.id FROM knowledge_chunk c WHERE c.document_id = ANY(%s) AND c.search @@ %s::tsquery {condition}"
)


def matching(*, documents: Sequence[int], query: str, limit: int, condition: Condition = ANY) -> list[Match]:
    """The `limit` chunks of these documents that match the words of `query` best, best first.

    A word's weight is its inverse document frequency among what is searched; one that occurs nowhere counts as the rarest.
    The chunks that hold the most weight are then ranked by how often and where they hold it: a long chunk is not better
    for its length (flag 1 of ts_rank), a second occurrence adds little.
    """
    words = [_quoted(word) for word in _words(query)]
    if not words or not documents:
        return []
    hits = " UNION ALL ".join(_HITS.format(number=number, condition=condition.sql) for number in range(1, len(words) + 1))
    searched: list[Any] = [value for word in words for value in (list(documents), word, *condition.params)]
    with connection.cursor() as cursor:
        cursor.execute(
            _RANKED.format(hits=hits, condition=condition.sql),
            [
                *(*searched, words, list(documents), *condition.params),
                *(LEAST_COVERAGE, max(CANDIDATES, limit), WEIGHTS, limit),
            ],
        )
        return [Match(id_, float(score)) for id_, score in cursor.fetchall()]


def _words(query: str) -> list[str]:
    """The words of a question as the column `search` holds them, without those that are everywhere."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT tsvector_to_array(to_tsvector('english', %s))", [_SPACED.sub(r" \1 ", query.replace("\x00", " "))])
        found: list[str] = cursor.fetchone()[0]
    return found[:MOST_WORDS]


def _quoted(word: str) -> str:
    """A lexeme as a tsquery."""
    return "'" + word.replace("\\", "\\\\").replace("'", "''") + "'"
