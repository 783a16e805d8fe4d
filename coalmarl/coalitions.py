"""Coalitions as bit masks.

A coalition ``S`` of the players ``0 .. n-1`` is an integer whose bit ``i`` is set when
player ``i`` belongs to it: ``{0, 2}`` is ``0b101 = 5``.  The empty coalition is ``0``,
the grand coalition ``N`` is ``2**n - 1``, and a table with one entry per coalition is an
array of length ``2**n`` indexed by mask.

Letters: ``n`` players, ``S`` a coalition, ``x`` a vector with one entry per player,
``x(S)`` the sum of ``x`` over the members of ``S``.
"""

import os
from collections.abc import Iterable, Iterator
from itertools import accumulate
from numbers import Real
from typing import TypeGuard

import numpy as np
from numpy.typing import ArrayLike, NDArray

Coalition = int | np.integer | Iterable[int]


def grand_coalition(n: int) -> int:
    """Return the mask of all ``n`` players.

    Parameters
    ----------
    n : int
        Number of players.

    Returns
    -------
    int

    Examples
    --------
    >>> bin(grand_coalition(3))
    '0b111'
    """
    return (1 << n) - 1


def as_mask(S: Coalition, n: int) -> int:
    """Return coalition ``S`` as a mask, after checking that it is one.

    Parameters
    ----------
    S : int or iterable of int
        A mask in ``[0, 2**n)``, or distinct player indices in ``[0, n)``.
    n : int
        Number of players.

    Returns
    -------
    int
        The mask of ``S``.

    Raises
    ------
    TypeError
        If ``S`` is a bool, a string, or holds anything but integers.
    ValueError
        If a mask or a player is out of range, or a player is named twice.

    Examples
    --------
    >>> as_mask([0, 2], 3), as_mask(5, 3)
    (5, 5)
    """
    if isinstance(S, np.ndarray) and S.ndim == 0:
        S = S[()]
    if _is_integer(S):
        if not 0 <= S < 1 << n:
            raise ValueError(f"expected a mask in [0, {1 << n}) for {n} players, got {S}")
        return int(S)
    if isinstance(S, (bool, np.bool_, str, bytes)) or not isinstance(S, Iterable):
        raise TypeError(
            f"expected a mask or an iterable of player indices, got {S!r} "
            f"of type {type(S).__name__}; write 0b101 or [0, 2] for players 0 and 2"
        )
    mask = 0
    for player in S:
        i = check_player(player, n)
        if mask >> i & 1:
            raise ValueError(f"expected distinct players, got player {i} twice")
        mask |= 1 << i
    return mask


def members(S: int) -> tuple[int, ...]:
    """Return the players of coalition ``S`` in increasing order.

    Parameters
    ----------
    S : int
        A mask.

    Returns
    -------
    tuple of int

    Raises
    ------
    TypeError, ValueError
        If ``S`` is no integer, or negative.

    Examples
    --------
    >>> members(0b1101)
    (0, 2, 3)
    """
    if not _is_integer(S):
        raise TypeError(f"expected a mask, got {S!r} of type {type(S).__name__}; see as_mask")
    if S < 0:
        raise ValueError(f"expected a mask of at least 0, got {S}")
    return tuple(i for i in range(int(S).bit_length()) if int(S) >> i & 1)


def singletons(n: int) -> NDArray[np.int64]:
    """Return the masks of the coalitions of one player, in the players' order.

    Parameters
    ----------
    n : int
        Number of players.

    Returns
    -------
    ndarray of int, shape (n,)

    Examples
    --------
    >>> singletons(3).tolist()
    [1, 2, 4]
    """
    return 1 << np.arange(n)


def label(S: int) -> str:
    """Return coalition ``S`` as the text writes it, with the players counted from 1.

    Parameters
    ----------
    S : int
        A mask.

    Returns
    -------
    str

    Examples
    --------
    >>> label(0b101)
    '{1, 3}'
    """
    return f"{{{', '.join(str(i + 1) for i in members(S))}}}"


def membership(masks: ArrayLike, n: int) -> NDArray[np.bool_]:
    """Return one row per coalition, true where a player belongs to it.

    Parameters
    ----------
    masks : array_like of int, shape (m,)
        The coalitions.
    n : int
        Number of players.

    Returns
    -------
    ndarray of bool, shape (m, n)

    Examples
    --------
    >>> membership([1, 6], 3).astype(int).tolist()
    [[1, 0, 0], [0, 1, 1]]
    """
    return (np.asarray(masks, dtype=np.int64)[:, None] >> np.arange(n) & 1).astype(bool)


def sizes(n: int) -> NDArray[np.int8]:
    """Return ``|S|`` for every coalition of ``n`` players.

    Parameters
    ----------
    n : int
        Number of players.

    Returns
    -------
    ndarray of int8, shape (2**n,)

    Notes
    -----
    One player at a time: the coalitions that contain player ``i`` are those of the
    players before, each one larger.  ``O(2**n)``.

    Examples
    --------
    >>> sizes(3).tolist()
    [0, 1, 1, 2, 1, 2, 2, 3]
    """
    table = np.empty(1 << n, dtype=np.int8)
    table[0] = 0
    for i in range(n):
        np.add(table[: 1 << i], 1, out=table[1 << i : 2 << i])
    return table


def coalition_sums(x: ArrayLike) -> NDArray[np.float64]:
    """Return ``x(S)``, the sum of ``x`` over ``S``, for every coalition.

    Parameters
    ----------
    x : array_like of float, shape (n,)
        One number per player.

    Returns
    -------
    ndarray, shape (2**n,)

    Raises
    ------
    TypeError, ValueError
        If ``x`` is no vector of real numbers, or the table would not fit in memory.

    Notes
    -----
    By doubling, as in `sizes`: ``O(2**n)`` additions instead of ``O(n 2**n)``.

    Examples
    --------
    >>> coalition_sums([1, 10, 100]).tolist()
    [0.0, 1.0, 10.0, 11.0, 100.0, 101.0, 110.0, 111.0]
    """
    x = as_vector(x, "one number per player")
    check_table_fits(max(len(x), 1))
    table = np.empty(1 << len(x))
    table[0] = 0.0
    for i in range(len(x)):
        np.add(table[: 1 << i], x[i], out=table[1 << i : 2 << i])
    return table


def as_vector(data: ArrayLike, name: str) -> NDArray[np.float64]:
    """Return a new float array, after checking that ``data`` is a list of real numbers.

    Parameters
    ----------
    data : array_like
        What the caller gave.
    name : str
        What it should be, for the message.

    Returns
    -------
    ndarray, shape (m,)

    Raises
    ------
    TypeError
        If an entry is not a real number.
    ValueError
        If there is not one dimension, or an entry is too large for a float.

    Examples
    --------
    >>> from fractions import Fraction
    >>> as_vector([1, Fraction(1, 2)], "weights").tolist()
    [1.0, 0.5]
    """
    try:
        array = np.asarray(data)
        if array.dtype.kind == "O" and all(isinstance(a, Real) for a in array.flat):
            array = array.astype(np.float64)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"expected {name} as a plain list of floats, got {data!r:.60}: {error}") from None
    if array.dtype.kind not in "biuf":
        raise TypeError(f"expected {name} as real numbers, got {array.dtype} in {data!r:.60}")
    if array.ndim != 1:
        raise ValueError(f"expected {name} in one dimension, got shape {array.shape}; flatten it first")
    return array.astype(np.float64)


def check_player(player: object, n: int) -> int:
    """Return ``player`` as an int after checking that it is one of ``0 .. n-1``.

    Parameters
    ----------
    player : object
        What the caller gave.
    n : int
        Number of players.

    Returns
    -------
    int

    Raises
    ------
    TypeError
        If it is not an integer (a bool is not).
    ValueError
        If it is out of range.

    Examples
    --------
    >>> check_player(np.int64(2), 3)
    2
    """
    if not _is_integer(player):
        raise TypeError(f"expected a player index in 0 .. {n - 1}, got {player!r} of type {type(player).__name__}")
    if not 0 <= player < n:
        raise ValueError(f"expected a player index in 0 .. {n - 1}, got {player}")
    return int(player)


def check_table_fits(n: int, *, tables: int = 1) -> int:
    """Return the number of players as an int, or refuse one whose tables would not fit in memory.

    Parameters
    ----------
    n : int
        Number of players.
    tables : int
        How many arrays of ``2**n`` floats the caller will hold at once.

    Returns
    -------
    int

    Raises
    ------
    TypeError
        If ``n`` is not an integer.
    ValueError
        If ``n < 1``, or the tables need more than half of the machine's memory.

    Examples
    --------
    >>> check_table_fits(np.uint8(20))
    20
    """
    if not _is_integer(n):
        raise TypeError(f"expected a number of players, got {n!r} of type {type(n).__name__}")
    if n < 1:
        raise ValueError(f"expected at least one player, got n = {n}; a game needs somebody")
    check_memory(
        tables * 8 * (1 << int(n)),
        f"n = {n} players with 2**{n} coalitions",
        "a closed form, weighted_voting_indices for votes, or a sampled Shapley value",
    )
    return int(n)


def check_memory(need: int, what: str, instead: str) -> None:
    """Refuse what would not fit in half of the machine's memory.

    Parameters
    ----------
    need : int
        Bytes.
    what, instead : str
        What needs them, and what to use instead, for the message.

    Raises
    ------
    ValueError
        If it does not fit.

    Examples
    --------
    >>> check_memory(8 << 20, "a table of a million floats", "a shorter one")
    """
    have = _memory_bytes() // 2
    if need > have:
        gib = f"{need / 2**30:,.0f}" if need < 1 << 200 else f"2**{need.bit_length() - 31}"
        raise ValueError(
            f"expected tables within half of this machine's memory, {have / 2**30:.1f} GiB, "
            f"got {what}, which need {gib} GiB. Use {instead}"
        )


def subsets(S: int) -> NDArray[np.int64]:
    """Return every coalition inside ``S``, the empty one and ``S`` itself included.

    Parameters
    ----------
    S : int
        A mask.

    Returns
    -------
    ndarray of int, shape (2**|S|,)
        In increasing order.

    Raises
    ------
    TypeError, ValueError
        If ``S`` is no mask, or the list would not fit in memory.

    Examples
    --------
    >>> subsets(0b101).tolist()
    [0, 1, 4, 5]
    """
    players = members(S)
    check_table_fits(max(len(players), 1))
    inside = np.zeros(1, dtype=np.int64)
    for i in players:
        inside = np.concatenate([inside, inside | 1 << i])
    return inside


def disjoint_pairs(n: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return all pairs of disjoint coalitions of ``n`` players.

    Parameters
    ----------
    n : int
        Number of players, at least 0.

    Returns
    -------
    S, T : ndarray of int, shape (3**n,)
        In entry ``k`` player ``i`` is in neither, in ``S`` or in ``T`` as the digit of
        ``3**i`` in ``k`` is 0, 1 or 2.

    Raises
    ------
    TypeError, ValueError
        If ``n`` is no number of players, or the pairs would not fit in memory.

    Examples
    --------
    >>> S, T = disjoint_pairs(2)
    >>> S.tolist(), T.tolist()
    ([0, 1, 0, 2, 3, 2, 0, 1, 0], [0, 0, 1, 0, 0, 1, 2, 2, 3])
    """
    check_memory(16 * 3 ** _count(n), f"3**{n} pairs of coalitions", "fewer players")
    S = T = np.zeros(1, dtype=np.int64)
    for i in range(n):
        S, T = np.concatenate([S, S | 1 << i, S]), np.concatenate([T, T, T | 1 << i])
    return S, T


def as_partition(coalitions: Iterable[Coalition], n: int) -> tuple[int, ...]:
    """Return the coalitions as masks, after checking that they hold every player once.

    Parameters
    ----------
    coalitions : iterable of (int or iterable of int)
        Masks, or lists of players.  Empty coalitions are allowed: places nobody is at.
    n : int
        Number of players.

    Returns
    -------
    tuple of int
        One mask per coalition, in the order given.

    Raises
    ------
    TypeError
        If this is not a list of coalitions.
    ValueError
        If two coalitions overlap, or a player is in none.

    Examples
    --------
    >>> as_partition([[0, 2], [1]], 3)
    (5, 2)
    """
    if isinstance(coalitions, (str, bytes)) or not isinstance(coalitions, Iterable):
        raise TypeError(
            f"expected a list of coalitions, got {coalitions!r:.60} "
            f"of type {type(coalitions).__name__}; write [0b101, 0b010] or [[0, 2], [1]]"
        )
    masks = tuple(as_mask(S, n) for S in coalitions)
    covered = 0
    for S in masks:
        if covered & S:
            twice = set(members(covered & S))
            raise ValueError(f"expected coalitions without a common player, got {masks}: {twice} twice")
        covered |= S
    if covered != grand_coalition(n):
        missing = set(members(grand_coalition(n) ^ covered))
        raise ValueError(f"expected every player in a coalition, got {masks} without {missing}")
    return masks


def partitions(n: int) -> Iterator[tuple[int, ...]]:
    """Yield every partition of ``n`` players once.

    Parameters
    ----------
    n : int
        Number of players, at least 0.

    Yields
    ------
    tuple of int
        Masks of the coalitions, in the order of their first players.

    Raises
    ------
    TypeError, ValueError
        If ``n`` is no integer, or negative.

    Notes
    -----
    Each partition of the first ``n - 1`` players, with the last one in each of its
    coalitions or alone: `bell_number` of them, so ten players are about the limit.

    Examples
    --------
    >>> list(partitions(3))
    [(7,), (3, 4), (5, 2), (1, 6), (1, 2, 4)]
    """
    n = _count(n)
    if n == 0:
        yield ()
        return
    last = 1 << n - 1
    for rest in partitions(n - 1):
        for k, S in enumerate(rest):
            yield (*rest[:k], S | last, *rest[k + 1 :])
        yield (*rest, last)


def bell_number(n: int) -> int:
    """Return the number of partitions of ``n`` players, exactly.

    Parameters
    ----------
    n : int
        Number of players, at least 0.

    Returns
    -------
    int

    Raises
    ------
    TypeError, ValueError
        If ``n`` is no integer, or negative.

    Notes
    -----
    Bell's triangle: a row starts with the last number of the row before, and each number
    adds the one above it to the one on its left.  ``n**2 / 2`` additions.

    Examples
    --------
    >>> [bell_number(n) for n in range(6)], f"{bell_number(20):,}"
    ([1, 1, 2, 5, 15, 52], '51,724,158,235,372')
    """
    row = [1]
    for _ in range(_count(n)):
        row = list(accumulate(row, initial=row[-1]))
    return row[0]


def _count(n: object) -> int:
    """A number of players that may be 0."""
    if not _is_integer(n):
        raise TypeError(f"expected a number of players, got {n!r} of type {type(n).__name__}")
    if n < 0:
        raise ValueError(f"expected a number of players of at least 0, got {n}")
    return int(n)


def _is_integer(value: object) -> TypeGuard[int]:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def _memory_bytes() -> int:
    """Physical memory, or 16 GiB where the system does not tell."""
    try:
        return int(os.sysconf("SC_PHYS_PAGES")) * int(os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, ValueError, OSError):
        return 16 << 30
