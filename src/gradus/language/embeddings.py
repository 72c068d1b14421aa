"""Texts as vectors whose cosine tells how near they are in meaning: from an OpenAI-style server or a model at hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from gradus.language.remote import Remote

if TYPE_CHECKING:
    from gradus.language.model import LanguageModel


class Embedder(Protocol):
    """What embeds texts. ``name`` tells its vectors from those of others in an index."""

    name: str

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Vectors of length 1, float32 (texts, width)."""
        ...


def embedder_of(source: str, *, model: str | None = None, api_key: str | None = None) -> Embedder:
    """What embeds texts.

    Args:
        source: the address of an OpenAI-style server (``http://localhost:11434/v1``), or a run or a Hugging Face
            directory of a language model.
        model: the server's name of the model; None takes the only one that it has.

    Raises:
        UserError: where the server has no such model, or the directory none.
    """
    if source.startswith(("http://", "https://")):
        return RemoteEmbedder(Remote(source, model=model, api_key=api_key))
    from gradus.language.model import LanguageModel

    return LocalEmbedder(LanguageModel.load(source, quantise="none"), str(Path(source).resolve()))


class RemoteEmbedder:
    """A model on a server."""

    def __init__(self, remote: Remote) -> None:
        self._remote = remote
        self.name = f"{remote.url} {remote.model}"

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        return _unit(self._remote.embed(texts))


class LocalEmbedder:
    """A language model that is at hand: the mean of what its output layer reads; what is too long for it is cut."""

    def __init__(self, lm: LanguageModel, name: str) -> None:
        self._lm, self.name = lm, name

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        import torch

        lm = self._lm
        means = []
        for text in texts:
            ids = (lm.tokens.encode_text(text) or [lm.tokens.eos_id])[: lm.max_length]
            with torch.inference_mode():
                features = lm.model.features(torch.tensor([ids], device=lm.device))
            means.append(features.float().mean(1)[0].cpu().numpy())
        return _unit(np.array(means))


def _unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors scaled to length 1; one of zeros stays."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled: np.ndarray = (vectors / np.maximum(lengths, 1e-12)).astype(np.float32)
    return scaled
