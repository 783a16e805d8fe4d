"""Chapter 03: every utility of the bar at its own best temperature and rate."""

import numpy as np
from numpy.typing import NDArray

from coalmarl import collectives
from coalmarl.collectives import BarProblem, Utility
from coalmarl.experiments import Experiment, Part, Run

TEMPERATURES = (3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
RATES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)  # beyond 1 a learner overshoots what it is paid


def _utility_tuning(seed: int, run: Run) -> Part:
    """Which utility brings the bar to its optimum, each at its own best temperature and rate?"""
    found: Part = {"temperatures": TEMPERATURES, "rates": RATES}
    worlds = {"168 uniform": (168, collectives.UNIFORM), "168 single": (168, collectives.SINGLE_NIGHT), "60 uniform": (60, collectives.UNIFORM)}
    for name, (agents, alpha) in worlds.items():
        bar = collectives.BarProblem(agents, alpha, c=6)
        for utility in (collectives.team_game, collectives.uniform_division, collectives.wonderful_life, collectives.aristocrat):
            found[f"{name} {utility.__name__}"] = _tuned_utility(bar, utility, seed)
    return found


def _tuned_utility(bar: BarProblem, utility: Utility, seed: int) -> Part:
    """The grid at 8 runs a setting, the setting it leads to, and 20 fresh runs with that one."""
    shares, weeks = np.empty((2, len(TEMPERATURES), len(RATES)))
    for i, temperature in enumerate(TEMPERATURES):
        for j, rate in enumerate(RATES):
            share, taken = _bar_runs(bar, (utility, rate, temperature), 8, [seed, 0])
            shares[i, j], weeks[i, j] = share.mean(), np.minimum(taken, 1000).mean()
    shares, weeks = shares.round(4), weeks.round(1)
    i, j = _middle_of_the_best(shares, weeks)
    share, taken = _bar_runs(bar, (utility, RATES[j], TEMPERATURES[i]), 20, [seed, 1])
    return {
        "grid_share": shares.tolist(),
        "grid_weeks_to_95": weeks.tolist(),
        "temperature": TEMPERATURES[i],
        "rate": RATES[j],
        "share": share.round(5).tolist(),
        "weeks_to_95": [int(w) if np.isfinite(w) else None for w in taken],
    }


def _bar_runs(
    bar: BarProblem, setting: tuple[Utility, float, float], runs: int, stream: list[int]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Share of the optimum in the last 100 of 1000 weeks, and weeks to 95 % of it, by run."""
    came = collectives.learn(bar, collectives.Learner(*setting), weeks=1000, runs=runs, seed=np.random.default_rng(stream))
    world, best = bar.world_utility(came), bar.world_utility(bar.best_attendance())
    return world[-100:].mean(axis=0) / best, collectives.weeks_to_reach(world, 0.95 * float(best))


def _middle_of_the_best(shares: NDArray[np.float64], weeks: NDArray[np.float64]) -> tuple[int, int]:
    """Place of the setting to use: settings within a thousandth of the best count as equally good.

    Among them it is the one with most equally good neighbours, the middle of a plateau and not
    its cliff; if there are several, the quickest.
    """
    near = shares >= shares.max() - 0.001
    around = np.lib.stride_tricks.sliding_window_view(np.pad(near, 1).astype(int), (3, 3)).sum(axis=(2, 3))
    best = np.lexsort((shares.ravel(), -weeks.ravel(), around.ravel(), near.ravel()))[-1]
    return int(best) // shares.shape[1], int(best) % shares.shape[1]


EXPERIMENTS = {"utility_tuning": Experiment("03_collectives", _utility_tuning, range(3))}
