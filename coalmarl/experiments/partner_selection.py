"""Chapter 04: what it is worth to look ahead over what one will know."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coalmarl.beliefs import (
    Duet,
    Indices,
    Outlook,
    Rule,
    Season,
    TeamProblem,
    Vector,
    blocking_slack,
    epsilon_greedy,
    look_ahead,
    most_likely,
    myopic,
    one_shot,
    penalty_game,
    play_season,
    thompson,
    value_of_information,
)
from coalmarl.experiments import Experiment, Part, Run
from coalmarl.structures import best_structure

PRIOR = (0.5, 0.3, 0.2)
BATCH = 100  # runs at once
RULES: dict[str, Rule] = {
    "random": epsilon_greedy(1.0),
    "myopic": myopic,
    "most likely": most_likely,
    "epsilon 0.05": epsilon_greedy(0.05),
    "epsilon 0.1": epsilon_greedy(0.1),
    "epsilon 0.2": epsilon_greedy(0.2),
    "Thompson": thompson,
    "VPI, one shot": one_shot(value_of_information),
    "VPI": value_of_information,
    "OSLA": look_ahead,
}
DRAWN = ("oracle", "myopic", "VPI", "OSLA")  # whose welfare is kept stage by stage
HORIZONS = (0, 0.5, 1, 1.1, 1.2, 1.5, 2, 4, 8, 9, 10, 12, 16, 24, 32, 64, 128)
PENALTIES = (0, -10, -20, -50, -100)
CAREFUL, EVEN = (0.5, 3.0, 0.5), (1.0, 1.0, 1.0)
TYPES = [EVEN, CAREFUL, (3.0, 0.5, 0.5), (0.5, 0.5, 3.0), *(1e6 * np.eye(3))]
SPACES: dict[str, tuple[list[Sequence[float]], list[float]]] = {  # counts a planner holds possible, and slips
    "seven types": (TYPES, [0.045] * 7),
    "random too": ([*TYPES, EVEN], [0.045] * 7 + [1.0]),
}


# --- repeated coalition formation -----------------------------------------------------------------


def _partner_rules(seed: int, run: Run) -> Part:
    """Does it pay to look ahead over what one will know, and against a partner who learns?"""
    batches = range(100 * seed, 100 * seed + (8 if run.scale == "paper" else 2))
    return {
        "horizons": HORIZONS,
        "wrong prior": _seasons(batches, PRIOR, forced=2) | _sweep(batches[0], forced=2),
        "right prior": _seasons(batches, PRIOR) | _sweep(batches[0], forced=0),
        "optimists": _seasons(batches, PRIOR[::-1]),
        "penalty game": {str(k): _noisy_partners(seed, k) for k in PENALTIES},
    }


def _seasons(batches: Sequence[int], prior: ArrayLike, forced: int = 0) -> Part:
    """Every rule in the same runs: some agents are of the best type, and nobody expects it."""
    problem, kept = TeamProblem(), {name: Part() for name in ("oracle", *RULES)}
    for batch in batches:
        types = _draw_types(batch, PRIOR, forced)
        start, sure = problem.beliefs(types, prior), problem.certainty(types)
        for name, rule in {"oracle": myopic, **RULES}.items():
            season = play_season(problem, types, sure if name == "oracle" else start, rule, seed=batch)
            for key, value in _summary(problem, types, season).items():
                kept[name].setdefault(key, []).append(value)
    means = {name: {key: np.mean(values, axis=0) for key, values in table.items()} for name, table in kept.items()}
    found = {key: {name: round(float(means[name][key]), 4) for name in kept} for key in ("welfare", "last", "first", "end", "core")}
    return found | {"curve": {name: means[name]["curve"].round(3).tolist() for name in DRAWN}}


def _summary(problem: TeamProblem, types: Indices, season: Season) -> Part:
    """Means over the runs: welfare, probability of the true types, and share in the Bayesian core."""
    slack = blocking_slack(problem, types, season.beliefs, season.formed[-1])
    return {
        "welfare": (_weights(problem) @ season.welfare).mean(),
        "last": season.welfare[-25:].mean(),
        "curve": season.welfare.reshape(20, -1).mean(axis=1),
        "first": season.truth[0].mean(),
        "end": season.truth[-1].mean(),
        "core": (slack.max(axis=1) < 1e-9).mean(),
    }


def _sweep(batch: int, forced: int) -> Part:
    """Value of information with every horizon, and what the oracle's protocol leaves of the optimum."""
    problem, types = TeamProblem(), _draw_types(batch, PRIOR, forced)
    start, sure = problem.beliefs(types, PRIOR), problem.certainty(types)
    rules: list[Rule] = [_fixed_horizon(H) for H in HORIZONS]
    oracle = _worth(problem, types, sure, myopic, batch)
    optimum = np.mean([best_structure(problem.game(row)).value for row in types]) * _weights(problem).sum()
    shares = [_worth(problem, types, start, rule, batch) / oracle for rule in rules]
    return {"share by horizon": np.round(shares, 4).tolist(), "oracle, share of the optimum": round(oracle / optimum, 4)}


def _fixed_horizon(H: float) -> Rule:
    """Value of information with the same horizon at every stage but the last."""

    def rule(outlook: Outlook, rng: np.random.Generator) -> Vector:
        return value_of_information(replace(outlook, horizon=H * (outlook.horizon > 0)), rng)

    return rule


def _draw_types(seed: int, prior: ArrayLike, forced: int = 0, kind: int = 2, runs: int = BATCH) -> Indices:
    """Types of five agents from the prior, then some of them turned into another type."""
    rng = np.random.default_rng([seed, 1])
    types = rng.choice(3, (runs, 5), p=np.asarray(prior))
    turned = rng.permuted(np.tile(np.arange(5), (runs, 1)), axis=1)[:, :forced]
    np.put_along_axis(types, turned, kind, axis=1)
    return types


def _weights(problem: TeamProblem) -> Vector:
    return np.float64(problem.gamma) ** np.arange(problem.stages, dtype=float)


def _worth(problem: TeamProblem, types: Indices, beliefs: Vector, rule: Rule, seed: int) -> float:
    """Discounted welfare, mean over the runs."""
    return float((_weights(problem) @ play_season(problem, types, beliefs, rule, seed=seed).welfare).mean())


# --- one partner who learns, and who is not always what the planner thinks ------------------------


def _noisy_partners(seed: int, k: float, runs: int = 200) -> Part:
    """Shares of the optimum and how often the ten is reached, myopic and looking ahead, for both spaces of types."""
    counts = 3 * np.random.default_rng([seed, 2]).dirichlet(np.ones(3), runs)
    partners = {"careful, slips": (np.tile(CAREFUL, (runs, 1)), 0.045), "random counts": (counts, 0.0), "random": (np.ones((runs, 3)), 1.0)}
    found: Part = {}
    for name, (start, slip) in partners.items():
        found[name] = {"known": round(_known_partner(k, start, slip, seed), 4)}
        for space, (types, slips) in SPACES.items():
            duet = Duet(penalty_game(k), np.array(types), np.array(slips))
            for agent, horizon in (("myopic", 1), ("look-ahead", 40)):
                rewards, _ = duet.play(start, horizon=horizon, slip=slip, seed=seed)
                reached = (rewards[-10:].mean(axis=0) >= 9).mean()
                found[name][f"{agent}, {space}"] = [round(float(_share(duet, rewards).mean()), 4), round(float(reached), 3)]
    return found


def _known_partner(k: float, start: NDArray[np.float64], slip: float, seed: int) -> float:
    """The same for a planner who knows the partner; against one who picks at random, the best action."""
    if slip == 1:
        return float(penalty_game(k).mean(axis=1).max() / 10)
    shares: list[float] = []
    for row in np.unique(start, axis=0):
        duet = Duet(penalty_game(k), row[None], max(slip, 1e-9))
        rewards, _ = duet.play(start[(start == row).all(axis=1)], horizon=50, slip=slip, seed=seed)
        shares.extend(_share(duet, rewards))
    return float(np.mean(shares))


def _share(duet: Duet, rewards: Vector) -> Vector:
    """Discounted rewards of each run over those of a ten at every step."""
    weights = duet.gamma ** np.arange(duet.steps)
    return weights @ rewards / (10 * weights.sum())


# --- is it this world? ----------------------------------------------------------------------------


def _other_worlds(seed: int, run: Run) -> Part:
    """In worlds drawn at random, what share of the oracle's welfare do the myopic, VPI and OSLA earn?"""
    rng, found = np.random.default_rng([seed, 3]), Part()
    for world in range(100 * seed, 100 * seed + (20 if run.scale == "paper" else 5)):
        problem = TeamProblem(
            thresholds=tuple(np.sort(rng.uniform(0, 11, 3))),
            rewards=tuple(np.sort(rng.uniform(2, 30, 3))),
            spread=float(rng.choice([0.3, 0.7, 1.5])),
            gamma=float(rng.choice([0.9, 0.95, 0.97, 0.99])),
        )
        prior = rng.dirichlet([2, 2, 2])
        for setting, turned in {"right prior": (0, 0), "two better": (2, 2), "two worse": (2, 0)}.items():
            types = _draw_types(world, prior, *turned, runs=50)
            start, oracle = problem.beliefs(types, prior), _worth(problem, types, problem.certainty(types), myopic, world)
            shares = [_worth(problem, types, start, rule, world) / oracle for rule in (myopic, value_of_information, look_ahead)]
            found.setdefault(setting, []).append(np.round(shares, 4).tolist())
    return found


EXPERIMENTS = {
    "partner_rules": Experiment("04_partner_selection", _partner_rules, range(6)),
    "other_worlds": Experiment("04_partner_selection", _other_worlds, range(6)),
}
