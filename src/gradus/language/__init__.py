"""A language model in use: writing answers for many at once, documents to answer from, other programs' formats."""

from __future__ import annotations

from gradus.language.engine import Engine, Full, generate
from gradus.language.model import LanguageModel, newest
from gradus.language.request import Piece, Request
from gradus.language.sampling import Sampling, TokenLogprob

__all__ = [
    "Engine",
    "Full",
    "LanguageModel",
    "Piece",
    "Request",
    "Sampling",
    "TokenLogprob",
    "generate",
    "newest",
]
