"""The model card (README.md) of an exported run: what it was trained on, how well it does, how to use it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gradus.models import GPT
from gradus.training import Run

CHATS = ("instruct", "prefer")  # recipes that teach a model to answer

_HEAD = """---
library_name: transformers
pipeline_tag: text-generation
tags:
- gradus
---

# {name}

A language model of {parameters:,} parameters, trained with Gradus {version}{how}.
It reads and writes at most {length:,} tokens.

## What it was trained on

{data}

{training}{base}

## How well it does

{figures}

## How to use it

```python
from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("{name}")
model = AutoModelForCausalLM.from_pretrained("{name}")
{use}
print(tokenizer.decode(written[0], skip_special_tokens=True))
```
"""
_CHAT = """messages = [{"role": "user", "content": "Hello!"}]
asked = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True, return_tensors="pt")
written = model.generate(**asked, max_new_tokens=100)"""
_GO_ON = """begin = tokenizer("Once", return_tensors="pt", return_token_type_ids=False)
written = model.generate(**begin, max_new_tokens=100)"""


def card_of(run: Run, model: GPT, name: str) -> str:
    """The card of a run's language model, in Markdown."""
    config, summary = run.config, run.summary
    recipe, base = config["recipe"], run.directory.kept().get("base")
    notes = "".join(f"\n- {note}" for note in config["data"]["notes"])
    return _HEAD.format(
        name=name,
        parameters=sum(weight.numel() for weight in model.parameters()),
        version=summary["versions"]["gradus"],
        how=f" by `gradus train {recipe}`" if recipe else "",
        length=model.max_length,
        data=f"{config['data']['description']}.\n{notes}".strip(),
        training=(
            f"{summary['steps']:,} steps over {summary['samples']:,} rows, {summary['epochs']:.3g} times the training "
            f"part, in {summary['seconds']['total'] / 60:,.1f} minutes on {summary['device']}."
        ),
        base=f" It was tuned from `{Path(base['where']).name}`." if base else "",
        figures=_figures(summary),
        use=_CHAT if recipe in CHATS else _GO_ON,
    )


def _figures(summary: dict[str, Any]) -> str:
    """Metrics by split, and the baselines that they are to be compared with, as a table."""
    splits = {name: metrics for name, metrics in summary["metrics"].items() if metrics}
    columns = {f"{name} part": metrics for name, metrics in splits.items()} | summary["baseline"]
    metrics = list(dict.fromkeys(metric for values in splits.values() for metric in values))
    rows = [["", *columns], ["---", *["---:"] * len(columns)]]
    rows += [[metric, *(_number(values.get(metric)) for values in columns.values())] for metric in metrics]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, int | float) else ""
