"""``gradus doctor``: any script, its exceptions in plain words, its findings as JSON; and the pages of the codes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from typing import Any

import bed
import pytest
import torch

from gradus.cli import main
from gradus.doctor.watch import Watch

torch.set_num_threads(1)

HEAD = "import torch\nimport torch.nn as nn\nimport torch.nn.functional as F\n"
ERRORS: dict[str, tuple[str, str, str]] = {
    # code: script, what stands on the line that is named, what is named on it
    "error-device": (
        "net = nn.Linear(4, 2).to('meta')\nx = torch.randn(3, 4)\nprint(net(x).sum().item())",
        "net(x)",
        "meta",
    ),
    "error-dtype": (
        "net = nn.Linear(4, 2)\ntable = torch.randn(3, 4, dtype=torch.float64)\nnet(table)",
        "net(table)",
        "table",
    ),
    "error-shape": ("net = nn.Linear(4, 2)\nrows = torch.randn(3, 5)\nnet(rows)", "net(rows)", "nn.Linear(5, 2)"),
    "error-label-range": (
        "logits = torch.randn(3, 4, requires_grad=True)\nlabels = torch.tensor([1, 4, 2])\nF.cross_entropy(logits, labels)",
        "F.cross_entropy(logits, labels)",
        "labels",
    ),
    "error-second-backward": (
        "w = torch.randn(3, requires_grad=True)\nloss = (w * w).sum()\nloss.backward()\nloss.backward()",
        "loss.backward()",
        "freed",
    ),
    "error-inplace": (
        "w = torch.randn(3, requires_grad=True)\nh = torch.sigmoid(w)\nh += 1\nh.sum().backward()",
        "h.sum().backward()",
        "(3)",
    ),
    "error-no-grad": (
        "net = nn.Linear(4, 2)\nsaid = torch.tensor(net(torch.randn(3, 4)).tolist())\nF.mse_loss(said, torch.zeros(3, 2)).backward()",
        "tolist()",
        "tolist",
    ),
    "error-super-init": (
        "class Net(nn.Module):\n    def __init__(self):\n        self.layer = nn.Linear(4, 2)\nNet()",
        "self.layer = nn.Linear(4, 2)",
        "Module.__init__",
    ),
    "error-unsorted-lengths": (
        "from torch.nn.utils.rnn import pack_padded_sequence\nx = torch.randn(3, 5, 4)\nlengths = torch.tensor([2, 5, 3])\n"
        "pack_padded_sequence(x, lengths, batch_first=True)",
        "pack_padded_sequence(x, lengths",
        "enforce_sorted",
    ),
    "error-collate": (
        "from torch.utils.data import DataLoader\nloader = DataLoader([torch.zeros(3 + i) for i in range(4)], batch_size=2)\n"
        "for rows in loader:\n    pass",
        "for rows in loader:",
        "equal size",
    ),
    "error-worker": (
        "from torch.utils.data import DataLoader, Dataset\nclass Rows(Dataset):\n    def __len__(self):\n        return 4\n"
        "    def __getitem__(self, i):\n        return [1.0, 2.0][i]\nfor rows in DataLoader(Rows(), num_workers=1):\n    pass",
        "return [1.0, 2.0][i]",
        "IndexError",
    ),
    "error-memory": (
        "points = torch.zeros(400000, 64)\n(points[:, None] - points[None]).pow(2).sum(-1)",
        "points[:, None]",
        "points",
    ),
}


@pytest.mark.parametrize("code", ERRORS)
def test_an_exception_is_put_in_plain_words(code: str, tmp_path: Path) -> None:
    body, line, named = ERRORS[code]
    script = tmp_path / "train.py"
    script.write_text(HEAD + body + "\n")
    result = bed.examine(script)
    assert result.ended
    found = next(f for f in result.findings if f["code"] == code)
    assert result.codes[0] == code
    assert line in found["source"]
    assert named in json.dumps(found, ensure_ascii=False)
    assert found["change"]
    assert "Traceback" in result.printed, "the exception itself is still shown"
    assert "gradus/doctor" not in result.printed


def test_a_script_sees_itself_as_python_would_run_it(tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("VALUE = 7\n")
    script = tmp_path / "train.py"
    script.write_text(
        dedent("""
            import sys
            from beside import VALUE
            print(__name__, sys.argv[1:], VALUE)
            if __name__ == "__main__":
                sys.exit(int(sys.argv[2]))
        """)
    )
    told = subprocess.run(
        [sys.executable, "-m", "gradus", "doctor", str(script), "--epochs", "3"], capture_output=True, text=True
    )
    assert told.stdout == "__main__ ['--epochs', '3'] 7\n"
    assert told.returncode == 3
    assert "no fault found" in told.stderr


def test_json_is_all_that_standard_output_holds(capsys: pytest.CaptureFixture[str]) -> None:
    case = next(c for c in bed.cases("tuned", "faulty") if c.code == "softmax-before-cross-entropy")
    told = subprocess.run(
        [sys.executable, "-m", "gradus", "doctor", "--json", "--lang", "zh", str(case.path)],
        capture_output=True,
        text=True,
    )
    assert told.returncode == 1
    value = json.loads(told.stdout)
    first = value["findings"][0]
    assert first["code"] == "softmax-before-cross-entropy"
    assert "softmax" in first["verdict"]
    assert any("\u4e00" <= letter <= "\u9fff" for letter in first["cause"])
    assert first["source"]
    assert value["updates"] > 50

    silenced = subprocess.run(
        [sys.executable, "-m", "gradus", "doctor", "--json", "--silence", first["code"], str(case.path)],
        capture_output=True, text=True,
    )  # fmt: skip
    assert first["code"] not in [f["code"] for f in json.loads(silenced.stdout)["findings"]]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["doctor"], "give a script or a run"),
        (["doctor", "nowhere.py"], "there is no nowhere.py"),
        (["doctor", "--explain", "softmax-before-crossentropy"], "softmax-before-cross-entropy"),
        (["doctor", "--silence", "lr-to-high", "x.py"], "lr-too-high"),
        (["doctor", __file__.replace("test_script.py", "frameworks")], "not a run"),
    ],
)
def test_a_bad_line_is_told_in_one(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    told = capsys.readouterr()
    assert words in told.err
    assert told.err.count("\n") == 1
    assert not told.out


def test_a_code_has_a_page_in_both_languages(capsys: pytest.CaptureFixture[str]) -> None:
    for language, word in (("en", "What it looks like"), ("zh", "现象")):
        assert main(["doctor", "--lang", language, "--explain", "zero-grad-missing"]) == 0
        page = capsys.readouterr().out
        assert word in page
        assert "zero_grad()" in page
    assert main(["doctor", "--codes"]) == 0
    assert "zero-grad-missing" in capsys.readouterr().out


def test_all_that_was_replaced_is_put_back() -> None:
    import torch.nn.functional as F
    from torch.utils.data import DataLoader

    def places() -> list[object]:
        return [
            F.cross_entropy, torch.Tensor.backward, torch.autograd.backward, torch.optim.Optimizer.zero_grad,
            torch.nn.Module.zero_grad, torch.nn.Module.__call__, torch.nn.utils.clip_grad_norm_, DataLoader.__iter__, torch.compile,
            torch.nn.Module.load_state_dict, torch.optim.lr_scheduler.StepLR.step, torch.amp.GradScaler.unscale_,
            len(torch.nn.modules.module._global_forward_hooks), len(torch.nn.modules.module._global_forward_pre_hooks),
            torch.overrides._get_current_function_mode(),
        ]  # fmt: skip

    before = places()
    with pytest.raises(KeyError), Watch():
        net = torch.nn.Linear(2, 1)
        net(torch.randn(3, 2)).sum().backward()
        raise KeyError
    after = places()
    assert before == after


def test_a_fault_of_the_doctor_does_not_stop_the_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from gradus.doctor.watch import losses

    monkeypatch.setattr(losses, "summarise", lambda *_: 1 / 0)
    script = tmp_path / "train.py"
    script.write_text(
        HEAD
        + "w = nn.Linear(3, 2)\nF.cross_entropy(w(torch.randn(4, 3)), torch.tensor([0, 1, 0, 1])).backward()\nprint('done')\n"
    )
    result = bed.examine(script)
    assert "done" in result.printed
    assert any("ZeroDivisionError" in trouble for trouble in result.troubles)


def test_updates_by_hand_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script = tmp_path / "train.py"
    script.write_text(
        HEAD
        + dedent("""
            torch.manual_seed(0)
            x = torch.randn(100, 3)
            y = x @ torch.tensor([1.0, -2.0, 0.5]) + 0.1 * torch.randn(100)
            w = torch.zeros(3, requires_grad=True)
            for _ in range(120):
                loss = ((x @ w - y) ** 2).mean()
                loss.backward()
                w.data -= 0.01 * w.grad
                w.grad = None
        """)
    )
    assert main(["doctor", "--json", str(script)]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["updates"] == 120
    assert "120 by the program's own lines" in said["measured"]["updates"]


def test_an_exception_that_cannot_be_looked_at_is_told_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gradus.doctor import script as doctor

    monkeypatch.setattr(doctor, "error_of", lambda _: 1 / 0)
    script = tmp_path / "train.py"
    script.write_text("raise KeyError('a row')\n")
    result = bed.examine(script)
    assert result.codes == ["error-other"]
    assert "KeyError: 'a row'" in result.findings[0]["evidence"]
    assert any("ZeroDivisionError" in trouble for trouble in result.troubles)


@pytest.mark.parametrize("kind", ["classes", "shares", "ignored", "numbers"])
def test_a_summed_loss_is_told_as_its_mean(kind: str) -> None:
    torch.manual_seed(0)
    said = torch.randn(12, 5, requires_grad=True)
    loss_of: Any = torch.nn.functional.mse_loss if kind == "numbers" else torch.nn.functional.cross_entropy
    target = {
        "classes": torch.randint(5, (12,)),
        "shares": torch.rand(12, 5).softmax(1),
        "ignored": torch.tensor([1, -100, 3, 0, -100, 2, 4, 4, -100, 0, 1, 2]),
        "numbers": torch.randn(12, 5),
    }[kind]
    mean = float(loss_of(said, target).detach())
    with Watch() as watch:
        name = loss_of.__name__
        getattr(torch.nn.functional, name)(said, target, reduction="sum")
    (site,) = watch.watching.seen.training
    assert site.first == pytest.approx(mean)
