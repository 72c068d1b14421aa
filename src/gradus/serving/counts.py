"""What the server has done, in the text form that Prometheus reads."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from typing import Any

BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)  # seconds


class Counts:
    """Counts of the HTTP side; the engine has those of tokens."""

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, int]] = Counter()  # by path and status
        self.cancelled = 0  # answers that nobody waited for any more
        self._first = [0] * (len(BUCKETS) + 1)
        self._first_seconds = 0.0

    def first_token(self, seconds: float) -> None:
        """An answer's first piece came so long after its request."""
        self._first[bisect_left(BUCKETS, seconds)] += 1
        self._first_seconds += seconds

    def text(self, stats: dict[str, Any]) -> str:
        """All counts as one page, with those of the engine."""
        lines = [*_head("gradus_requests_total", "counter", "HTTP requests by path and status.")]
        for (path, status), count in sorted(self.requests.items()):
            lines.append(f'gradus_requests_total{{path="{path}",status="{status}"}} {count}')
        for name, kind, words, value in (
            ("gradus_answers_total", "counter", "Answers that came to an end, however.", stats["finished"]),
            ("gradus_cancelled_total", "counter", "Answers that nobody waited for any more.", self.cancelled),
            ("gradus_prompt_tokens_total", "counter", "Tokens of prompts that were read.", stats["tokens_read"]),
            ("gradus_completion_tokens_total", "counter", "Tokens that were written.", stats["tokens_written"]),
            ("gradus_busy_seconds_total", "counter", "Seconds in which the model worked.", stats["seconds"]),
            ("gradus_requests_running", "gauge", "Answers that are being written.", stats["running"]),
            ("gradus_requests_waiting", "gauge", "Answers that wait for a row.", stats["waiting"]),
        ):
            lines += [*_head(name, kind, words), f"{name} {value}"]
        lines += self._histogram(
            "gradus_first_token_seconds", "Seconds from a request to the first text of its answer."
        )
        return "\n".join(lines) + "\n"

    def _histogram(self, name: str, words: str) -> list[str]:
        lines, total = _head(name, "histogram", words), 0
        for bound, count in zip((*BUCKETS, "+Inf"), self._first, strict=True):
            total += count
            lines.append(f'{name}_bucket{{le="{bound}"}} {total}')
        return [*lines, f"{name}_sum {self._first_seconds}", f"{name}_count {total}"]


def _head(name: str, kind: str, words: str) -> list[str]:
    return [f"# HELP {name} {words}", f"# TYPE {name} {kind}"]
