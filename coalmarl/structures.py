"""Coalition structures: who teams up with whom, and who would rather move.

A structure is a partition of the players into coalitions.  `best_structure` finds the one
worth most.  Whether the players stay in it depends on how each coalition divides its worth:
that is a table of shares with one row per coalition, ``shares[S, i]`` what player ``i`` gets
in ``S``, and zero for players outside ``S``.  The splits make such tables, the deviations
read them.

Places.  In a partition of the players alone, somebody who leaves may join another coalition
or be alone.  Where coalitions gather at places that differ, such as radars at targets, give
one table per place, of shape ``(K, 2**n, n)``, and a partition with one coalition per place,
empty where nobody is; then a player moves between these ``K`` places only.

Letters: ``v`` a game, ``n`` players, ``S`` and ``T`` coalitions, ``i`` a player, ``k`` a
place.  Tolerances are relative to ``max(1, max |v|)`` or ``max(1, max |shares|)``: only a
gain beyond it moves anybody, or ties would keep players moving for ever.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coalmarl.coalitions import (
    Coalition,
    as_partition,
    check_memory,
    check_table_fits,
    disjoint_pairs,
    grand_coalition,
    members,
    membership,
    singletons,
    sizes,
    subsets,
)
from coalmarl.games import TUGame, as_amount, require_game

_BLOCK = 8  # players within a block: its 3**8 pairs of coalitions fit in a processor's cache


@dataclass(frozen=True)
class Structure:
    """A partition of the players and what its coalitions are worth together.

    Attributes
    ----------
    coalitions : tuple of int
        Masks, in the order of their first players.
    value : float
        Sum of their worths.
    """

    coalitions: tuple[int, ...]
    value: float


@dataclass(frozen=True)
class Deviation:
    """A player's wish to be elsewhere.

    Attributes
    ----------
    player : int
        Who would move.
    place : int
        Where to: the index of a coalition in the partition, or the partition's length for
        a new coalition of its own.
    gain : float
        How much more the player would get there.
    """

    player: int
    place: int
    gain: float


def best_structure(v: TUGame) -> Structure:
    """Return a partition of the players that is worth most, and its value.

    Parameters
    ----------
    v : TUGame
        Any game; negative worths and ties are welcome.

    Returns
    -------
    Structure
        One of the best, if there are several.

    Raises
    ------
    ValueError
        If the search does not fit in memory, or sums of worths exceed the largest float.

    Notes
    -----
    The value is that of the `superadditive_cover` at ``N``, which costs all the time.  A
    partition that attains it is read off the cover, one coalition after the other.

    References
    ----------
    chalkiadakis2011computational

    Examples
    --------
    >>> v = TUGame([0, 30, 40, 50, 25, 60, 55, 90, 45, 80, 70, 120, 80, 100, 115, 140])
    >>> best_structure(v)
    Structure(coalitions=(1, 2, 12), value=150.0)
    """
    cover = superadditive_cover(v)
    coalitions, S = [], grand_coalition(v.n)
    while S:
        T = _with_last_player(S)
        with np.errstate(over="ignore"):  # downwards; the largest sum is finite
            best = int(T[np.argmax(v.values[T] + cover.values[S ^ T])])
        coalitions.append(best)
        S ^= best
    return Structure(tuple(sorted(coalitions, key=lambda T: T & -T)), float(cover.values[-1]))


def superadditive_cover(v: TUGame) -> TUGame:
    """Return the game in which a coalition may split up if that pays.

    Parameters
    ----------
    v : TUGame
        The game.

    Returns
    -------
    TUGame
        Worth of each coalition: the most that a partition of it earns in ``v``.

    Raises
    ------
    ValueError
        If the search does not fit in memory, or sums of worths exceed the largest float.

    Notes
    -----
    ``f(S) = max of v(T) + f(S - T)`` over the ``T`` inside ``S`` that hold the last player
    of ``S``: ``3**n / 2`` sums.  The players beyond the first eight split the coalitions
    into blocks.  As the last player is one of them, a block needs earlier blocks only, and
    two blocks meet in one addition and one maximum over all ``3**8`` ways to place the first
    eight players in ``T``, in the rest or in neither.  Some 20 seconds and 1.3 GiB for
    n = 22; each player more takes nearly 3 times as long and twice the memory.

    References
    ----------
    yeh1986dynamic

    Examples
    --------
    >>> superadditive_cover(TUGame([0, 1, 2, 0])).values.tolist()
    [0.0, 1.0, 2.0, 3.0]
    """
    require_game(v)
    low = min(v.n, _BLOCK)
    _check_search_fits(v.n, low)
    with np.errstate(over="ignore"):  # the game refuses what is infinite, and says where
        blocks = v.values.reshape(-1, 1 << low).copy()
        _split_up(blocks[0])
        _combine_blocks(blocks, low)
    return TUGame(blocks.reshape(-1), v.players)


def potential(v: TUGame) -> TUGame:
    """Return the Hart and Mas-Colell potential, whose differences are the Shapley values.

    Parameters
    ----------
    v : TUGame
        The game.

    Returns
    -------
    TUGame
        ``P`` with ``P(S) - P(S - i)`` the Shapley value of ``i`` in the game among ``S``.

    Raises
    ------
    TypeError, ValueError
        If ``v`` is not a game, or four tables of its size do not fit into memory.

    Notes
    -----
    The shares of ``S`` must sum to ``v(S)``, hence ``P(S) = (v(S) + sum of P(S - i)) / |S|``,
    over the members ``i``: by size of ``S``, ``O(n 2**n)``.  If every coalition divides by the
    Shapley value, a player who moves gains exactly what the sum of ``P`` over the partition
    gains: an exact potential, so improving moves come to an end.

    References
    ----------
    hart1989potential

    Examples
    --------
    >>> potential(TUGame([0, 2, 4, 8])).values.tolist()
    [0.0, 2.0, 4.0, 7.0]
    """
    require_game(v)
    check_table_fits(v.n, tables=4)
    P, size = v.values.copy(), sizes(v.n)
    for s in range(1, v.n + 1):
        layer = np.flatnonzero(size == s)
        for player in singletons(v.n):
            inside = layer[layer & player > 0]
            P[inside] += P[inside ^ player]
        P[layer] /= s
    return TUGame(P, v.players)


def equal_split(v: TUGame) -> NDArray[np.float64]:
    """Return the shares if each coalition divides its worth equally.

    Parameters
    ----------
    v : TUGame
        The game.

    Returns
    -------
    ndarray, shape (2**n, n)
        Row ``S``: what each member of ``S`` gets, 0 for the others.

    Raises
    ------
    ValueError
        If the table does not fit in memory.

    Examples
    --------
    >>> equal_split(TUGame([0, 2, 4, 8])).tolist()
    [[0.0, 0.0], [2.0, 0.0], [0.0, 4.0], [4.0, 4.0]]
    """
    require_game(v)
    check_table_fits(v.n, tables=v.n + 2)
    each, shares = v.values / np.maximum(sizes(v.n), 1), np.zeros((1 << v.n, v.n))
    for i in range(v.n):
        _with_and_without(shares[:, i], i)[:, 1] = _with_and_without(each, i)[:, 1]
    return shares


def marginal_split(v: TUGame) -> NDArray[np.float64]:
    """Return the shares if each member gets what its coalition would lose without it.

    Parameters
    ----------
    v : TUGame
        The game.

    Returns
    -------
    ndarray, shape (2**n, n)
        Row ``S``: ``v(S) - v(S - i)`` for each member of ``S``, 0 for the others.  The sum is
        not ``v(S)`` in general.

    Raises
    ------
    ValueError
        If the table does not fit in memory.

    Notes
    -----
    A player who moves gains exactly what the partition's value gains.

    Examples
    --------
    >>> marginal_split(TUGame([0, 2, 4, 8])).tolist()
    [[0.0, 0.0], [2.0, 0.0], [0.0, 4.0], [4.0, 6.0]]
    """
    require_game(v)
    check_table_fits(v.n, tables=v.n + 2)
    shares = np.zeros((1 << v.n, v.n))
    for i in range(v.n):
        worth = _with_and_without(v.values, i)
        _with_and_without(shares[:, i], i)[:, 1] = worth[:, 1] - worth[:, 0]
    return shares


def shapley_split(v: TUGame) -> NDArray[np.float64]:
    """Return the shares if each coalition divides by the Shapley value of its own game.

    Parameters
    ----------
    v : TUGame
        The game.

    Returns
    -------
    ndarray, shape (2**n, n)
        Row ``S``: Shapley value of the game restricted to ``S``, 0 for the others.

    Raises
    ------
    ValueError
        If the table does not fit in memory.

    Notes
    -----
    Marginal contributions to the `potential`.

    Examples
    --------
    >>> shapley_split(TUGame([0, 2, 4, 8])).tolist()
    [[0.0, 0.0], [2.0, 0.0], [0.0, 4.0], [3.0, 5.0]]
    """
    return marginal_split(potential(v))


def nash_deviations(
    shares: ArrayLike, partition: Iterable[Coalition], *, tol: float = 1e-9
) -> tuple[Deviation, ...]:
    """Return every move of one player that pays for that player.

    Parameters
    ----------
    shares : array_like of float, shape (2**n, n) or (K, 2**n, n)
        What each player gets in each coalition, the same everywhere or place by place.
    partition : iterable of (int or iterable of int)
        The coalitions, as masks or lists of players; one per place if there are places.
    tol : float
        Tolerance, relative to ``max(1, max |shares|)``.

    Returns
    -------
    tuple of Deviation
        Empty if the partition is Nash-stable.

    Raises
    ------
    TypeError, ValueError
        If the table or the partition is none, or they do not belong together.

    Notes
    -----
    Looks at each player once at each place.

    References
    ----------
    bogomolnaia2002hedonic

    Examples
    --------
    >>> shares = equal_split(TUGame([0, 1, 2, 0, 0, 6, 0, 0]))
    >>> nash_deviations(shares, [[0], [1], [2]])
    (Deviation(player=0, place=2, gain=2.0), Deviation(player=2, place=0, gain=3.0))
    >>> nash_deviations(shares, [[0, 2], [1]])
    ()
    """
    table, places, scale = _places(shares, partition)
    offers, now = _offers(table, places)
    gains = offers - now
    found = np.argwhere((gains > as_amount(tol, "tolerance") * scale).T).tolist()
    return tuple(Deviation(i, k, float(gains[k, i])) for i, k in found)


def individual_deviations(
    shares: ArrayLike, partition: Iterable[Coalition], *, tol: float = 1e-9
) -> tuple[Deviation, ...]:
    """Return every move that pays for the player and costs none of those who are joined.

    Parameters
    ----------
    shares : array_like of float, shape (2**n, n) or (K, 2**n, n)
        What each player gets in each coalition, the same everywhere or place by place.
    partition : iterable of (int or iterable of int)
        The coalitions, as masks or lists of players; one per place if there are places.
    tol : float
        Tolerance, relative to ``max(1, max |shares|)``.

    Returns
    -------
    tuple of Deviation
        Empty if the partition is individually stable.

    Raises
    ------
    TypeError, ValueError
        If the table or the partition is none, or they do not belong together.

    Notes
    -----
    As `nash_deviations`, and asks the hosts of every move found.

    References
    ----------
    bogomolnaia2002hedonic

    Examples
    --------
    >>> shares = equal_split(TUGame([0, 0, 3, 4]))
    >>> nash_deviations(shares, [[0], [1]]), individual_deviations(shares, [[0], [1]])
    ((Deviation(player=0, place=1, gain=2.0),), ())
    """
    table, places, scale = _places(shares, partition)

    def welcome(move: Deviation) -> bool:
        S, here = int(places[move.place]), table[move.place]
        hosts = list(members(S))
        return bool((here[S | 1 << move.player, hosts] >= here[S, hosts] - tol * scale).all())

    return tuple(move for move in nash_deviations(shares, partition, tol=tol) if welcome(move))


def blocking_coalitions(
    shares: ArrayLike, partition: Iterable[Coalition], *, tol: float = 1e-9
) -> tuple[int, ...]:
    """Return every coalition all of whose members would get more in it than they do now.

    Parameters
    ----------
    shares : array_like of float, shape (2**n, n)
        What each player gets in each coalition.
    partition : iterable of (int or iterable of int)
        The coalitions, as masks or lists of players.
    tol : float
        Tolerance, relative to ``max(1, max |shares|)``.

    Returns
    -------
    tuple of int
        Masks; empty if the partition is core-stable.

    Raises
    ------
    TypeError, ValueError
        If the table or the partition is none, or there is a table per place.

    Notes
    -----
    The rule binds the coalition that leaves, too.  If it may divide as it likes, it needs
    ``v(S)`` above what its members get together: a positive `coalmarl.solutions.excess`.
    All coalitions are looked at: ``O(n 2**n)``.

    References
    ----------
    banerjee2001core

    Examples
    --------
    >>> v = TUGame([0, 0, 0, 4, 0, 6, 0, 6])
    >>> blocking_coalitions(equal_split(v), [[0, 1], [2]])
    (5,)
    """
    if np.ndim(shares) == 3:
        raise ValueError("expected one table of shares, got one per place; see nash_deviations")
    table, places, scale = _places(shares, partition)
    _, now = _offers(table, places)
    inside = membership(np.arange(1 << len(now)), len(now))
    better = (table[0] > now + as_amount(tol, "tolerance") * scale) | ~inside
    return tuple(np.flatnonzero(better.all(axis=1))[1:].tolist())


# --- stability that is claimed before anybody has tried to leave ----------------------------------


@dataclass(frozen=True)
class Settlement:
    """Where players came to rest who moved one after the other.

    Attributes
    ----------
    partition : tuple of int
        One mask per place, in the order of the places, 0 where nobody is.
    moves : int
        How many moves it took.
    settled : bool
        Whether a whole round passed without a move, so that nobody wants to move any more.
    """

    partition: tuple[int, ...]
    moves: int
    settled: bool


@dataclass(frozen=True)
class StabilityCertificate:
    """What players promise about their partition by what they believe, not by trying.

    Gains are relative: in units of what the players get at their best places, on average.

    Attributes
    ----------
    regret : float
        The largest gain of a move that a player believes in; negative if every move would
        lose, minus infinity if there is no other place.
    margin : float
        How far a believed gain may be from the true one.
    """

    regret: float
    margin: float

    @property
    def bound(self) -> float:
        """No player can gain more than this, if no believed gain is off by more than the margin."""
        return max(0.0, self.regret + self.margin)


@dataclass(frozen=True)
class Audit:
    """How many promises were good.

    Attributes
    ----------
    total : int
        Partitions looked at.
    issued : int
        Those that were certified: the promised bound is within the tolerance.
    false : int
        Those among the certified in which some player gains more than the tolerance.
    covered : int
        Those, certified or not, in which no player gains more than the bound.
    """

    total: int
    issued: int
    false: int
    covered: int


def moving_payoffs(shares: ArrayLike, partition: Iterable[Coalition]) -> NDArray[np.float64]:
    """Return what each player would get at each place, the others staying.

    Parameters
    ----------
    shares : array_like of float, shape (2**n, n) or (K, 2**n, n)
        What each player gets in each coalition, the same everywhere or place by place.
    partition : iterable of (int or iterable of int)
        The coalitions, as masks or lists of players; one per place if there are places.

    Returns
    -------
    ndarray, shape (places, n)
        What a player gets now is in the row of its place.  With one table for all, the last
        row is a new coalition of its own.

    Raises
    ------
    TypeError, ValueError
        If the table or the partition is none, or they do not belong together.

    Examples
    --------
    >>> moving_payoffs(equal_split(TUGame([0, 2, 4, 8])), [[0], [1]]).tolist()
    [[2.0, 4.0], [4.0, 4.0], [2.0, 4.0]]
    """
    table, places, _ = _places(shares, partition)
    return _offers(table, places)[0]


def four_cycle(
    shares: ArrayLike, partition: Iterable[Coalition], first: tuple[int, int], second: tuple[int, int]
) -> float:
    """Return what two players gain together by moving away in turn and back in turn.

    Parameters
    ----------
    shares : array_like of float, shape (K, 2**n, n)
        What each player gets in each coalition, place by place.
    partition : iterable of (int or iterable of int)
        Where they start: one coalition per place.
    first, second : tuple of int
        Who moves, and to which place.  The first moves, the second moves, the first returns,
        the second returns.

    Returns
    -------
    float
        The sum of the four gains of the player who moves.  Zero for all pairs and partitions
        if and only if there is an exact potential.

    Raises
    ------
    TypeError, ValueError
        If the table or the partition is none, they do not belong together, or the two moves
        are not those of two players to places.

    References
    ----------
    monderer1996potential

    Examples
    --------
    >>> worth = TUGame([0, 1, 3, 4])
    >>> shares = np.stack([equal_split(worth)] * 2)
    >>> four_cycle(shares, [[0, 1], []], (0, 1), (1, 1))
    -4.0
    """
    table, places, _ = _places(shares, partition)
    (i, k), (j, m) = first, second
    n = table.shape[-1]
    if not (0 <= i < n and 0 <= j < n and i != j and 0 <= k < len(places) and 0 <= m < len(places)):
        raise ValueError(f"expected two of {n} players and two of {len(places)} places, got {first} and {second}")
    back = [int(np.flatnonzero(places >> p & 1)[0]) for p in (i, j)]
    total = 0.0
    for player, place in ((i, k), (j, m), (i, back[0]), (j, back[1])):
        here = int(np.flatnonzero(places >> player & 1)[0])
        others = places & ~(1 << player)
        total += float(table[place, others[place] | 1 << player, player] - table[here, places[here], player])
        others[place] |= 1 << player
        places = others
    return total


def settle(
    payoffs: ArrayLike | Callable[[NDArray[np.int64], int], NDArray[np.float64]],
    partition: Sequence[int],
    *,
    seed: int | np.random.Generator = 0,
    tol: float = 1e-9,
    rounds: int = 60,
) -> Settlement:
    """Let players move one after the other, each to its best place, until nobody wants to.

    Parameters
    ----------
    payoffs : array_like of float, shape (K, 2**n, n), or callable
        The shares at each place.  Or what players believe: a function of the coalitions at the
        places and of a player who is in none of them, to that player's payoff at each place.
    partition : sequence of int
        One mask per place.
    seed : int or numpy.random.Generator
        Draws the order of the players in each round.
    tol : float
        Only a gain beyond it moves anybody; relative to ``max(1, max |shares|)`` if there is
        a table.
    rounds : int
        After so many rounds, each player asked once in each, we stop.

    Returns
    -------
    Settlement

    Raises
    ------
    TypeError, ValueError
        If the table or the partition is none, or they do not belong together.

    Notes
    -----
    With an exact potential, such as that of the Shapley split, every move raises it, so this
    ends.  Players who all move at once can go round in circles even then.

    Examples
    --------
    >>> weak_and_strong = TUGame([0, 1, 3, 3.4])
    >>> settle(np.stack([shapley_split(weak_and_strong)] * 2), [3, 0]).settled
    True
    >>> settle(np.stack([equal_split(weak_and_strong)] * 2), [3, 0]).settled
    False
    """
    if callable(payoffs):
        ask, limit = payoffs, as_amount(tol, "tolerance")
        places = np.array(partition, dtype=np.int64)
        n = int(np.bitwise_or.reduce(places)).bit_length()
        as_partition(partition, n)
    else:
        if np.ndim(payoffs) != 3:
            raise ValueError("expected a table of shares per place; np.stack([table] * n) has room for everybody alone")
        table, places, scale = _places(payoffs, partition)
        ask, limit, n = _ask_table(table), as_amount(tol, "tolerance") * scale, table.shape[-1]
    rng, moves = np.random.default_rng(seed), 0
    for _ in range(rounds):
        before = moves
        for i in rng.permutation(n).tolist():
            others = places & ~(1 << i)
            offers = ask(others, i)
            home, best = int((places ^ others).argmax()), int(offers.argmax())
            if offers[best] > offers[home] + limit:
                others[best] |= 1 << i
                places, moves = others, moves + 1
        if moves == before:
            return Settlement(tuple(places.tolist()), moves, True)
    return Settlement(tuple(places.tolist()), moves, False)


def certify(payoffs: ArrayLike, partition: Iterable[Coalition], *, margin: float = 0.0) -> StabilityCertificate:
    """Certify how stable a partition is, from what the players believe.

    Parameters
    ----------
    payoffs : array_like of float, shape (places, n)
        What each player believes to get at each place, the others staying, such as the
        `moving_payoffs` of a learned table.  Column ``i`` is player ``i``'s own belief.
    partition : iterable of (int or iterable of int)
        The coalitions, one per row of ``payoffs``.  If there is one row more, it stands for a
        new coalition of its own.
    margin : float
        How far a believed gain may be from the true one, relative as the gains are.

    Returns
    -------
    StabilityCertificate

    Raises
    ------
    TypeError, ValueError
        If payoffs and partition do not belong together, or a payoff is not finite, or the
        margin is negative.

    Notes
    -----
    The unit is the mean over the players of the largest absolute payoff each sees.  If every
    believed gain is within the margin of the true one, so is their largest: the true regret is
    at most ``regret + margin``.  With the true payoffs, ``regret`` is the truth.

    Examples
    --------
    >>> certify([[3.0, 1.0], [2.0, 4.0]], [[0], [1]]).regret  # each would lose by moving
    -0.2857142857142857
    >>> certify([[3.0, 4.0], [5.0, 3.0]], [[0, 1], []], margin=0.25).bound == 2 / 4.5 + 0.25
    True
    """
    table = np.asarray(payoffs, dtype=np.float64)
    if table.ndim != 2 or table.shape[1] < 1 or not np.isfinite(table).all():
        raise ValueError(f"expected finite payoffs of shape (places, n), got {payoffs!r:.60} of shape {table.shape}")
    if not 0 <= margin < np.inf:
        raise ValueError(f"expected a margin of 0 or more, got {margin}")
    n = table.shape[1]
    inside = membership(np.array(as_partition(partition, n)), n)
    if not 0 <= len(table) - len(inside) <= 1:
        raise ValueError(f"expected a row of payoffs per coalition, got {len(table)} rows for {len(inside)} coalitions")
    now = table[inside.argmax(axis=0), np.arange(n)]
    if len(table) > len(inside):  # to be alone is no move for who is alone
        alone = inside[inside.sum(axis=1) == 1].any(axis=0)
        inside = np.vstack([inside, alone])
    unit = float(np.abs(table).max(axis=0).mean())
    gains = (table - now) / (unit if unit > 0 else 1.0)
    return StabilityCertificate(float(gains.max(where=~inside, initial=-np.inf)), float(margin))


def audit(
    certificates: Sequence[StabilityCertificate], regrets: ArrayLike, *, tol: float = 0.05
) -> Audit:
    """Hold certificates against the truth.

    Parameters
    ----------
    certificates : sequence of StabilityCertificate
        What was promised, one per partition.
    regrets : array_like of float, shape (m,)
        The largest true gain of a move, one per partition: what `certify` finds in the true
        payoffs.  It asks every player about every place.
    tol : float
        Gains up to this count as none: a partition is certified if its bound is within it.

    Returns
    -------
    Audit

    Raises
    ------
    ValueError
        If there is not one regret per certificate, or one is not a number.

    Examples
    --------
    >>> sure, unsure = StabilityCertificate(-0.2, 0.1), StabilityCertificate(-0.02, 0.1)
    >>> audit([sure, unsure], [0.3, 0.04])
    Audit(total=2, issued=1, false=1, covered=1)
    """
    bound, true = np.array([c.bound for c in certificates]), np.asarray(regrets, dtype=np.float64)
    if true.shape != bound.shape or np.isnan(true).any():
        raise ValueError(f"expected a true regret per certificate, got {true.shape} for {len(bound)} certificates")
    issued = bound <= tol
    return Audit(len(bound), int(issued.sum()), int((issued & (true > tol)).sum()), int((true <= bound).sum()))

def _with_last_player(S: int) -> NDArray[np.int64]:
    """Every coalition inside S that holds the last player of S."""
    last = 1 << S.bit_length() - 1
    return subsets(S ^ last) | last


def _with_and_without(table: NDArray[np.float64], i: int) -> NDArray[np.float64]:
    """View a table by whether player i is a member: entry 1 of the middle axis."""
    return table.reshape(-1, 2, 1 << i)


def _check_search_fits(n: int, low: int) -> None:
    """Worths of all blocks and covers of half of them, spread out, beside plain tables."""
    check_memory(
        8 * (3 * 3**low * (1 << n - low) // 2 + 4 * (1 << n)),
        f"a search over the partitions of n = {n} players",
        "fewer players, or a structure found by moves (see nash_deviations)",
    )


def _split_up(f: NDArray[np.float64]) -> None:
    """Cover a table in place, coalition by coalition."""
    v = f.copy()
    for S in range(1, len(f)):
        T = _with_last_player(S)
        f[S] = (v[T] + f[S ^ T]).max()


def _combine_blocks(f: NDArray[np.float64], low: int) -> None:
    """Cover in place every block but the first, which is done.

    Row ``S`` holds the coalitions whose players beyond the first ``low`` are ``S``.
    """
    T, U = disjoint_pairs(low)
    worth = list(np.take(f, T, axis=1))
    cover = list(np.empty(((len(f) + 1) // 2, len(T))))
    cover[0][:] = f[0][U]
    best, total = np.empty(len(T)), np.empty(len(T))
    for S in range(1, len(f)):
        best.fill(-np.inf)
        for part in _with_last_player(S).tolist():
            np.add(worth[part], cover[S ^ part], out=total)
            np.maximum(best, total, out=best)
        f[S] = _forget_sides(best, low)
        if S < len(cover):
            cover[S][:] = f[S][U]


def _forget_sides(pairs: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """For each union of two disjoint coalitions, the largest entry of its pairs."""
    for i in range(n):
        digits = pairs.reshape(1 << i, 3, -1)
        pairs = np.stack([digits[:, 0], np.maximum(digits[:, 1], digits[:, 2])], axis=1)
    return pairs.reshape(-1)


def _places(
    shares: ArrayLike, partition: Iterable[Coalition]
) -> tuple[NDArray[np.float64], NDArray[np.int64], float]:
    """Check both; return one table and one coalition per place, and the unit of tolerances."""
    table = _check_shares(shares)
    n = table.shape[-1]
    scale = max(1.0, float(table.max()), -float(table.min()))
    coalitions = as_partition(partition, n)
    if table.ndim == 2:
        coalitions += (0,)
        table = np.broadcast_to(table, (len(coalitions), *table.shape))
    if len(coalitions) != len(table):
        raise ValueError(
            f"expected one coalition per place, got {len(coalitions)} for {len(table)} places; "
            "write 0 where nobody is"
        )
    return table, np.array(coalitions), scale


def _check_shares(shares: ArrayLike) -> NDArray[np.float64]:
    table = np.asarray(shares)
    if table.dtype.kind not in "biuf":
        raise TypeError(f"expected shares as real numbers, got {shares!r:.60}; see equal_split")
    n = table.shape[-1] if table.ndim in (2, 3) else 0
    if n < 1 or table.shape[-2] != 1 << n or len(table) == 0:
        raise ValueError(
            f"expected shares of shape (2**n, n), or (K, 2**n, n) for K places, got {table.shape}; "
            "see equal_split"
        )
    if not np.isfinite(table).all():
        raise ValueError("expected finite shares, got some that are not; write 0 for no member")
    return table.astype(np.float64, copy=False)


def _offers(
    table: NDArray[np.float64], places: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What each player would get at each place, and what each gets now."""
    players = np.arange(table.shape[-1])
    joined = places[:, None] | singletons(len(players))
    offers = table[np.arange(len(places))[:, None], joined, players]
    home = membership(places, len(players)).argmax(axis=0)
    return offers, offers[home, players]


def _ask_table(table: NDArray[np.float64]) -> Callable[[NDArray[np.int64], int], NDArray[np.float64]]:
    """What a player would get at each place, read from a table of shares."""
    everywhere = np.arange(len(table))

    def ask(others: NDArray[np.int64], i: int) -> NDArray[np.float64]:
        return table[everywhere, others | 1 << i, i]

    return ask
