"""One ingestion: the chunks that the reader's process writes, embedded and added some at a time."""

import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
import tempfile
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import Executor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from accounts.threads import in_thread
from events.exceptions import LeaseLost
from knowledge import announcing
from knowledge.conf import conf
from knowledge.embeddings.base import BaseEmbedder, EmbeddingError
from knowledge.embeddings.registry import embedder
from knowledge.extraction.blocks import ExtractionError
from knowledge.extraction.sentences import windows
from knowledge.services import files, ingestions
from knowledge.services.ingestions import UNREACHABLE, Claim
from knowledge.vectors import Vector

logger = logging.getLogger(__name__)

PROJECT = Path(__file__).resolve().parent.parent
LONGEST_LINE = 1 << 20
RETRY_SECONDS = 1.0
TOO_LONG = "Reading this document takes too long. Split it, or save it in a simpler form such as txt."
READER_DIED = (
    "Reading this document failed: it may be broken or far too large. Open it in its program, save it anew, and send that."
)


async def ingest(claim: Claim, pool: Executor) -> None:
    """Does an ingestion to its end, good or bad. Raises `LeaseLost`, and what `accounts.threads` and the database raise."""
    try:
        model = embedder(claim.model)
        async with _copy_of(claim) as path, _reader(path, claim.file_name) as reader:
            end = await _Carrier(claim, model, pool).carry(reader)
    except (ExtractionError, EmbeddingError) as error:
        await in_thread(ingestions.fail, claim=claim, error=str(error))
        return
    await in_thread(ingestions.finish, claim=claim, kind=end["kind"], chars=end["chars"])


@asynccontextmanager
async def _copy_of(claim: Claim) -> AsyncIterator[Path]:
    handle, name = tempfile.mkstemp(prefix="throughline-")
    os.close(handle)
    path = Path(name)
    try:
        await in_thread(files.write_out, file_id=claim.file_id, path=path)
        yield path
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


@asynccontextmanager
async def _reader(path: Path, name: str) -> AsyncIterator[Process]:
    """The process that reads and cuts a document; gone when the block is left."""
    limits = (str(conf.KNOWLEDGE_PARSER_MEMORY_MB), str(conf.KNOWLEDGE_PARSER_SECONDS))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "knowledge.extraction", str(path), name, *limits),
        cwd=PROJECT,
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=DEVNULL,
        limit=LONGEST_LINE,
        # Nothing of ours - keys, addresses of stores - for a process that reads what strangers sent.
        env={"PYTHONPATH": str(PROJECT), "LANG": "C.UTF-8", "OPENBLAS_NUM_THREADS": "1"},
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        # Not wait(): it waits for the end of the pipe, which a full pipe that nobody reads never comes to (cpython#119710).
        await process.communicate()


class _Carrier:
    """Carries chunks from the reader to the database, by way of the embedding model."""

    def __init__(self, claim: Claim, model: BaseEmbedder, pool: Executor) -> None:
        self._claim, self._model, self._pool = claim, model, pool
        self._added = claim.done
        # Who goes on where another stopped tells nothing twice.
        self._percent = claim.percent if claim.done else -1

    async def carry(self, reader: Process) -> dict[str, Any]:
        """Until the reader's last word, which is returned. Raises `ExtractionError`, `EmbeddingError`, `LeaseLost`."""
        assert reader.stdout is not None  # noqa: S101 - PIPE
        await self._tell(0, "parsing")
        batch: list[dict[str, Any]] = []
        async for line in reader.stdout:
            message = json.loads(line)
            if "chunk" in message:
                if message["chunk"]["position"] >= self._claim.done:
                    batch.append(message["chunk"])
                if len(batch) >= self._model.batch:
                    await self._add(batch)
                    batch = []
            elif "error" in message:
                raise ExtractionError(message["error"])
            else:
                if batch:
                    await self._add(batch)
                return dict(message["end"])
        await reader.communicate()
        code = reader.returncode
        logger.warning("The reader of %s ended with %s.", self._claim.source_id, code)
        raise ExtractionError(TOO_LONG if code == -signal.SIGXCPU else READER_DIED)

    async def _add(self, batch: list[dict[str, Any]]) -> None:
        vectors = await asyncio.get_running_loop().run_in_executor(self._pool, embedded, self._model, batch)
        added = batch[-1]["position"] + 1
        # 100 is for the end: visible to all.
        percent = min(99, int(batch[-1]["read"] * 100))
        while True:
            try:
                await in_thread(ingestions.add_chunks, claim=self._claim, chunks=batch, vectors=vectors, percent=percent)
                break
            except LeaseLost:
                raise
            except UNREACHABLE as error:
                # Whether it was added is unknown when the connection broke at the commit.
                logger.warning("Ingestion %s waits for the database: %s", self._claim.ingestion_id, error)
                await asyncio.sleep(RETRY_SECONDS)
                batch, vectors = await self._missing(batch, vectors)
                if not batch:
                    break
        self._added = added
        await self._tell(percent, "embedding")

    async def _missing(self, batch: list[dict[str, Any]], vectors: list[Any]) -> tuple[list[dict[str, Any]], list[Any]]:
        """What of a batch is not in the database; all of it as long as that cannot be asked."""
        try:
            done = await in_thread(ingestions.count_chunks, claim=self._claim)
        except UNREACHABLE:
            return batch, vectors
        kept = [pair for pair in zip(batch, vectors, strict=True) if pair[0]["position"] >= done]
        return [chunk for chunk, _ in kept], [vector for _, vector in kept]

    async def _tell(self, percent: int, stage: str) -> None:
        """At most one event a percent."""
        if percent <= self._percent:
            return
        self._percent = percent
        claim = self._claim
        attachment = claim.purpose == "attachment"
        await in_thread(
            announcing.announce_progress,
            owner=claim.owner,
            purpose=claim.purpose,
            source_id=str(claim.source_id),
            filename=claim.name,
            operation=claim.operation,
            current=percent,
            total=100,
            stage=("storing" if stage == "embedding" else "processing") if attachment else stage,
            embedded_chunks=self._added,
        )


def embedded(model: BaseEmbedder, chunks: Sequence[dict[str, Any]]) -> list[list[Vector]]:
    """The vectors of each chunk: of its windows, each told under which headings it stands."""
    texts = [
        [f"{chunk['heading']}\n{part.strip()}".strip() for part in windows(chunk["text"], least=model.window)]
        if model.window
        else [f"{chunk['heading']}\n{chunk['text'].strip()}".strip()]
        for chunk in chunks
    ]
    vectors = iter(model.embed([text for several in texts for text in several]))
    return [[next(vectors) for _ in several] for several in texts]
