"""Assignments: what a class gets, and that right, missing and wrong solutions are told apart."""

import csv
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted((ROOT / "notebooks" / "assignments").glob("*.ipynb"))
INSTRUCTOR = ROOT / ".venv-instructor" / "bin"

# assignment: (right code, wrong code) pairs; each must lose points, as a mistake that a student could make
MISTAKES = {
    "01_dividing": [
        ("order = np.argsort(costs)", "order = np.arange(len(costs))"),  # users taken as sorted
        ("/ np.arange(len(costs), 0, -1)", "/ len(costs)"),
        ("v(mask) > paid + 1e-9", "v(mask) >= paid"),
        ("range(1, 2**n - 1)", "range(1, 2**n)"),
        ("[0, 0, 0, 9, 0, 9, 9, 12]", "[0, 0, 0, 9, 0, 6, 3, 12]"),
        ("max(alone, one_pair, all_pairs)", "max(one_pair, all_pairs)"),
        ("(sum(pairs) - 2 * total) / 3", "(sum(pairs) - 2 * total) / 2"),
    ],
    "04_partners": [
        ("if weight.sum() <= 0:", "if False:"),
        ("return weight / weight.sum()", "return weight / weight.max()"),
        ("p * (1 - q) / failed, q * (1 - p) / failed", "p * (1 - q) / failed, p * (1 - q) / failed"),
        ("-first * second / spread", "0.0"),  # a table per partner
        ("down / up - 1", "down / up"),
        ("if up == 0:", "if False:"),
        ("claims.sum() >= 1", "claims.sum() >= 2"),
        ("(1 - claims.sum()) / len(claims)", "0"),
    ],
    "10_preferences": [
        ("T.sum(axis=1, keepdims=True)", "T.sum(axis=0, keepdims=True)"),
        ("(T < 0).any() or ", ""),
        ("b * (T.sum(axis=1) - own) > c * own", "b * (T.sum(axis=0) - own) > c * own"),
        ("b * (T.sum(axis=1) - own) > c * own", "b * T.sum(axis=1) > c * own"),
        ("c / (gamma * b)", "c / b"),
        ("if q >= 0 else None", "if q > -1 else None"),
        ("[[0, 1, 3, 2, 4]]", "[[0, 1, 2, 3, 4]]"),  # whose CD is it?
        ("total / rounds", "state[0] + state[1]"),
    ],
}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_a_source_has_solutions_points_and_hidden_tests_for_every_cohort(path: Path) -> None:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    graded = [(cell["metadata"]["nbgrader"], "".join(cell["source"])) for cell in cells if "nbgrader" in cell["metadata"]]
    assert len({meta["grade_id"] for meta, _ in graded}) == len(graded)
    assert sum(meta.get("points", 0) for meta, _ in graded) == 12
    for meta, text in graded:
        assert ("### BEGIN HIDDEN TESTS" in text) == (meta["grade"] and not meta["solution"])
        assert ("### BEGIN SOLUTION" in text) == (meta["solution"] and not meta["grade"])
    assert sum("COHORT = 0" in text for _, text in graded) >= 3
    assert all("".join(cell.get("outputs", [])) == "" for cell in cells)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_mistakes_are_mistakes_in_a_solution(path: Path) -> None:
    text = "".join("".join(cell["source"]) for cell in json.loads(path.read_text(encoding="utf-8"))["cells"])
    solutions = "".join(re.findall(r"### BEGIN SOLUTION(.*?)### END SOLUTION", text, re.DOTALL))
    assert [right for right, _ in MISTAKES[path.stem] if solutions.count(right) != 1] == []


def command(*words: str, cwd: Path) -> None:
    """Run a command with the lecturer's environment first on the path."""
    path = f"{INSTRUCTOR}{os.pathsep}{os.environ['PATH']}"
    run = subprocess.run(words, cwd=cwd, env=os.environ | {"PATH": path}, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


def submit(course: Path, student: str, name: str, text: str) -> None:
    """Hand in a notebook."""
    folder = course / "submitted" / student / name
    folder.mkdir(parents=True)
    (folder / f"{name}.ipynb").write_text(text, encoding="utf-8")


@pytest.mark.long
@pytest.mark.skipif(not (INSTRUCTOR / "nbgrader").exists(), reason="make assignments makes the lecturer's environment")
def test_right_missing_and_wrong_solutions_are_told_apart(tmp_path: Path) -> None:
    course = tmp_path / "course"
    command(str(INSTRUCTOR / "python"), str(ROOT / ".ci" / "assignments.py"), str(course), "2027", cwd=ROOT)
    for path in SOURCES:
        name, source = path.stem, path.read_text(encoding="utf-8")
        released = (course / "release" / name / path.name).read_text(encoding="utf-8")
        assert "SOLUTION" not in released and "HIDDEN" not in released and "COHORT" not in released
        assert "COHORT = 2027" in (course / "source" / name / path.name).read_text(encoding="utf-8")
        submit(course, "solved", name, source)
        submit(course, "unsolved", name, released)
        for k, (right, wrong) in enumerate(MISTAKES[name]):
            submit(course, f"wrong{k}", name, source.replace(json.dumps(right)[1:-1], json.dumps(wrong)[1:-1]))
        command("nbgrader", "autograde", name, f"--CourseDirectory.root={course}", cwd=course)
    command("nbgrader", "export", f"--CourseDirectory.root={course}", "--to", str(course / "grades.csv"), cwd=course)
    with (course / "grades.csv").open(encoding="utf-8") as file:
        scores = {(row["assignment"], row["student_id"]): float(row["score"] or 0) for row in csv.DictReader(file)}
    shutil.rmtree(course)
    for name, mistakes in MISTAKES.items():
        assert scores[name, "solved"] == 10 and scores[name, "unsolved"] == 0  # two points are for words
        for k, mistake in enumerate(mistakes):
            assert scores[name, f"wrong{k}"] < 10, mistake
