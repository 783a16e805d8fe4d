"""Games with transferable utility: what each coalition is worth.

A `TUGame` is a characteristic function ``v`` as a table: ``v.values[S]`` is the worth of
the coalition with bit mask ``S``, and ``v([0, 2])`` asks for it by players.  The rest of
the module builds the classical games and tests a game's properties.

Letters: ``v`` a game, ``c`` a cost game, ``n`` players, ``S`` and ``T`` coalitions, ``N``
all players.  Nothing here negates: a cost game is a `TUGame` like any other, and is solved
as ``-c``.  Tolerances are relative to ``max(1, max |v|)``.
"""

from collections.abc import Callable, Iterable, Sequence
from numbers import Real

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coalmarl.coalitions import (
    Coalition,
    as_mask,
    as_vector,
    check_table_fits,
    coalition_sums,
    disjoint_pairs,
    members,
    singletons,
)


class TUGame:
    """A characteristic function ``v``, one float per coalition.

    Parameters
    ----------
    values : array_like of float, shape (2**n,)
        Worth of each coalition, indexed by bit mask; ``values[0]`` must be 0.
    players : sequence of str, optional
        One label per player, used by ``repr`` only.

    Raises
    ------
    TypeError
        If the values are not real numbers.
    ValueError
        If the length is no power of two, a value is not finite, or the empty coalition is
        worth anything; if the labels are not one per player.

    Examples
    --------
    >>> v = TUGame([0, 0, 0, 1, 0, 1, 1, 1])
    >>> v
    TUGame(n=3, v(N)=1)
    >>> v([0, 1]), v(0b011), v.values[3].item()
    (1.0, 1.0, 1.0)
    """

    __slots__ = ("_players", "_values")
    __hash__ = None  # type: ignore[assignment]
    __array_ufunc__ = None  # arrays do not compare themselves with a game entry by entry

    def __init__(self, values: ArrayLike, players: Sequence[str] | None = None) -> None:
        table = as_vector(values, "values")
        n = _number_of_players(table)
        if not np.isfinite(table).all():
            S = int(np.flatnonzero(~np.isfinite(table))[0])
            raise ValueError(f"expected finite values, got v({set(members(S)) or {}}) = {table[S]}")
        if table[0] != 0:
            raise ValueError(
                f"expected v(empty) = 0 as the first value, got {table[0]}; "
                "subtract it from every value if it is a common cost"
            )
        names = None if players is None else tuple(players)
        if names is not None and len(names) != n:
            raise ValueError(f"expected {n} player labels, one per player, got {len(names)}")
        table.setflags(write=False)
        self._values, self._players = table.view(), names  # a view cannot be made writeable again

    @property
    def n(self) -> int:
        """Number of players."""
        return len(self._values).bit_length() - 1

    @property
    def values(self) -> NDArray[np.float64]:
        """The table, shape ``(2**n,)``: a copy of what was given, read-only."""
        return self._values

    @property
    def players(self) -> tuple[str, ...] | None:
        """The labels, if there are any."""
        return self._players

    def __reduce__(self) -> tuple[object, ...]:
        """Copy and send through the constructor, so that copies are read-only too."""
        return TUGame, (self._values, self._players)

    def __call__(self, S: Coalition) -> float:
        """Return ``v(S)`` for a mask or an iterable of distinct players."""
        return float(self.values[as_mask(S, self.n)])

    def __neg__(self) -> "TUGame":
        """Return the game ``-v``, which turns costs into worths."""
        return TUGame(0.0 - self.values, self.players)

    def __eq__(self, other: object) -> bool:
        """Compare values exactly; labels do not matter."""
        if not isinstance(other, TUGame):
            return NotImplemented
        return np.array_equal(self.values, other.values)

    def __repr__(self) -> str:
        names = "" if self.players is None else f", players={', '.join(map(str, self.players))}"
        return f"TUGame(n={self.n}, v(N)={self.values[-1]:.6g}{names})"

    @classmethod
    def from_function(
        cls,
        v: Callable[[frozenset[int]], float],
        n: int,
        *,
        n_jobs: int = 1,
        progress: bool = False,
    ) -> "TUGame":
        """Tabulate a worth function by calling it once per non-empty coalition.

        Parameters
        ----------
        v : callable
            Takes a frozenset of player indices, returns a real number.  It is not called
            on the empty coalition.
        n : int
            Number of players.
        n_jobs : int
            Worker processes, as in joblib; 1 stays in this process.  Inside ``with
            joblib.parallel_config("dask")`` the cluster's workers do it, whatever the number.
        progress : bool
            Show a progress bar.

        Returns
        -------
        TUGame

        Raises
        ------
        TypeError, ValueError
            If ``v`` returns something that is not a finite number (the message names the
            coalition), or the table would not fit in memory.

        Notes
        -----
        ``2**n - 1`` calls: this, not the table, is what becomes hopeless.  The worths do not
        depend on who computes them, or in which order.

        Examples
        --------
        >>> TUGame.from_function(lambda S: len(S) ** 2, 3).values.tolist()
        [0.0, 1.0, 1.0, 4.0, 1.0, 4.0, 4.0, 9.0]
        """
        n = check_table_fits(n)
        from joblib import Parallel, delayed

        tasks = (delayed(_evaluate)(v, S) for S in range(1, 1 << n))
        worths = Parallel(n_jobs=n_jobs, return_as="generator")(tasks)
        if progress:
            from tqdm.auto import tqdm

            worths = tqdm(worths, total=(1 << n) - 1, desc="v(S)")
        return cls([0.0, *worths])


def unanimity(n: int, S: Coalition) -> TUGame:
    """Return the game in which a coalition is worth 1 if it contains all of ``S``.

    Parameters
    ----------
    n : int
        Number of players.
    S : int or iterable of int
        The players who are all needed; not empty.

    Returns
    -------
    TUGame

    Raises
    ------
    TypeError, ValueError
        If ``S`` is not a non-empty coalition of the ``n`` players, or ``n`` is too large.

    References
    ----------
    shapley1953value

    Examples
    --------
    >>> unanimity(3, [0, 1]).values.astype(int).tolist()
    [0, 0, 0, 1, 0, 0, 0, 1]
    """
    n = check_table_fits(n)
    carrier = as_mask(S, n)
    if carrier == 0:
        raise ValueError("expected at least one needed player, got the empty coalition")
    return TUGame((np.arange(1 << n) & carrier) == carrier)


def glove(left: Iterable[int], right: Iterable[int]) -> TUGame:
    """Return the game in which a coalition earns 1 for each pair of gloves.

    Parameters
    ----------
    left, right : iterable of int
        Players who own a left or a right glove; together every player ``0 .. n-1`` once.

    Returns
    -------
    TUGame
        ``v(S) = min(|S & left|, |S & right|)``.

    Raises
    ------
    TypeError, ValueError
        If the two sides do not partition ``0 .. n-1``.

    Examples
    --------
    >>> glove([0], [1, 2]).values.astype(int).tolist()
    [0, 0, 0, 1, 0, 1, 0, 1]
    """
    left, right = list(left), list(right)
    n = len(left) + len(right)
    check_table_fits(n)
    is_left, is_right = as_mask(left, n), as_mask(right, n)
    if is_left & is_right:
        raise ValueError(
            f"expected left and right to share no player, got {set(members(is_left & is_right))}"
        )
    owns_left = np.array([is_left >> i & 1 for i in range(n)], dtype=float)
    return TUGame(np.minimum(coalition_sums(owns_left), coalition_sums(1 - owns_left)))


def weighted_voting(weights: ArrayLike, quota: float) -> TUGame:
    """Return the game in which a coalition wins 1 if its weight reaches the quota.

    Parameters
    ----------
    weights : array_like of float, shape (n,)
        Votes of each player, not negative.
    quota : float
        Votes needed to win, positive.

    Returns
    -------
    TUGame
        ``v(S) = 1`` if ``weights(S) >= quota``, else 0.  Use whole numbers: sums of decimal
        fractions may fall short of a quota by rounding.

    Raises
    ------
    TypeError, ValueError
        If a weight is negative, the quota is not positive, or the table would not fit
        (`coalmarl.solutions.weighted_voting_indices` needs no table).

    Examples
    --------
    >>> weighted_voting([2, 1, 1], 3).values.astype(int).tolist()
    [0, 0, 0, 1, 0, 1, 0, 1]
    """
    weights = _player_amounts(weights, "weights")
    quota = as_amount(quota, "quota")
    if quota == 0:
        raise ValueError("expected a positive quota, got 0: the empty coalition would win")
    return TUGame(coalition_sums(weights) >= quota)


def bankruptcy(estate: float, claims: ArrayLike) -> TUGame:
    """Return the game of an estate too small for its claims.

    Parameters
    ----------
    estate : float
        What there is to divide, from 0 to the sum of the claims.
    claims : array_like of float, shape (n,)
        What each player is owed, not negative.

    Returns
    -------
    TUGame
        ``v(S) = max(0, estate - claims of the others)``: what the others leave.

    Raises
    ------
    TypeError, ValueError
        If an amount is negative or not finite, or the estate pays every claim.

    References
    ----------
    aumann1985talmud

    Examples
    --------
    >>> bankruptcy(200, [100, 200, 300]).values.tolist()
    [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 100.0, 200.0]
    """
    claims = _player_amounts(claims, "claims")
    estate = as_amount(estate, "estate")
    if estate > claims.sum():
        raise ValueError(
            f"expected an estate of at most the claims' sum {claims.sum():g}, got {estate:g}: "
            "pay every claim and divide the rest by another rule"
        )
    values = np.maximum(0.0, estate - coalition_sums(claims)[::-1])
    values[0], values[-1] = 0.0, estate
    return TUGame(values)


def airport(costs: ArrayLike) -> TUGame:
    """Return the cost game of one runway, built for the largest aircraft that uses it.

    Parameters
    ----------
    costs : array_like of float, shape (n,)
        Cost of the runway each player needs on its own, positive, in the players' order.

    Returns
    -------
    TUGame
        ``c(S) = max of costs over S``, a cost game: solve ``-c``.

    Raises
    ------
    TypeError, ValueError
        If a cost is not a positive finite number.

    References
    ----------
    littlechild1973airport

    Examples
    --------
    >>> airport([8, 11, 13]).values.tolist()
    [0.0, 8.0, 11.0, 11.0, 13.0, 13.0, 13.0, 13.0]
    """
    costs = _player_amounts(costs, "costs")
    if (costs == 0).any():
        raise ValueError(f"expected positive costs, got 0 for player {int(np.argmin(costs))}")
    table = np.zeros(1 << len(costs))
    for i, cost in enumerate(costs):
        np.maximum(table[: 1 << i], cost, out=table[1 << i : 2 << i])
    return TUGame(table)


def savings(c: TUGame) -> TUGame:
    """Return what each coalition saves by acting together in the cost game ``c``.

    Parameters
    ----------
    c : TUGame
        A cost game.

    Returns
    -------
    TUGame
        ``v(S) = sum of c(i) over S, minus c(S)``.

    Raises
    ------
    TypeError
        If it is not a game.

    Examples
    --------
    >>> savings(airport([8, 11, 13])).values.tolist()
    [0.0, 0.0, 0.0, 8.0, 0.0, 8.0, 11.0, 19.0]
    """
    require_game(c)
    alone = c.values[singletons(c.n)]
    return TUGame(coalition_sums(alone) - c.values, c.players)


def is_monotone(v: TUGame, *, tol: float = 1e-9) -> bool:
    """Tell whether no player ever makes a coalition poorer by joining it.

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
        If ``v`` is not a game, or ``tol`` not a finite number of at least 0.

    Notes
    -----
    ``O(n 2**n)``: one comparison per player and coalition.

    Examples
    --------
    >>> is_monotone(glove([0], [1, 2])), is_monotone(-glove([0], [1, 2]))
    (True, False)
    """
    slack = as_amount(tol, "tolerance") * value_scale(v)
    pairs = (v.values.reshape(-1, 2, 1 << i) for i in range(v.n))
    return all(bool((p[:, 1] >= p[:, 0] - slack).all()) for p in pairs)


def is_superadditive(v: TUGame, *, tol: float = 1e-9) -> bool:
    """Tell whether disjoint coalitions never lose by merging.

    Parameters
    ----------
    v : TUGame
        The game.
    tol : float
        Tolerance, relative to ``max(1, max |v|)``.

    Returns
    -------
    bool
        Whether ``v(S | T) >= v(S) + v(T)`` for all disjoint ``S`` and ``T``.

    Raises
    ------
    TypeError, ValueError
        If ``v`` is not a game, or ``tol`` not a finite number of at least 0.

    Notes
    -----
    ``O(3**n)``: each player is in ``S``, in ``T`` or in neither.  All pairs among the
    first ten players are compared at once, for each placing of the other players.

    Examples
    --------
    >>> is_superadditive(glove([0], [1, 2])), is_superadditive(airport([8, 11, 13]))
    (True, False)
    """
    slack = as_amount(tol, "tolerance") * value_scale(v)
    low = min(v.n, 10)
    S, T = disjoint_pairs(low)
    return all(
        bool((v.values[S | s | T | t] >= v.values[S | s] + v.values[T | t] - slack).all())
        for s, t in zip(*(part << low for part in disjoint_pairs(v.n - low)), strict=True)
    )


def is_convex(v: TUGame, *, tol: float = 1e-9) -> bool:
    """Tell whether a player adds more to a larger coalition.

    Parameters
    ----------
    v : TUGame
        The game.
    tol : float
        Tolerance, relative to ``max(1, max |v|)``.

    Returns
    -------
    bool
        Whether ``v(S+i+j) - v(S+j) >= v(S+i) - v(S)`` for all ``S`` and ``i``, ``j``
        outside it, which is equivalent to convexity.

    Raises
    ------
    TypeError, ValueError
        If ``v`` is not a game, or ``tol`` not a finite number of at least 0.

    Notes
    -----
    ``O(n**2 2**n)``, a pair of players at a time.

    Examples
    --------
    >>> is_convex(bankruptcy(200, [100, 200, 300])), is_convex(glove([0], [1, 2]))
    (True, False)
    """
    slack = as_amount(tol, "tolerance") * value_scale(v)
    for j in range(1, v.n):
        for i in range(j):
            square = v.values.reshape(-1, 2, 1 << (j - i - 1), 2, 1 << i)
            gains = square[:, :, :, 1] - square[:, :, :, 0]
            if not (gains[:, 1] >= gains[:, 0] - slack).all():
                return False
    return True


def is_essential(v: TUGame, *, tol: float = 1e-9) -> bool:
    """Tell whether the grand coalition earns more than its players alone.

    Parameters
    ----------
    v : TUGame
        The game.
    tol : float
        Tolerance, relative to ``max(1, max |v|)``.

    Returns
    -------
    bool
        Whether ``v(N) > sum of v(i)``: whether there is a surplus to divide.

    Raises
    ------
    TypeError, ValueError
        If ``v`` is not a game, or ``tol`` not a finite number of at least 0.

    Examples
    --------
    >>> is_essential(glove([0], [1, 2])), is_essential(unanimity(2, [0]))
    (True, False)
    """
    slack = as_amount(tol, "tolerance") * value_scale(v)
    return bool(v.values[-1] > v.values[singletons(v.n)].sum() + slack)


def value_scale(v: TUGame) -> float:
    """Return ``max(1, max |v|)``, the unit in which tolerances are counted.

    Parameters
    ----------
    v : TUGame
        The game.

    Returns
    -------
    float

    Raises
    ------
    TypeError
        If it is not a game.

    Examples
    --------
    >>> value_scale(bankruptcy(200, [100, 200, 300]))
    200.0
    """
    require_game(v)
    return max(1.0, float(v.values.max()), -float(v.values.min()))


def require_game(v: object) -> None:
    """Refuse anything but a `TUGame`, in words that help.

    Parameters
    ----------
    v : object
        What the caller gave.

    Raises
    ------
    TypeError
        If it is not a game.

    Examples
    --------
    >>> require_game(glove([0], [1]))
    """
    if not isinstance(v, TUGame):
        raise TypeError(f"expected a TUGame, got {v!r:.60}; write TUGame(values) around a table")


def as_amount(value: float, name: str) -> float:
    """Return one number of at least 0 as a float, after checking that it is one.

    Parameters
    ----------
    value : float
        What the caller gave.
    name : str
        What it should be, for the message.

    Returns
    -------
    float

    Raises
    ------
    TypeError
        If it is not a real number (a bool is not).
    ValueError
        If it is negative or not finite.

    Examples
    --------
    >>> as_amount(200, "estate")
    200.0
    """
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, Real):
        raise TypeError(f"expected the {name} as a number, got {value!r}")
    if not 0 <= value < float("inf"):
        raise ValueError(f"expected a non-negative finite {name}, got {value}")
    return as_vector([value], f"the {name}").item()


def _evaluate(v: Callable[[frozenset[int]], float], S: int) -> float:
    coalition = frozenset(members(S))
    try:
        worth = v(coalition)
    except Exception as error:
        error.add_note(f"while evaluating v({set(coalition)})")
        raise
    if not isinstance(worth, Real):
        raise TypeError(f"expected a number from v, got v({set(coalition)}) = {worth!r:.60}")
    if not abs(worth) < np.inf:
        raise ValueError(f"expected a finite worth, got v({set(coalition)}) = {worth}")
    return as_vector([worth], f"v({set(coalition)})").item()


def _number_of_players(table: NDArray[np.float64]) -> int:
    n = len(table).bit_length() - 1
    if n < 1 or len(table) != 1 << n:
        raise ValueError(f"expected 2**n values for n >= 1 players, one per coalition, got {len(table)}; remember the empty coalition at index 0")
    return n


def _player_amounts(data: ArrayLike, name: str) -> NDArray[np.float64]:
    """One non-negative finite number per player, for a table that fits."""
    amounts = as_vector(data, name)
    check_table_fits(len(amounts))
    if not np.isfinite(amounts).all() or (amounts < 0).any():
        i = int(np.flatnonzero(~(amounts >= 0) | np.isinf(amounts))[0])
        raise ValueError(f"expected non-negative finite {name}, got {amounts[i]:g} for player {i}")
    return amounts
