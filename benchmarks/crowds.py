"""Gains shared among thousands: one allocation, and one round of negotiation.

Times are CPU milliseconds of one thread, the median and the least of nine runs taken in turn.
No other package does either, so ``growth`` compares with the smallest crowd: a cost that grows
like the crowd stands near ``size``, which compares the crowds themselves.  The weights are the
stored ones; ``python -m coalmarl.experiments negotiators`` takes about eight minutes to train
them again.
"""

from collections.abc import Callable
from functools import partial
from statistics import median
from time import process_time

import torch

from coalmarl import allocation, negotiation
from coalmarl.envs import as_generator
from coalmarl.experiments.gain_sharing import BARS, WEIGHTS, stored
from coalmarl.learners import build
from coalmarl.negotiators import load_weights

RUNS = 9


def cpu(*tasks: Callable[[], object]) -> list[list[float]]:
    """CPU times of each task, run in turn, after one run that does not count."""
    times: list[list[float]] = [[] for _ in tasks]
    for _ in range(RUNS + 1):
        for task, own in zip(tasks, times):
            begin = process_time()
            task()
            own.append(process_time() - begin)
    return [own[1:] for own in times]


def report(sizes: tuple[int, ...], *tasks: Callable[[], object]) -> None:
    times = cpu(*tasks)
    for n, own in zip(sizes, times):
        growth = median(own) / median(times[0])
        print(f"{n:9}{1e3 * median(own):10.1f}{1e3 * min(own):10.1f}{n / sizes[0]:8.0f}{growth:9.1f}", flush=True)


@torch.no_grad()
def main() -> None:
    """Print the tables."""
    torch.set_num_threads(1)
    head = f"{'agents':>9}{'median':>10}{'least':>10}{'size':>8}{'growth':>9}"
    claimer = build(lambda: allocation.Claimer("local"), as_generator(0))
    load_weights(WEIGHTS / "claimer_0.safetensors", claimer)
    print(f"Allocation by local sums, milliseconds\n{head}")
    sizes: tuple[int, ...] = (1000, 10_000)
    report(sizes, *(partial(claimer, allocation.draw_lanes(1, n, seed=0)) for n in sizes))

    sizes = (1000, 5000)
    markets = [negotiation.make_market(negotiation.draw_carriers(1, n, seed=0)) for n in sizes]
    scores = {"most per head": negotiation.per_head, "64 messages by rule": negotiation.bargained_scores(64), "imitator": stored("imitator", 0)}
    for name, score in scores.items():
        print(f"\nFirst round of the naming protocol, {name}, milliseconds\n{head}")
        report(sizes, *(partial(negotiation.naming_protocol, market, score, bars=BARS, rounds=1) for market in markets))


if __name__ == "__main__":
    main()
