"""The solvers of dense games beside their peers.

``ratio`` is the peer's time divided by ours: above 1, we are faster.  Every pair of answers is
compared; a difference stops the run.
"""

import platform
import sys
from datetime import date
from functools import partial
from importlib.metadata import version
from pathlib import Path

import coopgame
import numpy as np
from numpy.typing import NDArray
from shapiq import ExactComputer

from benchmarks import cpu, head, row, short
from coalmarl.coalitions import coalition_sums, sizes
from coalmarl.games import TUGame, weighted_voting
from coalmarl.solutions import banzhaf, nucleolus, shapley, weighted_voting_indices
from coalmarl.structures import best_structure

ELECTORAL_VOTES = (
    [55, 34, 31, 27, 21, 21, 20, 17, 15, 15, 15, 13, 12] + [11] * 4 + [10] * 4 + [9] * 3
    + [8] * 2 + [7] * 4 + [6] * 3 + [5] * 5 + [4] * 5 + [3] * 8
)  # fmt: skip


def machine() -> str:
    """The processor's own name, where the system tells it."""
    told = Path("/proc/cpuinfo")
    names = [line.partition(": ")[2] for line in told.read_text().splitlines() if line.startswith("model name")] if told.exists() else []
    return f"an {names[0]}" if names else platform.processor() or platform.machine()


def random_game(n: int) -> TUGame:
    values = np.random.default_rng(n).random(1 << n)
    values[0] = 0
    return TUGame(values)


def voting_game(n: int) -> TUGame:
    weights = np.random.default_rng(n).integers(1, 20, n)
    return weighted_voting(weights, int(weights.sum()) // 2 + 1)


def convex_game(n: int) -> TUGame:
    return TUGame(coalition_sums(np.random.default_rng(n).integers(1, 100, n)) ** 2 / 100)


def sized_game(n: int) -> TUGame:
    """Worths around the coalition's size, players alone worth nothing (Benedek's type 1)."""
    rng = np.random.default_rng(n)
    values = np.floor(100 * sizes(n) * rng.random(1 << n)) + 1
    values[0] = values[1 << np.arange(n)] = 0
    values[-1] = rng.integers(100 * (n - 2), 100 * n)
    return TUGame(values)


def peer_game(v: TUGame) -> coopgame.Game:
    return coopgame.Game(v.values[1:].tolist())


def same(ours: NDArray[np.float64], peers: object, v: TUGame) -> None:
    gap = np.abs(ours - np.asarray(peers)).max() / max(1.0, np.abs(v.values).max())
    if gap > 1e-8:
        sys.exit(f"{v}: the answers differ by {gap:.1e} of the largest worth")


def shapiq_values(v: TUGame) -> NDArray[np.float64]:
    masks = 1 << np.arange(v.n)
    computer = ExactComputer(n_players=v.n, game=lambda rows: v.values[rows.astype(int) @ masks])
    return np.asarray(computer("SV").get_n_order_values(1))


def bench_values() -> None:
    title = "All Shapley and Banzhaf values of a dense game, milliseconds"
    head(title, "n", "value", "coalmarl", "coopgame-py", "ratio", "shapiq", "ratio", "plain read")
    for n in (10, 12, 15, 20, 24):
        v = random_game(n)
        game = peer_game(v)
        for name, own, peer in (("Shapley", shapley, coopgame.shapley), ("Banzhaf", banzhaf, coopgame.banzhaf)):
            same(own(v), peer(game), v)
            ours, theirs, read = cpu(partial(own, v), partial(peer, game), v.values.sum)
            third = np.nan
            if name == "Shapley" and n <= 12:
                same(own(v), shapiq_values(v), v)
                (third,) = cpu(partial(shapiq_values, v))
            others = [short(1e3 * third), short(third / ours)] if third == third else ["", ""]
            row(n, name, short(1e3 * ours), short(1e3 * theirs), short(theirs / ours), *others, short(1e3 * read))


def bench_nucleolus() -> None:
    head("Nucleolus, milliseconds", "n", "game", "coalmarl", "coopgame-py", "ratio")
    for n in (5, 8, 10, 12, 15, 18, 20, 24):
        for name, make in (("voting", voting_game), ("convex", convex_game), ("sized", sized_game)):
            v = make(n)
            if n == 24:
                (ours,) = cpu(partial(nucleolus, v), seconds=0.1)
                row(n, name, short(1e3 * ours), "not run", "")
                continue
            game = peer_game(v)
            same(nucleolus(v), coopgame.nucleolus(game)["allocation"], v)
            ours, theirs = cpu(partial(nucleolus, v), partial(coopgame.nucleolus, game))
            row(n, name, short(1e3 * ours), short(1e3 * theirs), short(theirs / ours))


def bench_structures() -> None:
    """The peers hold no coalition structures: growth per player is the figure, 3 in theory."""
    head("Optimal coalition structure, seconds", "n", "coalmarl", "one player more, times")
    before = np.nan
    for n in range(16, 23):
        v = TUGame(random_game(n).values * sizes(n))
        (ours,) = cpu(partial(best_structure, v), seconds=0.1)
        row(n, short(ours), short(ours / before) if n > 16 else "")
        before = ours


def bench_votes() -> None:
    head("Weighted voting, exact, seconds", "voters", "coalmarl")
    row(len(ELECTORAL_VOTES), short(cpu(lambda: weighted_voting_indices(ELECTORAL_VOTES, 270))[0]))


if __name__ == "__main__":
    peers = ", ".join(f"{name} {version(name)}" for name in ("coopgame-py", "shapiq", "numpy", "highspy"))
    print(f"Measured on {date.today()} with one thread of {machine()}; Python {sys.version.split()[0]}, {peers}.")
    bench_values()
    bench_nucleolus()
    bench_structures()
    bench_votes()
