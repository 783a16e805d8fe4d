"""Turn each assignment into an nbgrader course: ``python .ci/assignments.py FOLDER [COHORT]``.

The notebooks under ``notebooks/assignments`` are the one source, with solutions and hidden tests.  The
cohort, a number such as the year, seeds the hidden tests.  Afterwards FOLDER/release holds what students
get; collect their notebooks in FOLDER/submitted/STUDENT/ASSIGNMENT, and `nbgrader autograde` marks them.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

SOURCES = sorted((Path(__file__).resolve().parents[1] / "notebooks" / "assignments").glob("*.ipynb"))


def nbgrader(course: Path, *words: str) -> None:
    """Run one command of nbgrader on a course; show what it says only if it fails."""
    command = [sys.executable, "-m", "nbgrader", *words, f"--CourseDirectory.root={course}"]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"  # it calls alembic by name
    run = subprocess.run(command, cwd=course, env=os.environ | {"PATH": path}, capture_output=True, text=True, check=False)
    if run.returncode:
        sys.exit(run.stdout + run.stderr)


def generate(course: Path, cohort: int) -> None:
    """Write FOLDER/source with this cohort's seed, and FOLDER/release without solutions and hidden tests."""
    for path in SOURCES:
        text, seeds = re.subn(r"COHORT = 0\b", f"COHORT = {cohort}", path.read_text(encoding="utf-8"))
        assert seeds, f"{path.name} has no hidden test that a cohort could vary"
        folder = course / "source" / path.stem
        folder.mkdir(parents=True, exist_ok=True)
        (folder / path.name).write_text(text, encoding="utf-8")
        nbgrader(course, "generate_assignment", path.stem, "--force")
        print(f"{path.stem}: {course / 'release' / path.stem / path.name}")


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3) or not (sys.argv[2:] or ["0"])[0].isdecimal():
        sys.exit("python .ci/assignments.py FOLDER [COHORT], the cohort a number such as 2027")
    target = Path(sys.argv[1]).resolve()
    target.mkdir(parents=True, exist_ok=True)
    generate(target, int((sys.argv[2:] or ["0"])[0]))
