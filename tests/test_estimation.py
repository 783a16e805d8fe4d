"""Sampled Shapley values: unbiased, exact where they should be, honest about the rest, and never over budget."""

import numpy as np
import pytest

import coalmarl.estimation as estimation
from coalmarl.estimation import Estimate, sample_shapley
from coalmarl.games import TUGame, bankruptcy, glove, unanimity, weighted_voting
from coalmarl.solutions import shapley, weighted_voting_indices

METHODS = ["permutation", "antithetic", "stratified", "stratified_svarm", "leverage"]
PRINTING = ["permutation", "antithetic", "stratified_svarm", "leverage"]
RNG = np.random.default_rng(5)


# --- games with known answers, as batch functions: (v, n, Shapley value) --------------------------------------------


def parliament(n=50):
    weights = np.random.default_rng(1).integers(1, 20, n)
    quota = int(weights.sum() // 2 + 1)
    power = weighted_voting_indices(weights.tolist(), quota).shapley
    return lambda T: (T @ weights >= quota).astype(float), n, np.array([float(p) for p in power])


def runway(n=100):
    costs = np.sort(np.random.default_rng(2).random(n))
    shares = np.cumsum(np.diff(costs, prepend=0) / np.arange(n, 0, -1))
    return lambda T: np.where(T.any(axis=1), costs[n - 1 - T[:, ::-1].argmax(axis=1)], 0.0), n, shares


def rules(n=100, number=300):
    """A marginal contribution net: each rule pays its worth to a coalition that holds all its players."""
    rng = np.random.default_rng(3)
    needs, worth = np.zeros((n, number), dtype=np.float32), rng.random(number)
    for rule in needs.T:
        rule[rng.choice(n, rng.integers(2, 6), replace=False)] = 1
    size = needs.sum(axis=0)
    return lambda T: (T.astype(np.float32) @ needs >= size - 0.5) @ worth, n, needs @ (worth / size)


def graph(n=100):
    """Signed weights on pairs and on players: no terms of three."""
    rng = np.random.default_rng(4)
    weights = np.triu(rng.standard_normal((n, n)) * (rng.random((n, n)) < 0.1))
    phi = np.diag(weights) + (np.triu(weights, 1) + np.triu(weights, 1).T).sum(axis=1) / 2
    return lambda T: ((T @ weights) * T).sum(axis=1), n, phi


def table(v):
    return v, v.n, shapley(v)


def any_table(n, seed=0):
    return table(TUGame([0, *np.random.default_rng(seed).normal(size=2**n - 1)]))


def repeat(game, repetitions, *, per_player, method, offset=0):
    v, n, _ = game
    return [sample_shapley(v, n, budget=per_player * n, method=method, seed=offset + k) for k in range(repetitions)]


def relative_error(game, estimates):
    phi = game[2]
    wrong = np.array([e.values for e in estimates]) - phi
    return np.sqrt((wrong**2).sum(axis=1).mean()) / np.linalg.norm(phi)


def coverage(game, estimates):
    """Share of the printed 95 % intervals, over players and repetitions, that hold the true value."""
    printed = [e for e in estimates if e.standard_errors is not None]
    assert len(printed) > 0.5 * len(estimates)
    return np.mean([np.abs(e.values - game[2]) <= 1.96 * e.standard_errors for e in printed])


class Counted:
    """A batch function that remembers what it was asked."""

    def __init__(self, v):
        self.v, self.batches = v, []

    def __call__(self, T):
        assert T.dtype == bool and T.ndim == 2
        self.batches.append(T.copy())
        return self.v(T)

    @property
    def calls(self):
        return sum(map(len, self.batches))


# --- right on average -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("per_player", [4, 7])
@pytest.mark.parametrize("method", METHODS[:-1])
@pytest.mark.parametrize("game", [any_table(5), table(bankruptcy(200, [100, 200, 60, 30])), table(glove([0, 3], [1, 2, 4, 5]))])
def test_the_mean_of_many_estimates_is_the_shapley_value(game, method, per_player):
    values = np.array([e.values for e in repeat(game, 600, per_player=per_player, method=method)])
    z = (values.mean(axis=0) - game[2]) / np.maximum(values.std(axis=0, ddof=1) / np.sqrt(600), 1e-12)
    assert np.abs(z).max() < 4


@pytest.mark.parametrize("game", [any_table(5), table(weighted_voting([5, 4, 3, 2, 1, 1], 9))])
def test_the_regression_has_less_bias_than_error(game):
    values = np.array([e.values for e in repeat(game, 600, per_player=64, method="leverage")])
    assert np.abs(values.mean(axis=0) - game[2]).max() < 0.15 * values.std(axis=0).min()


def test_the_regression_has_no_wrong_limit():
    for game in [any_table(4), any_table(7), table(unanimity(5, [0, 2, 3]))]:
        (estimate,) = repeat(game, 1, per_player=20_000, method="leverage")
        assert (np.abs(estimate.values - game[2]) < 4 * estimate.standard_errors).all()
        assert estimate.standard_errors.max() < 0.02


@pytest.mark.parametrize("method", METHODS)
def test_small_blocks_change_nothing_but_the_batches(monkeypatch, method):
    monkeypatch.setattr(estimation, "_CELLS", 400)
    v, n, phi = any_table(6)
    counted = Counted(lambda T: v.values[T @ (1 << np.arange(n))])
    estimate = sample_shapley(counted, n, budget=6000 * n, method=method, seed=0)
    assert max(map(len, counted.batches)) * n <= 2000 and estimate.evaluations == counted.calls > 5500 * n
    assert np.abs(estimate.values - phi).max() < 0.1
    if estimate.standard_errors is not None:
        assert np.abs(estimate.values - phi).max() < 4 * estimate.standard_errors.max() < 0.15


# --- exact ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("per_player", [4, 64])
@pytest.mark.parametrize("method", ["antithetic", "leverage"])
def test_pairing_is_exact_on_terms_of_one_and_two_players(method, per_player):
    game = graph()
    (estimate,) = repeat(game, 1, per_player=per_player, method=method)
    assert relative_error(game, [estimate]) < 1e-12
    assert estimate.standard_errors is None or estimate.standard_errors.max() < 1e-12
    (other,) = repeat(game, 1, per_player=per_player, method="stratified_svarm")
    assert relative_error(game, [other]) > 0.05


@pytest.mark.parametrize("method", ["stratified_svarm", "leverage"])
@pytest.mark.parametrize("n", [2, 3])
def test_enumerated_sizes_leave_nothing_to_chance(method, n):
    game = any_table(n)
    (estimate,) = repeat(game, 1, per_player=4, method=method)
    np.testing.assert_allclose(estimate.values, game[2], rtol=0, atol=1e-12)
    assert not estimate.standard_errors.any()


@pytest.mark.parametrize("method", METHODS)
def test_an_additive_game_pays_everybody_his_own_worth_by_marginals_or_regression(method):
    worth = RNG.normal(size=12)
    (estimate,) = repeat((lambda T: T @ worth, 12, worth), 1, per_player=40, method=method)
    if method != "stratified_svarm":
        np.testing.assert_allclose(estimate.values, worth, rtol=0, atol=1e-12)
    np.testing.assert_allclose(estimate.values, worth, rtol=0, atol=1.0)


def test_rounding_alone_does_not_withhold_an_interval():
    v = lambda T: T.sum(axis=1) + 1e-14 * T[:, :9].all(axis=1)  # noqa: E731
    estimate = sample_shapley(v, 12, budget=480, method="permutation", seed=0)
    assert estimate.standard_errors.max() < 1e-14


def test_pairing_costs_a_factor_of_root_two_where_the_complement_brings_no_news():
    votes = np.random.default_rng(6).integers(1, 20, 51)
    votes[0] += 1 - votes.sum() % 2  # an odd sum: no ties, v(S) + v(N - S) = 1
    power = weighted_voting_indices(votes.tolist(), int(votes.sum() // 2 + 1)).shapley
    game = (lambda T: (2 * (T @ votes) > votes.sum()).astype(float), 51, np.array([float(p) for p in power]))
    plain, paired = (
        relative_error(game, repeat(game, 200, per_player=64, method=method)) for method in ["permutation", "antithetic"]
    )
    assert 1.3 < paired / plain < 1.53


# --- how far off ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("game", "method", "floor"), [
    (parliament(), "stratified_svarm", 0.35),
    (runway(), "stratified_svarm", 0.30),
    (rules(), "stratified_svarm", 0.10),
    (rules(), "antithetic", 0.10),
    (rules(), "stratified", 0.10),
    (rules(), "permutation", 0.15),
    (parliament(), "leverage", 0.75),
])  # fmt: skip
def test_relative_error_at_64_evaluations_per_player(game, method, floor):
    assert relative_error(game, repeat(game, 8, per_player=64, method=method)) < floor


@pytest.mark.parametrize("method", ["permutation", "antithetic"])
def test_the_error_falls_with_the_root_of_the_budget(method):
    game = rules(30, 100)
    budgets = [8, 24, 72, 216]
    errors = [relative_error(game, repeat(game, 50, per_player=b, method=method)) for b in budgets]
    slope = np.polyfit(np.log(budgets), np.log(errors), 1)[0]
    assert abs(slope + 0.5) < 0.05


GAMES = {"parliament": parliament(), "runway": runway(), "rules": rules(), "graph": graph(), "table": any_table(8)}
COVERED = [
    (name, method)
    for name in GAMES
    for method in PRINTING
    if not (name in ("parliament", "runway") and method in ("permutation", "antithetic"))  # withheld there
    if not (name == "graph" and method in ("antithetic", "leverage"))  # exact there
]


@pytest.mark.parametrize(("name", "method"), COVERED)
def test_printed_intervals_hold_the_value_as_often_as_they_say(name, method):
    found = coverage(GAMES[name], repeat(GAMES[name], 1200 // GAMES[name][1], per_player=64, method=method))
    assert 0.92 <= found <= 0.98


@pytest.mark.long
@pytest.mark.parametrize(("name", "method"), COVERED)
def test_printed_intervals_over_two_thousand_repetitions(name, method):
    found = coverage(GAMES[name], repeat(GAMES[name], 2000, per_player=64, method=method))
    assert 0.93 <= found <= 0.97


@pytest.mark.parametrize("method", ["permutation", "antithetic"])
def test_no_interval_is_printed_when_few_orders_carry_the_spread(method):
    for game in [GAMES["parliament"], GAMES["runway"], table(unanimity(12, range(12)))]:
        assert all(e.standard_errors is None for e in repeat(game, 20, per_player=64, method=method))
    tiny = (lambda T: 1e-30 * GAMES["parliament"][0](T), 50, None)  # no spread is small in itself
    assert repeat(tiny, 1, per_player=64, method=method)[0].standard_errors is None
    assert repeat(GAMES["graph"], 1, per_player=4, method=method)[0].standard_errors is None  # two orders know nothing
    (late,) = repeat(table(weighted_voting([4, 3, 2, 1, 1], 6)), 1, per_player=2000, method=method)
    assert late.standard_errors is not None


def test_stratified_marginals_never_print_an_interval():
    assert repeat(GAMES["rules"], 1, per_player=64, method="stratified")[0].standard_errors is None


@pytest.mark.parametrize("method", PRINTING)
@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_values_and_errors_follow_the_unit_of_the_game(method, scale):
    v, n, _ = any_table(6)
    (plain,), (scaled,) = (repeat((g, n, None), 1, per_player=64, method=method) for g in (v, TUGame(v.values * scale)))
    np.testing.assert_allclose(scaled.values, plain.values * scale, rtol=1e-9)
    np.testing.assert_allclose(scaled.standard_errors, plain.standard_errors * scale, rtol=1e-9)


# --- the budget -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n", [2, 3, 4, 5, 9, 30])
def test_the_budget_is_counted_and_never_exceeded(method, n):
    least = (2 if method == "permutation" else 4) * n
    for budget in [least, least + 1, least + 7, 16 * n - 1, 64 * n]:
        v = Counted(lambda T: T.sum(axis=1) ** 1.5)
        estimate = sample_shapley(v, n, budget=budget, method=method, seed=0)
        assert estimate.evaluations == v.calls <= budget
        if n > 3:  # of two or three players there is too little to ask
            assert v.calls > budget - 2 * n
        asked = np.concatenate(v.batches)
        assert not asked.all(axis=1).all() and (~asked).all(axis=1).any() and asked.all(axis=1).any()
        assert estimate.values.shape == (n,) and np.isfinite(estimate.values).all()
        assert estimate.standard_errors is None or np.isfinite(estimate.standard_errors).all()


@pytest.mark.parametrize("method", METHODS)
def test_a_handful_of_batches_is_enough(method):
    v = Counted(lambda T: T.sum(axis=1))
    sample_shapley(v, 20, budget=1280, method=method, seed=0)
    assert len(v.batches) <= 5


@pytest.mark.parametrize("method", ["permutation", "antithetic", "stratified_svarm", "leverage"])
def test_everything_is_handed_out(method):
    for game in [any_table(2), any_table(5), GAMES["parliament"], GAMES["rules"]]:
        v, n, phi = game
        (estimate,) = repeat(game, 1, per_player=5, method=method)
        assert abs(estimate.values.sum() - phi.sum()) < 1e-9


@pytest.mark.parametrize("method", METHODS)
def test_a_thousand_players(method):
    worth = np.arange(1, 1001) / 1000
    phi = worth * worth.sum()
    v = Counted(lambda T: (T @ worth) ** 2)
    estimate = sample_shapley(v, 1000, budget=4000, method=method, seed=0)
    assert estimate.evaluations == v.calls <= 4000
    error = np.linalg.norm(estimate.values - phi) / np.linalg.norm(phi)
    assert error < {"antithetic": 1e-12, "leverage": 1e-12}.get(method, 0.75)


def test_two_thousand_players_in_batches_that_fit():
    v = Counted(lambda T: np.sqrt(T.sum(axis=1)))
    estimate = sample_shapley(v, 2000, budget=8000, seed=0)
    assert abs(estimate.values.sum() - np.sqrt(2000)) < 1e-9
    assert max(batch.size for batch in v.batches) < 3 * estimation._CELLS


# --- chance ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_equal_seeds_give_equal_bits_and_other_seeds_do_not(method):
    v, n, _ = any_table(7)

    def once(seed):
        e = sample_shapley(v, n, budget=10 * n, method=method, seed=seed)
        return e.values.tobytes(), None if e.standard_errors is None else e.standard_errors.tobytes()

    assert once(3) == once(3) == once(np.int64(3)) == once(np.random.default_rng(3))
    assert once(3) != once(4)
    rng = np.random.default_rng(3)
    assert once(rng) != once(rng)


def test_the_global_generator_is_left_alone():
    before = np.random.get_state()[1].copy()
    for method in METHODS:
        repeat(any_table(5), 1, per_player=8, method=method)
    assert (np.random.get_state()[1] == before).all()


@pytest.mark.parametrize("method", METHODS)
def test_a_table_and_a_function_give_the_same(method):
    v, n, _ = any_table(6)
    as_function = sample_shapley(lambda T: [v(np.flatnonzero(row)) for row in T], n, budget=60, method=method, seed=1)
    as_table = sample_shapley(v, n, budget=60, method=method, seed=1)
    assert (as_function.values == as_table.values).all() and as_function.evaluations == as_table.evaluations


# --- bad input ------------------------------------------------------------------------------------------------------


def ask(v=lambda T: T.sum(axis=1), n=5, **changes):
    return sample_shapley(v, n, **{"budget": 100, "seed": 0, **changes})


@pytest.mark.parametrize(("changes", "error", "words"), [
    ({"budget": 19}, ValueError, "at least 20 evaluations for 'stratified_svarm' with 5 players, got 19"),
    ({"budget": 9, "method": "permutation"}, ValueError, "at least 10 evaluations"),
    ({"budget": -1}, ValueError, "at least 20"),
    ({"budget": 100.0}, TypeError, "budget as an integer"),
    ({"budget": True}, TypeError, "budget as an integer"),
    ({"method": "guess"}, ValueError, "permutation, antithetic, stratified, stratified_svarm, leverage, got 'guess'"),
    ({"method": ["permutation"]}, ValueError, "expected a method among"),
    ({"method": None}, ValueError, "expected a method among"),
    ({"seed": None}, TypeError, "seed or a numpy Generator"),
    ({"seed": 1.5}, TypeError, "seed or a numpy Generator"),
    ({"seed": -1}, ValueError, "seed of at least 0"),
    ({"n": 1}, ValueError, "at least 2 players, got n = 1; one player gets"),
    ({"n": 0}, ValueError, "at least 2 players"),
    ({"n": 5.0}, TypeError, "number of players as an integer"),
    ({"n": "5"}, TypeError, "number of players as an integer"),
    ({"v": unanimity(4, [0])}, ValueError, "own number of players, 4, got n = 5"),
    ({"v": [0, 1]}, TypeError, "TUGame or a function"),
    ({"v": lambda T: T.sum(axis=1) + 1}, ValueError, r"v\(empty\) = 0, got 1"),
    ({"v": lambda T: np.where(T.sum(axis=1) == 2, np.nan, 0)}, ValueError, "finite worths, got nan for 2 players"),
    ({"v": lambda T: np.where(T.sum(axis=1) == 1, -np.inf, 0)}, ValueError, "got -inf for 1 players"),
    ({"v": lambda T: T.sum(axis=1)[:1]}, ValueError, "expected 2 worths, one per row of the array, got 1"),
    ({"v": lambda T: T.sum(axis=1)[:, None]}, ValueError, "one dimension"),
    ({"v": lambda T: T.sum()}, ValueError, "one dimension"),
    ({"v": lambda T: T.sum(axis=1) * 1j}, TypeError, "real numbers, got complex128"),
    ({"v": lambda T: ["much"] * len(T)}, TypeError, "real numbers"),
    ({"v": lambda T: None}, TypeError, "real numbers"),
])  # fmt: skip
def test_bad_input_is_refused_in_words_that_help(changes, error, words):
    with pytest.raises(error, match=words):
        ask(**changes)


def test_nothing_is_asked_of_v_before_the_plan_is_sound():
    v = Counted(lambda T: T.sum(axis=1))
    for changes in [{"budget": 3}, {"method": "guess"}, {"n": 1}, {"seed": None}]:
        with pytest.raises((TypeError, ValueError)):
            ask(v, **changes)
    assert not v.batches


def test_an_error_inside_v_says_where_it_came_from():
    def broken(T):
        raise ZeroDivisionError("no trucks")

    with pytest.raises(ZeroDivisionError, match="no trucks") as caught:
        ask(broken)
    assert "array of shape (2, 5)" in caught.value.__notes__[0]


@pytest.mark.parametrize("method", METHODS)
def test_v_can_neither_spoil_the_sample_nor_be_spoilt_by_a_buffer_it_keeps(method):
    def vandal(T):
        T[:] = True
        return T.sum(axis=1)

    with pytest.raises(ValueError, match="read-only"):
        ask(vandal, method=method)
    buffer = np.zeros(10_000)

    def thrifty(T):
        np.sqrt(T @ np.arange(5), out=buffer[: len(T)])
        return buffer[: len(T)]

    plain = ask(lambda T: np.sqrt(T @ np.arange(5)), method=method)
    assert (ask(thrifty, method=method).values == plain.values).all()


def test_an_estimate_is_printed_in_a_line():
    estimate = ask()
    assert isinstance(estimate, Estimate)
    assert repr(estimate) == "Estimate(5 players, with standard errors, 100 evaluations)"
    assert repr(ask(method="stratified")) == "Estimate(5 players, no standard errors, 92 evaluations)"
