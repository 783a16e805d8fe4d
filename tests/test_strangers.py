"""Strangers: the lever game has closed forms, beliefs have a brute force, and pairs are not independent."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coalmarl.evaluation import (
    ALIKE,
    ALL_DIFFERENT,
    BROAD,
    DOUBTFUL,
    LEVERS,
    NARROW,
    OFFERS,
    PARTNERS,
    Answers,
    acceptance,
    believer,
    best_of_restarts,
    best_response,
    cross_play,
    equal_split,
    expected_match,
    learn_levers,
    match_matrix,
    play_ultimatum,
    proposers,
    specialist,
    summarise_cross_play,
    upper_bounds,
)

BASIN = 10 / 91  # where 1.8 p = 2 (1 - p) / 9
logits = st.lists(st.floats(-3, 3), min_size=10, max_size=10).map(np.array)


def softmax(z):
    return np.exp(z) / np.exp(z).sum()


def start_at(p, rest=None):
    """Logits that give the 0.9 lever probability p and divide what is left among the nine."""
    rest = np.full(9, 1 / 9) if rest is None else rest
    return np.log(np.r_[(1 - p) * rest, p])


# --- what should be reported of a table -------------------------------------------------------------------------


def test_a_summary_keeps_the_diagonal_apart():
    report = summarise_cross_play([[5, 1, 2], [3, 7, 4], [0, 2, 6]])
    assert report.self_play == 6 and report.cross_play == pytest.approx(2) and report.worst == 0
    assert report.interval.low <= 2 <= report.interval.high
    same = summarise_cross_play(np.full((4, 4), 0.9))
    assert same.interval == pytest.approx((0.9, 0.9)) and same.cross_play == pytest.approx(0.9)
    failed = np.full((30, 30), 0.9)
    failed[:, 0] = failed[0] = 0  # one agent in thirty: the interval reaches to the others, and no further
    low, high = summarise_cross_play(failed).interval
    assert low < 0.84 == pytest.approx(summarise_cross_play(failed).cross_play) and high == pytest.approx(0.9)


@given(st.integers(3, 8), st.integers(0, 10**6))
def test_a_summary_knows_nothing_of_the_agents_order(n, seed):
    rng = np.random.default_rng(seed)
    x, order = rng.normal(size=(n, n)), rng.permutation(n)
    one, other = summarise_cross_play(x), summarise_cross_play(x[np.ix_(order, order)])
    assert one.cross_play == pytest.approx(other.cross_play) == pytest.approx((x.sum() - np.trace(x)) / (n * n - n))
    assert one.worst == other.worst and one.self_play == pytest.approx(other.self_play)


def test_the_interval_counts_agents_and_not_pairs():
    """Half the agents are twice as good; a pair earns the product. Over pairs the interval misses every other time."""
    held, too_short = 0, 0
    for seed in range(100):
        quality = np.random.default_rng(seed).choice([0.5, 1.0], 20)
        x = np.outer(quality, quality)
        low, high = summarise_cross_play(x).interval
        held += low <= 0.75**2 <= high
        pairs = x[~np.eye(20, dtype=bool)]
        too_short += abs(pairs.mean() - 0.75**2) > 1.96 * pairs.std() / len(pairs) ** 0.5
    assert 0.85 <= held / 100 <= 1
    assert too_short > 50


@pytest.mark.parametrize("matrix", [[[1, 2], [3, 4]], [[1, 2, 3]] * 2, [1, 2, 3], 4.0, np.full((3, 3), np.nan)])
def test_tables_that_cannot_be_summarised_are_refused(matrix):
    with pytest.raises(ValueError, match="finite payoffs of three or more agents"):
        summarise_cross_play(matrix)


# --- the lever game ---------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 2), min_size=1, max_size=5), st.integers(0, 10**6))
def test_the_objective_is_the_mean_over_all_renamings(names, seed):
    p = np.random.default_rng(seed).dirichlet(np.ones(len(names)))
    pay = np.array([1.0, 0.7, 0.3])[names]
    allowed = [r for r in permutations(range(len(names))) if all(names[a] == names[b] for a, b in enumerate(r))]
    brute = np.mean([(pay * p * p[list(r)]).sum() for r in allowed])
    assert expected_match(p, names, pay) == pytest.approx(brute)


def test_the_lever_game_has_these_values():
    uniform, nine, tenth = np.full(10, 0.1), np.r_[np.full(9, 1 / 9), 0], np.eye(10)[9]
    assert expected_match([uniform, nine, tenth, np.eye(10)[4]], ALIKE) == pytest.approx([0.099, 1 / 9, 0.9, 1 / 9])
    assert expected_match([uniform, nine, tenth, np.eye(10)[4]], ALL_DIFFERENT) == pytest.approx([0.099, 1 / 9, 0.9, 1])
    lowest = min(np.linspace(0, 1, 10_001), key=lambda p: expected_match(softmax(start_at(p)) if 0 < p < 1 else nine, ALIKE))
    assert lowest == pytest.approx(BASIN, abs=1e-4), "the valley between the two hills is the edge of the basin"


@given(logits, st.sampled_from([ALIKE, ALL_DIFFERENT]))
@settings(max_examples=30)
def test_a_step_follows_the_gradient(z, names):
    h, eye = 1e-6, np.eye(10)
    slope = [(expected_match(softmax(z + h * e), names) - expected_match(softmax(z - h * e), names)) / (2 * h) for e in eye]
    assert learn_levers(z, names, steps=1, rate=0.5) == pytest.approx(softmax(z + 0.5 * np.array(slope)), abs=1e-7)


@given(logits)
@settings(max_examples=25)
def test_one_number_of_the_start_decides_where_other_play_ends(z):
    p = softmax(z)[9]
    if abs(p - BASIN) > 1e-3:
        end = learn_levers(z, ALIKE, steps=2000)[9]
        assert end == pytest.approx(float(p > BASIN), abs=1e-2)


def test_the_edge_of_the_basin_to_four_places():
    rest = np.random.default_rng(0).dirichlet(np.ones(9))  # how the nine share does not matter
    ends = learn_levers([start_at(0.1098), start_at(0.1098, rest), start_at(0.11), start_at(0.11, rest)], ALIKE, steps=4000)
    assert ends[:, 9].round(3).tolist() == [0, 0, 1, 1]


@given(logits, st.permutations(range(9)), st.sampled_from([ALIKE, ALL_DIFFERENT]))
@settings(max_examples=20)
def test_learning_treats_equal_levers_alike(z, order, names):
    order = [*order, 9]
    assert learn_levers(z[order], names, steps=50) == pytest.approx(learn_levers(z, names, steps=50)[order], abs=1e-9)


def test_starts_without_spread_are_one_start():
    for restarts in (1, 10):
        close = best_of_restarts(ALIKE, agents=20, restarts=restarts, seed=3, scale=0.01)
        assert expected_match(close, ALIKE) == pytest.approx(1 / 9, abs=0.002)
    spread = best_of_restarts(ALIKE, agents=20, restarts=30, seed=3)
    assert expected_match(spread, ALIKE) == pytest.approx(0.9, abs=0.01)


def test_agents_judge_their_starts_by_their_own_objective():
    rng = np.random.default_rng(5)
    ends = learn_levers(rng.standard_normal((6, 4, 10)), ALIKE)
    kept = best_of_restarts(ALIKE, agents=6, restarts=4, seed=5)
    assert expected_match(kept, ALIKE).tolist() == expected_match(ends, ALIKE).max(axis=1).tolist()


@pytest.mark.parametrize("names", [ALIKE, ALL_DIFFERENT])
def test_cross_play_has_the_value_that_symmetry_gives_it(names):
    """Whoever treats equal levers alike earns 0.9 q**2 + (1 - q)**2 / 9, q its mean on the tenth."""
    policies = best_of_restarts(names, agents=800, restarts=1, seed=8)
    q, matrix = policies[:, 9].mean(), match_matrix(policies)
    assert matrix[~np.eye(800, dtype=bool)].mean() == pytest.approx(0.9 * q**2 + (1 - q) ** 2 / 9, abs=0.01)


def test_the_matrix_is_cross_play():
    policies = np.random.default_rng(0).dirichlet(np.ones(10), size=4)
    met = cross_play(lambda a, b: float((a * b * LEVERS).sum()), policies)
    assert match_matrix(policies) == pytest.approx(met)
    assert met == pytest.approx(met.T)


@pytest.mark.parametrize("seed", range(3))
def test_the_chapters_claim_about_levers(seed):
    alone = summarise_cross_play(match_matrix(best_of_restarts(ALL_DIFFERENT, agents=30, restarts=1, seed=seed)))
    assert alone.self_play >= 0.95 and alone.cross_play <= 0.15 and alone.worst < 0.01
    other = summarise_cross_play(match_matrix(best_of_restarts(ALIKE, agents=30, restarts=30, seed=seed)))
    assert other.cross_play >= 0.89


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: expected_match(np.eye(9), ALIKE), "one name and one pay"),
        (lambda: expected_match(np.eye(10), ALIKE, [1.0] * 9), "one name and one pay"),
        (lambda: expected_match(np.eye(10), [0] * 10), "alike to pay alike"),
        (lambda: learn_levers([np.nan] * 10, ALIKE), "finite"),
        (lambda: best_of_restarts(ALIKE, agents=0, restarts=3, seed=0), "at least one agent"),
        (lambda: best_of_restarts(ALIKE, agents=3, restarts=0, seed=0), "one start"),
    ],
)
def test_lever_games_that_make_no_sense_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# --- the ultimatum ----------------------------------------------------------------------------------------------

answers = st.dictionaries(st.integers(0, 18), st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=4)


def seen(counts, left):
    accepted, refused = np.zeros((2, 1, 19))
    for offer, (yes, no) in counts.items():
        accepted[0, offer], refused[0, offer] = yes, no
    return Answers(accepted, refused, left)


def brute_scores(prior, counts, left):
    """Belief by products, then both answers to every offer, one at a time."""
    kinds = [k for k, weight in prior.items() if weight > 0]
    chances = [np.clip(acceptance(k), 1e-12, 1) for k in kinds]
    refusals = [np.clip(1 - acceptance(k), 1e-12, 1) for k in kinds]
    belief = np.array([prior[k] for k in kinds])
    for offer, (yes, no) in counts.items():
        belief = belief * [c[offer] ** yes * r[offer] ** no for c, r in zip(chances, refusals, strict=True)]
        belief = belief / belief.sum()
    belief, chances = belief / belief.sum(), np.array([acceptance(k) for k in kinds])
    now = (1 - OFFERS) * (belief @ chances)
    later = np.zeros(19)
    for offer in range(19):
        for answer in (chances[:, offer], 1 - chances[:, offer]):
            probability = belief @ answer
            if probability > 0:
                later[offer] += probability * ((1 - OFFERS) * ((belief * answer / probability) @ chances)).max()
    return now + left * later, now


@given(answers, st.integers(0, 19), st.sampled_from([BROAD, NARROW, DOUBTFUL, {0.2: 3.0, 0.5: 1.0, None: 0.5}]))
@settings(max_examples=40)
def test_scores_equal_brute_force(counts, left, prior):
    ahead, now = brute_scores(prior, counts, left)
    assert believer(prior, ahead=True)(seen(counts, left))[0] == pytest.approx(ahead, rel=1e-7, abs=1e-9)
    assert believer(prior, ahead=False)(seen(counts, left))[0] == pytest.approx(now, rel=1e-7, abs=1e-9)


@given(answers, st.floats(0.01, 100))
@settings(max_examples=20)
def test_only_the_ratios_of_a_prior_matter(counts, factor):
    scaled = {kind: factor * weight for kind, weight in BROAD.items()}
    one, other = (believer(prior, ahead=True)(seen(counts, 5)) for prior in (BROAD, scaled))
    assert one == pytest.approx(other)


def test_a_weight_of_zero_is_the_same_as_no_mention():
    counts = {6: (0, 40), 8: (0, 3)}  # what nobody in the narrow prior would ever answer
    spelt_out = believer({**dict.fromkeys(BROAD, 0.0), **NARROW}, ahead=True)
    assert spelt_out(seen(counts, 5)) == pytest.approx(believer(NARROW, ahead=True)(seen(counts, 5)))


def test_partners_accept_more_of_more():
    for name, asks in PARTNERS.items():
        chance = acceptance(name)
        assert (np.diff(chance) >= 0).all() and chance.shape == OFFERS.shape
        assert chance.tolist() == acceptance(asks).tolist()
        if asks is not None:
            assert chance == pytest.approx(1 / (1 + np.exp(-(OFFERS - asks) / 0.02)))
            assert np.interp(asks, OFFERS, chance) == pytest.approx(0.5)


@pytest.mark.parametrize("partner", [*PARTNERS, 0.85, 1.0])
def test_no_fixed_offer_beats_the_best_response(partner):
    fixed = (1 - OFFERS) * acceptance(partner)
    assert best_response(partner) == max(fixed.tolist()) > 0
    shares = play_ultimatum(specialist(partner), partner, runs=4000, seed=0)
    assert shares.mean() == pytest.approx(1, abs=5 * shares.std() / 4000**0.5 + 1e-9)


def test_a_fixed_offer_earns_what_arithmetic_says():
    for partner in PARTNERS:
        expected = 0.5 * acceptance(partner)[9] / best_response(partner)
        assert play_ultimatum(equal_split, partner, runs=2000, seed=4).mean() == pytest.approx(expected, abs=0.02)


def test_no_support_no_lesson_and_a_little_doubt_is_enough():
    """The narrow believer never makes an offer that its partner would accept, for however long."""
    for rounds in (20, 200):
        assert play_ultimatum(believer(NARROW, ahead=True), 0.5, runs=30, seed=0, rounds=rounds).mean() < 0.01
    shares = [play_ultimatum(believer(DOUBTFUL, ahead=True), 0.5, runs=30, seed=0, rounds=r).mean() for r in (20, 200)]
    assert 0.4 < shares[0] < 0.7 < 0.9 < shares[1]


def test_who_looks_ahead_offers_less_at_first_and_stops_at_the_end():
    first = seen({}, 19)
    myopic, ahead = (believer(BROAD, ahead=a) for a in (False, True))
    assert OFFERS[ahead(first).argmax()] < OFFERS[myopic(first).argmax()]
    assert ahead(seen({6: (1, 0)}, 0)).tolist() == myopic(seen({6: (1, 0)}, 0)).tolist()


def test_upper_bounds_climb_from_the_lowest_offer():
    scores = upper_bounds(seen({0: (0, 2), 1: (1, 0)}, 3), width=0.1)[0]
    bonus = 0.1 * np.log(4) ** 0.5
    assert scores[:3] == pytest.approx([bonus / 2**0.5, 0.9 + bonus, 0.85])


def test_upper_bounds_has_the_best_of_six_widths():
    def mean(width):
        shares = [play_ultimatum(lambda a: upper_bounds(a, width=width), name, runs=100, seed=0) for name in PARTNERS]
        return float(np.mean(shares))

    means = {width: mean(width) for width in (0, 0.03, 0.1, 0.3, 1, 3)}
    assert means[0.1] > max(means.values()) - 0.005 > means[0.3]


def test_the_same_number_gives_the_same_luck():
    one = play_ultimatum(equal_split, "careless", runs=5, seed=7)
    assert one.tolist() == play_ultimatum(equal_split, None, runs=5, seed=np.random.default_rng(7)).tolist()
    assert one.tolist() != play_ultimatum(equal_split, None, runs=5, seed=8).tolist()


def test_the_chapters_claim_about_proposers():
    table = np.array([[play_ultimatum(p, name, runs=60, seed=0).mean() for name in PARTNERS] for p in proposers().values()])
    rows = dict(zip(proposers(), table, strict=True))
    own = table[:6, :6]
    assert np.trace(own) / 6 - own[~np.eye(6, dtype=bool)].mean() >= 0.3
    broad = rows["Bayes, broad, look-ahead"]
    assert broad.mean() >= 0.8 and broad.min() >= 0.7
    assert rows["Bayes, narrow"].min() < 0.01 < 0.4 < rows["Bayes, narrow with doubt"].min()


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: acceptance("asks 0.35"), "a partner among asks 0.1, "),
        (lambda: acceptance(1.2), "from 0 to 1"),
        (lambda: specialist(float("nan")), "from 0 to 1"),
        (lambda: believer({}, ahead=True), "needs support"),
        (lambda: believer({0.2: 0.0}, ahead=True), "needs support"),
        (lambda: believer({0.2: 1.0, 0.3: -0.1}, ahead=True), "needs support"),
        (lambda: believer({0.2: float("nan")}, ahead=True), "needs support"),
        (lambda: believer({0.2: float("inf")}, ahead=True), "needs support"),
        (lambda: believer({1.2: 1.0}, ahead=True), "from 0 to 1"),
        (lambda: play_ultimatum(equal_split, 0.2, runs=0, seed=0), "one run"),
        (lambda: play_ultimatum(equal_split, 0.2, runs=1, seed=0, rounds=0), "one round"),
        (lambda: play_ultimatum(lambda a: a.accepted[0], 0.2, runs=2, seed=0), "finite scores"),
        (lambda: play_ultimatum(lambda a: a.accepted / 0 * np.nan, 0.2, runs=2, seed=0), "finite scores"),
    ],
)
def test_ultimatums_that_make_no_sense_are_refused(call, message):
    with np.errstate(invalid="ignore"), pytest.raises(ValueError, match=message):
        call()
