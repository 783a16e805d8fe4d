"""How long the labs take, from the start of their kernels to the last cell."""

from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage

import nbformat
from nbclient import NotebookClient

from benchmarks import head, row

CAPS = (20, 35, 80, 60, 60, 70, 20, 80, 80, 60, 80, 45)
"""Processor seconds that each lab may take, from the primer on."""


def seconds_of(lab: Path) -> float:
    """Run a lab and return its processor seconds."""
    quiet = ["--IPKernelApp.log_level=ERROR"]  # else it warns of its own transport
    before = getrusage(RUSAGE_CHILDREN)
    where = {"metadata": {"path": str(lab.parent)}}
    NotebookClient(nbformat.read(lab, as_version=4), resources=where, extra_arguments=quiet).execute()
    after = getrusage(RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    head("The labs, processor seconds with one thread", "lab", "takes", "may take")
    spent = []
    for lab, cap in zip(sorted(Path("notebooks").glob("*.ipynb")), CAPS, strict=True):
        spent.append(seconds_of(lab))
        row(lab.stem, round(spent[-1]), cap)
    row("together", round(sum(spent)), 720)
