"""Exceptions that people meet: each is put in plain words, with its line, its tensors and what to change."""

from __future__ import annotations

from pathlib import Path

import bed
import pytest
import torch

torch.set_num_threads(1)

HEAD = "import torch\nimport torch.nn as nn\nimport torch.nn.functional as F\n"
LOGITS = "logits = torch.randn(8, 3, requires_grad=True)\n"
NET = "net = nn.Linear(2, 2)\noptimizer = torch.optim.SGD(net.parameters(), lr=0.1)\n"
CLASS = "class Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n        self.a = nn.Linear(3, 4)\n"
LOADER = "from torch.utils.data import DataLoader\n"
CASES: dict[str, tuple[str, str, str, str]] = {
    # name: code, script, what is changed, what is measured
    "class labels as floats": (
        "error-dtype",
        LOGITS + "y = torch.zeros(8)\nF.cross_entropy(logits, y)",
        "y = y.long()",
        "y: float32",
    ),
    "class labels of 32 bits": (
        "error-dtype",
        LOGITS + "y = torch.zeros(8).int()\nnn.CrossEntropyLoss()(logits, y)",
        "y = y.long()",
        "y: int32",
    ),
    "shares of classes as whole numbers": (
        "error-dtype",
        LOGITS + "y = torch.ones(8, 3).long()\nF.cross_entropy(logits, y)",
        "y = y.float()",
        "y: int64",
    ),
    "yes and no as whole numbers": (
        "error-dtype",
        "p = torch.rand(8)\ny = torch.ones(8).long()\nF.binary_cross_entropy(p, y)",
        "y = y.float()",
        "y: int64",
    ),
    "a mean of whole numbers": (
        "error-dtype",
        "rows = torch.arange(5)\nrows.mean()",
        "rows = rows.float()",
        "rows: int64",
    ),
    "gradients of whole numbers": (
        "error-dtype",
        "w = torch.tensor([1, 2], requires_grad=True)",
        ".float()",
        "require gradients",
    ),
    "places as floats": (
        "error-dtype",
        "table = torch.randn(5, 3)\nids = torch.zeros(2)\ntable[ids]",
        "ids = ids.long()",
        "ids: float32",
    ),
    "words as floats": (
        "error-dtype",
        "words = nn.Embedding(5, 3)\nids = torch.zeros(2)\nwords(ids)",
        "ids = ids.long()",
        "ids: float32",
    ),
    "one-hot of floats": ("error-dtype", "ids = torch.rand(4)\nF.one_hot(ids)", "ids = ids.long()", "ids: float32"),
    "labels below 0": (
        "error-label-range",
        LOGITS + "y = torch.tensor([0, 1, 2, -1, 0, 1, 2, 0])\nF.cross_entropy(logits, y)",
        "ignore_index=-1",
        "-1",
    ),
    "a column of labels": (
        "error-shape",
        LOGITS + "y = torch.zeros(8, 1).long()\nF.cross_entropy(logits, y)",
        "y.squeeze(1)",
        "y: (8, 1)",
    ),
    "classes in the last axis": (
        "error-shape",
        "said = torch.randn(8, 5, 3)\ny = torch.zeros(8, 5).long()\nF.cross_entropy(said, y)",
        "logits.transpose(1, 2)",
        "said: (8, 5, 3)",
    ),
    "fewer labels than rows": (
        "error-shape",
        LOGITS + "y = torch.zeros(6).long()\nF.cross_entropy(logits, y)",
        "as many labels",
        "y: (6,)",
    ),
    "a column beside a row": (
        "error-shape",
        "p = torch.rand(8, 1)\ny = torch.rand(8)\nF.binary_cross_entropy(p, y)",
        "y.unsqueeze(1)",
        "p: (8, 1)",
    ),
    "flat rows for a convolution": (
        "error-shape",
        "net = nn.Conv2d(3, 8, 3)\nx = torch.randn(4, 784)\nnet(x)",
        "x.view(-1, C, H, W)",
        "x: (4, 784)",
    ),
    "one channel of three": (
        "error-shape",
        "net = nn.Conv2d(3, 8, 3)\nx = torch.randn(4, 1, 28, 28)\nnet(x)",
        "in_channels=1",
        "x: (4, 1, 28, 28)",
    ),
    "a kernel beyond the picture": (
        "error-shape",
        "net = nn.Conv2d(3, 8, 9)\nx = torch.randn(4, 3, 4, 4)\nnet(x)",
        "padding=",
        "x: (4, 3, 4, 4)",
    ),
    "features of a recurrent layer": (
        "error-shape",
        "rnn = nn.LSTM(10, 20)\nx = torch.randn(3, 4, 5)\nrnn(x)",
        "input_size=5",
        "x: (3, 4, 5)",
    ),
    "a state in the order of the batch": (
        "error-shape",
        "rnn = nn.LSTM(9, 5, batch_first=True)\nx = torch.randn(3, 4, 9)\nh = torch.zeros(1, 4, 5)\nrnn(x, (h, h))",
        "whatever batch_first is",
        "h: (1, 4, 5)",
    ),
    "features of attention": (
        "error-shape",
        "net = nn.TransformerEncoderLayer(16, 4)\nx = torch.randn(5, 2, 12)\nnet(x)",
        "=12",
        "x: (5, 2, 12)",
    ),
    "heads that don't divide": ("error-shape", "nn.MultiheadAttention(10, 3)", "divides embed_dim", "divisible"),
    "a product of equal shapes": (
        "error-shape",
        "a = torch.randn(3, 4)\nb = torch.randn(3, 4)\na @ b",
        "a @ b.T",
        "a: (3, 4); b: (3, 4)",
    ),
    "a sum of unlike axes": (
        "error-shape",
        "a = torch.randn(3, 4)\nb = torch.randn(3)\na + b",
        "from the last to the first",
        "b: (3,)",
    ),
    "a view of a transpose": ("error-shape", "x = torch.randn(3, 4).t()\nx.view(12)", "x.reshape", "x: (4, 3)"),
    "sizes that don't fill": ("error-shape", "x = torch.randn(3, 4)\nx.reshape(5, -1)", "must be 12", "x: (3, 4)"),
    "the loss's class called with tensors": (
        "error-one-number",
        LOGITS + "y = torch.zeros(8).long()\nnn.CrossEntropyLoss(logits, y)",
        "nn.CrossEntropyLoss()(logits, labels)",
        "logits: (8, 3)",
    ),
    "an if of many": ("error-one-number", "x = torch.randn(3)\nif x > 0:\n    pass", ".any()", "x: (3,)"),
    "one of many": ("error-one-number", "x = torch.randn(3)\nx.item()", "x[0].item()", "x: (3,)"),
    "a loss for each row": (
        "error-one-number",
        "w = torch.ones(3, requires_grad=True)\nw.backward()",
        "loss.mean()",
        "w: (3,)",
    ),
    "layers in a list": (
        "error-no-parameters",
        CLASS.replace("self.a = nn.Linear(3, 4)", "self.layers = [nn.Linear(3, 4)]")
        + "torch.optim.SGD(Net().parameters(), lr=0.1)",
        "nn.ModuleList",
        "empty parameter list",
    ),
    "forward misspelt": (
        "error-forward",
        CLASS + "    def foward(self, x):\n        return x\nNet()(torch.ones(2, 3))",
        "def forward(self, x)",
        "Net",
    ),
    "forward with too much": (
        "error-forward",
        CLASS + "    def forward(self):\n        return 1\nNet()(torch.ones(2, 3))",
        "the same arguments",
        "Net.forward()",
    ),
    "a list for a layer": ("error-not-a-tensor", "nn.Linear(2, 2)([1.0, 2.0])", "torch.tensor(x)", "not list"),
    "an array for a layer": (
        "error-not-a-tensor",
        "import numpy as np\nnn.Linear(2, 2)(np.zeros((3, 2)))",
        "torch.from_numpy",
        "ndarray",
    ),
    "a pair for a loss": (
        "error-not-a-tensor",
        "out = nn.LSTM(4, 4)(torch.ones(3, 2, 4))\nF.mse_loss(out, torch.zeros(3, 2, 4))",
        "out, state = rnn(x)",
        "'tuple'",
    ),
    "an array of what wants gradients": (
        "error-numpy",
        "x = torch.ones(3, requires_grad=True)\nx.numpy()",
        "x.detach().cpu().numpy()",
        "x: (3,)",
    ),
    "batch norm of one row": (
        "error-one-row",
        "net = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))\nnet(torch.ones(1, 4))",
        "drop_last=True",
        "1, 3",
    ),
    "a whole model in a file": (
        "error-load",
        "torch.save(nn.Linear(2, 2), OUT)\ntorch.load(OUT)",
        "torch.save(model.state_dict(), file)",
        "Weights only",
    ),
    "weights of another size": (
        "error-load",
        "nn.Linear(3, 5).load_state_dict(nn.Linear(3, 4).state_dict())",
        "strict=False",
        "size mismatch",
    ),
    "names with a prefix": (
        "error-load",
        "a = nn.Linear(3, 4)\na.load_state_dict({'module.' + k: v for k, v in a.state_dict().items()})",
        "name.removeprefix('module.')",
        "Missing key(s)",
    ),
    "logits for probabilities": (
        "error-probabilities",
        "p = 3 * torch.randn(99)\nF.binary_cross_entropy(p, torch.ones(99))",
        "binary_cross_entropy_with_logits",
        "between 0 and 1",
    ),
    "a schedule that is over": (
        "error-schedule",
        NET + "s = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=3)\n"
        "for _ in range(6):\n    optimizer.step()\n    s.step()",
        "epochs * len(loader)",
        "Tried to step",
    ),
    "a plateau of nothing": (
        "error-schedule",
        NET + "torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer).step()",
        "validation_loss",
        "metrics",
    ),
    "rows of nothing": (
        "error-collate",
        LOADER + "next(iter(DataLoader([None] * 4, batch_size=2)))",
        "gave None",
        "NoneType",
    ),
    "a file elsewhere": ("error-other", "torch.load('nothing.pt')", "os.getcwd()", "FileNotFoundError"),
    "a package that is missing": ("error-other", "import nothing_like_it", "pip install", "ModuleNotFoundError"),
    "something else": (
        "error-other",
        "rows = torch.ones(3)\nraise KeyError(rows.shape)",
        "look at what stands on that line",
        "KeyError",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_an_exception_is_put_in_plain_words(name: str, tmp_path: Path) -> None:
    code, body, change, evidence = CASES[name]
    script = tmp_path / "train.py"
    script.write_text(HEAD + body.replace("OUT", repr(str(tmp_path / "net.pt"))) + "\n")
    result = bed.examine(script)
    assert result.ended
    assert result.codes == [code], result.findings
    (finding,) = result.findings
    assert change in finding["change"]
    assert evidence in finding["evidence"]
    assert finding["where"].rpartition("/")[2].startswith("train.py:")
    assert not result.troubles


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(HEAD + "net = nn.Linear(2, 2).to('cuda')\n")
    result = bed.examine(script)
    assert result.codes == ["error-no-gpu"]
    assert "torch.cuda.is_available()" in result.findings[0]["change"]
