"""Games for hypothesis: whole numbers, floats, ties, degenerate families, and games with structure."""

import numpy as np
from hypothesis import strategies as st

from coalmarl.games import TUGame

WHOLE = st.integers(-12, 20)
SIXTEENTHS = st.integers(-1000, 1000).map(lambda k: k / 16)
FLOATS = st.floats(-100, 100).map(lambda a: round(a, 3))  # finer than that, the slow oracles lose their way
TIES = st.sampled_from([0, 0, 1, 1, 2, -1])


def size(minimum=1, maximum=6):
    return st.integers(minimum, maximum)


def subset_sums(weights):
    """The weight of every coalition, from the definition."""
    weights = np.asarray(weights, dtype=float)
    return np.array([sum(w for i, w in enumerate(weights) if mask >> i & 1) for mask in range(1 << len(weights))])


def payoffs(n, numbers=SIXTEENTHS):
    return st.lists(numbers, min_size=n, max_size=n).map(lambda x: np.array(x, dtype=float))


@st.composite
def games(draw, min_n=1, max_n=6, numbers=None):
    """Any game. Half of the draws are free tables, the others come from families full of ties."""
    n = draw(size(min_n, max_n))
    kind = draw(st.sampled_from(["whole", "whole", "sixteenths", "floats", "ties", "ties", "zero", "additive", "votes"]))
    if numbers is not None:
        kind = "given"
    free = {"whole": WHOLE, "sixteenths": SIXTEENTHS, "floats": FLOATS, "ties": TIES, "given": numbers}
    if kind in free:
        rest = (1 << n) - 1
        return TUGame([0, *draw(st.lists(free[kind], min_size=rest, max_size=rest))])
    if kind == "zero":
        return TUGame(np.zeros(1 << n))
    if kind == "additive":
        return TUGame(subset_sums(draw(payoffs(n, WHOLE))))
    weights, quota = draw(voting_bodies(n, n))
    return TUGame((subset_sums(weights) >= quota).astype(float))


def whole_games(min_n=1, max_n=6):
    """Whole numbers only: sums and comparisons are exact."""
    return games(min_n, max_n, st.one_of(WHOLE, TIES))


@st.composite
def voting_bodies(draw, min_n=1, max_n=7):
    weights = draw(st.lists(st.integers(0, 12), min_size=min_n, max_size=max_n))
    return weights, draw(st.integers(1, max(1, sum(weights) + 1)))


@st.composite
def convex_games(draw, min_n=1, max_n=6):
    """Non-negative dividends on coalitions of two or more, anything on single players."""
    n = draw(size(min_n, max_n))
    dividends = draw(st.lists(st.integers(0, 6), min_size=1 << n, max_size=1 << n))
    alone = draw(payoffs(n, WHOLE))
    return TUGame(
        [
            sum(d for sub, d in enumerate(dividends) if sub & mask == sub and sub.bit_count() > 1)
            + sum(alone[i] for i in range(n) if mask >> i & 1)
            for mask in range(1 << n)
        ]
    )


@st.composite
def superadditive_games(draw, min_n=1, max_n=5):
    """The superadditive cover of a whole-number game: the best a coalition can do by splitting up."""
    cover = draw(whole_games(min_n, max_n)).values.copy()
    for mask in range(1, len(cover)):
        part = mask
        while part := (part - 1) & mask:
            cover[mask] = max(cover[mask], cover[part] + cover[mask ^ part])
    return TUGame(cover)


@st.composite
def essential_games(draw, min_n=1, max_n=5):
    """Games with at least one imputation, many of them not superadditive; some with exactly one."""
    v = draw(games(min_n, max_n))
    values = v.values.copy()
    alone = values[1 << np.arange(v.n)].sum()
    if values[-1] < alone or draw(st.booleans()):
        values[-1] = alone + draw(st.sampled_from([0, 0, 1, 2.5, 20]))
    return TUGame(values) if v.n > 1 else v


@st.composite
def with_allocation(draw, base):
    """A game and an efficient allocation of it."""
    v = draw(base)
    x = draw(payoffs(v.n))
    x[-1] = v.values[-1] - x[:-1].sum()
    return v, x
