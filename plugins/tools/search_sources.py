"""The tool `search_sources`: what the sources of the one who asks say about something. Searching is given in from above."""

from collections.abc import Awaitable, Callable
from typing import Any

from accounts.caller import Caller
from plugins.tools.registry import Arguments, Context, Tool

MOST = 10
Search = Callable[[Caller, str, int], Awaitable[list[dict[str, Any]]]]
"""The passages for a query, at most so many, of what this caller may read: objects with `text`, `title`, `source`, `score`."""


def search_sources(search: Search) -> Tool:
    """The tool, which searches by `search`."""

    async def run(arguments: Arguments, context: Context) -> dict[str, Any]:
        query, limit = arguments["query"].strip(), arguments.get("limit", 5)
        async with context.recorder.step("search") as step:
            found = await search(context.caller, query, limit)
            step.variable("found", [{"title": each.get("title"), "score": each.get("score")} for each in found])
        return {"passages": found}

    return Tool(
        name="search_sources",
        description="Searches the documents that the user has added, and gives the passages that fit best.",
        parameters={
            "type": "object",
            "properties": {
                "query": {
                    "type": "string",
                    "minLength": 1,
                    "maxLength": 1000,
                    "pattern": r"\S",
                    "description": "What to look for.",
                },
                "limit": {"type": "integer", "minimum": 1, "maximum": MOST, "description": "How many passages; 5 if not given."},
            },
            "required": ["query"],
            "additionalProperties": False,
        },
        run=run,
    )
