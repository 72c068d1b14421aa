"""Step 2, model: plain modules that read well on their own; any other ``torch.nn.Module`` does as well.

Each keeps its constructor's arguments as attributes of the same names (scikit-learn's habit), which is all that
``describe`` and ``build`` need to write a model down and make it again without unpickling anything.
"""

from __future__ import annotations

import inspect
from typing import Any

from torch import Tensor, nn

from gradus.errors import UserError, nearest
from gradus.models.attention import Attention
from gradus.models.bag import BagOfEmbeddings
from gradus.models.characters import CharacterModel
from gradus.models.cnn import CNN, VGG, NotesCNN
from gradus.models.forecaster import LinearForecaster, LSTMForecaster
from gradus.models.gpt import GPT
from gradus.models.inception import Inception
from gradus.models.linear import Linear
from gradus.models.lora import LowRank, add_lora, merge_lora
from gradus.models.mlp import MLP
from gradus.models.polynomial import Polynomial, SumOf
from gradus.models.recurrent import RecurrentClassifier, RecurrentTagger
from gradus.models.resnet import ResNet
from gradus.models.seq2seq import LSTMTranslator, TransformerTranslator
from gradus.models.speednet import SpeedNet
from gradus.models.summary import Layer, summary
from gradus.models.textcnn import TextCNN
from gradus.models.transformer import TextTransformer
from gradus.models.variants import with_dropout, with_tokens

MODELS: dict[str, type[nn.Module]] = {
    model.__name__: model
    for model in (
        Linear,
        Polynomial,
        SumOf,
        MLP,
        NotesCNN,
        CNN,
        VGG,
        ResNet,
        Inception,
        SpeedNet,
        LSTMForecaster,
        LinearForecaster,
        RecurrentTagger,
        RecurrentClassifier,
        BagOfEmbeddings,
        TextCNN,
        TextTransformer,
        LSTMTranslator,
        TransformerTranslator,
        CharacterModel,
        GPT,
    )
}

__all__ = [
    "CNN",
    "GPT",
    "MLP",
    "MODELS",
    "VGG",
    "Attention",
    "BagOfEmbeddings",
    "CharacterModel",
    "Inception",
    "LSTMForecaster",
    "LSTMTranslator",
    "Layer",
    "Linear",
    "LinearForecaster",
    "LowRank",
    "NotesCNN",
    "Polynomial",
    "RecurrentClassifier",
    "RecurrentTagger",
    "ResNet",
    "SpeedNet",
    "SumOf",
    "TextCNN",
    "TextTransformer",
    "TransformerTranslator",
    "add_lora",
    "apply",
    "build",
    "describe",
    "merge_lora",
    "summary",
    "with_dropout",
    "with_tokens",
]


def apply(model: nn.Module, inputs: Tensor | tuple[Tensor, ...]) -> Any:
    """The model's outputs for its inputs: one tensor, or several that it is called with."""
    return model(*inputs) if isinstance(inputs, tuple) else model(inputs)


def describe(model: nn.Module) -> dict[str, Any] | None:
    """A model of this package as its name and arguments; None for any other module, which only its owner can make."""
    name = type(model).__name__
    if MODELS.get(name) is not type(model):
        return None
    positional: list[Any] = []
    named: dict[str, Any] = {}
    for parameter in inspect.signature(type(model)).parameters.values():
        value = getattr(model, parameter.name)
        if parameter.kind is parameter.VAR_POSITIONAL:
            positional += value
        else:
            named[parameter.name] = value
    return {"name": name, "positional": positional, "named": named}


def build(spec: dict[str, Any]) -> nn.Module:
    """The model that ``describe`` wrote down, with fresh weights."""
    if spec["name"] not in MODELS:
        raise UserError(f"no model '{spec['name']}' in this version of gradus.{nearest(spec['name'], MODELS)}")
    named = {k: tuple(v) if isinstance(v, list) else v for k, v in spec["named"].items()}
    return MODELS[spec["name"]](*spec["positional"], **named)
