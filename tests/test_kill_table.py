"""Do the checks bite? Every wrong solver must fail one of them, and the package none (pytest -s prints the table)."""

import pytest

from checks import NUCLEOLUS_CHECKS, VALUE_CHECKS, caught
from coalmarl.solutions import nucleolus, shapley
from wrong_solvers import WRONG_NUCLEOLUS, WRONG_SHAPLEY

# A check that must catch the solver in question, as evidence that the table is not green for a trivial reason.
DECISIVE = {
    "raw_banzhaf": "efficiency",
    "normalised_banzhaf": "additivity",
    "equal_split": "null player",
    "centre_of_imputations": "null player",
    "proportional_to_last_contributions": "additivity",
    "one_arrival_order": "relabelling",
    "players_reversed": "relabelling",
    "any_least_core_vertex": "certificate",
    "epsilon_clamped": "worst excess",
    "norm_plus_epsilon": "worst excess",
    "shapley_value": "worst excess",
    "payoffs_not_negative": "covariance",
    "fixes_what_one_optimum_shows": "talmud",
    "forgets_individual_rationality": "individual",
}
ROWS = [
    *((solve, "shapley", VALUE_CHECKS) for solve in WRONG_SHAPLEY),
    *((solve, "nucleolus", NUCLEOLUS_CHECKS) for solve in WRONG_NUCLEOLUS),
]


def line(name, checks, found):
    marks = "".join(("X" if check in found else ".").center(len(check) + 2) for check in checks)
    return f"{name:<36}{marks}"


def header(title, checks):
    return f"\n{title:<36}" + "".join(check.center(len(check) + 2) for check in checks)


@pytest.mark.parametrize("solve, concept, checks", ROWS, ids=[f"{concept}-{solve.__name__}" for solve, concept, _ in ROWS])
def test_every_wrong_solver_is_caught(solve, concept, checks):
    found = caught(solve, checks)
    if solve in (WRONG_SHAPLEY[0], WRONG_NUCLEOLUS[0]):
        print(header(f"wrong {concept}", checks))
    print(line(solve.__name__, checks, found))
    assert DECISIVE[solve.__name__] in found


@pytest.mark.parametrize("solve, checks", [(shapley, VALUE_CHECKS), (nucleolus, NUCLEOLUS_CHECKS)], ids=["shapley", "nucleolus"])
def test_the_right_solver_is_not(solve, checks):
    print(line(f"coalmarl {solve.__name__}", checks, caught(solve, checks)))
    for check, games in checks.values():
        for v in games:
            check(solve, v)
