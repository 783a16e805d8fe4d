"""Gains shared among thousands: one allocation, and one round of negotiation.

No other package does either.  The weights are the stored ones, of the first seed.
"""

from collections.abc import Callable
from functools import partial

import torch

from benchmarks import cpu, head, row, short
from coalmarl import allocation, negotiation
from coalmarl.envs import as_generator
from coalmarl.experiments.gain_sharing import BARS, WEIGHTS, stored
from coalmarl.learners import build
from coalmarl.negotiators import load_weights


def report(name: str, small: Callable[[], object], large: Callable[[], object]) -> None:
    few, many = cpu(small, large)
    row(name, short(1e3 * few), short(1e3 * many), short(many / few))


@torch.no_grad()
def main() -> None:
    """Print the tables."""
    torch.set_num_threads(1)
    head("Allocation among many, milliseconds", "shares", "1,000 agents", "10,000 agents", "times")
    claimer = build(lambda: allocation.Claimer("local"), as_generator(0))
    load_weights(WEIGHTS / "claimer_0.safetensors", claimer)
    report("by local sums", *(partial(claimer, allocation.draw_lanes(1, n, seed=0)) for n in (1000, 10_000)))

    head("First round of the naming protocol, milliseconds", "names", "1,000 agents", "5,000 agents", "times")
    markets = [negotiation.make_market(negotiation.draw_carriers(1, n, seed=0)) for n in (1000, 5000)]
    scores = {"most per head": negotiation.per_head, "64 messages by rule": negotiation.bargained_scores(64), "imitator": stored("imitator", 0)}
    for name, score in scores.items():
        report(name, *(partial(negotiation.naming_protocol, market, score, bars=BARS, rounds=1) for market in markets))


if __name__ == "__main__":
    main()
