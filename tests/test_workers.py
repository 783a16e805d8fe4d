"""Filling a table with more than one process: the same bits, whoever computes them and whoever dies."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import joblib
import pytest

from coalmarl.games import TUGame

ROOT = Path(__file__).resolve().parents[1]
PLAYERS = 7


def worth(S: frozenset[int]) -> float:
    """A worth whose last bits depend on the order of the additions."""
    return sum((1 + 1 / (i + 3)) ** len(S) for i in sorted(S))


@dataclass(frozen=True)
class Fatal:
    """The same worth, but the first process that meets the middle of the table is killed."""

    grave: Path

    def __call__(self, S: frozenset[int]) -> float:
        if S == {PLAYERS - 1} and not self.grave.exists():
            self.grave.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return worth(S)


def undefined(S: frozenset[int]) -> float:
    """A worth that one coalition lacks."""
    return 1 / int(S != {2, 3})


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """Two worker processes behind a local scheduler."""
    import distributed

    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0", silence_logs=50
    ) as local, distributed.Client(local):
        yield


@pytest.fixture(scope="module")
def expected() -> TUGame:
    """The table from one process."""
    return TUGame.from_function(worth, PLAYERS)


def test_worker_processes_give_the_same_bits(expected: TUGame) -> None:
    assert TUGame.from_function(worth, PLAYERS, n_jobs=2) == expected


def test_a_cluster_gives_the_same_bits(cluster: None, expected: TUGame) -> None:
    with joblib.parallel_config("dask"):
        assert TUGame.from_function(worth, PLAYERS) == expected


def test_a_cluster_gives_the_same_bits_after_losing_a_worker(cluster: None, expected: TUGame, tmp_path: Path) -> None:
    with joblib.parallel_config("dask"):
        assert TUGame.from_function(Fatal(tmp_path / "grave"), PLAYERS) == expected
    assert (tmp_path / "grave").exists(), "nobody was killed"


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_an_error_in_a_worker_names_the_coalition(n_jobs: int) -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        TUGame.from_function(undefined, 6, n_jobs=n_jobs)
    assert "{2, 3}" in "".join(caught.value.__notes__)


def test_an_interrupt_leaves_no_process_behind(tmp_path: Path) -> None:
    program = (
        "import signal, time\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a job in a shell's background starts deaf to it
        "from coalmarl.games import TUGame\n"
        "def slow(S):\n"
        f"    open({str(tmp_path / 'begun')!r}, 'w').close()\n"
        "    time.sleep(0.2)\n"
        "    return 0.0\n"
        "TUGame.from_function(slow, 16, n_jobs=2)\n"
    )
    run = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, start_new_session=True, stderr=subprocess.PIPE)
    wait_until((tmp_path / "begun").exists)
    stderr = interrupt(run)
    assert run.returncode != 0 and b"KeyboardInterrupt" in stderr
    wait_until(lambda: not alive(run.pid))


def interrupt(run: subprocess.Popen[bytes]) -> bytes:
    """Press Ctrl-C until the program ends: one that meets a callback of the interpreter is lost."""
    for _ in range(10):
        run.send_signal(signal.SIGINT)
        try:
            return run.communicate(timeout=10)[1]
        except subprocess.TimeoutExpired:
            continue
    raise AssertionError("the program did not end")


def wait_until(condition, seconds: float = 30.0) -> None:
    """Poll a condition."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def alive(group: int) -> bool:
    """Whether a process of the group is left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
