"""The long runs behind the cached figures of the book: a file for each chapter, a function for each run.

``python -m coalmarl.experiments`` lists them.  ``python -m coalmarl.experiments NAME`` runs one
and writes ``notebooks/artefacts/CHAPTER/NAME.json``, whole or not at all, with the command, the
versions and the commit inside.

An experiment measures one part after the other: a part is a seed, or a number of players.
Every finished part is kept under ``_build/experiments``, so that an interrupted run goes on
where it was, unless the package has changed in between.  What depends on the machine is called
``cpu_seconds`` or ``mebibytes`` in the results; the rest comes out the same anywhere.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Part = dict[str, Any]


@dataclass(frozen=True)
class Run:
    """What the parts of a run have in common.

    Attributes
    ----------
    scale : str
        "small", as in the book, or "paper", for those with more time.
    device : str
        Where torch computes, such as "cpu" or "cuda".
    """

    scale: str = "small"
    device: str = "cpu"


@dataclass(frozen=True)
class Experiment:
    """A long run: what it measures for each of its parts.

    Attributes
    ----------
    chapter : str
        Folder of the artefact.
    measure : callable
        Takes a part and the `Run`, returns what goes into the artefact.
    parts : sequence of int
        The seeds or the numbers of players.
    unit : str
        What a part is: "seeds" or "players".
    """

    chapter: str
    measure: Callable[[int, Run], Part]
    parts: Sequence[int]
    unit: str = "seeds"


def read_artefact(path: str | Path) -> Part:
    """Return what a long run stored.

    Parameters
    ----------
    path : str or Path
        The file, such as ``"artefacts/02_blowup/coverage.json"`` in a lab.

    Returns
    -------
    dict
        "what" was asked, the "command", "versions" and "commit", and the "results" by part.

    Raises
    ------
    ValueError
        If the file is missing; the message says how to make it.

    Examples
    --------
    >>> read_artefact("artefacts/02_blowup/nothing.json")
    Traceback (most recent call last):
    ValueError: expected a stored run at artefacts/02_blowup/nothing.json, got no such file; python -m coalmarl.experiments nothing makes it
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"expected a stored run at {path}, got no such file; python -m coalmarl.experiments {path.stem} makes it")
    record: Part = json.loads(path.read_text(encoding="utf-8"))
    return record | {"results": {int(part): result for part, result in record["results"].items()}}
