"""Long runs: whole or not at all, resumed where they stopped, and what they stored comes out again."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from coalmarl import experiments
from coalmarl.estimation import sample_shapley
from coalmarl.experiments import Experiment, Part, Run
from coalmarl.experiments.__main__ import EXPERIMENTS, main
from coalmarl.experiments.blowup import large_games

ROOT = Path(__file__).resolve().parents[1]
ARTEFACTS = sorted((ROOT / "notebooks" / "artefacts").glob("*/*.json"))
OF_THE_MACHINE = {"cpu_seconds", "mebibytes"}
measured: list[int] = []


def square(part: int, run: Run) -> Part:
    """What is the square?"""
    measured.append(part)
    if part == 3 and run.device == "broken":
        raise KeyboardInterrupt
    return {"square": part**2, "scale": run.scale}


@pytest.fixture
def top(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty repository with one short experiment, to be run from its top."""
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(EXPERIMENTS, "square", Experiment("99_squares", square, range(5)))
    monkeypatch.setitem(EXPERIMENTS, "timed", Experiment("99_squares", square, range(5), "players"))
    measured.clear()
    return tmp_path


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_without_a_name_every_experiment_is_listed_with_its_question(capsys: pytest.CaptureFixture[str]) -> None:
    main([])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(EXPERIMENTS)
    assert all(re.fullmatch(rf"\d\d_\w+ +{name} +.*\?.*", line) for name, line in zip(EXPERIMENTS, lines, strict=True))


def test_an_artefact_says_how_it_was_made(top: Path) -> None:
    main(["square", "--seeds", "2-4", "--scale", "paper"])
    record = json.loads((top / "notebooks/artefacts/99_squares/square.json").read_text())
    assert record["command"] == "python -m coalmarl.experiments square --seeds 2-4 --scale paper"
    assert record["seeds"] == [2, 3, 4] and record["what"] == "What is the square?"
    assert record["results"] == {str(k): {"square": k * k, "scale": "paper"} for k in (2, 3, 4)}
    assert set(record["versions"]) >= {"python", "numpy", "coalmarl"} and record["commit"]


def test_an_interrupted_run_writes_nothing_and_goes_on_where_it_was(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(KeyboardInterrupt):
        main(["square", "--device", "broken"])
    assert measured == [0, 1, 2, 3] and files(top / "notebooks") == []
    monkeypatch.setattr(square, "__code__", (lambda part, run: {"square": part**2, "scale": "late"}).__code__)
    main(["square", "--device", "broken"])
    results = json.loads((top / "notebooks/artefacts/99_squares/square.json").read_text())["results"]
    assert [results[str(k)]["scale"] for k in range(5)] == ["small"] * 3 + ["late"] * 2


def test_parts_of_another_state_of_the_package_are_not_reused(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(KeyboardInterrupt):
        main(["square", "--device", "broken"])
    (top / "changed" / "experiments").mkdir(parents=True)
    (top / "changed" / "experiments" / "__init__.py").write_text("")
    monkeypatch.setattr(experiments, "__file__", str(top / "changed" / "experiments" / "__init__.py"))
    main(["square"])
    assert measured == [0, 1, 2, 3, 0, 1, 2, 3, 4]


def test_a_result_that_is_no_number_is_refused(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(EXPERIMENTS, "square", Experiment("99_squares", lambda part, run: {"x": float("nan")}, range(2)))
    with pytest.raises(ValueError, match="JSON"):
        main(["square"])
    assert files(top) == []


@pytest.mark.parametrize(
    "line, message",
    [
        ("cube", "invalid choice: 'cube'"),
        ("square --seeds 4-2", "seeds such as"),
        ("square --seeds many", "seeds such as"),
        ("square --scale huge", "invalid choice"),
        ("timed --seeds 0-3", "neither --seeds nor --jobs"),
        ("timed --jobs 2", "neither --seeds nor --jobs"),
    ],
)
def test_what_cannot_be_run_is_refused_before_any_work(top: Path, capsys: pytest.CaptureFixture[str], line: str, message: str) -> None:
    with pytest.raises(SystemExit):
        main(line.split())
    assert message in capsys.readouterr().err and measured == [] and files(top) == []


def test_outside_the_repository_nothing_is_measured(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(top / "notebooks")
    with pytest.raises(SystemExit, match="top of the repository"):
        main(["square"])
    assert measured == []


@pytest.mark.parametrize("seed", [0, 5])
def test_large_games_are_efficient_and_repeatable(seed: int) -> None:
    for name, game in large_games(seed).items():
        everybody = np.ones((1, game.n), dtype=bool)
        assert np.isclose(game.shapley.sum(), game.worth(everybody)[0]), name
        assert game.worth(~everybody)[0] == 0
    again = large_games(seed)
    assert all(np.array_equal(game.shapley, again[name].shapley) for name, game in large_games(seed).items())


@pytest.mark.parametrize("name", ["voting", "airport", "rules", "pairs"])
def test_large_games_agree_with_sampling(name: str) -> None:
    game = large_games(3)[name]
    estimate = sample_shapley(game.worth, game.n, budget=300 * game.n, seed=0)
    assert estimate.standard_errors is not None
    assert np.abs((estimate.values - game.shapley) / estimate.standard_errors).max() < 5
    assert (np.abs(game.shapley) > 5 * estimate.standard_errors).any(), "too coarse to tell anything"


@pytest.mark.parametrize("path", ARTEFACTS, ids=[path.stem for path in ARTEFACTS])
def test_artefacts_are_whole_and_come_from_a_clean_commit(path: Path) -> None:
    record = json.loads(path.read_text())
    experiment = EXPERIMENTS[path.stem]
    assert path.parent.name == experiment.chapter
    assert record["command"].startswith(f"python -m coalmarl.experiments {path.stem}")
    assert re.fullmatch(r"[0-9a-f]{7,}", record["commit"]), "run it from a clean commit"
    assert list(record["results"]) == [str(part) for part in record[experiment.unit]]
    assert path.stat().st_size < 500_000


@pytest.mark.long
@pytest.mark.parametrize("path", ARTEFACTS, ids=[path.stem for path in ARTEFACTS])
def test_the_first_part_of_each_artefact_comes_out_again(path: Path) -> None:
    record = json.loads(path.read_text())
    part, stored = next(iter(record["results"].items()))
    again = flat(json.loads(json.dumps(EXPERIMENTS[path.stem].measure(int(part), Run()))))
    before = flat(stored)
    assert again.keys() == before.keys()
    assert {key: (again[key], value) for key, value in before.items() if not alike(again[key], value)} == {}


def alike(one: object, other: object) -> bool:
    """Equal; numbers up to what another processor may round."""
    return one == (pytest.approx(other, rel=1e-6, abs=1e-9) if isinstance(other, float) else other)


def flat(value: object, name: str = "") -> dict[str, object]:
    """Every number of a result by its path, but those of the machine."""
    if isinstance(value, dict):
        inside = ((f"{name}/{key}", item) for key, item in value.items() if key not in OF_THE_MACHINE)
    elif isinstance(value, list):
        inside = ((f"{name}/{k}", item) for k, item in enumerate(value))
    else:
        return {name: value}
    return {path: number for key, item in inside for path, number in flat(item, key).items()}
