"""Gains shared among thousands: one allocation, and the first and largest round of a negotiation.

No peer does either, so ``growth`` compares with a thousand agents: a cost that grows like the crowd
stands near the ratio of the sizes.  Weights are the stored ones.
"""

from functools import partial

import torch

from benchmarks import cpu, head, row, short
from coalmarl import allocation, negotiation
from coalmarl.envs import as_generator
from coalmarl.experiments.gain_sharing import BARS, WEIGHTS, stored
from coalmarl.learners import build
from coalmarl.negotiators import load_weights

LARGER = {"allocation": 10_000, "round": 5000}


def allocate(agents: int) -> partial[object]:
    claimer = build(lambda: allocation.Claimer("local"), as_generator(0))
    load_weights(WEIGHTS / "claimer_0.safetensors", claimer)
    return partial(claimer, allocation.draw_lanes(1, agents, seed=0))


def negotiate(score: object, agents: int) -> partial[object]:
    market = negotiation.make_market(negotiation.draw_carriers(1, agents, seed=0))
    return partial(negotiation.naming_protocol, market, score, bars=BARS, rounds=1)


@torch.no_grad()
def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    scores = {"most per head": negotiation.per_head, "64 messages": negotiation.bargained_scores(64), "imitator": stored("imitator", 0)}
    tasks = {"allocation, sum over 16 neighbours": (allocate, LARGER["allocation"])}
    tasks |= {f"one round, {name}": (partial(negotiate, score), LARGER["round"]) for name, score in scores.items()}
    head("Sharing gains among thousands, one thread, milliseconds", "what", "agents", "coalmarl", "growth")
    for name, (make, larger) in tasks.items():
        times = cpu(make(1000), make(larger))
        for agents, time in zip((1000, larger), times):
            row(name, f"{agents:,}", short(1e3 * time), short(time / times[0]))


if __name__ == "__main__":
    main()
