"""Coalitions as bit masks.

A coalition ``S`` of the players ``0 .. n-1`` is an integer whose bit ``i`` is set when
player ``i`` belongs to it: ``{0, 2}`` is ``0b101 = 5``.  The empty coalition is ``0``,
the grand coalition ``N`` is ``2**n - 1``, and a table with one entry per coalition is an
array of length ``2**n`` indexed by mask.

Letters: ``n`` players, ``S`` a coalition, ``x`` a vector with one entry per player,
``x(S)`` the sum of ``x`` over the members of ``S``.
"""

import os
from collections.abc import Iterable
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
        raise TypeError(
            f"expected a player index in 0 .. {n - 1}, got {player!r} "
            f"of type {type(player).__name__}"
        )
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


def _is_integer(value: object) -> TypeGuard[int]:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def _memory_bytes() -> int:
    """Physical memory, or 16 GiB where the system does not tell."""
    try:
        return int(os.sysconf("SC_PHYS_PAGES")) * int(os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, ValueError, OSError):
        return 16 << 30
