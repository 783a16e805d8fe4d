"""Chapter 02: what tables, tours and divisions cost, and how far sampling gets."""

import resource
import sys
from collections.abc import Callable
from dataclasses import dataclass
from time import process_time

import numpy as np
from numpy.typing import NDArray

from coalmarl.coalitions import sizes
from coalmarl.estimation import sample_shapley
from coalmarl.experiments import Experiment, Part, Run
from coalmarl.games import TUGame, is_superadditive, savings
from coalmarl.learners import fit_worth
from coalmarl.routing import C101, Delivery, carrier_costs, euclidean, route_cost
from coalmarl.solutions import shapley, weighted_voting_indices
from coalmarl.structures import best_structure

METHODS = ("permutation", "antithetic", "stratified", "stratified_svarm", "leverage")
BUDGETS = (4, 8, 16, 32, 64, 128, 256)  # evaluations per player


@dataclass(frozen=True)
class LargeGame:
    """A game too large for a table, whose Shapley value is known all the same.

    Attributes
    ----------
    worth : callable
        Takes an array of shape ``(m, n)``, true where a player belongs; returns ``m`` worths.
    n : int
        Number of players.
    shapley : ndarray, shape (n,)
        The exact answer.
    """

    worth: Callable[[NDArray[np.bool_]], NDArray[np.float64]]
    n: int
    shapley: NDArray[np.float64]

    def error(self, values: NDArray[np.float64]) -> float:
        """Return the distance of an estimate from the exact answer, relative to that answer's length.

        Parameters
        ----------
        values : ndarray, shape (n,)
            The estimate.

        Returns
        -------
        float
        """
        return float(np.linalg.norm(values - self.shapley) / np.linalg.norm(self.shapley))


def large_games(seed: int) -> dict[str, LargeGame]:
    """Return four games on which sampled Shapley values can be checked.

    Parameters
    ----------
    seed : int
        Where weights, costs and rules come from.

    Returns
    -------
    dict of str to LargeGame
        "voting": 50 voters with 1 to 19 votes, more than half of all votes wins; "airport": 100
        users of one runway; "rules": 300 rules, each paying once 2 to 5 given players among 100
        are together; "pairs": 100 players, one pair in ten has a worth, of either sign.

    Examples
    --------
    >>> {name: game.n for name, game in large_games(0).items()}
    {'voting': 50, 'airport': 100, 'rules': 100, 'pairs': 100}
    """
    rng = np.random.default_rng(seed)
    return {"voting": _voting(rng), "airport": _airport(rng), "rules": _rules(rng), "pairs": _pairs(rng)}


def _voting(rng: np.random.Generator) -> LargeGame:
    votes = rng.integers(1, 20, 50)
    quota = int(votes.sum()) // 2 + 1
    power = np.array([float(p) for p in weighted_voting_indices(votes.tolist(), quota).shapley])
    return LargeGame(lambda T: (T @ votes >= quota).astype(float), 50, power)


def _airport(rng: np.random.Generator) -> LargeGame:
    costs = np.sort(rng.random(100))
    shares = np.cumsum(np.diff(costs, prepend=0) / np.arange(100, 0, -1))  # a step is shared by all who need it
    return LargeGame(lambda T: (T * costs).max(axis=1), 100, shares)


def _rules(rng: np.random.Generator) -> LargeGame:
    needs, pays = np.zeros((100, 300), dtype=np.float32), rng.random(300)
    for rule in needs.T:
        rule[rng.choice(100, rng.integers(2, 6), replace=False)] = 1
    size = needs.sum(axis=0)
    return LargeGame(lambda T: (T.astype(np.float32) @ needs > size - 0.5) @ pays, 100, needs @ (pays / size))


def _pairs(rng: np.random.Generator) -> LargeGame:
    weights = np.triu(rng.standard_normal((100, 100)) * (rng.random((100, 100)) < 0.1), 1)
    halves = (weights + weights.T).sum(axis=1) / 2
    return LargeGame(lambda T: ((T @ weights) * T).sum(axis=1), 100, halves)


def _coverage(seed: int, run: Run) -> Part:
    """How often do printed 95 % intervals hold the true value? 100 estimates at 64 n evaluations."""
    rng, found = np.random.default_rng(seed), {}
    for name, game in large_games(5).items():
        for method in METHODS:
            held, printed, error = 0, 0, 0.0
            for _ in range(100):
                estimate = sample_shapley(game.worth, game.n, budget=64 * game.n, method=method, seed=rng)
                wrong = np.abs(estimate.values - game.shapley)
                error += float(wrong @ wrong) / 100
                if estimate.standard_errors is not None:
                    printed += 1
                    held += int((wrong <= 1.96 * estimate.standard_errors + 1e-12).sum())
            relative = float(np.sqrt(error) / np.linalg.norm(game.shapley))
            found[f"{name} {method}"] = {"printed": printed, "held": held, "of": printed * game.n, "error": relative}
    return found


def _sampling_error(seed: int, run: Run) -> Part:
    """How fast does the error fall with the budget? Five methods, four games, 4 n to 256 n evaluations."""
    found: Part = {}
    for name, game in large_games(5).items():
        for method in METHODS:
            for k in BUDGETS:
                values = sample_shapley(game.worth, game.n, budget=k * game.n, method=method, seed=seed).values
                found.setdefault(f"{name} {method}", []).append(game.error(values))
    return found


def _structure_growth(n: int, run: Run) -> Part:
    """What does one player more cost the search for the best coalition structure?"""
    v = TUGame(np.random.default_rng(n).random(1 << n) * sizes(n))
    start = process_time()
    best = best_structure(v)
    seconds = process_time() - start
    return {"value": best.value, "coalitions": len(best.coalitions), "cpu_seconds": seconds, "mebibytes": _peak_memory()}


def _routing_cost(n: int, run: Run) -> Part:
    """What does the table cost if every coalition of the first n customers of C101 is planned?"""
    places = np.array(C101[: n + 1])
    problem = Delivery(euclidean(places[:, :2]), places[1:, 2], capacity=80, owners=np.arange(n))
    route_cost(problem, [0])  # loads the solver, which is not what we time
    start = process_time()
    costs = carrier_costs(problem)
    seconds = process_time() - start
    return {"plans": 2**n - 1, "all": costs(2**n - 1), "superadditive": is_superadditive(savings(costs)), "cpu_seconds": seconds}


def _division_cost(n: int, run: Run) -> Part:
    """What does it cost to divide once the table is there? All Shapley values of n players."""
    values = np.random.default_rng(n).random(1 << n)
    values[0] = 0
    v = TUGame(values)
    start = process_time()
    x = shapley(v)
    seconds = process_time() - start
    return {"left_over": float(x.sum() - v(2**n - 1)), "table_mebibytes": 2**n / 2**17, "cpu_seconds": seconds}


def _learned_worth(seed: int, run: Run) -> Part:
    """Does a network that learns v beat sampling at the same number of evaluations, one game at a time?"""
    found: Part = {}
    for name, game in large_games(5).items():
        for k in (16, 64):
            budget, errors = k * game.n, found.setdefault(f"{name} {k}n", {})
            for method in ("antithetic", "stratified_svarm"):
                errors[method] = game.error(sample_shapley(game.worth, game.n, budget=budget, method=method, seed=seed).values)
            for epochs in (50, 150):
                for way, share in (("network", 1.0), ("residual", 0.5)):
                    values = shapley_by_network(game, budget, epochs=epochs, seed=seed, share=share, device=run.device)
                    errors[f"{way} {epochs}"] = game.error(values)
    return found


def shapley_by_network(
    game: LargeGame, budget: int, *, epochs: int, seed: int, share: float = 1.0, device: str = "cpu"
) -> NDArray[np.float64]:
    """Return the Shapley value of a network that learned the game, and of what it left over.

    Parameters
    ----------
    game : LargeGame
        The game.
    budget : int
        How many worths may be asked for.
    epochs : int
        Passes of the training.
    seed : int
        Where the chance comes from.
    share : float
        Share of the budget that trains the network.  The rest samples the game less the
        network; if there is no rest, the network is believed.
    device : str
        Where the network is trained.

    Returns
    -------
    ndarray, shape (n,)

    Examples
    --------
    >>> game = large_games(5)["pairs"]
    >>> shapley_by_network(game, 16 * game.n, epochs=1, seed=0).shape
    (100,)
    """
    rng, n = np.random.default_rng(seed), game.n
    orders = np.argsort(rng.random((int(share * budget) // (2 * n), n)), axis=1)
    places = np.argsort(np.concatenate([orders, orders[:, ::-1]]), axis=1)  # with reverses, as antithetic sampling asks
    T = (places[:, None, :] <= np.arange(n)[:, None]).reshape(-1, n)
    network = fit_worth(T, game.worth(T), seed=seed, epochs=epochs, device=device)
    values = sample_shapley(network, n, budget=600 * n, seed=rng).values
    if share < 1:

        def left_over(T: NDArray[np.bool_]) -> NDArray[np.float64]:
            return game.worth(T) - network(T)

        values = values + sample_shapley(left_over, n, budget=budget - len(T), seed=rng).values
    return values


def _peak_memory() -> float:
    """Most memory this process ever held, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10)


EXPERIMENTS = {
    "coverage": Experiment("02_blowup", _coverage, range(20)),
    "division_cost": Experiment("02_blowup", _division_cost, range(16, 29, 2), "players"),
    "learned_worth": Experiment("02_blowup", _learned_worth, range(5)),
    "routing_cost": Experiment("02_blowup", _routing_cost, range(4, 16), "players"),
    "sampling_error": Experiment("02_blowup", _sampling_error, range(20)),
    "structure_growth": Experiment("02_blowup", _structure_growth, range(14, 23), "players"),
}
