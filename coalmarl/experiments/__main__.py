"""The command line of the long runs."""

import argparse
import hashlib
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # torch reads it when it is first imported; sums depend on it

from coalmarl import experiments  # noqa: E402
from coalmarl.experiments import (  # noqa: E402
    Experiment,
    Part,
    Run,
    blowup,
    collectives,
    credit,
    gain_sharing,
    open_source_games,
    opponent_shaping,
    partner_selection,
    social_preferences,
    stability,
)

CHAPTERS = (
    *(blowup, collectives, partner_selection, gain_sharing, stability),
    *(credit, opponent_shaping, social_preferences, open_source_games),
)
EXPERIMENTS = {name: experiment for chapter in CHAPTERS for name, experiment in chapter.EXPERIMENTS.items()}


def main(arguments: Sequence[str] | None = None) -> None:
    """List the experiments, or run one and write its artefact.

    Parameters
    ----------
    arguments : sequence of str, optional
        What stands on the command line behind the module's name.

    Raises
    ------
    SystemExit
        If there is no such experiment, or a part or the folder does not fit it.

    Examples
    --------
    >>> main([])  # doctest: +ELLIPSIS +NORMALIZE_WHITESPACE
    02_blowup coverage How often do printed 95 % intervals hold the true value? ...
    """
    asked = _parse(sys.argv[1:] if arguments is None else list(arguments))
    if asked.name is None:
        for name, experiment in EXPERIMENTS.items():
            print(f"{experiment.chapter:22}{name:22}{_purpose(experiment)}")
        return
    experiment, run = EXPERIMENTS[asked.name], Run(asked.scale, asked.device)
    target = Path("notebooks") / "artefacts" / experiment.chapter / f"{asked.name}.json"
    if not target.parents[2].is_dir():
        raise SystemExit("expected to find the folder notebooks here; run this at the top of the repository")
    parts = experiment.parts if asked.seeds is None else asked.seeds
    results = dict(_measure(experiment, parts, run, asked.jobs, _kept(asked.name, run)))
    command = " ".join(["python -m coalmarl.experiments", *(sys.argv[1:] if arguments is None else arguments)])
    record = {
        "what": _purpose(experiment),
        "command": command,
        experiment.unit: list(parts),
        "versions": _versions(),
        "commit": _commit(),
        "results": {str(part): results[part] for part in parts},
    }
    _write(target, _one_line_per_entry(record))
    print(f"written: {target}")


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m coalmarl.experiments", description=(experiments.__doc__ or "").split("\n", 1)[0])
    parser.add_argument("name", nargs="?", choices=EXPERIMENTS, metavar="NAME", help="without it: list them")
    parser.add_argument("--seeds", type=_range, metavar="0-9", help="first and last seed")
    parser.add_argument("--scale", choices=("small", "paper"), default="small")
    parser.add_argument("--device", default="cpu", help="where torch computes, such as cuda")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="worker processes")
    asked = parser.parse_args(arguments)
    timed = asked.name is not None and EXPERIMENTS[asked.name].unit == "players"
    if timed and (asked.seeds is not None or asked.jobs != 1):
        parser.error(f"{asked.name} measures time per number of players, one after the other: it takes neither --seeds nor --jobs")
    return asked


def _range(text: str) -> range:
    """Seeds as "3" or "0-9", both ends included."""
    first, _, last = text.partition("-")
    if not first.isdecimal() or not (last or first).isdecimal() or int(last or first) < int(first):
        raise argparse.ArgumentTypeError(f"expected seeds such as 3 or 0-9, got {text!r}")
    return range(int(first), int(last or first) + 1)


def _measure(experiment: Experiment, parts: Sequence[int], run: Run, jobs: int, kept: Path) -> Iterator[tuple[int, Part]]:
    """Every part with its result: those kept from an interrupted run, then the others as they come."""
    from joblib import Parallel, delayed
    from tqdm.auto import tqdm

    missing = [part for part in parts if not (kept / f"{part}.json").exists()]
    for part in set(parts) - set(missing):
        yield part, json.loads((kept / f"{part}.json").read_text())
    if len(missing) < len(parts):
        print(f"{len(parts) - len(missing)} of {len(parts)} parts are there from an interrupted run")
    tasks = (delayed(_one)(experiment.measure, part, run) for part in missing)
    done = Parallel(n_jobs=jobs, return_as="generator_unordered")(tasks)
    for part, result in tqdm(done, total=len(missing), desc="parts"):
        _write(kept / f"{part}.json", json.dumps(result))
        yield part, result


def _one(measure: Callable[[int, Run], Part], part: int, run: Run) -> tuple[int, Part]:
    """A part and its result, as it will be read back."""
    return part, json.loads(json.dumps(measure(part, run), allow_nan=False))


def _one_line_per_entry(record: Part) -> str:
    """JSON with a line for each entry and for each part, so that a change can be read."""
    parts = ",\n  ".join(f"{json.dumps(part)}: {json.dumps(result)}" for part, result in record["results"].items())
    head = "".join(f" {json.dumps(key)}: {json.dumps(value)},\n" for key, value in record.items() if key != "results")
    return f'{{\n{head} "results": {{\n  {parts}\n }}\n}}\n'


def _write(target: Path, text: str) -> None:
    """Write a file whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_suffix(".unfinished")
    unfinished.write_text(text)
    unfinished.replace(target)


def _kept(name: str, run: Run) -> Path:
    """Where parts wait for the others: a folder for this run and this state of the package."""
    sources = sorted(Path(experiments.__file__).parents[1].rglob("*.py"))
    state = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:12]
    return Path("_build") / "experiments" / f"{name}-{run.scale}-{run.device}-{state}"


def _purpose(experiment: Experiment) -> str:
    return (experiment.measure.__doc__ or "").split("\n")[0]


def _versions() -> Part:
    return {"python": platform.python_version(), **{name: version(name) for name in ("coalmarl", "numpy", "torch")}}


def _commit() -> str:
    """The commit of the sources, with a plus sign if they were changed since."""
    folder = Path(experiments.__file__).parents[1]

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=False).stdout.strip()

    changed = git("status", "--porcelain", "--untracked-files=no", "--", ".")
    return (git("rev-parse", "--short", "HEAD") or "unknown") + ("+" if changed else "")


if __name__ == "__main__":
    main()
