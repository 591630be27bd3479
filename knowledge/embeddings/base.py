"""What an embedding model is."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np

from knowledge.vectors import Vector

ANCHOR_SCORE = 0.7
"""The score of a passage that just answers a question: the default threshold of requests."""


class EmbeddingError(Exception):
    """The model gave no embeddings. The message says why and what to do."""


class BaseEmbedder(ABC):
    """One model. Thread-safe; `embed` blocks.

    `key` is remembered with everything that it embedded. `anchor` is the cosine at which a passage
    of this model just about answers a question. Models differ much in that (0.8 for OpenAI's ada, 0.3
    for MiniLM), and requests give one threshold for all.
    """

    key: str
    dimensions: int
    anchor: float
    batch: int = 32
    window: int = 0
    """Tokens of a chunk that are embedded together, each such window apart; 0: all. The nearest of them counts."""

    @abstractmethod
    def embed(self, texts: Sequence[str]) -> list[Vector]:
        """A vector of length 1 for each text. Raises `EmbeddingError`."""

    def score(self, similarity: float) -> float:
        """The cosine on the scale of requests: 0 stays 0, `anchor` becomes 0.7, 1 stays 1, straight lines between them."""
        if similarity <= self.anchor:
            return max(-1.0, similarity * ANCHOR_SCORE / self.anchor)
        return min(1.0, ANCHOR_SCORE + (similarity - self.anchor) * (1 - ANCHOR_SCORE) / (1 - self.anchor))


def unit(vector: Vector) -> Vector:
    """The vector with length 1; one of zeros stays."""
    length = float(np.linalg.norm(vector))
    return (vector / length).astype(np.float32) if length > 0 else vector.astype(np.float32)
