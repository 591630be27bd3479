"""The tool `search_sources` with knowledge behind it: plugins and knowledge do not know each other."""

from functools import cache
from typing import Any

from accounts.caller import Caller
from knowledge.services.retrieval import SourceQuery, aretrieve
from plugins.tools.registry import Tool, register
from plugins.tools.search_sources import search_sources

THRESHOLD = 0.5
"""Lower than that of answers: the model sees the score, and may ask again in other words."""


async def search(caller: Caller, query: str, limit: int) -> list[dict[str, Any]]:
    """The passages for a query in whatever the caller may read, best first, as the tool tells them."""
    wanted = SourceQuery(limit=limit, similarity_threshold=THRESHOLD)
    found = await aretrieve(caller=caller, query=query, sources=[wanted], strategy="ensemble", max_total=limit)
    return [
        {
            "text": passage.text,
            "title": passage.title,
            "heading": passage.heading,
            "source": passage.source_name,
            "source_id": passage.source_id,
            "score": round(passage.similarity, 3),
        }
        for passage in found.passages
    ]


@cache
def _tool() -> Tool:
    return search_sources(search)


register("search_sources", _tool)
