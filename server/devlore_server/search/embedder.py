"""Owns the port to an embedding model: what every embedder offers and how it fails."""

from collections.abc import Sequence
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Vectors: TypeAlias = NDArray[np.float32]


class EmbedderUnavailable(Exception):
    """The embedding model cannot be used now. Never a statement about its dimension: the caller keeps what it has."""


class EmbedderMismatch(Exception):
    """The model answered, with vectors of another dimension than the one it was configured or first seen with."""


class Embedder(Protocol):
    """Turns text into vectors whose dot product is the cosine similarity."""

    @property
    def model(self) -> str:
        """The key vectors are stored under; equal keys mean comparable vectors."""

    @property
    def dimension(self) -> int:
        """Length of a vector. Raises EmbedderUnavailable while a remote model has not answered once."""

    async def embed(self, texts: Sequence[str], *, query: bool = False) -> Vectors:
        """Embed `texts` in order; (n, dimension), float32, rows of length 1. `query` marks a search, which models with
        two prefixes treat apart and which does not queue behind passages. Raises EmbedderUnavailable."""

    async def ping(self) -> None:
        """Load or reach the model and embed one word. Raises EmbedderUnavailable or EmbedderMismatch."""

    async def close(self) -> None:
        """Release threads and connections."""


def normalised(vectors: Vectors) -> Vectors:
    """Scale each row to length 1; a zero row stays zero."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled: Vectors = (vectors / np.clip(lengths, 1e-12, None)).astype(np.float32)
    return scaled
