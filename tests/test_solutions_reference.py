"""Printed answers: every record of the reference collection and every concept it holds is a test of its own."""

import json
from fractions import Fraction
from math import comb
from pathlib import Path

import numpy as np
import pytest

import oracles
from coalmarl import games, solutions
from coalmarl.games import TUGame

RECORDS = json.loads((Path(__file__).parent / "reference" / "known_answers.json").read_text(encoding="utf-8"))
BY_ID = {record["id"]: record for record in RECORDS}
RIGHT = [record for record in RECORDS if record["checked"]]


def horse_market(sellers, buyers):
    """Best matching of identical horses: the cheapest sellers of the coalition meet its keenest buyers."""
    pairs = min(len(sellers), len(buyers))

    def best(prices, order, absent):
        rows = [[p if mask >> i & 1 else absent for i, p in enumerate(prices)] for mask in range(1 << len(prices))]
        return order * np.sort(order * np.array(rows), axis=1)[:, :pairs]

    ask, bid = best(sellers, 1, 1e9), best(buyers, -1, -1e9)
    gain = np.zeros((len(bid), len(ask)))
    for k in range(pairs):
        gain += np.maximum(0, bid[:, k, None] - ask[:, k])
    return gain.ravel()


def table_of(record):
    """The characteristic function of a record, built here where the file does not hold it."""
    if "values" in record:
        return np.array(record["values"], dtype=float)
    recipe = record["generator"]
    if recipe["kind"] == "assignment_homogeneous":
        return horse_market(recipe["sellers"], recipe["buyers"])
    assert recipe["kind"] == "wvg"
    weight = np.zeros(1)
    for w in recipe["w"]:
        weight = np.r_[weight, weight + w]
    return (weight >= recipe["q"]).astype(float)


def game_of(record):
    sign = -1.0 if record["kind"] == "cost" else 1.0
    return TUGame(0.0 + sign * table_of(record)), sign


def tolerance(record, v):
    return record["tol"] * (max(1.0, abs(v.values[-1])) if record["tol"] <= 1e-6 else 1.0)


def normalised_banzhaf(v):
    raw = solutions.banzhaf(v)
    return raw / raw.sum()


SOLVERS = {
    "shapley": solutions.shapley,
    "banzhaf": solutions.banzhaf,
    "nucleolus": solutions.nucleolus,
    "prenucleolus": solutions.prenucleolus,
    "least_core_epsilon": lambda v: [solutions.least_core(v).epsilon],
    "banzhaf_normalised": normalised_banzhaf,
    "banzhaf_swings": lambda v: solutions.banzhaf(v) * 2 ** (v.n - 1),
}
ANSWERS = [
    pytest.param(record, concept, printed, id=f"{record['id']}-{concept}")
    for record in RIGHT
    for concept, printed in {**record, **record.get("other", {})}.items()
    if concept in SOLVERS
]
SMALL = [pytest.param(record, id=record["id"]) for record in RECORDS if "core_recomputed" in record]
VOTES = [pytest.param(r, id=r["id"]) for r in RIGHT if r.get("generator", {}).get("kind") == "wvg"]


def test_the_collection_is_complete():
    assert len(RECORDS) == 52 and [r["id"] for r in RECORDS if not r["checked"]] == [
        "mattug_bankruptcy6_owen_myerson",
        "skane1979_wrong_nucleolus",
    ]
    assert len(ANSWERS) == 75


@pytest.mark.parametrize("record, concept, printed", ANSWERS)
def test_answer(record, concept, printed):
    v, sign = game_of(record)
    np.testing.assert_allclose(sign * np.asarray(SOLVERS[concept](v)), printed, rtol=0, atol=tolerance(record, v))


@pytest.mark.parametrize("record", SMALL)
def test_core(record):
    v, _ = game_of(record)
    assert solutions.core_is_empty(v) == (record["core_recomputed"] == "empty")
    if "core" in record:
        assert record["core"].startswith(record["core_recomputed"])


@pytest.mark.parametrize("record", [pytest.param(r, id=r["id"]) for r in RIGHT if "nucleolus" in r and r["tol"] <= 1e-6 and r["n"] <= 10])
def test_printed_nucleolus_has_a_certificate(record):
    v, sign = game_of(record)
    assert solutions.kohlberg_certificate(v, sign * np.array(record["nucleolus"])).holds


def named_game(recipe):
    match recipe["kind"]:
        case "bankruptcy":
            return games.bankruptcy(recipe["E"], recipe["d"])
        case "airport":
            return games.airport(recipe["c"])
        case "glove":
            return games.glove(recipe["L"], [i for i in range(recipe["n"]) if i not in recipe["L"]])
        case "wvg":
            return games.weighted_voting(recipe["w"], recipe["q"])


@pytest.mark.parametrize(
    "record", [pytest.param(r, id=r["id"]) for r in RECORDS if "generator" in r and r["id"] != "horse_market"]
)
def test_named_game_is_the_recorded_table(record):
    np.testing.assert_allclose(named_game(record["generator"]).values, table_of(record), rtol=0, atol=1e-9)


@pytest.mark.parametrize("record", VOTES)
def test_votes_by_dynamic_programming(record):
    recipe, other = record["generator"], record.get("other", {})
    indices = solutions.weighted_voting_indices(recipe["w"], recipe["q"])
    for printed, index in (
        (record.get("shapley"), indices.shapley),
        (record.get("banzhaf"), indices.banzhaf),
        (other.get("banzhaf_normalised"), [b / sum(indices.banzhaf) for b in indices.banzhaf]),
        (other.get("banzhaf_swings"), [b * 2 ** (record["n"] - 1) for b in indices.banzhaf]),
    ):
        if printed is not None:
            np.testing.assert_allclose([float(a) for a in index], printed, rtol=0, atol=record["tol"])


# --- the two records that are wrong -----------------------------------------------------------------------------


def test_skane_1979_printed_the_wrong_nucleolus():
    record = BY_ID["skane1979_wrong_nucleolus"]
    v, _ = game_of(record)
    printed, right = (-np.array(record["mismatch"]["nucleolus"][key]) for key in ("published", "recomputed"))
    assert not solutions.kohlberg_certificate(v, printed).holds
    # Rounding is not the reason: it hands out a hundredth too much, and without that it still fails, far off.
    spread = printed + (v.values[-1] - printed.sum()) / v.n
    assert not solutions.kohlberg_certificate(v, spread).holds
    np.testing.assert_allclose(solutions.nucleolus(v), right, rtol=0, atol=1e-8)
    assert solutions.kohlberg_certificate(v, solutions.nucleolus(v)).holds
    assert np.abs(solutions.nucleolus(v) - printed).max() > 15 * record["tol"]


def test_the_toolbox_printed_wrong_owen_and_myerson_values():
    record = BY_ID["mattug_bankruptcy6_owen_myerson"]
    values, params = table_of(record), record["params"]
    mine = {
        "owen": oracles.owen_by_orders(values, params["unions"]),
        "myerson": solutions.shapley(TUGame(oracles.graph_restricted(values, params["edges"]))),
    }
    for concept, answer in mine.items():
        np.testing.assert_allclose(answer, record["mismatch"][concept]["recomputed"], rtol=0, atol=1e-8)
        assert np.abs(answer - record["mismatch"][concept]["published"]).max() > 1


# --- votes ------------------------------------------------------------------------------------------------------

STATES = [55, 34, 31, 27, 21, 21, 20, 17, 15, 15, 15, 13, 12, *[11] * 4, *[10] * 4, *[9] * 3, 8, 8, *[7] * 4, *[6] * 3]
STATES += [*[5] * 5, *[4] * 5, *[3] * 8]


def test_security_council():
    indices = solutions.weighted_voting_indices([7] * 5 + [1] * 10, 39)
    assert indices.shapley == (Fraction(421, 2145),) * 5 + (Fraction(4, 2145),) * 10
    total = sum(indices.banzhaf)
    assert [b / total for b in indices.banzhaf] == [Fraction(106, 635)] * 5 + [Fraction(21, 1270)] * 10
    dense = games.weighted_voting([7] * 5 + [1] * 10, 39)
    np.testing.assert_allclose(solutions.shapley(dense), [float(a) for a in indices.shapley], rtol=0, atol=1e-12)
    # A permanent member swings with the other four and at least four of the ten.
    assert indices.banzhaf[0] == Fraction(sum(comb(10, k) for k in range(4, 11)), 2**14)


def test_electoral_college():
    assert (len(STATES), sum(STATES)) == (51, 538)
    indices = solutions.weighted_voting_indices(STATES, 270)
    assert sum(indices.shapley) == 1 and all(isinstance(a, Fraction) for a in indices.shapley + indices.banzhaf)
    power = dict(zip(STATES, map(float, indices.shapley)))
    for votes, printed, tol in ((55, 0.11036, 6e-6), (34, 0.06499, 6e-6), (31, 0.05888, 6e-6), (3, 0.005404, 6e-7)):
        assert abs(power[votes] - printed) < tol
    assert list(indices.shapley) == sorted(indices.shapley, reverse=True)
    assert len({(w, a, b) for w, a, b in zip(STATES, indices.shapley, indices.banzhaf)}) == len(set(STATES))
