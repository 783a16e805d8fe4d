"""Shapley values by sampling: for games whose table nobody can fill.

A game of a thousand players has ``2**1000`` coalitions.  Each method here asks for the worth
of a few of them, counts every question, and says how far off its answer may be.

Letters: ``v`` a game, ``n`` players, ``N`` all of them, ``S`` a coalition of ``s`` players, ``T``
a batch of coalitions as rows of true and false, ``order`` a row with each player's place in a
queue.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coalmarl.coalitions import as_vector, singletons
from coalmarl.games import TUGame

Vector = NDArray[np.float64]
Sampled = tuple[Vector, Vector | None]  # values, and their variances if known
Batch = Callable[[NDArray[np.bool_]], Vector]

_CELLS = 1 << 22  # entries of the largest batch of coalitions held at once
_CARRIERS = 8  # with fewer rows behind a variance, 95 % intervals held the value less than 92 % of the time


@dataclass(frozen=True, eq=False)
class Estimate:
    """A sampled Shapley value.

    Attributes
    ----------
    values : ndarray, shape (n,)
        The estimate; sums to ``v(N)``, up to rounding, for all methods but "stratified".
    standard_errors : ndarray, shape (n,), or None
        Standard error of each value: about 95 % of the intervals ``values`` plus or minus
        1.96 of them hold the true value.  None where the sample cannot tell honestly.
    evaluations : int
        How many coalitions were evaluated, the empty and the grand one included.
    """

    values: Vector
    standard_errors: Vector | None
    evaluations: int

    def __repr__(self) -> str:
        errors = "no" if self.standard_errors is None else "with"
        return f"Estimate({len(self.values)} players, {errors} standard errors, {self.evaluations} evaluations)"


def sample_shapley(
    v: TUGame | Batch,
    n: int,
    *,
    budget: int,
    method: str = "stratified_svarm",
    seed: int | np.random.Generator,
) -> Estimate:
    """Estimate the Shapley value from a limited number of evaluations of ``v``.

    Parameters
    ----------
    v : TUGame or callable
        The game, or a function of a boolean array of shape ``(m, n)``, one row per coalition,
        that returns ``m`` worths.  The array is read-only.
    n : int
        Number of players, at least 2.
    budget : int
        Most evaluations of ``v`` allowed, at least ``4 n`` (``2 n`` for "permutation").
    method : str
        One of those below.
    seed : int or numpy.random.Generator
        Where the chance comes from; the same seed gives the same bits.

    Returns
    -------
    Estimate

    Raises
    ------
    TypeError
        If ``v`` is neither a game nor a function, or returns what are not real numbers; if
        ``n``, ``budget`` or ``seed`` has the wrong type.
    ValueError
        If there are fewer than 2 players, the game has another number of them, the budget is
        too small, the method is unknown, or ``v`` returns a wrong number of worths, one that
        is not finite, or anything but 0 for the empty coalition.

    Notes
    -----
    "permutation": players arrive in random orders, and each gets the mean of what it adds.
    Unbiased.

    "antithetic": the same, each order followed by its reverse.  Exact if ``v`` is a sum of
    terms of one and two players; worse by ``sqrt(2)`` if ``v(S) + v(N - S)`` is constant, for
    then the reverse brings no news.  Unbiased.

    "stratified": the mean of what a player adds to random coalitions, one from each of as many
    equal slices of the sizes ``0 .. n-1`` as the budget allows.  Unbiased, but the values do
    not sum to ``v(N)``.  Never has standard errors: one draw from a slice says nothing of the
    spread within the slice, and the spread between slices is what the method takes away.

    "stratified_svarm": player ``i`` gets the mean over the sizes of a difference, worth of the
    coalitions with ``i`` less worth of those without.  At size ``s`` this difference is
    ``n**2 / (s (n-s))`` times the covariance of worth and membership.  So every coalition
    informs all the players, and no player lacks one of some size.  Sizes 1 and ``n-1`` are
    enumerated; the others get coalitions in proportion to ``1 / sqrt(s (n-s))``, the best
    split if worth varies alike at all sizes.  Unbiased.

    "leverage": weighted least squares of ``v(S)`` on membership, with the weights that make
    the Shapley value the solution, sizes drawn alike, each coalition with its complement.
    Exact where "antithetic" is.  Biased, by much less than its standard error.  Costs
    ``O(budget n**2)`` besides the evaluations, and ``n**2`` numbers of memory.

    Intervals rest on the central limit theorem.  A voter who turned none of 64 orders has
    spread 0 and an interval of no length that is wrong.  So "permutation" and "antithetic"
    have no standard errors while, for a quarter of the players, fewer than eight orders (or
    pairs of orders) carry the spread; nothing can warn of an event that no sample met.

    References
    ----------
    castro2009polynomial, maleki2013bounding, kolpaczki2024svarm, musco2025leverage

    Examples
    --------
    >>> sample_shapley(lambda T: T.sum(axis=1) ** 2, 100, budget=6400, method="antithetic", seed=0)
    Estimate(100 players, with standard errors, 6338 evaluations)
    """
    n = _whole(n, "a number of players")
    budget = _whole(budget, "a budget")
    _check_plan(v, n, budget, method)
    rng = _generator(seed)
    worth = _Worth(v, n)
    values, variances = _METHODS[method](worth, budget - worth.evaluations, rng)
    errors = None if variances is None else np.sqrt(variances)
    return Estimate(values, errors, worth.evaluations)


class _Worth:
    """The worth of batches of coalitions, counted and checked."""

    def __init__(self, v: TUGame | Batch, n: int) -> None:
        self.v = _lookup(v) if isinstance(v, TUGame) else v
        self.n, self.evaluations = n, 0
        empty, self.all = self(np.array([[False] * n, [True] * n])).tolist()
        if empty != 0:
            raise ValueError(f"expected v(empty) = 0, got {empty}; subtract it from every worth")

    def __call__(self, T: NDArray[np.bool_]) -> Vector:
        T.setflags(write=False)
        self.evaluations += len(T)
        try:
            returned = self.v(T)
        except Exception as error:
            error.add_note(f"while evaluating v on a boolean array of shape {T.shape}, a row per coalition")
            raise
        worths = as_vector(returned, f"the worths of {len(T)} coalitions")
        if len(worths) != len(T):
            raise ValueError(f"expected {len(T)} worths, one per row of the array, got {len(worths)}")
        if not np.isfinite(worths).all():
            k = int(np.flatnonzero(~np.isfinite(worths))[0])
            S = set(np.flatnonzero(T[k])[:10].tolist())
            raise ValueError(f"expected finite worths, got {worths[k]} for {T[k].sum()} players, the first {S}")
        return worths


def _permutation(v: _Worth, budget: int, rng: np.random.Generator) -> Sampled:
    """Mean of what each player adds in random orders of arrival."""
    blocks = _blocks(budget // (v.n - 1), v.n**2)
    return _mean_and_variance([_gains(v, _orders(len(block), v.n, rng)) for block in blocks])


def _antithetic(v: _Worth, budget: int, rng: np.random.Generator) -> Sampled:
    """The same over pairs of an order and its reverse."""
    pairs = []
    for block in _blocks(budget // (2 * (v.n - 1)), v.n**2):
        order = _orders(len(block), v.n, rng)
        pairs.append((_gains(v, order) + _gains(v, v.n - 1 - order)) / 2)
    return _mean_and_variance(pairs)


def _stratified(v: _Worth, budget: int, rng: np.random.Generator) -> Sampled:
    """Mean of what each player adds to one coalition from each slice of the sizes."""
    slices, values = budget // (2 * v.n), np.zeros(v.n)
    for block in _blocks(slices * v.n, 8 * v.n):
        k, player = np.divmod(block, v.n)
        before = _one_per_slice(k, slices, v.n, rng)[:, None]
        order = _orders(len(block), v.n, rng)
        own = np.take_along_axis(order, player[:, None], axis=1)
        order = (order - own + before) % v.n  # turn the circle until the player stands behind so many
        gains = v(order <= before) - v(order < before)
        values += np.bincount(player, gains, v.n) / slices
    return values, None


def _stratified_svarm(v: _Worth, budget: int, rng: np.random.Generator) -> Sampled:
    """Mean over the sizes of n**2 / (s (n-s)) times the covariance of worth and membership."""
    n, room = v.n, budget - 2 * v.n
    values, variances = np.full(n, v.all / n), np.zeros(n)
    for T in _borders(n):
        worths = v(T)
        values += (worths - worths.mean()) / (n - 1) @ T
    rounds = 1 + room // _CELLS
    sizes = np.tile(np.arange(2, n - 1), rounds)
    counts = _shares(1 / np.sqrt(sizes * (n - sizes)), room)
    for block in _blocks(len(sizes), n * counts.max(initial=1)):
        s, m = np.repeat([sizes[block], counts[block]], counts[block], axis=1)
        T = _orders(len(s), n, rng) < s[:, None]
        h = _deviations(v(T), counts[block]) / (m - 1) * n / (s * (n - s)) / rounds
        p = s / n
        linear, square = np.stack([h, h**2 * (1 - 2 * p)]) @ T
        values += linear
        variances += square + (h * p) @ (h * p)
    return values, variances


def _leverage(v: _Worth, budget: int, rng: np.random.Generator) -> Sampled:
    """Weighted least squares for (v(S) - v(N - S)) / 2, efficiency built in, and its spread."""
    n, pairs = v.n, (budget - 2 * v.n) // 2 if v.n > 3 else 0
    alone = np.eye(n, dtype=bool)
    fit = _Fit(v)
    fit.add(alone, np.full(n, 2 / (n * (n - 1))))
    sampled = []
    for block in _blocks(pairs, 8 * n):
        s = 2 + _one_per_slice(np.array(block), pairs, n - 3, rng)
        T = _orders(len(s), n, rng) < s[:, None]
        sampled.append((np.packbits(T, axis=1), *fit.add(T, (n - 3) / pairs / (s * (n - s)))))
    return fit.solve(sampled)


def _gains(v: _Worth, order: NDArray[np.int32]) -> Vector:
    """What each player adds on arrival: one row per order."""
    arrived = order[:, None, :] < np.arange(1, v.n)[:, None]
    worths = v(arrived.reshape(-1, v.n)).reshape(len(order), -1)
    gains = np.diff(worths, axis=1, prepend=0.0, append=v.all)
    return np.take_along_axis(gains, order, axis=1)


def _mean_and_variance(blocks: list[Vector]) -> Sampled:
    """Mean over independent rows, and its estimated variance where the rows can tell it."""
    rows = np.concatenate(blocks)
    mean = rows.mean(axis=0)
    if _few_rows_carry_the_spread(rows - mean, float(np.abs(rows).max())):
        return mean, None
    return mean, rows.var(axis=0, ddof=1) / len(rows)


def _few_rows_carry_the_spread(deviations: Vector, scale: float) -> bool:
    """Whether for a quarter of the columns that vary, fewer than _CARRIERS rows make up the variance.

    The number of rows behind a sum of squares is (sum d**2)**2 / sum d**4: all of them if they
    are equally long, 1 if one of them does it alone.
    """
    d = deviations / (scale or 1.0)
    d = d[:, (np.abs(d) > 1e-12).any(axis=0)]  # the rest is rounding
    carriers = (d**2).sum(axis=0) ** 2 / (d**4).sum(axis=0)
    return len(d) < _CARRIERS or (carriers.size > 0 and bool(np.quantile(carriers, 0.25) < _CARRIERS))


def _deviations(worths: Vector, counts: NDArray[np.int64]) -> Vector:
    """Each worth less the mean of its stratum; the strata lie one after the other."""
    means = np.add.reduceat(worths, np.cumsum(counts) - counts) / counts
    return worths - np.repeat(means, counts)


def _borders(n: int) -> list[NDArray[np.bool_]]:
    """All players alone, and all coalitions that lack one; for two players these are the same."""
    alone = np.eye(n, dtype=bool)
    return [alone, ~alone][: n - 1]


def _shares(weight: Vector, total: int) -> NDArray[np.int64]:
    """Split a total in proportion to the weights, two each first."""
    upto = np.cumsum(weight)
    upto = np.floor(upto / upto[-1:] * (total - 2 * len(weight)))
    return 2 + np.diff(upto, prepend=0).astype(np.int64)


def _one_per_slice(k: NDArray[np.int64], slices: int, levels: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """A random level in 0 .. levels-1 from slice k of as many equal slices."""
    u = (k + rng.random(len(k))) / slices
    return np.minimum(u * levels, levels - 1).astype(np.int64)


def _orders(m: int, n: int, rng: np.random.Generator) -> NDArray[np.int32]:
    """m rows with each player's place in a random order; the first s places are a random S."""
    return rng.permuted(np.tile(np.arange(n, dtype=np.int32), (m, 1)), axis=1)


def _blocks(count: int, cells: int) -> Iterator[range]:
    """Cut 0 .. count-1, each item worth so many cells, into ranges that fit in memory."""
    step = max(1, _CELLS // cells)
    for start in range(0, count, step):
        yield range(start, min(start + step, count))


class _Fit:
    """Least squares of (v(S) - v(N-S)) / 2 on membership, among x with x(N) = v(N)."""

    def __init__(self, v: _Worth) -> None:
        self.v, self.equal = v, v.all / v.n
        self.gram = np.full((v.n, v.n), 1 / v.n**2)  # fixes what x(N) = v(N) leaves open
        self.moment = np.zeros(v.n)

    def add(self, T: NDArray[np.bool_], weight: Vector) -> tuple[Vector, Vector]:
        """Evaluate rows and their complements; return what the fit has to explain, and weights."""
        x = self.centred(T)
        y = (self.v(T) - self.v(~T)) / 2 + self.v.all * (0.5 - T.mean(axis=1))
        self.gram += x.T @ (x * weight[:, None])
        self.moment += (weight * y) @ x
        return y, weight

    def centred(self, T: NDArray[np.bool_]) -> Vector:
        return T - T.mean(axis=1, keepdims=True)

    def solve(self, sampled: list[tuple[NDArray[np.uint8], Vector, Vector]]) -> Sampled:
        """The fit, and the variance that its residuals on the sampled rows imply."""
        inverse = np.linalg.inv(self.gram)
        beyond = inverse @ self.moment
        variances = np.zeros(self.v.n)
        for bits, y, weight in sampled:
            x = self.centred(np.unpackbits(bits, axis=1, count=self.v.n).astype(bool))
            pull = x @ inverse * weight[:, None]
            left_out = (y - x @ beyond) / (1 - (pull * x).sum(axis=1))
            variances += left_out**2 @ pull**2
        return self.equal + beyond, variances


_METHODS: dict[str, Callable[[_Worth, int, np.random.Generator], Sampled]] = {
    "permutation": _permutation,
    "antithetic": _antithetic,
    "stratified": _stratified,
    "stratified_svarm": _stratified_svarm,
    "leverage": _leverage,
}


def _lookup(v: TUGame) -> Batch:
    """A game's table as a function of batches."""
    bits = singletons(v.n)
    return lambda T: v.values[T @ bits]


def _check_plan(v: object, n: int, budget: int, method: str) -> None:
    if not callable(v):
        raise TypeError(f"expected a TUGame or a function of a boolean array, got {v!r:.60}")
    if n < 2:
        raise ValueError(f"expected at least 2 players, got n = {n}; one player gets v(N)")
    if isinstance(v, TUGame) and v.n != n:
        raise ValueError(f"expected the game's own number of players, {v.n}, got n = {n}")
    if not isinstance(method, str) or method not in _METHODS:
        raise ValueError(f"expected a method among {', '.join(_METHODS)}, got {method!r:.60}")
    least = (2 if method == "permutation" else 4) * n
    if budget < least:
        raise ValueError(
            f"expected a budget of at least {least} evaluations for {method!r} with {n} players, got {budget}; "
            "raise it, or use a method that asks for less"
        )


def _whole(value: object, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"expected {name} as an integer, got {value!r:.60} of type {type(value).__name__}")
    return int(value)


def _generator(seed: object) -> np.random.Generator:
    if isinstance(seed, np.random.Generator):
        return seed
    number = _whole(seed, "a seed or a numpy Generator")
    if number < 0:
        raise ValueError(f"expected a seed of at least 0, got {number}")
    return np.random.default_rng(number)
