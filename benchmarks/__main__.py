"""Run the benchmarks of the dense games and print one table each: ``make bench``.

Times are CPU seconds, the least of several runs taken in turn, so that both sides meet the
same machine.  ``ratio`` is the peer's time divided by ours: above 1, we are faster.  Every
pair of answers is compared; a difference stops the run.
"""

import sys
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from time import process_time

import coopgame
import numpy as np
from numpy.typing import NDArray
from shapiq import ExactComputer

from coalmarl.coalitions import coalition_sums, sizes
from coalmarl.games import TUGame, weighted_voting
from coalmarl.solutions import banzhaf, nucleolus, shapley, weighted_voting_indices
from coalmarl.structures import best_structure

ELECTORAL_VOTES = (
    [55, 34, 31, 27, 21, 21, 20, 17, 15, 15, 15, 13, 12] + [11] * 4 + [10] * 4 + [9] * 3
    + [8] * 2 + [7] * 4 + [6] * 3 + [5] * 5 + [4] * 5 + [3] * 8
)  # fmt: skip


def cpu(*tasks: Callable[[], object], seconds: float = 1.0) -> list[float]:
    """Least CPU time of each task, run in turn: three times, more within ``seconds``, once if slow."""
    best, start, rounds = [np.inf] * len(tasks), process_time(), 0
    while process_time() - start < (seconds if rounds >= 3 else 60 * seconds) or rounds == 0:
        for k, task in enumerate(tasks):
            begin, repeats = process_time(), 0
            while repeats < 1 or process_time() - begin < 1e-3:  # the clock ticks in microseconds
                task()
                repeats += 1
            best[k] = min(best[k], (process_time() - begin) / repeats)
        rounds += 1
    return best


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
    print("Shapley and Banzhaf values of a dense game, milliseconds")
    print(f"{'n':>4}{'':4}{'coalmarl':>12}{'coopgame-py':>14}{'ratio':>9}{'shapiq':>12}{'ratio':>9}{'x read':>9}")
    for n in (10, 12, 15, 20, 24):
        v = random_game(n)
        game = peer_game(v)
        for name, own, peer in (("phi", shapley, coopgame.shapley), ("beta", banzhaf, coopgame.banzhaf)):
            same(own(v), peer(game), v)
            ours, theirs, read = cpu(partial(own, v), partial(peer, game), v.values.sum)
            row = f"{n:4} {name:5}{1e3 * ours:10.3f}{1e3 * theirs:14.3f}{theirs / ours:9.1f}"
            if name == "phi" and n <= 12:
                same(own(v), shapiq_values(v), v)
                (third,) = cpu(partial(shapiq_values, v))
                row += f"{1e3 * third:12.1f}{third / ours:9.0f}"
            else:
                row += f"{'-':>12}{'-':>9}"
            print(row + f"{ours / read:9.1f}", flush=True)


def bench_nucleolus() -> None:
    print("\nNucleolus, milliseconds")
    print(f"{'n':>4}  {'game':12}{'coalmarl':>12}{'coopgame-py':>14}{'ratio':>9}")
    for n in (5, 8, 10, 12, 15, 18, 20):
        for make in (voting_game, convex_game, sized_game):
            v = make(n)
            game = peer_game(v)
            same(nucleolus(v), coopgame.nucleolus(game)["allocation"], v)
            ours, theirs = cpu(partial(nucleolus, v), partial(coopgame.nucleolus, game))
            print(f"{n:4}  {make.__name__:12}{1e3 * ours:12.1f}{1e3 * theirs:14.1f}{theirs / ours:9.1f}", flush=True)
    for make in (voting_game, convex_game, sized_game):
        v = make(24)
        (ours,) = cpu(partial(nucleolus, v), seconds=0.1)
        print(f"{24:4}  {make.__name__:12}{1e3 * ours:12.0f}{'not run':>14}", flush=True)


def bench_votes() -> None:
    (ours,) = cpu(lambda: weighted_voting_indices(ELECTORAL_VOTES, 270))
    print(f"\nExact indices of {len(ELECTORAL_VOTES)} voters, quota 270: {ours:.3f} s")


def bench_structures() -> None:
    """The peers hold no coalition structures: growth per player is the figure, 3 in theory."""
    print("\nOptimal coalition structure, seconds")
    before = np.nan
    for n in range(16, 23):
        v = TUGame(random_game(n).values * sizes(n))
        (ours,) = cpu(partial(best_structure, v), seconds=0.1)
        print(f"{n:4}{ours:10.2f}" + (f"   x{ours / before:.2f}" if n > 16 else ""), flush=True)
        before = ours


if __name__ == "__main__":
    peers = ", ".join(f"{name} {version(name)}" for name in ("coopgame-py", "shapiq", "numpy", "highspy"))
    print(f"Python {sys.version.split()[0]}, {peers}\n")
    bench_values()
    bench_nucleolus()
    bench_votes()
    bench_structures()
