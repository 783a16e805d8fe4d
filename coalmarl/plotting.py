"""Figures of the labs: each takes data, draws on an axes, and returns it.

Player ``i`` has the colour ``COLOURS[i]`` and the marker ``MARKERS[i]`` in every figure of
the course.  Backgrounds are transparent and axes a middle grey, so that a figure reads on
white and on near-black pages.

Letters: ``v`` a game of ``n`` players, ``S`` a coalition, ``x`` an allocation or the horizontal
axis.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

from coalmarl.coalitions import as_vector, grand_coalition, label, members, singletons, sizes
from coalmarl.games import TUGame
from coalmarl.solutions import excess

#: Okabe and Ito's colours, safe for colour-blind readers, one per player.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9")
MARKERS = ("o", "s", "^", "D", "P", "X")
LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 2)))
#: Text, axes, theory: a grey of contrast 4.5 with white and with near-black.
INK = "#777777"
#: Baselines and reference lines.
QUIET = "#A0A0A0"

_STYLE: Any = {
    "figure.figsize": (6.0, 3.7),
    "figure.dpi": 110,
    "figure.facecolor": "none",
    "figure.constrained_layout.use": True,
    "axes.facecolor": "none",
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "font.size": 9.5,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "savefig.facecolor": "none",
}


def new_axes(*, title: str = "", xlabel: str = "", ylabel: str = "") -> Axes:
    """Return the axes of a new figure in the course's style.

    Parameters
    ----------
    title : str
        What the figure finds, as a sentence.
    xlabel, ylabel : str
        Names of the axes, with units.

    Returns
    -------
    Axes

    Examples
    --------
    >>> new_axes(title="Two is company").get_title(loc="left")
    'Two is company'
    """
    with mpl.rc_context(_STYLE):
        _, ax = plt.subplots()
        ax.set_title(title)
        ax.set_xlabel(xlabel)
        ax.set_ylabel(ylabel)
    return ax


def core_triangle(
    v: TUGame, allocations: Mapping[str, ArrayLike] | None = None, *, ax: Axes | None = None
) -> Axes:
    """Draw the imputations of a three-player game as a triangle, and the core inside it.

    Parameters
    ----------
    v : TUGame
        A game of three players with ``v(N) > sum v(i)``.
    allocations : mapping of str to array_like of shape (3,), optional
        Points to mark, by name.
    ax : Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    Axes

    Raises
    ------
    TypeError, ValueError
        If the game has not three players, or no surplus to divide; if there are more than six
        allocations, or one has not three numbers.

    Notes
    -----
    A corner gives the whole surplus to one player; the line ``x(S) = v(S)`` of a pair cuts
    off the corner of the third.

    Examples
    --------
    >>> from coalmarl.games import bankruptcy
    >>> len(core_triangle(bankruptcy(200, [100, 200, 300]), {"even": [200 / 3] * 3}).texts)
    4
    """
    if v.n != 3:
        raise ValueError(f"expected a game of 3 players, got {v.n}; use excess_lattice(v, x)")
    alone = v.values[singletons(3)]
    surplus = v.values[7] - alone.sum()
    if surplus <= 0:
        raise ValueError(f"expected v(N) > sum of v(i), got a surplus of {surplus:g}")
    points = _rows(allocations or {}, 3)
    ax = ax or new_axes()
    ax.set_aspect("equal")
    ax.axis("off")
    ax.set_xlim(-0.25, 1.25)
    ax.set_ylim(-0.12, 1.02)
    corners = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, 0.75**0.5]])
    ax.fill(*corners.T, facecolor="none", edgecolor=INK, linewidth=1)
    most = (v.values[7] - v.values[[6, 5, 3]] - alone) / surplus  # what the other two allow
    core = _core_polygon(most)
    if len(core):
        ax.fill(*(core @ corners).T, facecolor=COLOURS[5], alpha=0.25, edgecolor=COLOURS[0])
    for i, name in enumerate(v.players or ("player 1", "player 2", "player 3")):
        right, up = corners[i] + (corners[i] - corners.mean(axis=0)) * 0.12
        ax.text(right, up, f"all to {name}", ha="center", va="center", color=INK)
    for k, (name, x) in enumerate(points.items()):
        right, up = (x - alone) / surplus @ corners
        ax.plot(right, up, MARKERS[k], color=COLOURS[3], markersize=7, zorder=3)
        away = (9, 3) if k % 2 == 0 else (9, -11)  # neighbours keep their names apart
        ax.annotate(name, (right, up), xytext=away, textcoords="offset points", color=INK)
    return ax


def excess_lattice(v: TUGame, x: ArrayLike, *, ax: Axes | None = None) -> Axes:
    """Draw every coalition by size: the deeper its orange, the higher its excess ``v(S) - x(S)``.

    Parameters
    ----------
    v : TUGame
        A game of at most five players.
    x : array_like of float, shape (n,)
        The allocation.
    ax : Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    Axes
        One row per coalition size; the empty and the grand coalition stay white.

    Raises
    ------
    TypeError, ValueError
        If there are more than five players, whose lattice nobody can read, or ``x`` is not one
        finite number per player.

    Examples
    --------
    >>> from coalmarl.games import glove
    >>> len(excess_lattice(glove([0], [1, 2]), [1, 0, 0]).texts)
    8
    """
    if v.n > 5:
        raise ValueError(f"expected at most 5 players in a lattice, got {v.n}")
    e = excess(v, x)
    ax = ax or new_axes()
    ax.axis("off")
    place = _lattice_places(v.n)
    for S in range(1 << v.n):
        for i in members(grand_coalition(v.n) ^ S):
            ax.plot(*np.array([place[S], place[S | 1 << i]]).T, color=QUIET, lw=0.6, zorder=1)
    across, up = place.T
    proper = slice(1, (1 << v.n) - 1)
    shades = mpl.colors.LinearSegmentedColormap.from_list("excess", ["white", COLOURS[1]])
    ax.scatter(across, up, 1500, color="white", edgecolors=INK)
    ax.scatter(across[proper], up[proper], 1500, e[proper], cmap=shades, edgecolors=INK)
    for S in range(1 << v.n):
        name = label(S) if S else "∅"
        text = f"{name}\n{e[S]:.4g}".replace("-", "−")
        ax.text(across[S], up[S], text, ha="center", va="center", color="black", fontsize=8)
    ax.margins(0.12)
    return ax


def player_lines(
    parameter: ArrayLike,
    allocations: ArrayLike,
    *,
    players: Sequence[str] | None = None,
    steps: bool = False,
    ax: Axes | None = None,
) -> Axes:
    """Draw what each player gets as one number of the game changes.

    Parameters
    ----------
    parameter : array_like of float, shape (m,)
        The number, on the horizontal axis.
    allocations : array_like of float, shape (m, n)
        One allocation per value of the parameter; at most six players.
    players : sequence of str, optional
        Labels, written at the end of the lines.
    steps : bool
        Keep each allocation until the next value, where there is nothing in between.
    ax : Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    Axes

    Raises
    ------
    TypeError, ValueError
        If there is not one allocation per value, or there are more than six players.

    Examples
    --------
    >>> player_lines([0, 1], [[0, 0], [1, 2]]).lines[1].get_ydata().tolist()
    [0.0, 2.0]
    """
    parameter, allocations = as_vector(parameter, "the parameter"), np.asarray(allocations, float)
    if allocations.shape[:1] != parameter.shape or allocations.ndim != 2 or not len(parameter):
        raise ValueError(
            f"expected one allocation for each of {len(parameter)} values, at least one, "
            f"got shape {allocations.shape}"
        )
    _check_colours(allocations.shape[1], "players")
    ax = ax or new_axes()
    style = "steps-post" if steps else "default"
    heights = _apart(allocations[-1], 0.06 * float(np.ptp(allocations)))
    for i, y in enumerate(allocations.T):
        ax.plot(parameter, y, color=COLOURS[i], linestyle=LINES[i], linewidth=2, drawstyle=style)
        name = players[i] if players is not None else f"player {i + 1}"
        ax.annotate(
            name,
            (parameter[-1], heights[i]),
            xytext=(5, 0),
            textcoords="offset points",
            color=COLOURS[i],
            va="center",
        )
    return ax


def curves(
    x: ArrayLike, named: Mapping[str, ArrayLike], *, log: str = "", ax: Axes | None = None
) -> Axes:
    """Draw up to six named curves, each with a band if there are several runs of it.

    Parameters
    ----------
    x : array_like of float, shape (m,)
        The horizontal axis.
    named : mapping of str to array_like of shape (m,) or (runs, m)
        The curves by the names written at their ends.  Of several runs the mean is drawn, and
        its 95 % interval by Student's distribution shaded.
    log : str
        Which axes are logarithmic: "", "x", "y" or "xy".
    ax : Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    Axes

    Raises
    ------
    TypeError, ValueError
        If a curve has not one number for each ``x``, or there are none, or more than six.

    Examples
    --------
    >>> ax = curves([1, 10], {"rate": [1, 0.1], "runs": [[1, 2], [3, 2]]}, log="xy")
    >>> [text.get_text() for text in ax.texts]
    ['rate', 'runs']
    """
    x = as_vector(x, "the horizontal axis")
    _check_colours(len(named), "curves")
    tables = {name: np.atleast_2d(np.asarray(y, float)) for name, y in named.items()}
    for name, y in tables.items():
        if y.shape[1:] != x.shape:
            raise ValueError(f"expected {len(x)} numbers in curve {name!r}, one for each x, got shape {y.shape}")
    if not tables:
        raise ValueError("expected at least one curve, got none")
    ax = ax or new_axes()
    ax.set(xscale="log" if "x" in log else "linear", yscale="log" if "y" in log else "linear")
    for k, y in enumerate(tables.values()):
        mean = y.mean(axis=0)
        ax.plot(x, mean, linewidth=2, color=COLOURS[k], linestyle=LINES[k])
        if len(y) > 1:
            reach = stdtrit(len(y) - 1, 0.975) * y.std(axis=0, ddof=1) / len(y) ** 0.5
            ax.fill_between(x, mean - reach, mean + reach, color=COLOURS[k], alpha=0.2, linewidth=0)
    _name_the_ends(ax, float(x[-1]), {name: float(y.mean(axis=0)[-1]) for name, y in tables.items()}, "y" in log)
    return ax


def _name_the_ends(ax: Axes, x: float, ends: Mapping[str, float], log: bool) -> None:
    """Write each curve's name at its end, apart from the others."""
    low, high = ax.get_ylim()
    heights = np.array(list(ends.values()))
    if log:
        heights = 10 ** _apart(np.log10(heights), 0.055 * float(np.log10(high / low)))
    else:
        heights = _apart(heights, 0.055 * (high - low))
    for k, (name, height) in enumerate(zip(ends, heights, strict=True)):
        ax.annotate(name, (x, height), (6, 0), textcoords="offset points", color=COLOURS[k], va="center")


def compare_allocations(
    allocations: Mapping[str, ArrayLike],
    players: Sequence[str],
    *,
    ax: Axes | None = None,
) -> Axes:
    """Draw several allocations beside each other, one row per player.

    Parameters
    ----------
    allocations : mapping of str to array_like of shape (n,)
        At most six allocations by name; the names are written above the first player.
    players : sequence of str
        One label per player.
    ax : Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    Axes

    Raises
    ------
    TypeError, ValueError
        If an allocation has not one number per player, or there are none, or more than six.

    Examples
    --------
    >>> ax = compare_allocations({"equal": [1, 1], "value": [0, 2]}, ["Ann", "Bo"])
    >>> [tick.get_text() for tick in ax.get_yticklabels()]
    ['Ann', 'Bo']
    """
    rows, table = np.arange(len(players)), _rows(allocations, len(players))
    if not table:
        raise ValueError("expected at least one allocation, got none")
    ax = ax or new_axes()
    spread = np.array(list(table.values()))
    ax.hlines(rows, spread.min(axis=0), spread.max(axis=0), color=QUIET, linewidth=1)
    for k, (name, x) in enumerate(table.items()):
        ax.plot(x, rows, MARKERS[k], color=COLOURS[k], markersize=7, label=name)
    ax.set_yticks(rows, players)
    ax.invert_yaxis()
    ax.legend(frameon=False, loc="best", labelcolor="linecolor")
    return ax


def _rows(allocations: Mapping[str, ArrayLike], n: int) -> dict[str, NDArray[np.float64]]:
    """The allocations as vectors of n numbers."""
    _check_colours(len(allocations), "allocations")
    rows = {name: as_vector(x, f"allocation {name!r}") for name, x in allocations.items()}
    for name, x in rows.items():
        if len(x) != n:
            raise ValueError(f"expected {n} numbers in allocation {name!r}, got {len(x)}")
    return rows


def _check_colours(count: int, what: str) -> None:
    if count > len(COLOURS):
        raise ValueError(
            f"expected at most {len(COLOURS)} {what}, one per colour, got {count}; draw a selection"
        )


def _core_polygon(most: NDArray[np.float64]) -> NDArray[np.float64]:
    """Corners of the imputations (as shares of the surplus) with share i <= most[i]."""
    polygon = np.eye(3)
    for i in range(3):
        corners = []
        for a, b in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
            if a[i] <= most[i]:
                corners.append(a)
            if (a[i] - most[i]) * (b[i] - most[i]) < 0:
                corners.append(a + (b - a) * (most[i] - a[i]) / (b[i] - a[i]))
        polygon = np.array(corners).reshape(-1, 3)
    return polygon


def _apart(heights: NDArray[np.float64], gap: float) -> NDArray[np.float64]:
    """The heights, moved as little upwards as keeps them a gap apart, so that labels can be read."""
    order, moved = np.argsort(heights), heights.copy()
    for below, above in zip(order, order[1:], strict=False):
        moved[above] = max(moved[above], moved[below] + gap)
    return moved


def _lattice_places(n: int) -> NDArray[np.float64]:
    """A place for each coalition: its size above, its rank among its size aside."""
    size = sizes(n).astype(int)
    places = np.empty((1 << n, 2))
    for s in range(n + 1):
        same = np.flatnonzero(size == s)
        places[same] = np.c_[np.arange(len(same)) - (len(same) - 1) / 2, np.full(len(same), s)]
    return places
