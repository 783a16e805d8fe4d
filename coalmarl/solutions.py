"""Solution concepts: who gets what, given what every coalition is worth.

Values (`shapley`, `banzhaf`) weigh every marginal contribution.  Stability concepts
(`least_core`, `nucleolus`) look at the excess ``e(S, x) = v(S) - x(S)``: what coalition
``S`` could gain by walking out of the allocation ``x``.  A cost game is solved as ``-c``
and its allocation negated by the caller.

Letters: ``v`` a game, ``n`` players, ``N`` all of them, ``S`` a coalition, ``s`` its size,
``x`` an allocation, ``t`` a bound on the excess.
"""

from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from math import comb
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coalmarl.coalitions import (
    as_vector,
    check_memory,
    check_table_fits,
    coalition_sums,
    grand_coalition,
    membership,
    singletons,
    sizes,
)
from coalmarl.games import TUGame, as_amount, require_game, savings, value_scale

if TYPE_CHECKING:
    from highspy import Highs

_SMALL = 12  # up to here a semivalue is one product with a kept matrix
_TIGHT = 1e-9  # on games scaled to 1: two numbers closer than this are equal
_SPAN = 1e-10  # a random vector's sum over S that is smaller than this is 0
_LEVEL = 1e-7  # excesses closer than this share a level of a certificate


@dataclass(frozen=True, eq=False)
class LeastCore:
    """The least core of a game: the smallest possible worst excess, and who gets what.

    Attributes
    ----------
    epsilon : float
        Smallest value of the largest excess; negative when every coalition can be left
        with something to lose by walking out.
    x : ndarray, shape (n,)
        One allocation that attains it; in general there are others.
    """

    epsilon: float
    x: NDArray[np.float64]


@dataclass(frozen=True)
class Certificate:
    """Kohlberg's proof that an allocation is, or is not, the (pre)nucleolus.

    Attributes
    ----------
    holds : bool
        Whether every level is balanced.
    levels : tuple of (float, tuple of int)
        Excess and coalitions of each level, worst first: up to the level that settles the
        allocation, or the first one that is not balanced.  Empty if ``x`` does not hand out
        ``v(N)`` or, for the nucleolus, gives somebody less than ``v(i)``.
    """

    holds: bool
    levels: tuple[tuple[float, tuple[int, ...]], ...] = field(repr=False)


@dataclass(frozen=True)
class VotingIndices:
    """Exact power indices of a weighted voting game.

    Attributes
    ----------
    shapley : tuple of Fraction
        Shapley value of each player, the Shapley-Shubik index.
    banzhaf : tuple of Fraction
        Raw Banzhaf value: share of the other players' coalitions that a player swings.
    """

    shapley: tuple[Fraction, ...]
    banzhaf: tuple[Fraction, ...]

    def __repr__(self) -> str:
        first = ", ".join(map(str, self.shapley[:4])) + (", ..." if len(self.shapley) > 4 else "")
        return f"VotingIndices(shapley=({first}), {len(self.banzhaf)} players)"


def excess(v: TUGame, x: ArrayLike) -> NDArray[np.float64]:
    """Return ``e(S, x) = v(S) - x(S)``, what each coalition could gain by leaving ``x``.

    Parameters
    ----------
    v : TUGame
        The game.
    x : array_like of float, shape (n,)
        What each player gets.

    Returns
    -------
    ndarray, shape (2**n,)
        Indexed by mask; positive where the coalition can do better on its own.

    Raises
    ------
    TypeError, ValueError
        If ``x`` is not one finite number per player.

    Notes
    -----
    One pass over the table: ``O(2**n)``.

    Examples
    --------
    >>> v = TUGame([0, 0, 0, 1, 0, 1, 1, 1])
    >>> excess(v, [0.5, 0.5, 0]).tolist()
    [0.0, -0.5, -0.5, 0.0, 0.0, 0.5, 0.5, 0.0]
    """
    paid = coalition_sums(_allocation(v, x))
    return v.values - paid


def shapley(v: TUGame) -> NDArray[np.float64]:
    """Return the Shapley value: each player's average marginal contribution.

    Parameters
    ----------
    v : TUGame
        The game.

    Returns
    -------
    ndarray, shape (n,)
        Sums to ``v(N)``.

    Raises
    ------
    TypeError
        If it is not a game.

    Notes
    -----
    Player ``i`` joins the coalition ``S`` in a random order of arrival with probability
    ``w(s) = s! (n-s-1)! / n!``, so ``phi_i = sum of w(s) (v(S+i) - v(S))`` over the ``S``
    without ``i``.  Collect the terms by coalition: ``v(S)`` counts ``w(s-1) + w(s)`` for its
    members, and ``-w(s)`` for everybody.  The second part is one number for all players,
    which efficiency fixes; the first takes one pass over the table.  ``O(2**n)``.

    References
    ----------
    shapley1953value

    Examples
    --------
    >>> from coalmarl.games import glove
    >>> shapley(glove([0], [1, 2])).round(4).tolist()
    [0.6667, 0.1667, 0.1667]
    """
    require_game(v)
    w = _shapley_weights(v.n)
    if v.n <= _SMALL:
        return _joining_operator(w) @ v.values
    sums, _ = _sums_by_player(v, np.add([0.0, *w], [*w, 0.0]))
    return sums - (sums.sum() - v.values[-1]) / v.n


def banzhaf(v: TUGame) -> NDArray[np.float64]:
    """Return the raw Banzhaf value: the mean marginal contribution over all coalitions.

    Parameters
    ----------
    v : TUGame
        The game.

    Returns
    -------
    ndarray, shape (n,)
        Average of ``v(S+i) - v(S)`` over the ``2**(n-1)`` coalitions without ``i``; its sum
        is not ``v(N)`` in general.

    Raises
    ------
    TypeError
        If it is not a game.

    Notes
    -----
    As `shapley`, with the same weight ``2**(1-n)`` for every coalition.  ``O(2**n)``.

    References
    ----------
    banzhaf1965weighted

    Examples
    --------
    >>> from coalmarl.games import weighted_voting
    >>> banzhaf(weighted_voting([4, 2, 1], 5)).tolist()
    [0.75, 0.25, 0.25]
    """
    require_game(v)
    w = _banzhaf_weights(v.n)
    if v.n <= _SMALL:
        return _joining_operator(w) @ v.values
    sums, total = _sums_by_player(v, np.add([0.0, *w], [*w, 0.0]))
    return sums - (total - w[0] * v.values[-1]) / 2


def harsanyi_dividends(v: TUGame) -> NDArray[np.float64]:
    """Return what each coalition adds beyond all its parts.

    Parameters
    ----------
    v : TUGame
        The game.

    Returns
    -------
    ndarray, shape (2**n,)
        ``d`` with ``v(S) = sum of d(T)`` over the ``T`` inside ``S``; the Shapley value
        divides each ``d(T)`` equally in ``T``.

    Raises
    ------
    TypeError
        If it is not a game.

    Notes
    -----
    The Moebius transform: for one player after the other, subtract the worth without the
    player from the worth with it.  ``O(n 2**n)``.

    Examples
    --------
    >>> from coalmarl.games import glove
    >>> harsanyi_dividends(glove([0], [1, 2])).tolist()
    [0.0, 0.0, 0.0, 1.0, 0.0, 1.0, 0.0, -1.0]
    """
    require_game(v)
    dividends = v.values.copy()
    for i in range(v.n):
        halves = dividends.reshape(-1, 2, 1 << i)
        halves[:, 1] -= halves[:, 0]
    return dividends


def least_core(v: TUGame) -> LeastCore:
    """Make the worst excess as small as possible.

    Parameters
    ----------
    v : TUGame
        A game of at least two players.

    Returns
    -------
    LeastCore
        ``epsilon``, the least ``max e(S, x)`` over proper non-empty ``S`` among all ``x``
        with ``x(N) = v(N)``, and one ``x`` that attains it.  Nobody is promised ``v(i)``.

    Raises
    ------
    ValueError
        If there is one player, and so no proper coalition; if the tables do not fit.

    Notes
    -----
    A linear programme with one row per coalition, of which only those that are violated
    are ever written down.  Each round costs ``O(2**n)`` to look for them.

    References
    ----------
    maschler1979geometric

    Examples
    --------
    >>> from coalmarl.games import weighted_voting
    >>> round(least_core(weighted_voting([1, 1, 1], 2)).epsilon, 6)
    0.333333
    """
    require_game(v)
    check_table_fits(v.n, tables=6)
    if v.n == 1:
        raise ValueError("expected at least 2 players, got 1: no proper coalition exists")
    game = _Normalised(v)
    x, t = _WorstExcess(game.worth, floor=-np.inf).solve()
    return LeastCore(game.scale * t + 0.0, game.restore(x))


def core_is_empty(v: TUGame, *, tol: float = 1e-9) -> bool:
    """Tell whether every efficient allocation leaves some coalition wanting to leave.

    Parameters
    ----------
    v : TUGame
        The game.
    tol : float
        Tolerance, relative to ``max(1, max |v|)``.

    Returns
    -------
    bool

    Raises
    ------
    TypeError, ValueError
        If ``v`` is not a game, or ``tol`` not a finite number of at least 0; if the tables do not fit.

    Notes
    -----
    The core is empty exactly when the least core's ``epsilon`` is positive, so this costs what
    `least_core` does.

    References
    ----------
    bondareva1963, shapley1967balanced

    Examples
    --------
    >>> from coalmarl.games import weighted_voting
    >>> core_is_empty(weighted_voting([1, 1, 1], 2)), core_is_empty(weighted_voting([2, 1, 1], 3))
    (True, False)
    """
    slack = as_amount(tol, "tolerance") * value_scale(v)
    return v.n > 1 and least_core(v).epsilon > slack


def in_core(v: TUGame, x: ArrayLike, *, tol: float = 1e-9) -> bool:
    """Tell whether ``x`` divides ``v(N)`` so that no coalition gains by leaving.

    Parameters
    ----------
    v : TUGame
        The game.
    x : array_like of float, shape (n,)
        What each player gets.
    tol : float
        Tolerance, relative to ``max(1, max |v|)``.

    Returns
    -------
    bool
        Efficiency included: an ``x`` that hands out more than ``v(N)`` is not in the core.

    Raises
    ------
    TypeError, ValueError
        If ``x`` is not one finite number per player, or ``tol`` not one of at least 0.

    Notes
    -----
    One pass over the table: ``O(2**n)``.

    Examples
    --------
    >>> from coalmarl.games import glove
    >>> in_core(glove([0], [1, 2]), [1, 0, 0]), in_core(glove([0], [1, 2]), [1, 1, 1])
    (True, False)
    """
    e, slack = excess(v, x), as_amount(tol, "tolerance") * value_scale(v)
    return bool(e.max() <= slack and abs(e[-1]) <= slack)


def nucleolus(v: TUGame) -> NDArray[np.float64]:
    """Return the imputation that makes the worst excess least, then the next, and so on.

    Parameters
    ----------
    v : TUGame
        A game whose players can earn ``v(N)`` without anybody losing.

    Returns
    -------
    ndarray, shape (n,)
        Sums to ``v(N)`` and gives every player at least ``v(i)``.

    Raises
    ------
    ValueError
        If ``sum v(i) > v(N)``: there is no imputation (`prenucleolus` needs none).

    Notes
    -----
    At most ``n - 1`` stages.  Each minimises the largest excess ``t`` over the coalitions
    not settled yet, by linear programmes that grow until no coalition violates them, then
    settles those whose dual is positive:
    by complementary slackness their excess is ``t`` at every optimum.  A coalition that
    merely is tight at the optimum found must not be settled; a package that does so gets
    the Talmud wrong.  The cost is about ``2**n`` per generated batch of rows; n = 24 takes
    seconds to minutes.

    References
    ----------
    schmeidler1969nucleolus, maschler1979geometric, guajardo2015mistakes

    Examples
    --------
    >>> from coalmarl.games import bankruptcy
    >>> nucleolus(bankruptcy(200, [100, 200, 300])).round(6).tolist()
    [50.0, 75.0, 75.0]
    """
    require_game(v)
    shortfall = v.values[singletons(v.n)].sum() - v.values[-1]
    if shortfall > _rounding(v):
        raise ValueError(
            f"expected v(N) to cover the players' own worths, got v(N) = {v.values[-1]:g}, "
            f"which is {shortfall:g} too little: no imputation exists; use prenucleolus(v)"
        )
    return _lexicographic(v, floor=0.0)


def prenucleolus(v: TUGame) -> NDArray[np.float64]:
    """Return the nucleolus without individual rationality: ``x_i >= v(i)`` is not asked.

    Parameters
    ----------
    v : TUGame
        The game.

    Returns
    -------
    ndarray, shape (n,)
        Sums to ``v(N)``; equals the nucleolus where that gives all players their ``v(i)``
        for free, as in every superadditive game.

    Raises
    ------
    TypeError
        If it is not a game.

    Notes
    -----
    As `nucleolus`, with the players' payoffs unbounded.

    References
    ----------
    schmeidler1969nucleolus

    Examples
    --------
    >>> prenucleolus(TUGame([0, 4, 0, 2, 0, 2, 0, 3])).round(6).tolist()
    [3.5, -0.25, -0.25]
    """
    return _lexicographic(v, floor=-np.inf)


def kohlberg_certificate(
    v: TUGame, x: ArrayLike, *, prenucleolus: bool = False
) -> Certificate:
    """Check whether ``x`` is the nucleolus by Kohlberg's criterion, level by level.

    Parameters
    ----------
    v : TUGame
        The game.
    x : array_like of float, shape (n,)
        The allocation on trial.
    prenucleolus : bool
        Check for the prenucleolus instead.

    Returns
    -------
    Certificate

    Raises
    ------
    TypeError, ValueError
        If ``x`` is not one finite number per player.

    Notes
    -----
    List the coalitions by falling excess.  ``x`` is the prenucleolus if and only if, down
    to every level, the coalitions so far are balanced: positive weights exist under which
    every player is covered with total weight 1.  For the nucleolus, players held at
    ``v(i)`` may fill gaps.  Coalitions in the span of balanced ones keep the balance, so
    only levels that raise the rank are tested, at most ``n - 1``.  A collection is balanced
    unless some move of payoffs costs none of its coalitions anything and serves one of them:
    a linear programme in ``n`` unknowns.  Sorting the excesses costs ``O(n 2**n)``.

    References
    ----------
    kohlberg1971nucleolus

    Examples
    --------
    >>> from coalmarl.games import bankruptcy
    >>> v = bankruptcy(200, [100, 200, 300])
    >>> kohlberg_certificate(v, [50, 75, 75]), kohlberg_certificate(v, [50, 50, 100])
    (Certificate(holds=True), Certificate(holds=False))
    """
    require_game(v)
    check_table_fits(v.n, tables=4)
    e = excess(v, x)
    slack = max(_LEVEL * _Normalised(v).scale, _rounding(v))
    fillers = np.zeros(v.n, dtype=bool)
    if not prenucleolus:
        if e[singletons(v.n)].max() > slack:
            return Certificate(False, ())
        fillers = e[singletons(v.n)] >= -slack
    if abs(e[-1]) > slack:
        return Certificate(False, ())
    return _walk_levels(e, slack, fillers)


def weighted_voting_indices(weights: ArrayLike, quota: int) -> VotingIndices:
    """Return exact Shapley-Shubik and Banzhaf indices without a table of coalitions.

    Parameters
    ----------
    weights : array_like of int, shape (n,)
        Votes of each player, not negative.
    quota : int
        Votes needed to win, positive.

    Returns
    -------
    VotingIndices

    Raises
    ------
    TypeError
        If weights or quota are not integers.
    ValueError
        If a weight is negative or the quota is not positive.

    Notes
    -----
    Count the coalitions of ``k`` players and weight ``s`` by adding one player at a time;
    take a player out again by undoing its step.  The player swings the coalitions of the
    others whose weight falls short of the quota by no more than its own.  Big integers
    throughout: ``O(n**2 quota)`` additions, 51 players in a fraction of a second.

    References
    ----------
    shapley1954power, banzhaf1965weighted

    Examples
    --------
    >>> indices = weighted_voting_indices([4, 2, 1], 5)
    >>> indices
    VotingIndices(shapley=(2/3, 1/6, 1/6), 3 players)
    >>> indices.banzhaf[0]
    Fraction(3, 4)
    """
    votes, quota = _votes(weights, quota)
    n = len(votes)
    count = np.zeros((n + 1, quota), dtype=object)  # coalitions by size and weight < quota
    count[0, 0] = 1
    for w in votes:
        count[1:, w:] = count[1:, w:] + count[:-1, : max(quota - w, 0)]
    swings = {w: _swings(count, w) for w in set(votes)}
    orders = [n * comb(n - 1, k) for k in range(n)]
    value = {
        w: sum((Fraction(by_size[k], orders[k]) for k in range(n)), Fraction(0))
        for w, by_size in swings.items()
    }
    share = {w: Fraction(sum(by_size), 2 ** (n - 1)) for w, by_size in swings.items()}
    return VotingIndices(tuple(value[w] for w in votes), tuple(share[w] for w in votes))


@cache
def _shapley_weights(n: int) -> tuple[float, ...]:
    """Probability that exactly a given coalition of size s arrives before a given player."""
    return tuple(1 / (n * comb(n - 1, s)) for s in range(n))


@cache
def _banzhaf_weights(n: int) -> tuple[float, ...]:
    return (0.5 ** (n - 1),) * n


@cache
def _joining_operator(w: tuple[float, ...]) -> NDArray[np.float64]:
    """The definition as a matrix: row i holds w(s-1) where player i is in S, else -w(s)."""
    n = len(w)
    weights, s = np.array([*w, 0.0]), sizes(n)
    return np.where(membership(range(1 << n), n).T, weights[s - 1], -weights[s])


def _sums_by_player(
    v: TUGame, weight: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float]:
    """Sums of ``weight[|S|] v(S)`` over the coalitions of each player, and over all.

    The table is read once, as rows that fit in cache and differ in the first players only:
    the sum of all rows serves these players, the rows' own sums serve the others.
    """
    low = min(v.n, 14)
    rows = v.values.reshape(-1, 1 << low)
    small = sizes(low)
    weights = [weight[small + k] for k in range(v.n - low + 1)]
    column, row_sums = np.zeros(1 << low), np.empty(len(rows))
    weighted = np.empty(1 << low)
    for h, k in enumerate(sizes(v.n - low).tolist()):
        np.multiply(rows[h], weights[k], out=weighted)
        row_sums[h] = weighted.sum()
        column += weighted
    return np.concatenate([_per_player(column), _per_player(row_sums)]), float(row_sums.sum())


def _per_player(table: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum over the coalitions of each player: split the players in halves until few are left."""
    n = len(table).bit_length() - 1
    if n <= 5:
        return table @ membership(range(1 << n), n)
    square = table.reshape(-1, 1 << n // 2)
    return np.concatenate([_per_player(square.sum(axis=0)), _per_player(square.sum(axis=1))])


def _rounding(v: TUGame) -> float:
    """What sums of n worths of this game may be off by."""
    return v.n * 2**-50 * float(np.abs(v.values).max())


class _Normalised:
    """The game less everybody's own worth, scaled to 1: same nucleolus, up to the same map."""

    def __init__(self, v: TUGame) -> None:
        self.alone = v.values[singletons(v.n)]
        surplus = -savings(v).values
        self.scale = max(float(np.abs(surplus).max()), _rounding(v)) or 1.0
        self.worth = surplus / self.scale

    def restore(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        return self.alone + self.scale * x


class _WorstExcess:
    """Minimise the largest excess t over the open coalitions: one linear programme, kept warm.

    Columns ``x_0 .. x_{n-1}, t``; row 0 says x(N) = v(N), every other row x(S) + t >= v(S)
    for one coalition met so far.  Settled coalitions turn into equations x(S) = v(S) - t.
    """

    def __init__(self, worth: NDArray[np.float64], *, floor: float) -> None:
        n = self.n = len(worth).bit_length() - 1
        self.worth = worth
        self.model = _simplex()
        free = np.full(n + 1, np.inf)
        lower = np.append(np.full(n, floor), -np.inf)
        self.model.addCols(n + 1, np.eye(n + 1)[n], lower, free, 0, [], [], [])
        N = grand_coalition(n)
        self.model.addRow(worth[N], worth[N], n, np.arange(n), np.ones(n))
        self.rows = np.array([N])
        self.equations = {0}
        self.open = worth.copy()  # -inf where the excess is settled
        self.open[[0, N]] = -np.inf
        self._write(np.union1d(singletons(n), N ^ singletons(n)))

    def solve(self) -> tuple[NDArray[np.float64], float]:
        """An optimal (x, t), generating rows until no open coalition exceeds t."""
        while True:
            self.model.run()
            status = self.model.modelStatusToString(self.model.getModelStatus())
            if status != "Optimal":
                raise RuntimeError(f"the linear programme ended as {status!r}; please report the game")
            solution = np.array(self.model.getSolution().col_value)
            x, t = solution[:-1], float(solution[-1])
            gap = self.open - coalition_sums(x)
            violated = np.flatnonzero(gap > t + _TIGHT)
            if len(violated) == 0:
                return x, t
            if len(violated) > 3 * self.n:
                worst = np.argpartition(gap[violated], -3 * self.n)[-3 * self.n :]
                violated = violated[worst]
            self._write(violated)

    def settle(self, settled: "_Settled", t: float) -> None:
        """Settle what has the same excess at every optimum: positive dual or reduced cost."""
        solution = self.model.getSolution()
        duals, reduced_costs = np.array(solution.row_dual), np.array(solution.col_dual[: self.n])
        for row in np.argsort(-duals, kind="stable")[: np.count_nonzero(duals > _TIGHT)]:
            S = int(self.rows[row])
            if S != grand_coalition(self.n) and settled.add(S, self.worth[S] - t):
                self.model.changeCoeff(row, self.n, 0.0)
                self.model.changeRowBounds(row, self.worth[S] - t, self.worth[S] - t)
                self.equations.add(int(row))
        for i in np.flatnonzero(reduced_costs > _TIGHT):
            if settled.add(1 << int(i), 0.0):
                self.model.changeColBounds(int(i), 0.0, 0.0)
        if settled.complete():
            return
        closed = settled.span()
        self.open[closed] = -np.inf
        for row in set(np.flatnonzero(closed[self.rows]).tolist()) - self.equations:
            self.model.changeRowBounds(row, -np.inf, np.inf)

    def _write(self, masks: NDArray[np.int64]) -> None:
        m, n = len(masks), self.n
        columns = np.ones((m, n + 1), dtype=bool)  # the last one for t
        columns[:, :n] = membership(masks, n)
        starts = np.cumsum(columns.sum(axis=1)) - columns.sum(axis=1)
        where = np.nonzero(columns)[1]
        self.model.addRows(
            m, self.worth[masks], np.full(m, np.inf), len(where), starts, where, np.ones(len(where))
        )
        self.rows = np.concatenate([self.rows, masks])


class _Settled:
    """Equations x(S) = value that hold at every optimum, with independent left sides."""

    def __init__(self, n: int) -> None:
        self.players = np.arange(n)
        self.basis = np.zeros((0, n))  # orthonormal, of the span of the left sides
        self.masks: list[int] = []
        self.sums: list[float] = []

    def add(self, S: int, value: float) -> bool:
        """Add x(S) = value unless the equations so far imply it; tell whether they do not."""
        new = self._orthogonal((S >> self.players & 1).astype(float))
        length = float(new @ new) ** 0.5
        if length < 1e-7:
            return False
        self.basis = np.concatenate([self.basis, new[None] / length])
        self.masks.append(S)
        self.sums.append(value)
        return True

    def span(self) -> NDArray[np.bool_]:
        """Tell for every coalition whether the equations determine x(S)."""
        return np.abs(coalition_sums(self._witness())) < _SPAN

    def outside(self, masks: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return those of the masks whose x(S) the equations do not determine."""
        sums = membership(masks, len(self.players)) @ self._witness()
        return masks[np.abs(sums) >= _SPAN]

    def _witness(self) -> NDArray[np.float64]:
        """A random vector orthogonal to the left sides: it sums to 0 over S, but for bad luck
        of probability 1e-10, only where every such vector does, and x(S) is determined."""
        return self._orthogonal(np.random.default_rng(0).standard_normal(len(self.players)))

    def _orthogonal(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """What the left sides do not span of x; twice, since once leaves rounding behind."""
        for _ in range(2):
            x = x - self.basis.T @ (self.basis @ x)
        return x

    def complete(self) -> bool:
        return len(self.masks) == len(self.players)

    def solve(self) -> NDArray[np.float64]:
        return np.linalg.solve(membership(self.masks, len(self.masks)).astype(float), self.sums)


def _lexicographic(v: TUGame, *, floor: float) -> NDArray[np.float64]:
    """Minimise the worst excess, settle it, go on with the rest, until x is determined."""
    require_game(v)
    check_table_fits(v.n, tables=6)
    game = _Normalised(v)
    if floor == 0.0:
        game.worth[-1] = max(game.worth[-1], 0.0)  # rounding must not empty the imputations
    program, settled = _WorstExcess(game.worth, floor=floor), _Settled(v.n)
    settled.add(grand_coalition(v.n), game.worth[-1])
    while not settled.complete():
        rank = len(settled.masks)
        _, t = program.solve()
        program.settle(settled, t)
        if len(settled.masks) == rank:
            raise RuntimeError("a round settled nothing; please report the game")
    return game.restore(settled.solve())


def _simplex() -> "Highs":
    """An empty linear programme for HiGHS's simplex method: silent, exact, one thread."""
    from highspy import Highs

    model = Highs()
    model.setOptionValue("output_flag", False)
    model.setOptionValue("threads", 1)
    model.setOptionValue("presolve", "off")
    model.setOptionValue("solver", "simplex")
    model.setOptionValue("primal_feasibility_tolerance", 1e-10)
    model.setOptionValue("dual_feasibility_tolerance", 1e-10)
    return model


def _walk_levels(
    e: NDArray[np.float64], slack: float, fillers: NDArray[np.bool_]
) -> Certificate:
    """Check the balance of each level that raises the rank, worst excess first."""
    N = len(e) - 1
    n = N.bit_length()
    order = np.argsort(-e[1:N], kind="stable") + 1
    breaks = np.flatnonzero(np.diff(e[order]) < -slack) + 1
    settled, levels = _Settled(n), []
    settled.add(N, 0.0)
    for start, end in zip([0, *breaks], [*breaks, len(order)], strict=True):
        if settled.complete():
            break
        level = order[start:end]
        levels.append((float(e[level[0]]), tuple(np.sort(level).tolist())))
        rank, new = len(settled.masks), settled.outside(level)
        while len(new):
            settled.add(int(new[0]), 0.0)
            new = settled.outside(new)
        raised = len(settled.masks) > rank
        if raised and not _is_balanced(membership(order[:end], n), fillers):
            return Certificate(False, tuple(levels))
    return Certificate(True, tuple(levels))


def _is_balanced(T: NDArray[np.bool_], fillers: NDArray[np.bool_]) -> bool:
    """Whether positive weights on the coalitions T, and any on the fillers, cover all with 1.

    By duality this fails just when some move y with y(N) = 0 costs no coalition of T and no
    filler anything, and serves a coalition of T.  Look for the move that serves T most, and
    write down only those coalitions that it would cost something.
    """
    from scipy.optimize import linprog

    n, rows = T.shape[1], np.zeros((0, T.shape[1]))
    bounds = [(0.0 if filler else -1.0, 1.0) for filler in fillers]
    exact = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}
    while True:
        move = linprog(
            -T.mean(axis=0), -rows, np.zeros(len(rows)), np.ones((1, n)), [0.0], bounds, options=exact
        )
        if move.status != 0:
            raise RuntimeError(f"the linear programme ended as {move.message!r}; please report the game")
        gain = T @ move.x
        costs = np.flatnonzero(gain < -1e-9)
        if len(costs) == 0:
            return bool(gain.max() < 1e-6)
        rows = np.vstack([rows, T[costs[np.argsort(gain[costs])[: 3 * n]]]])


def _swings(count: NDArray[np.object_], w: int) -> list[int]:
    """Coalitions of the others, by size, that reach the quota only with a player of weight w."""
    others, quota = count.copy(), count.shape[1]
    for k in range(1, len(count)):
        others[k, w:] = count[k, w:] - others[k - 1, : max(quota - w, 0)]
    return [sum(row[max(quota - w, 0) :], 0) for row in others[:-1]]


def _votes(weights: ArrayLike, quota: int) -> tuple[list[int], int]:
    votes = np.asarray(weights)
    if votes.ndim != 1 or len(votes) == 0:
        raise ValueError(f"expected one weight per player, got shape {votes.shape}")
    for number in [*votes.tolist(), quota]:
        if isinstance(number, bool) or not isinstance(number, (int, np.integer)):
            raise TypeError(
                f"expected integer weights and quota, got {number!r}; multiply all by a "
                "common factor"
            )
        if number < 0:
            raise ValueError(f"expected non-negative weights and quota, got {number}")
    if quota == 0:
        raise ValueError("expected a positive quota, got 0: the empty coalition would win")
    quota = min(int(quota), sum(votes.tolist()) + 1)  # out of reach is out of reach
    check_memory(
        40 * (len(votes) + 1) * quota,
        f"{len(votes)} voters with quota {quota}",
        "weights in a larger unit",
    )
    return votes.tolist(), quota


def _allocation(v: TUGame, x: ArrayLike) -> NDArray[np.float64]:
    """``x`` as floats, checked to be one finite number per player."""
    require_game(v)
    payoffs = as_vector(x, "an allocation")
    if len(payoffs) != v.n:
        raise ValueError(f"expected one payoff for each of {v.n} players, got shape {payoffs.shape}")
    if not np.isfinite(payoffs).all():
        raise ValueError(f"expected finite payoffs, got {payoffs.tolist()}")
    return payoffs
