"""Draw the figures of the book's pages: ``python book/figures.py``.

Each figure is one function of a `Theme` in `FIGURES`; its name is the file's name.  Every
figure is written twice, for white and for near-black pages, as ``figures/NAME_light.svg``
and ``figures/NAME_dark.svg``.  The same code writes the same bytes.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from PIL import Image

from coalmarl import bargaining, beliefs, collectives, evaluation, negotiation, negotiators, tracking
from coalmarl.coalitions import bell_number, label
from coalmarl.credit import CYCLE_REWARDS, CYCLE_SUCCESSORS, credit_backup
from coalmarl.envs import as_generator
from coalmarl.experiments import read_artefact
from coalmarl.games import TUGame
from coalmarl.plotting import COLOURS, MARKERS, core_triangle
from coalmarl.programs import MODAL_AGENTS, PAYOFFS, THEY_COOPERATE, modal_tournament, modal_trace, provable, they_cooperate_with
from coalmarl.solutions import nucleolus, shapley
from coalmarl.structures import settle

OUT = Path(__file__).parent / "figures"
STYLE = {
    "figure.figsize": (6, 3.7),
    "figure.constrained_layout.use": True,
    "font.family": "DejaVu Sans",  # ships with matplotlib: the same on every machine
    "font.size": 9.5,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.titlepad": 12,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.fonttype": "path",
    "svg.hashsalt": "learning-to-team-up",
    "savefig.transparent": True,
}


@dataclass(frozen=True)
class Theme:
    """Colours of one page background.

    Attributes
    ----------
    name : str
        Suffix of the file.
    ink, soft, line : str
        Text, secondary text and axes, reference lines.
    mark : str
        What the eye should find first.
    """

    name: str
    ink: str
    soft: str
    line: str
    mark: str

    @property
    def colours(self) -> dict[str, str]:
        """Matplotlib settings for text and axes on this background."""
        quiet = "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"
        return dict.fromkeys(quiet, self.soft) | {
            "axes.titlecolor": self.ink,
            "text.color": self.ink,
        }


THEMES = (
    Theme("light", ink="#23262c", soft="#5a606a", line="#c9c6c0", mark="#0072b2"),
    Theme("dark", ink="#dddcd8", soft="#a2a7b0", line="#4a505b", mark="#56b4e9"),
)


def intro_wall(theme: Theme) -> Figure:
    """Time to fill a table of 2**n worths at a millisecond each, for n = 0 .. 70."""
    n = np.arange(71)
    seconds = 2.0**n / 1_000
    year = 365.25 * 86_400
    spans = np.array([1, 3_600, year, 13.8e9 * year])
    names = "a second", "an hour", "a year", "the age of the universe"
    players = np.searchsorted(seconds, spans)  # the first n that needs this long

    fig, ax = plt.subplots()
    ax.plot(n, seconds, color=theme.ink, linewidth=1.8)
    ax.hlines(spans, 0, players, color=theme.line, linewidth=1, linestyle="--", zorder=0)
    ax.plot(players, seconds[players], "o", color=theme.mark, markersize=6.5)
    for i, name in zip(players, names, strict=True):
        side, shift = ("left", (9, -8)) if i < 50 else ("right", (-9, 4))
        style = {"textcoords": "offset points", "ha": side, "color": theme.mark}
        ax.annotate(f"{i} players: {name}", (i, seconds[i]), shift, **style)
    ax.set(yscale="log", xlim=(0, 71), ylim=(1e-3, 2e19), yticks=10.0 ** np.arange(-3, 19, 3))
    ax.set(xlabel="players n", ylabel="seconds to evaluate every coalition")
    ax.set_title("Ten players take a second, 35 a year, 69 the age of the universe")
    return fig


def core_of_taxis(theme: Theme) -> Figure:
    """Imputations, core and three allocations of the taxis' game of chapter 01."""
    v = TUGame([0, 0, 0, 9, 0, 6, 3, 12], players=("taxi 1", "taxi 2", "taxi 3"))
    fig, ax = plt.subplots()
    allocations = {"Shapley value": shapley(v), "nucleolus": nucleolus(v), "equal shares": [4, 4, 4]}
    core_triangle(v, allocations, ax=ax)
    for text in ax.texts:
        text.set_color(theme.ink)
    ax.set_title("Two splits hold, equal shares do not")
    return fig


def three_walls(theme: Theme) -> Figure:
    """Orders of magnitude of coalitions, pairs of disjoint coalitions and partitions."""
    n = np.arange(2, 61)
    counts = {
        "partitions, Bell($n$)": [float(bell_number(int(i))) for i in n],
        "coalition and split, ½·$3^n$": 3.0**n / 2,
        "coalitions, $2^n$": 2.0**n,
    }
    fig, ax = plt.subplots()
    for (name, count), style, colour in zip(counts.items(), ("-", "--", "-"), (theme.mark, theme.ink, theme.ink), strict=True):
        ax.plot(n, count, style, color=colour, linewidth=1.8)
        ax.annotate(name, (60, count[-1]), (6, 0), textcoords="offset points", color=colour, va="center")
    ax.axhline(86_400e6, color=theme.line, linewidth=1, linestyle=":", zorder=0)
    ax.annotate("a day at a million a second", (60, 86_400e6), (-2, -4), textcoords="offset points", ha="right", va="top", color=theme.soft)
    ax.set(yscale="log", xlim=(0, 60), ylim=(1, 1e62), yticks=10.0 ** np.arange(0, 61, 10), xlabel="players n", ylabel="how many there are")
    ax.set_title("Each wall stands behind the one before")
    return fig


def one_table_of_tours(theme: Theme) -> Figure:
    """The lattice of three customers: every tour of a coalition ends in the same table."""
    fig, ax = plt.subplots()
    place = {0: (1, 0), 1: (0, 1), 2: (1, 1), 4: (2, 1), 3: (0, 2), 5: (1, 2), 6: (2, 2), 7: (1, 3)}
    path = [0, 4, 6, 7]
    for S, (x, y) in place.items():
        for i in (1, 2, 4):
            if S & i == 0:
                on = S in path and S | i in path
                style = {"color": theme.mark, "linewidth": 2.2} if on else {"color": theme.line, "linewidth": 1}
                ax.plot([x, place[S | i][0]], [y, place[S | i][1]], zorder=1, **style)
        name = label(S) if S else "depot"
        box = {"boxstyle": "round,pad=0.45", "facecolor": "white" if theme.name == "light" else "#15171b", "edgecolor": theme.line}
        ax.text(x, y, name, ha="center", va="center", bbox=box, color=theme.mark if S in path else theme.ink)
    ax.annotate("cheapest way from the depot\nthrough 3, then 2", place[6], (34, -6), textcoords="offset points", color=theme.soft, va="center")
    ax.annotate("one customer more:\nreuse, then one leg", place[7], (34, 0), textcoords="offset points", color=theme.soft, va="center")
    ax.set(xlim=(-0.5, 3.7), ylim=(-0.4, 3.4))
    ax.axis("off")
    ax.set_title("The plan for {2, 3} is already in the plan for {1, 2, 3}")
    return fig


def rps_spiral(theme: Theme) -> Figure:
    """A closed orbit of rock, paper, scissors and the same start in steps of 0.3."""
    payoff = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]])
    corners = np.array([[0.5, 0.75**0.5], [0, 0], [1, 0]])
    flow, steps = [np.array([0.5, 0.25, 0.25])], [np.array([0.5, 0.25, 0.25])]
    for _ in range(1_250):  # time 12.5, a little more than once around
        x = flow[-1]
        middle = x + 0.005 * x * (payoff @ x)
        flow.append(x + 0.01 * middle * (payoff @ middle))
    for _ in range(90):
        grown = steps[-1] * np.exp(0.3 * (payoff @ steps[-1]))
        steps.append(grown / grown.sum())

    fig, ax = plt.subplots()
    ax.fill(*corners.T, facecolor="none", edgecolor=theme.line, linewidth=1)
    ax.plot(*(np.array(steps) @ corners).T, ".-", color=theme.soft, linewidth=0.8, markersize=4)
    ax.plot(*(np.array(flow) @ corners).T, color=theme.mark, linewidth=2.4)
    ax.plot(*(steps[0] @ corners), "o", color=theme.ink, markersize=7)
    ax.plot(*corners.mean(axis=0), "+", color=theme.ink, markersize=9)
    for corner, name, side in zip(corners, ("all rock", "all paper", "all scissors"), ("center", "right", "left"), strict=True):
        shift = (0, 6) if side == "center" else (-6 if side == "right" else 6, -3)
        ax.annotate(name, corner, shift, textcoords="offset points", ha=side, color=theme.ink)
    style = {"xycoords": "data", "va": "center"}
    ax.annotate("smooth flow:\nthe product stays", (1.02, 0.62), color=theme.mark, **style)
    ax.annotate("steps of 0.3:\nit falls every time", (1.02, 0.42), color=theme.soft, **style)
    ax.set_aspect("equal")
    ax.set(xlim=(-0.25, 1.5), ylim=(-0.06, 0.96))
    ax.axis("off")
    ax.set_title("The flow closes, the steps spiral out")
    return fig


def same_signal(theme: Theme) -> Figure:
    """What an agent's own night and what the others cause in its payment, for four payments."""
    bar = collectives.BarProblem(168, collectives.UNIFORM, c=6)
    names = "team_game", "wonderful_life", "aristocrat", "uniform_division"
    fig, ax = plt.subplots()
    for row, name in enumerate(names):
        private, _ = collectives.sample_moves(bar, getattr(collectives, name), mixtures=400, seed=0)
        own, others = private.mean(axis=-1).var(axis=-1).mean(), private.var(axis=-1).mean()
        ax.plot([own, others], [row, row], color=theme.line, linewidth=3, zorder=0)
        for size, colour, what in ((own, theme.mark, "own night"), (others, theme.soft, "all others")):
            ax.plot(size, row, "o", color=colour, markersize=9)
            text = f"{what}\n{size:.3f}" if row == 0 else f"{size:.3f}"
            ax.annotate(text, (size, row), (0, 9), textcoords="offset points", ha="center", va="bottom", color=colour)
    ax.set(xscale="log", xlim=(0.002, 2), ylim=(3.5, -1), yticks=range(4), xlabel="variance of the payment, by its cause")
    ax.set_yticklabels([name.replace("_", " ") for name in names], color=theme.ink)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.set_title("Two payments keep the signal and drop the noise")
    return fig


def six_good_nights(theme: Theme) -> Figure:
    """The worth of a night by its guests, with the best week and the even one."""
    x = np.linspace(0, 140, 701)
    fig, ax = plt.subplots()
    ax.plot(x, x * np.exp(-x / 6), color=theme.line, linewidth=1.8, zorder=0)
    for guests, colour in ((6, theme.mark), (132, theme.mark), (24, theme.ink)):
        ax.plot(guests, guests * np.exp(-guests / 6), "o", color=colour, markersize=8, clip_on=False)
    style = {"textcoords": "offset points", "va": "center"}
    ax.annotate("best week, six nights: 6 guests, worth 2.21 each", (6, 6 * np.exp(-1)), (12, 2), color=theme.mark, **style)
    ax.annotate("best week, the seventh:\n132 guests, worth nothing", (132, 0), (6, 26), color=theme.mark, ha="right", **style)
    ax.annotate("even week, all seven nights:\n24 guests, worth 0.44 each", (24, 24 * np.exp(-4)), (14, 12), color=theme.ink, **style)
    ax.set(xlim=(0, 145), ylim=(0, 2.45), xlabel="guests on a night", ylabel="worth of the night")
    ax.set_title("Six nights are saved by giving up the seventh")
    return fig


def _meeting(ax: Axes, x: float, y: float, moves: str, theme: Theme, alpha: float = 1) -> None:
    """A square for one meeting: its letters are the moves, its colour says who cooperates."""
    colour = {"CC": "#009E73", "DC": "#E69F00", "CD": "#56B4E9", "DD": theme.line}[moves]
    ax.fill([x, x + 1, x + 1, x], [y, y, y + 1, y + 1], color=colour, alpha=alpha, linewidth=0)
    ink = theme.ink if moves == "DD" or alpha < 1 else "black"
    ax.text(x + 0.5, y + 0.5, f"{moves[0]} {moves[1]}", ha="center", va="center", color=ink, fontsize=8.5)


def who_cooperates(theme: Theme) -> Figure:
    """The nine modal agents against each other, the best earner first."""
    nine = [name for name in MODAL_AGENTS if name not in ("DUPOC", "WaitFairBot")]
    moves = modal_tournament({name: MODAL_AGENTS[name] for name in nine})
    pays = dict(zip(("CC", "CD", "DC", "DD"), PAYOFFS, strict=True))
    earned = {a: sum(pays[moves[a, b]] for b in nine) for a in nine}
    nine.sort(key=lambda name: -earned[name])
    fig, ax = plt.subplots(figsize=(6.6, 4.6))
    for y, a in enumerate(nine):
        for x, b in enumerate(nine):
            _meeting(ax, x, y, moves[a, b], theme)
        ax.text(-0.2, y + 0.5, a, ha="right", va="center", color=theme.ink)
        ax.text(9.3, y + 0.5, f"{earned[a]:.0f}", ha="left", va="center", color=theme.ink)
        ax.text(y + 0.5, -0.2, a, ha="left", va="bottom", rotation=38, color=theme.ink, fontsize=8.5)
    ax.text(9.3, -0.2, "earned", ha="left", va="bottom", color=theme.soft, fontsize=8.5)
    for k, (text, sample) in enumerate({"both cooperate": "CC", "the row exploits": "DC", "the row is exploited": "CD", "both defect": "DD"}.items()):
        _meeting(ax, 10.8, 1.7 + 1.3 * k, sample, theme)
        ax.text(12.1, 2.2 + 1.3 * k, text, ha="left", va="center", color=theme.ink, fontsize=8.5)
    ax.vlines(range(10), 0, 9, color=theme.soft, linewidth=0.3)
    ax.hlines(range(10), 0, 9, color=theme.soft, linewidth=0.3)
    ax.set(xlim=(-3.2, 16.2), ylim=(9.1, -2.6))
    ax.axis("off")
    ax.set_title("The prudent win by a point, the trusting come last")
    return fig


def world_by_world(theme: Theme) -> Figure:
    """Moves of six pairs of modal agents in the worlds 0 to 5."""
    naive = provable(THEY_COOPERATE) & provable(~they_cooperate_with("DefectBot"))
    meetings = {
        "FairBot, FairBot": ("FairBot", "FairBot"),
        "FairBot, DefectBot": ("FairBot", "DefectBot"),
        "CUPOD, CUPOD": ("CUPOD", "CUPOD"),
        "PrudentBot, CooperateBot": ("PrudentBot", "CooperateBot"),
        "naive PrudentBot, its copy": (naive, naive),
        "TrollBot, WaitFairBot": ("TrollBot", "WaitFairBot"),
    }
    fig, ax = plt.subplots(figsize=(6, 3.4))
    for y, (name, pair) in enumerate(meetings.items()):
        trace = ["".join(moves) for moves in modal_trace(*pair)]
        for n in range(6):
            _meeting(ax, n, y, trace[min(n, len(trace) - 1)], theme, alpha=1 if n < len(trace) else 0.35)
        ax.text(-0.2, y + 0.5, name, ha="right", va="center", color=theme.ink)
        ax.text(6.2, y + 0.5, "…", va="center", color=theme.soft)
    for n in range(6):
        ax.text(n + 0.5, -0.25, f"world {n}", ha="center", va="bottom", color=theme.soft, fontsize=8.5)
    ax.vlines(range(7), 0, 6, color=theme.soft, linewidth=0.3)
    ax.hlines(range(7), 0, 6, color=theme.soft, linewidth=0.3)
    ax.set(xlim=(-3.6, 6.6), ylim=(6.1, -0.8))
    ax.axis("off")
    ax.set_title("World 0 believes everything, and is not the answer")
    return fig


def when_to_ask(theme: Theme) -> Figure:
    """What a trial of strangers is worth against staying alone, by how many later stages count."""
    problem, joint = beliefs.TeamProblem(), beliefs.joint_prior([(0.5, 0.3, 0.2)] * 4)
    mine, H = problem.own[0], np.geomspace(0.03, 40, 200)
    fig, ax = plt.subplots()
    ax.axhline(0, color=theme.line, linewidth=1.2)
    for own, quality in enumerate(problem.qualities):
        cases = problem.possible(np.array([[own, 0, 0, 0, 0]]))[0, 0]
        worth = problem.shares[mine][:, None] * problem.chances[mine][:, cases]
        safe = (worth[:3] @ joint).max()
        up, down = np.maximum(worth[3:] - safe, 0) @ joint, np.maximum(safe - worth[3:], 0) @ joint
        best = (up / down).argmax()
        start = down[best] / up[best] - 1
        ax.plot(H, (1 + H) * up[best] - down[best], color=theme.ink, linewidth=1.8)
        ax.plot(start, 0, "o", color=theme.mark, markersize=7)
        ax.annotate(f"quality {quality:.0f}\nfrom H = {start:.2f}", (start, 0), (-8, 8), textcoords="offset points", ha="right", color=theme.mark)
    for h, name in ((1, "gain counted once"), (0.97 / 0.03, "γ / (1 − γ)")):
        ax.axvline(h, color=theme.line, linewidth=1, linestyle="--", zorder=0)
        ax.annotate(name, (h, -2.15), (-4, 0), textcoords="offset points", ha="right", va="bottom", color=theme.soft)
    ax.set(xscale="log", xlim=(0.03, 40), ylim=(-2.2, 3), xticks=[0.1, 1, 10], xlabel="later stages that count, H")
    ax.set_xticklabels(["0.1", "1", "10"])
    ax.set_ylabel("best trial, less staying alone")
    ax.set_title("Three agents, three patiences: a trial pays above the line")
    return fig


def belief_triangle(theme: Theme) -> Figure:
    """What one agent believes about each of its four partners, through a hundred stages."""
    problem, types, seen = beliefs.TeamProblem(), np.array([[2, 2, 1, 0, 2]]), []

    def watched(outlook: beliefs.Outlook, rng: np.random.Generator) -> beliefs.Vector:
        seen.append(beliefs.marginals(outlook.belief[0, 0], 3))
        return beliefs.value_of_information(outlook)

    beliefs.play_season(problem, types, problem.beliefs(types, (0.5, 0.3, 0.2)), watched, seed=0)
    corners = np.array([[0, 0], [0.5, 0.75**0.5], [1, 0]])
    fig, ax = plt.subplots()
    ax.fill(*corners.T, facecolor="none", edgecolor=theme.line, linewidth=1)
    for partner, path in enumerate(np.array(seen).transpose(1, 0, 2) @ corners, start=1):
        colour, quality = COLOURS[partner], 2 * types[0, partner]
        told = "" if np.ptp(path, axis=0).max() > 1e-9 else ": never asked"
        ax.plot(*path.T, color=colour, linewidth=1.4, marker=MARKERS[partner], markersize=4, alpha=0.85)
        ax.annotate(f"agent {partner + 1}, in truth {quality}{told}", (1.02, 0.72 - 0.1 * partner), color=colour, annotation_clip=False)
        ax.plot(*path[-1], MARKERS[partner], color=colour, markersize=11 - partner, zorder=3)
    ax.plot(*path[0], ".", color=theme.ink, markersize=4, zorder=4)
    ax.annotate("prior", path[0], (2, -9), textcoords="offset points", ha="center", va="top", color=theme.ink)
    for corner, name, shift in zip(corners, ("surely 0", "surely 2", "surely 4"), ((-6, -4), (0, 7), (6, -4)), strict=True):
        side = ("right", "center", "left")[int(2 * corner[0])]
        ax.annotate(name, corner, shift, textcoords="offset points", ha=side, color=theme.ink)
    ax.set_aspect("equal")
    ax.set(xlim=(-0.25, 1.6), ylim=(-0.08, 0.96))
    ax.axis("off")
    ax.set_title("Two partners found, one ruled out, one never asked")
    return fig


def thirty_strangers(theme: Theme) -> Figure:
    """Cross-play of thirty agents in the lever game: self-play beside other-play, best of ten starts."""
    page = "white" if theme.name == "light" else "#15171b"
    shades = LinearSegmentedColormap.from_list("pay", [page, theme.mark])
    fig, axes = plt.subplots(1, 2, figsize=(6, 3.5))
    for ax, names, title in zip(axes, (evaluation.ALL_DIFFERENT, evaluation.ALIKE), ("self-play", "other-play"), strict=True):
        policies = evaluation.best_of_restarts(names, agents=30, restarts=10, seed=4)
        order = np.argsort(policies.argmax(axis=1), kind="stable")
        matrix = evaluation.match_matrix(policies[order])
        ax.imshow(matrix, cmap=shades, vmin=0, vmax=1, interpolation="none")
        report = evaluation.summarise_cross_play(matrix)
        ax.set_title(f"{title}: with itself {report.self_play:.2f},\nwith the others {report.cross_play:.2f}", fontsize=10)
        ax.set(xlabel="partner", ylabel="agent" if ax is axes[0] else "", xticks=[0, 29], yticks=[0, 29])
        ax.set_xticklabels(["1", "30"])
        ax.set_yticklabels(["1", "30"])
        ax.spines[["top", "right"]].set_visible(True)
    return fig


def other_play_valley(theme: Theme) -> Figure:
    """What other-play pays for each probability of the tenth lever, with the two ends of learning."""
    p = np.linspace(0, 1, 401)
    edge = 10 / 91

    def worth(q: np.ndarray | float) -> np.ndarray | float:
        return 0.9 * q**2 + (1 - q) ** 2 / 9

    fig, (wide, near) = plt.subplots(1, 2, width_ratios=(3, 2))
    for ax in (wide, near):
        left, right = p[p <= edge], p[p >= edge]
        ax.plot(left, worth(left), color=theme.soft, linewidth=2.2)
        ax.plot(right, worth(right), color=theme.mark, linewidth=2.2)
        ax.plot(edge, worth(edge), "o", color=theme.ink, markersize=6, zorder=3)
        ax.set_xlabel("probability of the tenth lever")
    style = {"textcoords": "offset points", "va": "center"}
    wide.plot([0, 1], [1 / 9, 0.9], "s", color=theme.ink, markersize=6, clip_on=False)
    wide.annotate("31 % of random starts\nend here: 0.9", (1, 0.9), (-10, -4), ha="right", color=theme.mark, **style)
    wide.annotate("all others\nend here: 1/9", (0, 1 / 9), (6, 30), color=theme.soft, **style)
    wide.annotate("edge, 0.1099", (edge, worth(edge)), (8, -12), color=theme.ink, **style)
    wide.set(xlim=(0, 1), ylim=(0, 1), ylabel="earned with a renamed copy")
    wide.set_title("Two hills and a valley")
    fine = np.linspace(0.07, 0.15, 200)
    near.set(xlim=(0.08, 0.14), ylim=(0.0985, 0.1012), xticks=(0.08, 0.1, 0.12, 0.14))
    near.plot(fine[fine <= edge], worth(fine[fine <= edge]), color=theme.soft, linewidth=2.2)
    near.plot(fine[fine >= edge], worth(fine[fine >= edge]), color=theme.mark, linewidth=2.2)
    near.plot(0.1, worth(0.1), "D", color=theme.ink, markersize=6, zorder=3)
    near.annotate("uniform\nstart", (0.1, worth(0.1)), (6, 36), color=theme.ink, ha="center", **style)
    near.annotate("edge", (edge, worth(edge)), (4, -10), color=theme.ink, **style)
    near.set_title("The valley from close by")
    return fig


def first_step(theme: Theme) -> Figure:
    """The first step of three rules from a coin toss, by the closed form of chapter 09."""
    w, gamma, benefit, cost = 6.0, 0.96, 2.0, 1.0
    selfish = -cost / 4 * np.array([1, w, w, w, w])
    lean = gamma * (1 + 4 * w**2) / 128 * np.array([0, 1, -1, 1, -1])
    steps = {"naive": selfish, "LookAhead": selfish + cost**2 * lean, "LOLA": selfish + benefit**2 * lean}
    states = "start", "CC", "CD", "DC", "DD"
    fig, ax = plt.subplots()
    for group, (name, step) in enumerate(steps.items()):
        x = 6.5 * group + np.arange(5)
        ax.bar(x, step, width=0.8, color=[theme.mark if d > 0 else theme.line for d in step])
        for place, d, state in zip(x, step, states, strict=True):
            up = d > 0
            ax.text(place, d + (0.15 if up else -0.15), f"{d:+.2f}", ha="center", va="bottom" if up else "top", fontsize=7)
            style = {"ha": "center", "va": "top" if up else "bottom", "color": theme.soft, "fontsize": 8}
            ax.text(place, -0.15 if up else 0.15, state, **style)
        ax.text(6.5 * group + 2, 4.1, name, ha="center", fontsize=11, color=theme.ink)
    ax.axhline(0, color=theme.soft, linewidth=1)
    ax.set(ylim=(-6.8, 4.6), xticks=[], ylabel="change of the logit of C")
    ax.spines["bottom"].set_visible(False)
    ax.set_title("Look-ahead leans towards tit for tat, shaping gets there")
    return fig


def shaping_rates(theme: Theme) -> Figure:
    """Share of cooperating pairs over both rates, as stored, for two rules."""
    path = OUT.parents[1] / "notebooks" / "artefacts" / "09_opponent_shaping" / "shaping_rates.json"
    parts = list(json.loads(path.read_text(encoding="utf-8"))["results"].values())
    alphas, etas = parts[0]["alphas"], parts[0]["etas"]
    fig, axes = plt.subplots(1, 2, sharey=True, figsize=(6, 3.3))
    for ax, name, shown, edge in zip(axes, ("lookahead", "lola"), ("LookAhead", "LOLA"), (1.379, 0.345), strict=True):
        share = np.mean([part[f"{name} 1000"] for part in parts], axis=0)
        mesh = ax.imshow(share, cmap="cividis", vmin=0, vmax=1, aspect="auto", origin="lower")
        ax.axvline(4 * np.log10(edge / etas[0]), color="#e69f00", linestyle="--", linewidth=1.5)
        ax.set_xticks(range(0, 13, 2), [f"{eta:.2g}" for eta in etas[::2]])
        ax.set_yticks(range(5), [f"{alpha:.2g}" for alpha in alphas])
        ax.set(xlabel="η, rate expected of the other")
        ax.set_title(shown, fontsize=9.5, pad=4)
    axes[0].set(ylabel="α, own rate")
    bar = fig.colorbar(mesh, ax=axes, ticks=[0, 0.5, 1], pad=0.02)
    bar.ax.set_yticklabels(["0 %", "50 %", "100 %"])
    bar.outline.set_visible(False)
    fig.suptitle("Shaping cooperates where the first step says; looking ahead needs more", x=0.02, ha="left", fontsize=11, color=theme.ink)
    return fig


def three_looks(theme: Theme) -> Figure:
    """Where an aircraft is, with 95 % probability, as none to three radars look at it."""
    sites = [[0.5, 1], [8.5, 0.5], [5, 8]]
    network = tracking.RadarNetwork(sites, [[0.3, 0.015]] * 3, [0.035] * 3, [0.02], [1])
    tracks = tracking.Tracks([[4.5, 3.5, 0, 0]], np.diag([1.2, 1.2, 0.05, 0.05])[None])
    looks, prior = tracking.information(network, tracks)[0], np.linalg.inv(tracks.covariance[0, :2, :2])
    circle = np.linspace(0, 2 * np.pi, 200)
    fig, axes = plt.subplots(1, 4, figsize=(7.4, 2.7), sharex=True, sharey=True)
    for used, (ax, name) in enumerate(zip(axes, ("nobody looks", "one radar", "two", "three"))):
        covariance = np.linalg.inv(prior + looks[:used].sum(axis=0))
        x, y = np.sqrt(5.99) * np.linalg.cholesky(covariance) @ [np.cos(circle), np.sin(circle)] + [[4.5], [3.5]]
        ax.fill(x, y, facecolor=theme.mark, alpha=0.25, edgecolor=theme.mark)
        for r, (east, north) in enumerate(sites):
            on = r < used
            if on:
                ax.plot([east, 4.5], [north, 3.5], color=COLOURS[r], linewidth=1, linestyle=":")
            ax.plot(east, north, MARKERS[r], color=COLOURS[r] if on else theme.line, markersize=8)
        ax.set_title(name, fontsize=10)
        area = np.pi * 5.99 * np.sqrt(np.linalg.det(covariance))
        ax.text(4.5, -1.2, f"{area:.2f} km²", ha="center", va="center", color=theme.soft)
        ax.set(aspect="equal", xlim=(-0.5, 9.5), ylim=(-2, 9))
        ax.axis("off")
    return fig


def radars_at_work(theme: Theme) -> Iterator[Figure]:
    """Frames of an animation: six radars share out five aircraft by Shapley's split, 30 steps."""
    rng, circle = np.random.default_rng(7), np.linspace(0, 2 * np.pi, 80)
    network = tracking.draw_network(6, 5, seed=rng)
    states, tracks = tracking.draw_targets(5, seed=rng)
    partition = 63, 0, 0, 0, 0
    for _ in range(30):
        expected = tracking.predict(network, tracks)
        partition = settle(tracking.divide(tracking.coalition_worths(network, expected), "shapley"), partition, seed=rng).partition
        states, shaken = tracking.move(network, states, rng)
        looks = tracking.look(network, states, partition, rng, shaken=shaken)
        for shown, beams in ((expected, False), (tracks := tracking.update(network, expected, looks), True)):
            fig, ax = plt.subplots(figsize=(4.2, 4.2))
            for mean, covariance in zip(shown.mean, shown.covariance):
                x, y = np.sqrt(5.99) * np.linalg.cholesky(covariance[:2, :2]) @ [np.cos(circle), np.sin(circle)] + mean[:2, None]
                ax.fill(x, y, facecolor=theme.mark, alpha=0.25, edgecolor=theme.mark)
            ax.plot(*states[:, :2].T, "x", color=theme.ink, markersize=5)
            for r, site in enumerate(network.sites):
                ax.plot(*site, MARKERS[r], color=COLOURS[r], markersize=8)
                if beams:
                    ax.plot(*np.stack([site, tracks.mean[looks.target[r], :2]]).T, color=COLOURS[r], linewidth=1, linestyle=":")
            ax.set(aspect="equal", xlim=(-0.5, 10.5), ylim=(-0.5, 10.5))
            ax.axis("off")
            yield fig


def write_animation(path: Path, theme: Theme, frames: Iterator[Figure], duration: Sequence[int]) -> None:
    """Write frames as a GIF on the page's own background; the durations, in milliseconds, are gone through again and again."""
    page, images = "#ffffff" if theme.name == "light" else "#15171b", []
    for fig in frames:
        data = BytesIO()
        fig.savefig(data, format="png", dpi=80, facecolor=page, transparent=False, metadata={"Software": None})
        plt.close(fig)
        images.append(Image.open(data).convert("RGB").quantize(48, dither=Image.Dither.NONE))
    times = [duration[k % len(duration)] for k in range(len(images))]
    images[0].save(path, save_all=True, append_images=images[1:], duration=times, loop=0, optimize=False)


def three_splits(theme: Theme) -> Figure:
    """The opening example of chapter 05: equal split, Shapley value, and what bargainers expect."""
    v = TUGame([0, 0, 0, 0.76, 0, 0.24, 0.01, 0.88], players=("carrier 1", "carrier 2", "carrier 3"))
    waiting = bargaining.stationary_equilibrium(torch.tensor(v.values)[None]).waiting[0].numpy()
    splits = {"equal split": np.full(3, 0.88 / 3), "Shapley value": shapley(v), "bargained": waiting * 0.88 / waiting.sum()}
    fig, ax = plt.subplots()
    core_triangle(v, splits, ax=ax)
    for text in ax.texts:
        text.set_color(theme.ink)
    for patch in ax.patches:
        if patch.get_facecolor()[3] == 0:  # the triangle; the core keeps its colour
            patch.set_edgecolor(theme.soft)
    ax.set_title("Equal, bargained and fair are three different splits")
    return fig


def cannot_count(theme: Theme) -> Figure:
    """One, two and four equal neighbours; what is due, what a sum says, what an average says."""
    fig, (top, low) = plt.subplots(2, 1, height_ratios=(1.0, 1.15))
    counts = (1, 2, 4)
    for x, k in enumerate(counts):
        around = np.linspace(0, 2 * np.pi, k, endpoint=False) + np.pi / 2
        for angle in around:
            at = (x + 0.2 * np.cos(angle), 0.85 * np.sin(angle))
            top.plot([x, at[0]], [0, at[1]], color=theme.line, linewidth=1.5, zorder=0)
            top.plot(*at, "o", color=theme.soft, markersize=8)
        top.plot(x, 0, "o", color=theme.mark, markersize=11)
    top.set(xlim=(-0.5, 2.9), ylim=(-1.35, 1.35))
    top.axis("off")
    due = np.array(counts) / 2
    lines = {
        "a sum over neighbours": (due, "-", theme.mark, 5),
        "what is due": (due, "--", theme.ink, 1.5),
        "an average of them": (due * 0 + 0.5, "-", theme.soft, 2),
    }
    for name, (y, style, colour, width) in lines.items():
        low.plot(range(3), y, style, color=colour, linewidth=width)
        down = -6 if name == "a sum over neighbours" else 4 if name == "what is due" else 0
        low.annotate(name, (2, y[-1]), (7, down), textcoords="offset points", color=colour, va="center")
    low.set(xlim=(-0.5, 2.9), ylim=(0, 2.3), xticks=range(3), yticks=(0, 1, 2), ylabel="claim")
    low.set_xlabel("equal neighbours, each saving 1 with the agent")
    low.set_xticklabels(counts)
    low.spines["bottom"].set_bounds(-0.5, 2.2)
    fig.suptitle("Only a sum knows how many there are", x=0.02, ha="left", fontsize=11, color=theme.ink)
    return fig


def one_negotiation(theme: Theme) -> Iterator[Figure]:
    """60 carriers that name partners, round by round: the frames."""
    market = negotiation.make_market(negotiation.draw_carriers(1, 60, seed=5))
    depots = negotiation.draw_carriers(1, 60, seed=5)[0, :, 0].numpy()
    scorer = negotiators.new_scorer(6, as_generator(0))
    negotiators.load_weights(OUT.parents[1] / "notebooks/artefacts/05_gain_sharing/imitator_0.safetensors", scorer)
    with torch.no_grad():
        when = negotiation.naming_protocol(market, scorer.double(), bars=(2.0, 1.0, 0.0, -1.0)).when.numpy()
    teams = [[i for i in row if i < 60] for row in market.members.tolist()]
    last = int(when.max()) + 1
    for frame in (0, *range(1, last + 1), last):
        fig, ax = plt.subplots(figsize=(6, 4.4))
        ax.axis("off")
        ax.set_aspect("equal")
        for row, team in enumerate(teams):
            around = depots[[*team, team[0]]]
            if frame == 0:
                ax.plot(*around.T, color=theme.line, linewidth=0.4, zorder=0)
            elif 0 <= when[row] < frame:
                colour = COLOURS[int(when[row]) % 6]
                ax.fill(*around.T, facecolor=colour, alpha=0.35, edgecolor=colour, linewidth=2.4)
        ax.plot(*depots.T, "o", color=theme.ink, markersize=4)
        together = sum(len(team) for row, team in enumerate(teams) if 0 <= when[row] < frame)
        ax.set_title(f"round {frame}: {together} of 60 have partners" if frame else "60 carriers, and every coalition on somebody's list")
        yield fig


def crowd_pay(theme: Theme) -> Figure:
    """What one more helper is paid at the specialist's site, under three divisions of the reward."""
    helpers = np.arange(1, 7)
    rules = {
        "equal split": (1 / (helpers + 1), theme.soft, "s"),
        "Shapley": (1 / (helpers * (helpers + 1)), theme.ink, "^"),
        "nucleolus": (np.where(helpers == 1, 0.5, 0.0), theme.mark, "o"),
    }
    fig, ax = plt.subplots()
    ax.axhline(0.15, color=theme.line, linestyle="--", linewidth=1.4, zorder=0)
    ax.annotate("a little job pays 0.15", (4.2, 0.15), (0, -5), textcoords="offset points", ha="center", va="top", color=theme.soft)
    for pay, colour, marker in rules.values():
        ax.plot(helpers, pay, marker + "-", color=colour, linewidth=1.8, markersize=7, clip_on=False)
    for name, place, shift in (("equal split", (3, 0.25), (8, 6)), ("Shapley", (2, 1 / 6), (9, 8)), ("nucleolus", (2, 0.0), (12, 8))):
        ax.annotate(name, place, shift, textcoords="offset points", ha="left", color=rules[name][1])
    ax.set(xlim=(0.8, 6.2), ylim=(0, 0.55), xticks=helpers)
    ax.set(xlabel="helpers at the specialist's site, of whom one is needed", ylabel="pay of each helper")
    ax.set_title("The nucleolus stops paying when the second helper comes")
    return fig


def nucleolus_cycle(theme: Theme) -> Figure:
    """Change per iteration of the nucleolus operator on the three-state example, with full and half steps."""
    fig, ax = plt.subplots()
    cases = {
        "its own successor for each coalition": (1, False, theme.mark),
        "the same, half steps": (0.5, False, theme.ink),
        "one successor for all": (1, True, theme.soft),
    }
    for name, (step, shared, colour) in cases.items():
        x, changes = np.zeros((3, 3)), []
        follows = CYCLE_SUCCESSORS
        if shared:
            follows = np.repeat(follows[:, -1:], 8, axis=1)
        for _ in range(300):
            there = (1 - step) * x + step * credit_backup(CYCLE_REWARDS, follows, x, 0.95)
            changes.append(np.abs(there - x).max())
            x = there
        ax.plot(np.arange(1, 301), changes, color=colour, linewidth=1.8)
        side = "left" if changes[-1] < 1 else "center"
        ax.annotate(name, (200, changes[200]), (4, 6), textcoords="offset points", ha=side, va="bottom", color=colour)
    ax.set(yscale="log", xlim=(0, 305), ylim=(1e-8, 30), xlabel="iteration", ylabel="largest change")
    ax.set_title("Where coalitions part ways, the operator need not settle")
    return fig


def generosity_bound(theme: Theme) -> Figure:
    """Learned reactions of 20 runs for five discount factors, and the bound c / (b gamma (1 - tremble))."""
    path = OUT.parents[1] / "notebooks" / "artefacts" / "10_social_preferences" / "uncertainty.json"
    runs = read_artefact(path)["results"].values()
    fig, ax = plt.subplots()
    gamma = np.linspace(0.56, 0.97, 200)
    ax.plot(gamma, 0.5 / gamma / 0.95, "--", color=theme.ink, linewidth=1.5, zorder=0)
    for x in (0.6, 0.7, 0.8, 0.9, 0.95):
        policies = [run["as published" if x == 0.9 else f"gamma {x}"]["policy"] for run in runs]
        react = [(p[1] + p[3] - p[2] - p[4]) / 2 for p in policies]
        apart = x + 0.004 * np.linspace(-1, 1, len(react))  # side by side, or they hide each other
        ax.plot(apart, react, "o", color=theme.mark, markersize=4, alpha=0.7, markeredgewidth=0)
    ax.annotate("bound: help pays above it", (0.71, 0.5 / 0.71 / 0.95), (8, 34), textcoords="offset points", color=theme.ink,
                arrowprops={"arrowstyle": "-", "color": theme.line})
    ax.annotate("20 learned policies", (0.605, 0.93), (12, 6), textcoords="offset points", color=theme.mark)
    ax.set(xlim=(0.56, 0.97), ylim=(0.2, 1.05), xlabel="weight of the next round, γ")
    ax.set_ylabel("help after help, less help after none")
    ax.set_title("They punish about as much as it takes")
    return fig


def buddies(theme: Theme) -> Figure:
    """Who chose whom in four rounds of Prisoner's Buddy, after training under uncertain preferences."""
    path = OUT.parents[1] / "notebooks" / "artefacts" / "10_social_preferences" / "teams.json"
    actions = np.array(read_artefact(path)["results"][0]["uncertain"]["episode"])
    angle = np.pi / 2 - 2 * np.pi * np.arange(5) / 5
    place = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    fig, axes = plt.subplots(1, 4, figsize=(6, 2.1))
    for ax, t in zip(axes, (0, 3, 6, 15), strict=True):
        chosen = [(i + a) % 5 if a else i for i, a in enumerate(actions[t])]
        for i, j in enumerate(chosen):
            ax.plot(*place[i], MARKERS[i], color=COLOURS[i], markersize=10)
            if i != j:
                mutual = chosen[j] == i
                arrow = {"arrowstyle": "-" if mutual else "->", "lw": 3 if mutual else 1, "shrinkA": 8, "shrinkB": 8}
                ax.annotate("", place[j], place[i], arrowprops=arrow | {"color": theme.ink if mutual else theme.soft})
        ax.set(xlim=(-1.4, 1.4), ylim=(-1.4, 1.4), aspect="equal")
        ax.set_title(f"round {t + 1}", fontsize=9.5, loc="center")
        ax.axis("off")
    return fig


FIGURES = (
    *(intro_wall, rps_spiral, core_of_taxis, three_walls, one_table_of_tours, same_signal, six_good_nights),
    *(who_cooperates, world_by_world),
    *(when_to_ask, belief_triangle),
    *(thirty_strangers, other_play_valley),
    *(first_step, shaping_rates),
    *(three_looks,),
    *(three_splits, cannot_count),
    *(crowd_pay, nucleolus_cycle),
    *(generosity_bound, buddies),
)


def main() -> None:
    """Write every figure for every theme."""
    OUT.mkdir(exist_ok=True)
    for draw in FIGURES:
        for theme in THEMES:
            with matplotlib.rc_context(STYLE | theme.colours):
                fig = draw(theme)
                path = OUT / f"{draw.__name__}_{theme.name}.svg"
                fig.savefig(path, metadata={"Date": None, "Creator": None})
                plt.close(fig)
                print(path.relative_to(OUT.parent))
    for theme in THEMES:
        with matplotlib.rc_context(STYLE | theme.colours):
            for draw, duration in ((radars_at_work, (500, 900)), (one_negotiation, (1200,))):
                path = OUT / f"{draw.__name__}_{theme.name}.gif"
                write_animation(path, theme, draw(theme), duration)
                print(path.relative_to(OUT.parent))


if __name__ == "__main__":
    main()
