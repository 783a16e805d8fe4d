"""Training at a hundred times the batch, on the device named: ``python -m benchmarks.devices cuda``."""

import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from time import perf_counter

import torch

from benchmarks import head, row, short
from coalmarl.learners import ppo
from coalmarl.negotiators import learn_selfishly
from coalmarl.preferences import RECIPROCITY, WithPreferences


def haggle(times: int, device: str, updates: int) -> None:
    """Selfish negotiators, 8 worlds of 32 carriers per update and times as many."""
    learn_selfishly(seed=0, worlds=8 * times, updates=updates, device=device)


def reciprocate(times: int, device: str, updates: int) -> None:
    """Pairs under uncertain preferences, 512 per update and times as many."""
    worlds = WithPreferences(512 * times, device=device)
    for _ in islice(ppo(worlds, replace(RECIPROCITY, updates=updates), seed=0), updates):
        pass


def seconds(train: Callable[[int, str, int], None], times: int, device: str) -> float:
    """Seconds of one update: the difference that three more make, by three, so that set-up does not count."""
    spent = []
    for updates in (1, 1, 4):
        start = perf_counter()
        train(times, device, updates)
        if device.startswith("cuda"):
            torch.cuda.synchronize()
        spent.append(perf_counter() - start)
    return (spent[2] - spent[1]) / 3


if __name__ == "__main__":
    device = sys.argv[1] if len(sys.argv) > 1 else "cpu"
    torch.set_num_threads(1)
    head(f"One update of training on {device}, seconds", "training", "batch", "100 times the batch", "100 updates of one by one of 100")
    for train in (haggle, reciprocate):
        one, hundred = (seconds(train, times, device) for times in (1, 100))
        row((train.__doc__ or "").partition(",")[0], short(one), short(hundred), short(100 * one / hundred))
