"""Embeddings without a model: which words, and which beginnings of words, a text holds.

Finds passages with the same words, in any language, and nothing else. For tests, for benchmarks,
and for an installation without the offline model.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np

from knowledge.embeddings.base import BaseEmbedder, unit
from knowledge.vectors import Vector

_WORD = re.compile(r"[^\W_]+")
_STEM = 5


class HashingEmbedder(BaseEmbedder):
    """Feature hashing (Weinberger et al., 2009): each word falls on one of the dimensions, with a sign."""

    key = "hashing-384"
    dimensions = 384
    anchor = 0.25

    def embed(self, texts: Sequence[str]) -> list[Vector]:
        """As `BaseEmbedder.embed`; never fails."""
        return [self._embed(text) for text in texts]

    def _embed(self, text: str) -> Vector:
        vector = np.zeros(self.dimensions, dtype=np.float32)
        for feature in _features(text):
            place, sign = _place(feature, self.dimensions)
            vector[place] += sign
        # A word that is repeated counts, but less each time.
        return unit(np.sign(vector) * np.sqrt(np.abs(vector)))


def _features(text: str) -> Iterator[str]:
    for word in _WORD.findall(text.casefold()):
        # Short words in scripts with spaces say little; a character of a script without spaces says much.
        if len(word) > 3 or not word.isascii():
            yield word[:_STEM]


@lru_cache(maxsize=65536)
def _place(feature: str, dimensions: int) -> tuple[int, float]:
    digest = int.from_bytes(hashlib.blake2b(feature.encode("utf-8", "replace"), digest_size=8).digest(), "little")
    return digest % dimensions, 1.0 if digest >> 63 else -1.0
