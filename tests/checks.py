"""What a right solver must satisfy: functions ``check(solve, v)`` that assert, and the games they bite on.

The tests call them with the package's solvers; ``test_kill_table`` calls them with the wrong ones.
"""

import numpy as np

import oracles
from coalmarl.games import TUGame, bankruptcy, glove, weighted_voting
from coalmarl.solutions import kohlberg_certificate, nucleolus, prenucleolus
from coalmarl.structures import moving_payoffs

LOOSE = 1e-6  # solvers are compared with a slow oracle of tolerance 1e-8 per stage


def same(a, b, v, tol=1e-9):
    np.testing.assert_allclose(np.asarray(a, dtype=float), np.asarray(b, dtype=float), rtol=0, atol=tol * oracles.scale_of(v.values))


def relabelled(v, order):
    """The game in which the player called i is the old player order[i]."""
    old = [sum(1 << order[i] for i in oracles.members(mask, v.n)) for mask in range(1 << v.n)]
    return TUGame(v.values[old])


def additive(b):
    return TUGame(oracles.indicator(range(1 << len(b)), len(b)) @ np.asarray(b, dtype=float))


def fixed_payoffs(n):
    """An arbitrary additive game's payoffs, of both signs."""
    return np.array([3.0, -7.5, 0.25, 11.0, -2.0, 5.0, -1.0, 4.0])[:n]


# --- values -----------------------------------------------------------------------------------------------------


def efficiency(solve, v):
    same(solve(v).sum(), v.values[-1], v)


def symmetry(solve, v):
    """Players who are interchangeable get the same."""
    x = solve(v)
    for i in range(v.n):
        for j in range(i):
            outside = [mask for mask in range(1 << v.n) if not mask & (1 << i | 1 << j)]
            if all(v.values[mask | 1 << i] == v.values[mask | 1 << j] for mask in outside):
                same(x[i], x[j], v, LOOSE)


def majority(solve, _):
    """Three players, any two of whom win: a third each."""
    v = weighted_voting([1, 1, 1], 2)
    same(solve(v), [1 / 3] * 3, v)


def relabelling(solve, v):
    for order in (list(range(v.n))[::-1], [*range(1, v.n), 0]):
        same(solve(relabelled(v, order)), solve(v)[order], v, LOOSE)


def dummy_player(solve, v):
    """Who adds v(i) to every coalition gets v(i); a null player is the case v(i) = 0."""
    x = solve(v)
    for i in range(v.n):
        outside = np.array([mask for mask in range(1 << v.n) if not mask >> i & 1])
        if (v.values[outside | 1 << i] - v.values[outside] == v.values[1 << i]).all():
            same(x[i], v.values[1 << i], v)


def null_player(solve, v):
    """Add a player who brings nothing to anybody: it gets nothing, and the others what they had."""
    larger = TUGame(np.r_[v.values, v.values])
    same(solve(larger)[-1], 0.0, v)


def null_player_out(solve, v):
    same(solve(TUGame(np.r_[v.values, v.values]))[:-1], solve(v), v)


def additivity(solve, v):
    w = TUGame(np.roll(v.values[::-1] ** 2 / oracles.scale_of(v.values), 1) * np.r_[0, np.ones(len(v.values) - 1)])
    both = TUGame(v.values + w.values)
    same(solve(both), solve(v) + solve(w), both)


def inessential(solve, v):
    """In an additive game everybody gets what it brings."""
    b = fixed_payoffs(v.n)
    same(solve(additive(b)), b, additive(b), LOOSE)


# --- the nucleolus ----------------------------------------------------------------------------------------------


def floor_of(v, individual):
    return oracles.singletons(v.values) if individual else None


def individual_rationality(solve, v):
    assert (solve(v) >= oracles.singletons(v.values) - LOOSE * oracles.scale_of(v.values)).all()


def gloves(solve, _):
    """One left glove, two right ones: the left one takes all."""
    v = glove([0], [1, 2])
    same(solve(v), [1, 0, 0], v, LOOSE)


def talmud(solve, _):
    for estate, shares in ((100, [100 / 3] * 3), (200, [50, 75, 75]), (300, [50, 100, 150])):
        v = bankruptcy(estate, [100, 200, 300])
        same(solve(v), shares, v, LOOSE)


def in_the_core(solve, v):
    """A game with a core has its nucleolus in it."""
    if oracles.least_core_lp(v.values)[0] <= 0:
        assert oracles.excesses(v.values, solve(v))[1:].max() <= LOOSE * oracles.scale_of(v.values)


def worst_excess(solve, v, *, individual=True):
    """The largest excess is the optimum of one independent linear programme."""
    largest = oracles.excesses(v.values, solve(v))[1:-1].max()
    same(largest, oracles.least_core_lp(v.values, floor_of(v, individual))[0], v, LOOSE)


def covariance(solve, v):
    """Other units and a private income change the allocation by the same units and incomes."""
    x, b = solve(v), fixed_payoffs(v.n)
    for a, shift in ((3.0, 0 * b), (1.0, b), (0.5, -20 * b)):
        w = TUGame(a * v.values + additive(shift).values)
        same(solve(w), a * x + shift, w, LOOSE)


def certificate(solve, v, *, individual=True):
    assert kohlberg_certificate(v, solve(v), prenucleolus=not individual).holds


def own_certificate(solve, v, *, individual=True):
    """Kohlberg's criterion again, from the oracle, at every level."""
    assert oracles.kohlberg(v.values, solve(v), individual=individual)


def lexicographic(solve, v, *, individual=True):
    same(solve(v), oracles.lexicographic(v.values, floor_of(v, individual)), v, LOOSE)


# --- the games of the kill tables -------------------------------------------------------------------------------

GLOVE = glove([0], [1, 2])
UNEVEN = TUGame([0, 3, 1, 9, 0, 7, 2, 15])
LOSSES = TUGame([0, -4, -2, 3, -1, -6, 2, -5.0])
FOUR = TUGame([0, 2, 0, 5, 1, 6, 9, 13, 0, 8, 10, 15, 8, 16, 17, 21])
TALMUD = bankruptcy(200, [100, 200, 300])
VETO = weighted_voting([3, 2, 2, 1], 5)
SOLVER_GAMES = [GLOVE, UNEVEN, FOUR, TALMUD, VETO, weighted_voting([1, 1, 1], 2)]
NOT_ZERO_MONOTONIC = TUGame([0, 4, 0, 2, 0, 2, 3, 5])  # nucleolus (4, .5, .5), prenucleolus (3, 1, 1)

VALUE_CHECKS = {
    "efficiency": (efficiency, [GLOVE, UNEVEN, LOSSES, VETO]),
    "majority": (majority, [GLOVE]),
    "symmetry": (symmetry, [GLOVE, VETO]),
    "relabelling": (relabelling, [UNEVEN, LOSSES]),
    "null player": (null_player, [GLOVE, UNEVEN]),
    "additivity": (additivity, [GLOVE, UNEVEN, FOUR]),
    "inessential": (inessential, [UNEVEN]),
}
NUCLEOLUS_CHECKS = {
    "efficiency": (efficiency, [*SOLVER_GAMES, LOSSES]),
    "individual": (individual_rationality, [*SOLVER_GAMES, NOT_ZERO_MONOTONIC]),
    "majority": (majority, [GLOVE]),
    "glove": (gloves, [GLOVE]),
    "talmud": (talmud, [GLOVE]),
    "in the core": (in_the_core, [*SOLVER_GAMES, LOSSES]),
    "worst excess": (worst_excess, [*SOLVER_GAMES, LOSSES, NOT_ZERO_MONOTONIC]),
    "relabelling": (relabelling, SOLVER_GAMES),
    "covariance": (covariance, SOLVER_GAMES),
    "certificate": (certificate, [*SOLVER_GAMES, LOSSES, NOT_ZERO_MONOTONIC]),
    "lexicographic": (lexicographic, [*SOLVER_GAMES, LOSSES, NOT_ZERO_MONOTONIC]),
}


def caught(solve, checks):
    """Names of the checks that the solver fails on at least one of their games."""

    def fails(check, v):
        try:
            check(solve, v)
        except (AssertionError, ValueError, ArithmeticError):
            return True
        return False

    return {name for name, (check, games) in checks.items() if any(fails(check, v) for v in games)}


def both_nuclei(v):
    """(solver, individual) pairs that are defined on ``v``."""
    yield prenucleolus, False
    if oracles.singletons(v.values).sum() <= v.values[-1]:
        yield nucleolus, True


# --- partitions ---------------------------------------------------------------------------------------------------


def moving_gains(shares, partition):
    """What each player gains if it moves to each place and nobody else moves, (places, players)."""
    offers = moving_payoffs(shares, partition)
    home = [next(k for k, S in enumerate(partition) if S >> i & 1) for i in range(offers.shape[1])]
    return offers - offers[home, range(len(home))]
