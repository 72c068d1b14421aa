"""An operation that made NaN or inf of finite numbers: log or a root of 0, 0/0, an overflow of exp."""

from __future__ import annotations

import ast
import math
from collections.abc import Iterator
from pathlib import Path

from gradus.doctor.rule import Found, Level, Rule, Text
from gradus.doctor.signals import BackwardSite, Place, Signals

DIVERGED = 100.0  # times the first loss (or 1): such a loss broke by growing, not by one operation
CALLS = {
    "log": ("log", "log_", "log2", "log10", "logit", "xlogy"),
    "sqrt": ("sqrt", "sqrt_"),
    "div": ("div", "div_", "true_divide"),
    "pow": ("pow", "pow_", "sqrt"),
    "exp": ("exp", "exp_"),
    "linalgvectornorm": ("norm", "vector_norm", "normalize"),
    "std": ("std", "std_mean"),
    "acos": ("acos", "arccos"),
    "asin": ("asin", "arcsin"),
    "softmax": ("softmax", "Softmax"),
    "logsoftmax": ("log_softmax",),
}  # of others, their own name
SIGNS: dict[str, tuple[type[ast.operator], ...]] = {"div": (ast.Div,), "reciprocal": (ast.Div,), "pow": (ast.Pow,)}
PLAIN = {"math", "np", "numpy", "cmath", "logging", "logger", "torchmetrics"}  # whose log and sqrt aren't torch's
AT_ZERO = ("sqrt", "rsqrt", "pow", "log", "log2", "log10", "div", "reciprocal", "acos", "asin", "norm", "std")
EDGE = {"acos": 1.0, "asin": 1.0}  # where their gradient is infinite


def judge(seen: Signals) -> Iterator[Found]:
    if any(m.inputs.unfinite for m in seen.models) or any(s.targets.unfinite for s in seen.losses):
        return
    broken = [b for b in seen.backwards if b.broken and not _came_back(b) and not _diverged(b)]
    if not broken:
        return
    site = min(broken, key=lambda b: (b.broken_at or 0, not b.maker))
    maker, least = site.maker, site.risky.get(site.maker)
    proved = bool(maker) and site.weights_finite
    if not maker:
        maker, least = _riskiest(site)
        proved = least == 0.0
    what = _WORDS.get(maker, (f"{maker} of a number that it isn't defined for",) * 2) if maker else _UNKNOWN
    level: Level = "fault" if proved else "likely"
    kind = ("the loss", "损失") if site.broken == "loss" else ("the gradient", "梯度")
    numbers = {"at": site.broken_at or 0, "what": what, "kind": kind}
    fix = _FIXES.get(maker, _FIX)
    place = site.maker_place or line_of(seen.program, maker) or site.place
    yield Found(place, maker, level=level, numbers={**numbers, "change": fix})


_UNKNOWN = ("an operation that isn't defined for all numbers", "某个并非处处有定义的运算")
_LOG = ("the logarithm of 0 or of a negative number", "0 或负数的对数")
_ROOT = ("the square root of 0, whose gradient is infinite, or of a negative number", "0（梯度为无穷大）或负数的平方根")
_POWER = ("a power of 0, whose gradient is infinite, or of a negative number", "0（梯度为无穷大）或负数的幂")
_DIV = ("a division by 0", "除以 0")
_NORM = ("the norm of zeros", "全零向量的范数")
_ARC = ("acos or asin at 1 or −1, or outside", "acos 或 asin 在 ±1 处或定义域之外")
_WORDS = {
    "log": _LOG,
    "log2": _LOG,
    "log10": _LOG,
    "log1p": _LOG,
    "sqrt": _ROOT,
    "rsqrt": _ROOT,
    "pow": _POWER,
    "div": _DIV,
    "reciprocal": _DIV,
    "norm": _NORM,
    "linalgvectornorm": _NORM,
    "acos": _ARC,
    "asin": _ARC,
    "exp": ("an exp of a number above 88, which overflows", "对大于 88 的数取 exp，溢出了"),
    "std": ("the deviation of equal numbers, or of one number", "全相同的数或单个数的标准差"),
    "softmax": ("a softmax over nothing but −inf: all is masked", "对全是 −inf 的一行做 softmax（掩码全遮住）"),
}
_FIX = ("keep its input inside: x.clamp(min=1e-8)", "让输入留在有定义的范围内：x.clamp(min=1e-8)")
_FIX_LOG = (
    "use what takes logits (cross_entropy, binary_cross_entropy_with_logits, log_softmax), or log(x.clamp(min=1e-8))",
    "改用直接接收 logits 的函数（cross_entropy、binary_cross_entropy_with_logits、log_softmax），"
    "或写成 log(x.clamp(min=1e-8))",
)
_FIXES = {
    "log": _FIX_LOG,
    "sqrt": ("add a small number inside the root: sqrt(x + 1e-8)", "在根号里加一个小数：sqrt(x + 1e-8)"),
    "div": ("keep the divisor away from 0: a / b.clamp(min=1e-8)", "不要让除数为 0：a / b.clamp(min=1e-8)"),
    "exp": (
        "subtract the maximum first, or use logsumexp, softmax or softplus, which do so",
        "先减去最大值，或改用已经这样做的 logsumexp、softmax、softplus",
    ),
    "softmax": ("leave each row at least one place that isn't masked", "让每一行至少留一个没被掩码遮住的位置"),
}


def _came_back(site: BackwardSite) -> bool:
    """Whether the losses after it were finite again: an update that was skipped."""
    after = [value for update, value in site.values if site.broken_at is not None and update > site.broken_at]
    return bool(after) and math.isfinite(after[-1]) and sum(map(math.isfinite, after)) > len(after) / 2


def _diverged(site: BackwardSite) -> bool:
    """Whether the loss had grown without bound before."""
    finite = [abs(value) for _, value in site.values if math.isfinite(value)]
    return len(finite) > 1 and max(finite[1:]) > DIVERGED * max(finite[0], 1.0)


def _riskiest(site: BackwardSite) -> tuple[str, float | None]:
    """Of the operations in the graph, the one that came nearest to where it isn't defined."""
    found = [(name, site.risky[name]) for name in AT_ZERO if name in site.risky and name not in EDGE]
    found.sort(key=lambda pair: pair[1])
    return found[0] if found and found[0][1] < 1e-3 else ("", None)


def line_of(program: str, maker: str) -> Place | None:
    """The first line of the script that does such an operation."""
    try:
        source = Path(program).read_text(encoding="utf-8")
        tree = ast.parse(source)
    except (OSError, ValueError, SyntaxError):
        return None
    names, signs = CALLS.get(maker, (maker,)), SIGNS.get(maker, ())
    found: list[tuple[bool, int, str]] = []
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef | ast.Module):
            continue
        for node in ast.walk(function):
            hit = isinstance(node, ast.BinOp) and isinstance(node.op, signs) if signs else False
            if isinstance(node, ast.Call):
                called = node.func
                name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
                owner = getattr(called.value, "id", "") if isinstance(called, ast.Attribute) else ""
                hit = name in names and owner not in PLAIN
            if hit and isinstance(node, ast.expr):
                inside = isinstance(function, ast.FunctionDef)
                found.append((not inside, node.lineno, function.name if isinstance(function, ast.FunctionDef) else ""))
    if not maker or not found:
        return None
    _, line, name = min(found)
    return Place(Path(program).name, line, source.splitlines()[line - 1].strip(), name)


rule = Rule(
    code="nan-made",
    level="likely",
    kind="exact",
    area="loss",
    judge=judge,
    hides=(
        "exploding-gradient",
        "lr-too-high",
        "optimisation-stuck",
        "model-too-small",
        "one-class-predicted",
        "dead-relu",
        "vanishing-gradient",
        "lr-too-low",
        "overfitting",
    ),
    en=Text(
        title="NaN is made of finite numbers",
        seen="{kind} was the first that wasn't finite, after {at} updates; inputs and weights were finite until "
        "then; it "
        "comes from {what}",
        why="one NaN in the gradient makes every weight NaN with the next update, and nothing brings them back",
        fix="{change}",
        looks="The loss is good, and then suddenly nan, for good.",
    ),
    zh=Text(
        title="有限的数算出了 NaN",
        seen="{at} 次更新之后{kind}首先变得不是有限数；在那之前输入和权重都是有限的；来源：{what}",
        why="梯度里只要有一个 NaN，下一次更新后所有权重都会变成 NaN，再也回不来",
        fix="{change}",
        looks="损失本来正常，突然变成 nan，从此一直是 nan。",
    ),
    wrong="""
norm = torch.sqrt((h**2).sum(dim=1, keepdim=True))
h = h / (norm + 1e-3)
""",
    right="""
norm = torch.sqrt((h**2).sum(dim=1, keepdim=True) + 1e-8)
h = h / norm
""",
)
