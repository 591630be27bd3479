"""Takes texts in and asks questions about them; prints the figures as JSON. Arguments: megabytes of text, how many times."""

import asyncio
import json
import random
import statistics
import sys
import time

import django

django.setup()

from accounts.models import User  # noqa: E402 - after django.setup()
from accounts.verification import caller_of_user  # noqa: E402
from knowledge.ingester import current_ingester  # noqa: E402
from knowledge.models import Chunk, Source  # noqa: E402
from knowledge.services.retrieval import SourceQuery, retrieve  # noqa: E402
from knowledge.services.sources import create, new_text  # noqa: E402

QUESTIONS = 20
WORDS = [a + b + c for a in "bdfgklmnprst" for b in ("a", "ei", "o", "u") for c in ("n", "rd", "sk", "lo", "mit")]


def text_of(megabytes: float, seed: int) -> str:
    """Sentences of made-up words under headings, the same for the same seed."""
    chosen = random.Random(seed)
    parts, size = [], 0
    while size < megabytes * 1e6:
        heading = f"\n# {' '.join(chosen.choices(WORDS, k=3))}\n\n" if len(parts) % 40 == 0 else ""
        sentence = f"{heading}{' '.join(chosen.choices(WORDS, k=12)).capitalize()}. "
        parts.append(sentence)
        size += len(sentence)
    return "".join(parts)


async def ingested(sources: list[str]) -> None:
    ingester = current_ingester()
    ingester.start()
    unfinished = Source.objects.filter(pk__in=sources).exclude(status__in=("ready", "failed"))
    while await asyncio.to_thread(unfinished.exists):  # noqa: ASYNC110 - another thread writes the rows
        await asyncio.sleep(0.05)
    await ingester.close()
    async for failed in Source.objects.filter(pk__in=sources, status="failed"):
        raise SystemExit(f"{failed.name} could not be taken in: {failed.error}")


def asked(caller, strategy: str) -> float:
    chosen = random.Random(7)
    times = []
    for _ in range(QUESTIONS):
        question = " ".join(chosen.choices(WORDS, k=5))
        began = time.perf_counter()
        retrieve(caller=caller, query=question, sources=[SourceQuery(similarity_threshold=0.0)], strategy=strategy)
        times.append(time.perf_counter() - began)
    return statistics.median(times) * 1000


def main(megabytes: float, times: int) -> None:
    user, _ = User.objects.get_or_create(username=f"bench-{random.randrange(10**9)}")
    caller = caller_of_user(user.pk)
    made = []
    for number in range(times):
        new, data = new_text(name=f"bench {number}.md", text=text_of(megabytes, number))
        made.append(create(caller=caller, new=new, data=data).pk)
    began = time.perf_counter()
    asyncio.run(ingested(made))
    seconds = time.perf_counter() - began
    chunks = Chunk.objects.filter(document__source__in=made).count()
    figures = {"chunks": chunks, "chunks_per_second": chunks / seconds}
    figures |= {f"{strategy}_ms": asked(caller, strategy) for strategy in ("merge", "ensemble")}
    User.objects.filter(pk=user.pk).delete()
    print(json.dumps(figures))


main(float(sys.argv[1]), int(sys.argv[2]))
