"""Speed of coalmarl beside its peers, as ratios within one run; never part of the tests.

``make bench`` runs the modules of this package one after another.  Each prints Markdown tables,
which the course's page on performance includes as they are.  Times are processor seconds.
"""

import sys
from collections.abc import Callable
from time import process_time


def cpu(*tasks: Callable[[], object], seconds: float = 1.0, tick: float = 1e-3) -> list[float]:
    """Least time of each task, run in turn: three times, more within ``seconds``, once if slow.

    The tasks take turns so that all of them meet the same machine; a short one is repeated for ``tick`` seconds.
    """
    best, start, rounds = [float("inf")] * len(tasks), process_time(), 0
    while process_time() - start < (seconds if rounds >= 3 else 60 * seconds) or rounds == 0:
        for k, task in enumerate(tasks):
            begin, repeats = process_time(), 0
            while repeats < 1 or process_time() - begin < tick:
                task()
                repeats += 1
            best[k] = min(best[k], (process_time() - begin) / repeats)
        rounds += 1
    return best


def head(title: str, *columns: str) -> None:
    """Begin a table; all columns but the first are numbers."""
    print(f"\n**{title}**\n")
    row(*columns)
    row("---", *["--:"] * (len(columns) - 1))


def row(*cells: object) -> None:
    """One line of a table, shown at once."""
    print("|", " | ".join(str(cell) for cell in cells), "|")
    sys.stdout.flush()


def short(number: float) -> str:
    """Three digits, without an exponent as long as people read on without one."""
    return f"{number:,.0f}" if abs(number) >= 100 else f"{number:.3g}"
