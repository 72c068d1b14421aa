"""Sequence models against formulas, the library and themselves: neither padding nor a cache changes a number."""

from __future__ import annotations

import inspect
import itertools
import json
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import gradus as gd
from gradus.models.attention import Attention, rotary, turned
from gradus.models.padding import masked_max, masked_mean, reversed_rows
from gradus.models.recurrent import HandRNN, Recurrence

V = 11  # tokens: padding is 0, real ones are 1 to 10
CLASSIFIERS: list[Callable[..., nn.Module]] = [
    lambda **k: gd.models.RecurrentClassifier(V, 3, embedding=6, hidden=5, layers=2, **k),
    lambda **k: gd.models.RecurrentClassifier(V, 3, embedding=6, hidden=5, cell="lstm", pooling="max", **k),
    lambda **k: gd.models.RecurrentClassifier(V, 3, embedding=6, hidden=5, cell="rnn", pooling="mean", **k),
    lambda **k: gd.models.RecurrentClassifier(V, 3, embedding=6, hidden=5, cell="cell", bidirectional=False, **k),
    lambda **k: gd.models.BagOfEmbeddings(V, 3, width=6, **k),
    lambda **k: gd.models.BagOfEmbeddings(V, 3, width=6, bigrams=17, **k),
    lambda **k: gd.models.TextCNN(V, 3, width=6, channels=4, **k),
    lambda **k: gd.models.TextTransformer(V, 3, width=8, heads=2, max_length=20, **k),
]
TAGGERS: list[Callable[[], nn.Module]] = [
    lambda: gd.models.RecurrentTagger(V, 4),
    lambda: gd.models.RecurrentTagger(V, 4, cell="rnn", embedding=5, layers=2),
    lambda: gd.models.RecurrentTagger(V, 4, cell="gru", bidirectional=True),
    lambda: gd.models.RecurrentTagger(V, 4, cell="lstm", embedding=5, bidirectional=True, layers=2),
]
LANGUAGE_MODELS: list[Callable[[], nn.Module]] = [
    lambda: gd.models.CharacterModel(V, width=6, hidden=9, layers=2),
    lambda: gd.models.CharacterModel(V, width=6, hidden=6, cell="lstm"),
    lambda: gd.models.CharacterModel(V, width=6, hidden=9, cell="lstm", tie=False),
    lambda: gd.models.GPT(V, width=12, heads=3, layers=2, max_length=60),
    lambda: gd.models.GPT(V, width=8, heads=1, layers=1, max_length=60, tie=False),
]
TRANSLATORS: list[Callable[..., nn.Module]] = [
    lambda **k: gd.models.LSTMTranslator(V, 13, width=8, **k),
    lambda **k: gd.models.LSTMTranslator(V, 13, width=8, layers=1, tie=False, **k),
    lambda **k: gd.models.TransformerTranslator(V, 13, width=8, heads=2, **k),
    lambda **k: gd.models.TransformerTranslator(V, 13, width=8, heads=4, layers=1, tie=False, **k),
]
SOURCE = torch.tensor([[4, 5, 6, 7, 8, 3], [9, 3, 0, 0, 0, 0], [4, 5, 10, 3, 0, 0]])
PREVIOUS = torch.tensor([[2, 4, 5, 6, 7], [2, 8, 9, 10, 11], [2, 12, 0, 0, 0]])


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def exact(model: nn.Module) -> Any:
    """A model in float64, without dropout, and with no weight at a special value, as a zero of its beginning."""
    model = model.double().eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight += 0.2 * torch.randn_like(weight)
        for module in model.modules():
            if isinstance(module, nn.Embedding) and module.padding_idx is not None:
                module.weight[module.padding_idx] = 0  # as it stays in training
    return model


@pytest.mark.parametrize("make", CLASSIFIERS)
def test_a_text_s_logits_do_not_depend_on_its_padding(make: Callable[[], nn.Module]) -> None:
    model = exact(make())
    together = model(SOURCE)
    for row, ids in enumerate(SOURCE):
        alone = model(ids[ids != 0][None])
        assert torch.allclose(together[row], alone[0], rtol=1e-12)
    assert model(torch.zeros(1, 3, dtype=torch.int64)).isfinite().all()  # a text without tokens


@pytest.mark.parametrize("make", TAGGERS)
def test_a_token_s_logits_do_not_depend_on_the_padding(make: Callable[[], nn.Module]) -> None:
    model = exact(make())
    together = model(SOURCE)
    assert together.shape == (3, 6, 4)
    for row, ids in enumerate(SOURCE):
        real = int((ids != 0).sum())
        assert torch.allclose(together[row, :real], model(ids[None, :real])[0], rtol=1e-12)


def test_the_cell_by_hand_is_the_library_s_rnn_forward_and_backward() -> None:
    hand, library = HandRNN(4, 6).double(), nn.RNN(4, 6, batch_first=True).double()
    with torch.no_grad():
        library.weight_ih_l0.copy_(hand.W.weight)
        library.weight_hh_l0.copy_(hand.U.weight)
        library.bias_ih_l0.copy_(hand.W.bias)
        library.bias_hh_l0.zero_()
    x = torch.randn(3, 5, 4, dtype=torch.float64)
    ours, theirs = hand(x), library(x)
    assert torch.allclose(ours[0], theirs[0], rtol=1e-12)
    assert torch.allclose(ours[1], theirs[1][0], rtol=1e-12)
    ours[0].square().sum().backward()
    theirs[0].square().sum().backward()
    assert torch.allclose(hand.U.weight.grad, library.weight_hh_l0.grad, rtol=1e-10)


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
@pytest.mark.parametrize("layers", [1, 2])
def test_reading_with_masks_is_reading_packed_forward_and_backward(cell: str, layers: int) -> None:
    ours = Recurrence(4, 6, layers, cell, bidirectional=True).double()
    packed = getattr(nn, cell.upper())(4, 6, layers, batch_first=True, bidirectional=True).double()
    names: dict[str, nn.Parameter] = {}
    for layer in range(layers):
        for way, suffix in ((ours.forwards[layer], ""), (ours.backwards[layer], "_reverse")):
            for name, weight in way.named_parameters():
                names[name.replace("l0", f"l{layer}") + suffix] = weight
    packed.load_state_dict(names)
    x, lengths = torch.randn(5, 7, 4, dtype=torch.float64), torch.tensor([7, 1, 4, 7, 3])
    theirs, ends = packed(nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False))
    theirs, _ = nn.utils.rnn.pad_packed_sequence(theirs, batch_first=True)
    ends = (ends[0] if cell == "lstm" else ends).unflatten(0, (layers, 2)).permute(2, 0, 1, 3).flatten(2)
    outputs, last = ours(x, lengths)
    real = torch.arange(7) < lengths[:, None]
    assert torch.allclose(outputs[real], theirs[real], rtol=1e-12)
    assert torch.allclose(last, ends, rtol=1e-12)
    (outputs[real].square().sum() + last.sum()).backward()
    (theirs[real].square().sum() + ends.sum()).backward()
    for name, weight in packed.named_parameters():
        assert torch.allclose(names[name].grad, weight.grad, rtol=1e-10), name


def test_the_pools_see_real_places_only() -> None:
    x = torch.randn(3, 5, 2, dtype=torch.float64)
    lengths = torch.tensor([5, 1, 3])
    for row, length in enumerate(lengths.tolist()):
        assert torch.allclose(masked_mean(x, lengths)[row], x[row, :length].mean(0))
        assert torch.equal(masked_max(x, lengths)[row], x[row, :length].amax(0))
        assert torch.equal(reversed_rows(x, lengths)[row, :length], x[row, :length].flip(0))
    assert torch.equal(reversed_rows(reversed_rows(x, lengths), lengths), x)


@pytest.mark.parametrize("bigrams", [0, 5])
def test_a_bag_is_the_mean_of_its_vectors(bigrams: int) -> None:
    model = exact(gd.models.BagOfEmbeddings(V, 3, width=4, bigrams=bigrams))
    for row, text in zip(model(SOURCE), SOURCE.tolist(), strict=True):
        ids = [v for v in text if v]
        pairs = [V + (a * 1_000_003 + b) % bigrams for a, b in itertools.pairwise(ids)] if bigrams else []
        vectors = model.embed.weight[ids + pairs]
        assert torch.allclose(row, model.head(vectors.mean(0)), rtol=1e-12)


def test_a_bag_without_pairs_forgets_the_order_and_one_with_pairs_does_not() -> None:
    ids = torch.tensor([[4, 5, 6, 7]])
    for bigrams, same in ((0, True), (1000, False)):
        model = exact(gd.models.BagOfEmbeddings(V, 3, width=4, bigrams=bigrams))
        assert torch.allclose(model(ids), model(ids[:, [1, 0, 3, 2]])) is same


def test_padding_s_vector_stays_zero_in_training() -> None:
    for make in (*CLASSIFIERS, *TAGGERS[1:2]):
        model = make()
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
        model(SOURCE).square().sum().backward()
        optimizer.step()
        table = next(m for m in model.modules() if isinstance(m, nn.Embedding))
        assert not table.weight[0].any()
        assert table.weight[4].any()


def test_words_are_left_out_in_training_only() -> None:
    ids = torch.randint(1, V, (64, 12))
    for make in CLASSIFIERS:
        model = make(word_dropout=0.5)
        assert torch.equal(model.eval()(ids), model(ids))
        assert not torch.equal(model.train()(ids), model(ids))
    bag = gd.models.BagOfEmbeddings(V, 2, width=3, word_dropout=0.25)
    with torch.no_grad():
        bag.embed.weight[1:] = 1.0
        bag.head.weight.fill_(1.0)
        bag.head.bias.zero_()
    assert torch.allclose(bag(ids), torch.tensor(3.0))  # the mean is over those that are left
    cnn = gd.models.TextCNN(V, 2, width=1, kernels=(1,), channels=1, word_dropout=0.25)
    seen: list[Tensor] = []
    cnn.embed.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    cnn(torch.ones(200, 50, dtype=torch.int64))
    assert float((seen[0] == 0).double().mean()) == pytest.approx(0.25, abs=0.02)


def test_a_convolution_sees_a_text_shorter_than_its_window() -> None:
    model = exact(gd.models.TextCNN(V, 3, width=4, kernels=(5,), channels=2))
    ids = torch.tensor([[7, 8]])
    x = torch.cat([model.embed.weight[[7, 8]], torch.zeros(8, 4, dtype=torch.float64)])
    filters = model.filters[0]
    answers = [(filters.weight * x[t : t + 5].T).sum((1, 2)) + filters.bias for t in range(2)]
    expected = model.head(torch.relu(torch.stack(answers)).amax(0))
    assert torch.allclose(model(ids)[0], expected, rtol=1e-12)


@pytest.mark.parametrize(("bias", "qk_norm"), [(True, False), (False, True)])
def test_attention_is_its_formula(bias: bool, qk_norm: bool) -> None:
    width, heads, d = 12, 3, 4
    layer = Attention(width, heads, bias=bias, qk_norm=qk_norm).double()
    query, memory = torch.randn(2, 5, width).double(), torch.randn(2, 7, width).double()
    keys_mask = torch.arange(7) < torch.tensor([[7], [4]])
    pairs_mask = torch.rand(2, 5, 7) < 0.5
    pairs_mask[..., 0] = True
    q = layer.queries(query)
    k, v = layer.keys_values(memory).chunk(2, dim=2)
    for mask in (None, keys_mask, pairs_mask):
        parts, weights = [], []
        for head in range(heads):
            own = slice(head * d, (head + 1) * d)
            qh, kh = q[..., own], k[..., own]
            if qk_norm:
                qh, kh = (t / t.square().mean(-1, keepdim=True).sqrt() for t in (qh, kh))
            fit = torch.einsum("btd,bsd->bts", qh, kh) / math.sqrt(d)
            if mask is not None:
                fit = fit + torch.where(mask if mask.ndim == 3 else mask[:, None], 0.0, -torch.inf)
            weights.append(fit.exp() / fit.exp().sum(-1, keepdim=True))
            parts.append(weights[-1] @ v[..., own])
        assert torch.allclose(layer(query, memory, mask), layer.out(torch.cat(parts, dim=2)), rtol=1e-6, atol=1e-6)
        assert torch.allclose(layer.weights(query, memory, mask), torch.stack(weights, dim=1), rtol=1e-6, atol=1e-6)


def test_causal_attention_looks_at_no_later_place_also_past_a_cache() -> None:
    layer = Attention(8, 2).double()
    x = torch.randn(2, 6, 8).double()
    lower = torch.ones(1, 6, 6, dtype=torch.bool).tril()
    whole = layer(x, causal=True)
    assert torch.allclose(whole, layer(x, mask=lower))
    remembered = layer.remember(x)
    for new in (1, 2, 4):
        assert torch.allclose(layer.attend(x[:, -new:], remembered, causal=True), whole[:, -new:])


def test_rotary_places_tell_distances_only_and_turn_as_complex_numbers_do() -> None:
    q, k = torch.randn(2, 1, 1, 1, 8).double()
    products = []
    for start in (0, 5, 300):
        turn_q, turn_k = rotary(start + 3, 1, 8, like=q), rotary(start, 1, 8, like=k)
        products.append(float((turned(q, turn_q) * turned(k, turn_k)).sum()))
    assert products == pytest.approx([products[0]] * 3)
    assert products[0] != pytest.approx(float((q * k).sum()))
    x = torch.randn(1, 1, 4, 8).double()
    points = torch.complex(x[..., :4], x[..., 4:])
    angles = torch.arange(2, 6)[:, None].double() * 10_000.0 ** (-torch.arange(4).double() / 4)
    points = points * torch.polar(torch.ones_like(angles), angles)
    expected = torch.cat([points.real, points.imag], dim=-1)
    assert torch.allclose(turned(x, rotary(2, 4, 8, like=x)), expected)


@pytest.mark.parametrize("make", TRANSLATORS)
def test_a_translator_written_step_by_step_is_its_forward(make: Callable[[], nn.Module]) -> None:
    model = exact(make())
    whole = model(SOURCE, PREVIOUS)
    assert whole.shape == (3, 5, 13)
    with torch.no_grad():
        state = model.begin(SOURCE)
        for step in range(5):
            logits, state = model.advance(PREVIOUS[:, step], state)
            assert torch.allclose(logits, whole[:, step], rtol=1e-10)
            assert all(len(t) == 3 for t in state)
            rows = torch.tensor([0, 1, 2])
            state = tuple(t[rows] for t in state)
    for row in range(3):  # alone, without padding
        places, steps = (int((t[row] != 0).sum()) for t in (SOURCE, PREVIOUS))
        alone = model(SOURCE[row : row + 1, :places], PREVIOUS[row : row + 1, :steps])
        assert torch.allclose(alone[0], whole[row, :steps], rtol=1e-10)


@pytest.mark.parametrize("make", TRANSLATORS)
def test_rows_of_a_state_can_be_picked_and_repeated(make: Callable[[], nn.Module]) -> None:
    model = exact(make())
    rows = torch.tensor([2, 0, 0, 1])
    with torch.no_grad():
        state = model.begin(SOURCE)
        _, state = model.advance(PREVIOUS[:, 0], state)
        picked, _ = model.advance(PREVIOUS[rows, 1], tuple(t[rows] for t in state))
    assert torch.allclose(picked, model(SOURCE, PREVIOUS)[rows, 1], rtol=1e-10)


@pytest.mark.parametrize("make", TRANSLATORS)
def test_a_translator_s_attention_is_a_share_of_each_real_place(make: Callable[[], nn.Module]) -> None:
    model = exact(make())
    weights = model.attention(SOURCE, PREVIOUS)
    assert weights.shape == (3, 5, 6)
    assert torch.allclose(weights.sum(2), torch.ones(3, 5).double())
    assert not weights.masked_select((SOURCE == 0)[:, None].expand(3, 5, 6)).any()
    assert (weights[0] > 0).all()


def test_the_lstm_s_attention_is_what_its_decoder_takes() -> None:
    model = exact(gd.models.LSTMTranslator(V, 13, width=8))
    memory, _, hidden, cell = model.begin(SOURCE)
    decoded, _ = model._decode(PREVIOUS, hidden, cell)
    taken = model.attention(SOURCE, PREVIOUS) @ memory
    expected = model.head(torch.tanh(model.mix(torch.cat([decoded, taken], dim=2))))
    assert torch.allclose(model(SOURCE, PREVIOUS), expected, rtol=1e-10)


@pytest.mark.parametrize("make", LANGUAGE_MODELS)
def test_a_language_model_reads_token_by_token_as_all_at_once(make: Callable[[], nn.Module]) -> None:
    model = exact(make())
    ids = torch.randint(1, V, (2, 40))  # more than a fresh cache has room for
    whole = model(ids)
    assert whole.shape == (2, 40, V)
    with torch.no_grad():
        state = model.begin(2)
        for step in range(40):
            logits, state = model.advance(ids[:, step], state)
            assert torch.allclose(logits, whole[:, step], rtol=1e-9)
        parts, state = [], model.begin(2)
        for begin, end in ((0, 7), (7, 8), (8, 35), (35, 40)):
            part, state = model.read(ids[:, begin:end], state)
            parts.append(part)
    assert torch.allclose(torch.cat(parts, dim=1), whole, rtol=1e-9)


@pytest.mark.parametrize("make", LANGUAGE_MODELS)
def test_a_language_model_sees_no_later_token(make: Callable[[], nn.Module]) -> None:
    model = exact(make())
    ids = torch.randint(1, V, (2, 9))
    changed = ids.clone()
    changed[:, 5] = ids[:, 5] % (V - 1) + 1
    before, after = model(ids), model(changed)
    assert torch.equal(before[:, :5], after[:, :5])
    assert not torch.allclose(before[:, 5:], after[:, 5:])


def test_a_fresh_language_model_knows_next_to_nothing() -> None:
    """Its loss is near that of equal chances, so no token is favoured, the one that was just read neither."""
    ids = torch.randint(0, 500, (8, 33))
    for model in (gd.models.CharacterModel(500), gd.models.GPT(500), gd.models.GPT(500, tie=False)):
        loss = nn.functional.cross_entropy(model(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten())
        assert loss.item() < math.log(500) + 1


@pytest.mark.parametrize(
    ("model", "ids"),
    [
        (lambda: gd.models.TextTransformer(V, 3, width=8, max_length=5), (torch.ones(1, 6, dtype=torch.int64),)),
        (lambda: gd.models.GPT(V, width=8, max_length=5), (torch.ones(1, 6, dtype=torch.int64),)),
        (lambda: TRANSLATORS[2](max_length=5), (SOURCE, PREVIOUS)),
    ],
)
def test_a_text_past_the_last_place_is_refused(model: Callable[[], nn.Module], ids: tuple[Tensor, ...]) -> None:
    with pytest.raises(ValueError, match="a text of 6 tokens, but this model has places for 5"):
        model()(*ids)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Attention(10, 4), "a width of 10 cannot be shared among 4 heads"),
        (lambda: gd.models.RecurrentClassifier(V, 3, cell="gruu"), "no cell 'gruu'; known: cell, rnn, lstm, gru"),
        (lambda: gd.models.RecurrentClassifier(V, 3, pooling="sum"), "no pooling 'sum'"),
        (lambda: gd.models.CharacterModel(V, cell="rnn"), "no cell 'rnn'; known: gru, lstm"),
        (lambda: gd.models.LSTMTranslator(V, V, width=9), "must be even, not 9"),
    ],
)
def test_a_model_that_cannot_be_is_refused(make: Callable[[], nn.Module], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()


def every_model() -> list[tuple[nn.Module, tuple[Tensor, ...]]]:
    one = [(make(), (SOURCE,)) for make in (*CLASSIFIERS, *TAGGERS, *LANGUAGE_MODELS)]
    return one + [(make(), (SOURCE, PREVIOUS)) for make in TRANSLATORS]


@pytest.mark.parametrize(("model", "inputs"), every_model(), ids=lambda v: type(v).__name__)
def test_description_and_summary(model: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    again = gd.models.build(json.loads(json.dumps(gd.models.describe(model))))
    assert type(again) is type(model)
    again.load_state_dict(model.state_dict())
    assert torch.equal(gd.models.apply(again.eval(), inputs), model.eval()(*inputs))
    assert len(list(again.parameters())) == len(list(model.parameters()))  # tied ones are tied again
    layers = gd.models.summary(model, inputs)
    assert sum(layer.parameters for layer in layers) == sum(p.numel() for p in model.parameters())
    assert 2 <= len(layers) <= 16
    for name in inspect.signature(type(model)).parameters:
        assert hasattr(model, name)


@pytest.mark.parametrize("tie", [True, False])
def test_the_output_layer_is_the_tokens_table_where_asked_for(tie: bool) -> None:
    for model, table in (
        (gd.models.CharacterModel(V, width=6, hidden=9, tie=tie), "embed.weight"),
        (gd.models.GPT(V, width=8, tie=tie), "embed.weight"),
        (gd.models.LSTMTranslator(V, 13, width=8, tie=tie), "embed_target.weight"),
        (gd.models.TransformerTranslator(V, 13, width=8, tie=tie), "embed_target.tokens.weight"),
    ):
        assert (model.head.weight is model.get_parameter(table)) is tie


def test_the_summary_shows_a_deep_stack_as_one() -> None:
    model = gd.models.GPT(V, width=8, heads=2, layers=20)
    layers = gd.models.summary(model, SOURCE)
    assert [layer.name for layer in layers] == ["embed", "blocks", "norm", "head"]
    assert sum(layer.parameters for layer in layers) == sum(p.numel() for p in model.parameters())
    assert layers[-1].parameters == 0  # its weights are the embedding's


@pytest.mark.parametrize(("model", "inputs"), every_model(), ids=lambda v: type(v).__name__)
def test_every_weight_learns(model: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    exact(model).train()
    model(*inputs).square().sum().backward()
    for name, weight in model.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.abs().sum() > 0, name


def test_an_lstm_begins_by_remembering() -> None:
    model = gd.models.RecurrentClassifier(V, 3, hidden=5, cell="lstm")
    lstm = model.recurrence.forwards[0]
    assert torch.equal(lstm.bias_ih_l0[5:10] + lstm.bias_hh_l0[5:10], torch.ones(5))
