"""Axioms, optimality and brute force: what has to hold for every game, searched by hypothesis."""

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import checks
import oracles
from checks import same
from coalmarl.games import TUGame, glove, unanimity, weighted_voting
from coalmarl.solutions import (
    banzhaf,
    core_is_empty,
    excess,
    harsanyi_dividends,
    in_core,
    kohlberg_certificate,
    least_core,
    nucleolus,
    prenucleolus,
    shapley,
    weighted_voting_indices,
)
from strategies import (
    convex_games,
    essential_games,
    games,
    payoffs,
    subset_sums,
    superadditive_games,
    voting_bodies,
    whole_games,
    with_allocation,
)

pytestmark = pytest.mark.usefixtures("no_endless_loop")
FEWER = settings(max_examples=max(1, settings.default.max_examples // 2))
EITHER = pytest.mark.parametrize("solve", [nucleolus, prenucleolus])


def game_with_order(base):
    return base.flatmap(lambda v: st.tuples(st.just(v), st.permutations(range(v.n))))


def pairs_of_games(max_n=6):
    """Two games of the same number of players."""
    return st.integers(1, max_n).flatmap(lambda n: st.tuples(games(n, n), games(n, n)))


# --- excess -----------------------------------------------------------------------------------------------------


@given(with_allocation(games()))
def test_excess_is_worth_less_payoffs(case):
    v, x = case
    same(excess(v, x), oracles.excesses(v.values, x), v, 1e-9)
    assert excess(v, x)[0] == 0


# --- Shapley, Banzhaf, dividends --------------------------------------------------------------------------------


@given(games(max_n=5))
def test_shapley_is_the_average_over_all_orders(v):
    same(shapley(v), oracles.shapley_by_orders(v.values), v, 1e-12)


@given(whole_games())
def test_values_equal_their_definitions_in_exact_arithmetic(v):
    exact = [int(a) for a in v.values]
    same(shapley(v), oracles.shapley_by_definition(exact), v, 1e-12)
    same(banzhaf(v), oracles.banzhaf_by_definition(exact), v, 1e-12)
    assert harsanyi_dividends(v).tolist() == oracles.dividends_by_inclusion_exclusion(exact)


@pytest.mark.parametrize("solve", [shapley, banzhaf])
@given(games())
def test_value_axioms(solve, v):
    checks.symmetry(solve, v)
    checks.dummy_player(solve, v)
    checks.null_player_out(solve, v)
    checks.inessential(solve, v)


@given(games())
def test_shapley_is_efficient(v):
    checks.efficiency(shapley, v)


@pytest.mark.parametrize("solve", [shapley, banzhaf])
@given(game_with_order(games()))
def test_values_follow_the_names(solve, case):
    v, order = case
    same(solve(checks.relabelled(v, order)), solve(v)[list(order)], v, 1e-11)


@pytest.mark.parametrize("solve", [shapley, banzhaf, harsanyi_dividends])
@given(pairs_of_games(), st.sampled_from([1.0, -2.0, 0.5]))
def test_values_are_linear(solve, pair, a):
    v, w = pair
    both = TUGame(v.values + a * w.values)
    same(solve(both), solve(v) + a * solve(w), TUGame(np.r_[v.values, 3 * w.values]), 1e-11)


def test_three_player_majority():
    v = weighted_voting([1, 1, 1], 2)
    same(shapley(v), [1 / 3] * 3, v)
    same(banzhaf(v), [1 / 2] * 3, v)


@given(games())
def test_dividends_add_up_to_the_game(v):
    d = harsanyi_dividends(v)
    rebuilt = [sum(d[sub] for sub in range(1 << v.n) if sub & mask == sub) for mask in range(1 << v.n)]
    same(rebuilt, v.values, v, 1e-11)
    shares = [sum(d[mask] / mask.bit_count() for mask in range(1, 1 << v.n) if mask >> i & 1) for i in range(v.n)]
    same(shapley(v), shares, v, 1e-10)


@pytest.mark.parametrize("n, carrier", [(1, [0]), (4, [1, 2]), (6, [0, 3, 5]), (16, [2, 15]), (17, range(17))])
def test_unanimity_games(n, carrier):
    v = unanimity(n, carrier)
    inside = np.isin(np.arange(n), list(carrier))
    same(shapley(v), inside / len(carrier), v, 1e-13)
    same(banzhaf(v), inside * 2.0 ** (1 - len(carrier)), v, 1e-13)
    assert np.flatnonzero(harsanyi_dividends(v)).tolist() == [sum(1 << i for i in carrier)]


@pytest.mark.parametrize("n", [12, 13, 14, 15, 16])
def test_values_of_larger_tables_from_their_dividends(n):
    """Across the sizes at which the one-pass kernel changes from one row to many."""
    rng = np.random.default_rng(n)
    masks, amounts = rng.integers(1, 1 << n, 40), rng.integers(-9, 10, 40)
    table = np.zeros(1 << n)
    for mask, amount in zip(masks, amounts):
        table += amount * ((np.arange(1 << n) & mask) == mask)
    v = TUGame(table)
    for solve, share in ((shapley, lambda s: 1 / s), (banzhaf, lambda s: 2.0 ** (1 - s))):
        expected = np.zeros(n)
        for mask, amount in zip(masks.tolist(), amounts):
            expected[oracles.members(mask, n)] += amount * share(mask.bit_count())
        same(solve(v), expected, v, 1e-11)


# --- least core and core ----------------------------------------------------------------------------------------


@given(games(min_n=2))
def test_least_core_is_the_optimum_and_is_attained(v):
    found = least_core(v)
    same(found.epsilon, oracles.least_core_lp(v.values)[0], v, 1e-7)
    same(found.x.sum(), v.values[-1], v, 1e-9)
    same(oracles.excesses(v.values, found.x)[1:-1].max(), found.epsilon, v, 1e-7)


def test_least_core_may_be_negative():
    v = weighted_voting([10, 10, 10, 10], 35)
    same(least_core(v).epsilon, -0.25, v)
    same(least_core(unanimity(2, [0, 1])).epsilon, -0.5, v)


@given(games(min_n=2), st.sampled_from([0.5, 3.0]), st.data())
def test_least_core_moves_with_the_game(v, a, data):
    b = data.draw(payoffs(v.n))
    w = TUGame(a * v.values + subset_sums(b))
    same(least_core(w).epsilon, a * least_core(v).epsilon, w, 1e-7)


@given(whole_games(min_n=2))
def test_core_is_empty_by_balancedness(v):
    worth = oracles.largest_balanced_worth(v.values)
    assert core_is_empty(v) == (worth > v.values[-1] + 1e-6)
    assert core_is_empty(v) == (least_core(v).epsilon > 1e-9 * oracles.scale_of(v.values))


@given(convex_games())
def test_convex_games_have_a_core_with_the_shapley_value_in_it(v):
    assert not core_is_empty(v)
    assert in_core(v, shapley(v))


@given(games(min_n=2, max_n=5), st.integers(0, 7))
def test_core_begins_where_the_grand_coalition_is_worth_the_balanced_maximum(v, extra):
    values = v.values.copy()
    values[-1] = oracles.largest_balanced_worth(values)
    step = 1e-3 * oracles.scale_of(values)
    for change, empty in ((step, False), (extra, False), (-step, True)):
        assert core_is_empty(TUGame(values + change * (np.arange(len(values)) == len(values) - 1))) == empty


@given(with_allocation(whole_games()))
def test_in_core_by_definition(case):
    v, x = case
    stable = max(oracles.excesses(v.values, x)) <= 0
    assert in_core(v, x) == stable
    assert not in_core(v, x + np.eye(v.n)[0]), "more than v(N) is handed out"
    assert not in_core(v, x - np.eye(v.n)[0]), "less than v(N) is handed out"


def test_core_tolerance_counts_in_units_of_the_game():
    v = glove([0], [1, 2])
    assert in_core(v, [1 - 1e-10, 0, 1e-10]) and not in_core(v, [1 - 1e-6, 0, 1e-6])
    assert in_core(v, [1 - 1e-6, 0, 1e-6], tol=1e-5)
    million = TUGame(1e6 * v.values)
    assert in_core(million, [1e6 - 1e-4, 0, 1e-4]) and not in_core(million, [1e6 - 1, 0, 1])
    # Any two of three can get 1: the core appears at v(N) = 1.5.
    below, at, above = (TUGame([0, 0, 0, 1, 0, 1, 1, total]) for total in (1.5 - 1e-6, 1.5, 1.5 + 1e-6))
    assert core_is_empty(below) is True and core_is_empty(at) is False and core_is_empty(above) is False
    assert core_is_empty(below, tol=1e-5) is False
    assert core_is_empty(TUGame(1e6 * at.values - 1e-4 * (np.arange(8) == 7))) is False


# --- nucleolus and prenucleolus ---------------------------------------------------------------------------------


@FEWER
@given(games(max_n=5))
def test_both_nuclei_are_optimal(v):
    for solve, individual in checks.both_nuclei(v):
        checks.efficiency(solve, v)
        if v.n > 1:
            checks.worst_excess(solve, v, individual=individual)
            checks.certificate(solve, v, individual=individual)
            checks.own_certificate(solve, v, individual=individual)
        if individual:
            checks.individual_rationality(solve, v)


@FEWER
@given(essential_games(max_n=4))
def test_both_nuclei_equal_the_sequence_of_linear_programmes(v):
    checks.lexicographic(prenucleolus, v, individual=False)
    checks.lexicographic(nucleolus, v)


@settings(max_examples=max(1, settings.default.max_examples // 10))
@given(games(min_n=6, max_n=6))
def test_six_players_against_the_sequence_of_linear_programmes(v):
    for solve, individual in checks.both_nuclei(v):
        checks.lexicographic(solve, v, individual=individual)


@FEWER
@given(essential_games(min_n=2, max_n=6))
def test_nucleolus_is_optimal_when_the_bounds_bind(v):
    checks.individual_rationality(nucleolus, v)
    checks.worst_excess(nucleolus, v)
    checks.own_certificate(nucleolus, v)


@FEWER
@given(game_with_order(games(max_n=5)))
def test_nuclei_follow_the_names(case):
    v, order = case
    for solve, _ in checks.both_nuclei(v):
        same(solve(checks.relabelled(v, order)), solve(v)[list(order)], v, 1e-6)


@FEWER
@given(games(max_n=5), st.sampled_from([0.25, 1.0, 7.0, 1e4]), st.data())
def test_nuclei_are_covariant(v, a, data):
    b = data.draw(payoffs(v.n))
    w = TUGame(a * v.values + subset_sums(b))
    for solve, _ in checks.both_nuclei(v):
        same(prenucleolus(w), a * prenucleolus(v) + b, w, 1e-6)
        if solve is nucleolus and oracles.singletons(w.values).sum() <= w.values[-1]:
            same(nucleolus(w), a * nucleolus(v) + b, w, 1e-6)


@FEWER
@given(games())
def test_equals_are_treated_equally(v):
    for solve, _ in checks.both_nuclei(v):
        checks.symmetry(solve, v)


@FEWER
@given(games(min_n=2, max_n=5))
def test_nuclei_lie_in_the_core_and_in_the_least_core(v):
    worst = excess(v, prenucleolus(v))[1:-1].max()
    same(worst, least_core(v).epsilon, v, 1e-7)
    for solve, _ in checks.both_nuclei(v):
        if not core_is_empty(v):
            assert in_core(v, solve(v), tol=1e-7)


@FEWER
@given(convex_games(min_n=2, max_n=5))
def test_nucleolus_of_a_convex_game_is_in_its_core(v):
    assert in_core(v, nucleolus(v), tol=1e-8)


@FEWER
@given(superadditive_games())
def test_both_nuclei_agree_on_superadditive_games(v):
    same(nucleolus(v), prenucleolus(v), v, 1e-7)


@FEWER
@given(essential_games(min_n=3, max_n=4))
def test_both_nuclei_agree_on_zero_monotonic_games(v):
    if oracles.zero_monotonic(v.values):
        same(nucleolus(v), prenucleolus(v), v, 1e-7)


def test_both_nuclei_differ_where_a_player_alone_earns_too_much():
    v = checks.NOT_ZERO_MONOTONIC
    same(nucleolus(v), [4, 0.5, 0.5], v)
    same(prenucleolus(v), [3, 1, 1], v)
    assert kohlberg_certificate(v, [4, 0.5, 0.5]).holds
    assert not kohlberg_certificate(v, [4, 0.5, 0.5], prenucleolus=True).holds
    assert kohlberg_certificate(v, [3, 1, 1], prenucleolus=True).holds
    assert not kohlberg_certificate(v, [3, 1, 1]).holds, "player 0 gets less than v(0)"


@pytest.mark.parametrize(
    "values",
    [
        [0, 3, 0, 0, 0, 1, 0, 1, 1, 2, 0, 1, 3, 3, 0, 4],
        [0, 2, 0, 2, 0, 0, 2, 0, 2, 2, 1, 1, 0, 1, 2, 5],
        [0, 3, 0, 3, 3, 0, 1, 2, 0, 2, 2, 3, 3, 1, 1, 7],
    ],
)
def test_players_held_at_their_own_worth_do_not_stall_the_solver(values):
    """A player settled by its bound once kept a row that said t >= 0, and no stage settled anything more."""
    checks.lexicographic(nucleolus, TUGame(values))
    checks.own_certificate(nucleolus, TUGame(values))


@given(whole_games(min_n=2, max_n=6))
def test_games_with_one_imputation_or_hardly_more(v):
    alone = oracles.singletons(v.values)
    for room in (0, 1):
        tight = TUGame(np.r_[v.values[:-1], alone.sum() + room])
        x = nucleolus(tight)
        same(x, np.maximum(x, alone), tight)
        if room == 0:
            same(x, alone, tight, 1e-8)
        assert kohlberg_certificate(tight, x).holds


def test_the_only_imputation_is_the_nucleolus():
    v = TUGame([0, 4, -1, 9, 2, 9, 9, 5])
    same(nucleolus(v), [4, -1, 2], v)
    assert kohlberg_certificate(v, [4, -1, 2]).holds


@EITHER
@given(essential_games(min_n=2, max_n=2))
def test_two_players_split_the_surplus(solve, v):
    same(solve(v), shapley(v), v, 1e-9)


@EITHER
@given(payoffs(1))
def test_one_player_takes_all(solve, x):
    v = TUGame([0, x[0]])
    for value in (solve, shapley, banzhaf):
        assert value(v).tolist() == [x[0]]
    assert not core_is_empty(v) and in_core(v, x) and not in_core(v, x + 1)
    assert kohlberg_certificate(v, x).holds and kohlberg_certificate(v, x, prenucleolus=True).holds
    assert not kohlberg_certificate(v, x + 1).holds
    assert harsanyi_dividends(v).tolist() == [0, x[0]]


@EITHER
@pytest.mark.parametrize("n", range(1, 11))
def test_degenerate_games(solve, n):
    zero, b = TUGame(np.zeros(1 << n)), np.arange(n) * 1.5 - 4
    same(solve(zero), np.zeros(n), zero)
    v = TUGame(subset_sums(b))
    same(solve(v), b, v)
    by_size = TUGame(np.array([mask.bit_count() for mask in range(1 << n)]) ** 2)
    same(solve(by_size), np.full(n, n), by_size)


# --- the certificate --------------------------------------------------------------------------------------------


@FEWER
@given(games(min_n=2, max_n=5), st.sampled_from([1e-3, 0.1, 3.0]), st.data())
def test_certificate_refuses_what_is_not_the_nucleolus(v, step, data):
    push = np.array(data.draw(st.lists(st.integers(-3, 3), min_size=v.n, max_size=v.n)), dtype=float)
    push -= push.mean()
    assume(np.abs(push).max() > 0)
    for solve, individual in checks.both_nuclei(v):
        wrong = solve(v) + step * oracles.scale_of(v.values) * push
        assert not kohlberg_certificate(v, wrong, prenucleolus=not individual).holds
        assert not kohlberg_certificate(v, solve(v) + step * oracles.scale_of(v.values), prenucleolus=not individual).holds


@FEWER
@given(whole_games(min_n=2, max_n=5))
def test_certificate_agrees_with_the_oracle_on_least_core_vertices(v):
    """Right on the first level and wrong, as a rule, on a later one."""
    x = oracles.least_core_lp(v.values)[1]
    right = oracles.kohlberg(v.values, x, individual=False)
    assert kohlberg_certificate(v, x, prenucleolus=True).holds == right


@pytest.mark.parametrize("noise", [0, 1e-15, 1e-13, 1e-11, 1e-9, 1e-7])
@pytest.mark.parametrize("unit", [1.0, 1e6])
def test_certificate_survives_rounding(noise, unit):
    """Nearly additive games: what there is to divide is no larger than the rounding of the worths."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        b = rng.normal(size=2 + seed % 5)
        values = unit * (subset_sums(b) + noise * rng.normal(size=1 << len(b)))
        v = TUGame(np.r_[0, values[1:]])
        same(prenucleolus(v), unit * b, v, 1e-12 + 10 * noise)
        assert kohlberg_certificate(v, prenucleolus(v), prenucleolus=True).holds
        assert noise > 0 or kohlberg_certificate(v, unit * b, prenucleolus=True).holds


@FEWER
@given(with_allocation(games(min_n=2, max_n=5)), st.booleans())
def test_levels_list_the_worst_excesses_in_order(case, at_the_solution):
    v, x = case
    x = prenucleolus(v) if at_the_solution else x
    found = kohlberg_certificate(v, x, prenucleolus=True)
    gaps, scale = excess(v, x), oracles.scale_of(v.values)
    masks = [mask for _, level in found.levels for mask in level]
    assert len(set(masks)) == len(masks) and set(masks) <= set(oracles.proper(v.values))
    assert all(high > low for (high, _), (low, _) in pairwise(found.levels))
    for level, group in found.levels:
        assert len(group) > 0
        same(gaps[list(group)], level, v, 1e-6)
    if found.levels:
        seen = {mask for mask in oracles.proper(v.values) if gaps[mask] > found.levels[-1][0] + 1e-6 * scale}
        assert seen <= set(masks), "a worse excess is missing"
        same(found.levels[0][0], gaps[1:-1].max(), v)
        last = oracles.indicator([*masks, len(gaps) - 1], v.n)
        assert not found.holds or np.linalg.matrix_rank(last) == v.n


def test_certificate_of_the_talmud():
    found = kohlberg_certificate(checks.TALMUD, [50, 75, 75])
    assert found.holds and "holds=True" in repr(found)
    # Claimant 0 and the pair of the others lose 50; then each of the others and its partner 0 lose 75 or more.
    assert [(round(level, 9), set(masks)) for level, masks in found.levels][0] == (-50.0, {0b001, 0b110})
    assert not kohlberg_certificate(checks.TALMUD, [50, 50, 100]).holds
    first, *_ = kohlberg_certificate(checks.TALMUD, [50, 50, 100]).levels
    assert first[0] == -50.0


# --- votes ------------------------------------------------------------------------------------------------------


@given(voting_bodies())
def test_voting_indices_equal_the_dense_game(body):
    weights, quota = body
    exact = (subset_sums(weights) >= quota).astype(int).tolist()
    found = weighted_voting_indices(weights, quota)
    assert list(found.shapley) == oracles.shapley_by_definition(exact)
    assert list(found.banzhaf) == oracles.banzhaf_by_definition(exact)
    assert all(type(a) is Fraction for a in (*found.shapley, *found.banzhaf))


@pytest.mark.parametrize(
    "weights, quota, expected",
    [
        ([3], 1, [1]),
        ([3], 4, [0]),
        ([5, 1, 1], 5, [1, 0, 0]),
        ([2, 2, 2], 6, [Fraction(1, 3)] * 3),
        ([2, 2, 2], 7, [0, 0, 0]),
        ([2, 2, 2], 1, [Fraction(1, 3)] * 3),
        ([0, 0, 1], 1, [0, 0, 1]),
        ([1, 1, 0, 1], 2, [Fraction(1, 3), Fraction(1, 3), 0, Fraction(1, 3)]),
    ],
)
def test_quotas_at_the_edge(weights, quota, expected):
    assert list(weighted_voting_indices(weights, quota).shapley) == expected
    assert list(weighted_voting_indices(np.array(weights), np.int64(quota)).shapley) == expected


def test_two_hundred_voters_stay_exact():
    found = weighted_voting_indices([1] * 200, 101)
    assert found.shapley == (Fraction(1, 200),) * 200


# --- nothing else is touched ------------------------------------------------------------------------------------

SOLVERS = [shapley, banzhaf, harsanyi_dividends, least_core, core_is_empty, nucleolus, prenucleolus]


@pytest.mark.parametrize("solve", SOLVERS)
@pytest.mark.parametrize("v", [checks.FOUR, checks.TALMUD, checks.VETO], ids=["four", "talmud", "veto"])
def test_same_call_same_bits_and_no_global_randomness(solve, v):
    def bits(result):
        return [np.asarray(part).tobytes() for part in ((result.epsilon, result.x) if solve is least_core else (result,))]

    np.random.seed(3)
    state, values = np.random.get_state(), v.values.copy()
    first = bits(solve(v))
    assert bits(solve(v)) == first and bits(solve(TUGame(values))) == first
    after = np.random.get_state()
    assert state[0] == after[0] and (state[1] == after[1]).all() and state[2:] == after[2:]
    assert v.values.tobytes() == values.tobytes()


def test_allocations_are_new_float_arrays_and_arguments_stay_as_they_were():
    v, x = checks.FOUR, [3, 4, 6, 8]
    given_x = np.array(x)
    for solve in (shapley, banzhaf, nucleolus, prenucleolus):
        result = solve(v)
        assert result.dtype == np.float64 and result.shape == (4,) and result.flags.writeable
        result[:] = 7
        assert solve(v)[0] != 7
    for call in (excess, in_core, kohlberg_certificate):
        call(v, x), call(v, given_x)
    assert x == [3, 4, 6, 8] and given_x.tolist() == x and given_x.dtype.kind == "i"
    weights = [3, 2, 1]
    weighted_voting_indices(weights, 4)
    assert weights == [3, 2, 1]
    d = harsanyi_dividends(v)
    assert d.dtype == np.float64 and d.shape == (16,) and not np.shares_memory(d, v.values)


def test_results_are_frozen_and_short_to_print():
    results = [least_core(checks.FOUR), kohlberg_certificate(checks.FOUR, [3, 4, 6, 8]), weighted_voting_indices([2, 1], 2)]
    for result, field in zip(results, ("epsilon", "holds", "shapley")):
        with pytest.raises(AttributeError):
            setattr(result, field, None)
        assert repr(result).startswith(type(result).__name__) and len(repr(result)) < 200
    assert isinstance(results[0].epsilon, float) and isinstance(results[1].holds, bool)
    assert isinstance(results[1].levels, tuple)
