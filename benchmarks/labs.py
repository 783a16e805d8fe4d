"""How long the labs take, from the start of their kernels to the last cell."""

from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage

import nbformat
from nbclient import NotebookClient

from benchmarks import head, row

CAPS = (20, 35, 80, 60, 60, 70, 20, 80, 80, 60, 80, 45)
"""Seconds that each lab may take, from the primer on."""


def spent() -> float:
    """Processor seconds of all kernels so far."""
    usage = getrusage(RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    head("The labs, processor seconds with one thread", "lab", "takes", "may take")
    for path, cap in zip(sorted(Path("notebooks").glob("*.ipynb")), CAPS, strict=True):
        before = spent()
        NotebookClient(nbformat.read(path, as_version=4), resources={"metadata": {"path": path.parent}}).execute()
        row(path.stem, round(spent() - before), cap)
    row("together", round(spent()), 720)
