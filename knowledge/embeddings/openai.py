"""Any OpenAI-compatible `/embeddings` endpoint."""

import threading
import time
from collections.abc import Sequence
from typing import Any

import httpx
import numpy as np

from knowledge.conf import conf
from knowledge.embeddings.base import BaseEmbedder, EmbeddingError, unit
from knowledge.vectors import Vector

ATTEMPTS = 4
LONGEST_WAIT = 20.0
LONGEST_CHARS = 16_000


class OpenAIEmbedder(BaseEmbedder):
    """One model of the endpoint. The same text always gives the same vector, so what failed for a moment is tried again."""

    batch = 64

    def __init__(self, *, base_url: str, api_key: str, model: str, dimensions: int, anchor: float) -> None:
        self.key = model
        self.dimensions = dimensions
        self.anchor = anchor
        self._url = f"{base_url.rstrip('/')}/embeddings"
        self._headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._model = model
        self._client: httpx.Client | None = None
        self._opening = threading.Lock()

    def embed(self, texts: Sequence[str]) -> list[Vector]:
        """As `BaseEmbedder.embed`; waits as long as the provider's Retry-After asks, up to 20 s a time."""
        body = {"model": self._model, "input": [text[:LONGEST_CHARS] or " " for text in texts], "encoding_format": "float"}
        for attempt in range(ATTEMPTS):
            try:
                response = self._open().post(self._url, json=body)
            except httpx.HTTPError as error:
                problem, wait = f"cannot be reached ({type(error).__name__})", 2.0**attempt
            else:
                if response.is_success:
                    return self._vectors(response, len(texts))
                problem = f"answered {response.status_code}: {_detail(response)}"
                if response.status_code not in {408, 409, 429} and response.status_code < 500:
                    break
                wait = _wait(response, attempt)
            if attempt + 1 < ATTEMPTS:
                time.sleep(min(wait, LONGEST_WAIT))
        raise EmbeddingError(f"The embeddings endpoint {problem}. Check EMBEDDINGS_BASE_URL and EMBEDDINGS_API_KEY.")

    def _open(self) -> httpx.Client:
        with self._opening:
            if self._client is None:
                timeout = httpx.Timeout(conf.EMBEDDINGS_TIMEOUT_SECONDS, connect=10.0)
                self._client = httpx.Client(headers=self._headers, timeout=timeout)
            return self._client

    def _vectors(self, response: httpx.Response, count: int) -> list[Vector]:
        try:
            rows = sorted(response.json()["data"], key=lambda row: row["index"])
            vectors = [unit(np.asarray(row["embedding"], dtype=np.float32)) for row in rows]
        except (ValueError, KeyError, TypeError) as error:
            raise EmbeddingError("The embeddings endpoint answered something that is no list of embeddings.") from error
        if len(vectors) != count or any(vector.shape != (self.dimensions,) for vector in vectors):
            raise EmbeddingError(f"The embeddings endpoint gave no {count} embeddings of {self.dimensions} dimensions.")
        if not all(np.isfinite(vector).all() for vector in vectors):
            raise EmbeddingError("The embeddings endpoint answered numbers that are none (NaN).")
        return vectors


def _wait(response: httpx.Response, attempt: int) -> float:
    told: Any = response.headers.get("retry-after", "")
    try:
        return max(0.0, float(told))
    except ValueError:
        return 2.0**attempt


def _detail(response: httpx.Response) -> str:
    try:
        error = response.json()["error"]
        text = error["message"] if isinstance(error, dict) else str(error)
    except (ValueError, KeyError, TypeError):
        text = response.text
    return " ".join(str(text).split())[:200]
