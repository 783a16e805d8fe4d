"""Evaluation: intervals cover what they promise, every pair meets, and claims survive being printed."""

import math
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coalmarl.evaluation import (
    VERDICTS,
    Claim,
    Interval,
    bootstrap_interval,
    claim_table,
    cross_play,
    read_claims,
    wilson_interval,
)


def difference(a, b):
    return float(a - b)


# --- intervals --------------------------------------------------------------------------------------------------


def covered(draw, mean, repeats=400, **options):
    found = [bootstrap_interval(draw(np.random.default_rng(k)), resamples=500, **options) for k in range(repeats)]
    return np.mean([low <= mean <= high for low, high in found])


@pytest.mark.parametrize("m, least", [(5, 0.92), (10, 0.92), (30, 0.92)])
def test_the_bootstrap_holds_the_mean_as_often_as_it_says(m, least):
    """A percentile interval alone holds it 83 times in 100 with five samples."""
    assert least <= covered(lambda rng: rng.normal(3, 2, m), 3) <= 0.99
    assert least - 0.03 <= covered(lambda rng: rng.exponential(1, m), 1) <= 0.99
    assert 0.74 <= covered(lambda rng: rng.normal(3, 2, m), 3, level=0.8) <= 0.9


def test_the_bootstrap_is_reproducible_and_equivariant():
    x = np.random.default_rng(0).normal(size=12)
    low, high = bootstrap_interval(x)
    assert (low, high) == bootstrap_interval(x) == bootstrap_interval(x.tolist(), seed=np.random.default_rng(0))
    assert (low, high) != bootstrap_interval(x, seed=1)
    assert low < x.mean() < high
    assert bootstrap_interval(3 * x + 7) == pytest.approx((3 * low + 7, 3 * high + 7))
    wide = bootstrap_interval(x, level=0.99)
    assert wide.low < low and high < wide.high


def test_values_that_repeat():
    assert bootstrap_interval([0.9] * 8) == (pytest.approx(0.9), pytest.approx(0.9))
    assert bootstrap_interval([0.0] * 8) == (0, 0)
    ones = np.r_[0.0, np.ones(9)]  # here the studentised interval alone begins at the mean, .9
    low, high = bootstrap_interval(ones)
    assert low <= 0.75 and 1.0 <= high <= 1.1
    assert bootstrap_interval(1 - ones) == pytest.approx((1 - high, 1 - low))


@pytest.mark.parametrize("samples", [[], [1.0], [[1.0, 2.0]], [1.0, math.nan], [1.0, math.inf]])
def test_samples_that_allow_no_interval(samples):
    with pytest.raises(ValueError, match="two or more finite samples"):
        bootstrap_interval(samples)


@pytest.mark.parametrize("level", [0.0, 1.0, 95])
def test_levels_out_of_range(level):
    for interval in (lambda: bootstrap_interval([1.0, 2.0], level=level), lambda: wilson_interval(1, 2, level=level)):
        with pytest.raises(ValueError, match="level"):
            interval()


@given(st.integers(1, 200), st.data())
def test_wilson_ends_are_where_the_score_test_turns(trials, data):
    """At each end the share lies 1.96 standard deviations of that end's own binomial away."""
    k = data.draw(st.integers(0, trials))
    low, high = wilson_interval(k, trials)
    assert 0 <= low <= k / trials <= high <= 1
    for end in {low, high} - {0.0, 1.0}:
        assert abs(k / trials - end) / math.sqrt(end * (1 - end) / trials) == pytest.approx(1.959964, rel=1e-5)
    mirrored = wilson_interval(trials - k, trials)
    assert (1 - mirrored.high, 1 - mirrored.low) == pytest.approx((low, high))


def test_wilson_known_answers():
    assert wilson_interval(0, 10) == Interval(0.0, pytest.approx(0.27753, abs=1e-5))
    assert wilson_interval(15, 20) == (pytest.approx(0.53130, abs=1e-5), pytest.approx(0.88814, abs=1e-5))


@pytest.mark.parametrize("successes, trials", [(-1, 3), (4, 3), (0, 0)])
def test_impossible_shares_are_refused(successes, trials):
    with pytest.raises(ValueError, match=f"got {successes} of {trials}"):
        wilson_interval(successes, trials)


# --- cross-play -------------------------------------------------------------------------------------------------


def test_every_agent_meets_every_other_one():
    a, b = np.array([1.0, 5.0, 2.0]), np.array([10.0, 20.0])
    np.testing.assert_array_equal(cross_play(difference, a, b), a[:, None] - b)
    np.testing.assert_array_equal(cross_play(difference, a), a[:, None] - a)
    np.testing.assert_array_equal(cross_play(difference, a, b, n_jobs=2), a[:, None] - b)


def test_what_is_no_cross_play():
    for agents, others in (([], None), ([], [1]), ([1], [])):
        with pytest.raises(ValueError, match="one or more agents"):
            cross_play(difference, agents, others)
    with pytest.raises(ValueError, match="nan where agent 0 meets 1"):
        cross_play(lambda a, b: math.nan if a < b else 0.0, [1, 2])


# --- claims -----------------------------------------------------------------------------------------------------

WORDS = st.lists(st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=8), min_size=1, max_size=5)
NUMBERS = st.booleans() | st.integers(-(10**9), 10**9) | st.floats(-1e12, 1e12) | st.floats(-2, 2)
BARS = st.one_of(
    st.builds("{} {!r}".format, st.sampled_from([">=", "<=", ">", "<", "="]), NUMBERS),
    st.tuples(st.floats(-9, 9), st.floats(-9, 9)).map(lambda ends: f"{min(ends)!r} to {max(ends)!r}"),
)
CLAIMS = st.builds(
    Claim,
    st.integers(0, 30).map("C{:02}".format),
    WORDS.map(" ".join),
    NUMBERS,
    BARS,
    seeds=st.none() | st.integers(1, 999),
    interval=st.none() | st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)).map(lambda ends: (min(ends), max(ends))),
)


def honest(claims, draw):
    """A verdict for each claim: the best only where it is deserved."""
    met = {c.id: all(other.met for other in claims if other.id == c.id) for c in claims}
    return {id: draw(st.sampled_from(VERDICTS if ok else VERDICTS[1:])) for id, ok in met.items()}


@given(st.lists(CLAIMS, min_size=1, max_size=6), st.data())
def test_what_is_printed_can_be_read(claims, data):
    verdicts = honest(claims, data.draw)
    table = claim_table(claims, verdicts)
    read, ruled = read_claims("Some lines before.\nid  of nothing\n\n" + table + "\nand  after\n")
    assert ruled == verdicts
    assert claim_table(read, ruled) == table, "what was read prints the same"
    assert len({len(line) for line in table.splitlines()[: len(claims) + 1]}) == 1, "it is aligned"
    for old, new in zip(claims, read, strict=True):
        assert (old.id, old.what, old.bar, old.met, old.seeds) == (new.id, new.what, new.bar, new.met, new.seeds)
        assert type(new.value) is bool if isinstance(old.value, bool) else new.value == pytest.approx(old.value, rel=6e-3)
        assert (old.interval is None) == (new.interval is None)
        if old.interval:
            assert new.interval == pytest.approx(old.interval, rel=6e-3)


@given(st.lists(CLAIMS, min_size=1, max_size=3, unique_by=lambda c: c.id), st.lists(CLAIMS, min_size=1, max_size=3), st.data())
def test_two_tables_of_one_text(first, second, data):
    verdicts = [honest(claims, data.draw) for claims in (first, second)]
    if set(verdicts[0]) & set(verdicts[1]):
        return
    text = claim_table(first, verdicts[0]) + "\n" + claim_table(second, verdicts[1])
    claims, ruled = read_claims(text)
    assert [c.what for c in claims] == [c.what for c in [*first, *second]] and ruled == verdicts[0] | verdicts[1]


def test_a_table_for_people():
    rows = [
        Claim("C06", "WLU, share of the optimum", 0.99967, ">= 0.99", seeds=20, interval=(0.9987, 1.0)),
        Claim("C06", "team game, share of the optimum", np.float64(0.4061), "<= 0.5", seeds=20, interval=(0.39, 0.42)),
        Claim("C00", "fees of 13,572 agree", np.bool_(True), "= True"),
        Claim("C00", "growth per player", 3.2499, "2.5 to 3.1", seeds=np.int64(5)),
    ]
    assert claim_table(rows, {"C06": "reproduced", "C00": "partly"}).splitlines() == [
        "id   what                             measured  95 % interval  seeds         bar  bar met",
        "C06  WLU, share of the optimum               1     0.999 to 1     20     >= 0.99     True",
        "C06  team game, share of the optimum     0.406   0.39 to 0.42     20      <= 0.5     True",
        "C00  fees of 13,572 agree                 True              -      -      = True     True",
        "C00  growth per player                    3.25              -      5  2.5 to 3.1    False",
        "C06: reproduced",
        "C00: partly",
    ]


def test_columns_nobody_fills_are_left_out():
    table = claim_table([Claim("C01", "cores that are empty", 3, "= 3")], {"C01": "reproduced"})
    assert table.splitlines()[0].split() == ["id", "what", "measured", "bar", "bar", "met"]


@pytest.mark.parametrize(
    "value, bar, shown, met",
    [
        (0.98996, ">= 0.99", "0.98996", False),
        (0.9899999, ">= 0.99", "0.9899999", False),
        (0.99, ">= 0.99", "0.99", True),
        (0.5004, "<= 0.5", "0.5004", False),
        (2, "> 2", "2", False),
        (True, "= True", "True", True),
        (False, "= True", "False", False),
        (3.0999, "2.5 to 3.1", "3.1", True),
        (3.1001, "2.5 to 3.1", "3.1001", False),
        (2.4999, "2.5 to 3.1", "2.4999", False),
        (12345.67, "> 0", "12345.7", True),
        (999.96, "> 0", "1000", True),
        (1.07e301, "> 1e+300", "1.07e+301", True),
        (-0.0, ">= 0", "0", True),
    ],
)
def test_rounding_never_changes_sides(value, bar, shown, met):
    claim = Claim("C01", "x", value, bar)
    assert claim.met is met
    assert claim_table([claim], {"C01": "partly"}).splitlines()[1].split()[2] == shown


def test_nobody_is_better_than_the_bars():
    good, bad = Claim("C01", "a", 1, "= 1"), Claim("C01", "b", 2, "= 1")
    for claims, verdicts in (
        ([good, bad], {"C01": "reproduced"}),
        ([good], {"C01": "excellent"}),
        ([good], {}),
        ([good], {"C01": "reproduced", "C02": "reproduced"}),
        ([good], {"C02": "reproduced"}),
        ([], {}),
    ):
        with pytest.raises(ValueError, match="verdict"):
            claim_table(claims, verdicts)


def test_tampering_is_noticed():
    table = claim_table([Claim("C01", "a", 1, "= 1"), Claim("C01", "b", 2, "= 1")], {"C01": "partly"})
    for old, new in (("False", "True"), ("partly", "reproduced"), ("C01: partly", ""), ("  b", "  b  b"), ("True\n", "\n"), ("True\n", "True  x\n")):
        assert old in table
        with pytest.raises(ValueError):
            read_claims(table.replace(old, new))
    assert read_claims("no table here") == ([], {})


@pytest.mark.parametrize(
    "fields, shown",
    [
        ({"id": "6"}, "'6'"),
        ({"id": "C6"}, "'C6'"),
        ({"what": ""}, "single spaces"),
        ({"what": "two  spaces"}, "single spaces"),
        ({"what": " ahead"}, "single spaces"),
        ({"what": "a\nb"}, "single spaces"),
        ({"value": math.nan}, "finite"),
        ({"value": math.inf}, "finite"),
        ({"bar": ">=0.99"}, "bar such as"),
        ({"bar": "about 1"}, "bar such as"),
        ({"bar": ">= nan"}, "bar such as"),
        ({"interval": (0.0, math.nan)}, "interval"),
        ({"interval": (1.0, 0.0)}, "interval"),
    ],
)
def test_bad_claims_are_refused(fields, shown):
    with pytest.raises(ValueError, match=shown):
        Claim(**{"id": "C01", "what": "x", "value": 1, "bar": "= 1", **fields})


def test_claims_are_frozen():
    with pytest.raises(FrozenInstanceError):
        Claim("C01", "x", 1, "= 1").value = 2
