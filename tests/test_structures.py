"""Optimal coalition structures and their stability, each against its definition over all partitions."""

import json
from dataclasses import FrozenInstanceError
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import checks
import oracles
from coalmarl import coalitions, structures
from coalmarl.coalitions import coalition_sums
from coalmarl.games import TUGame, is_superadditive
from coalmarl.solutions import in_core, shapley
from coalmarl.structures import (
    Deviation,
    Structure,
    best_structure,
    blocking_coalitions,
    equal_split,
    individual_deviations,
    marginal_split,
    moving_payoffs,
    nash_deviations,
    potential,
    shapley_split,
    superadditive_cover,
)
from strategies import games, superadditive_games, whole_games

RECORDS = json.loads((Path(__file__).parent / "reference" / "known_answers.json").read_text(encoding="utf-8"))
CHASE = TUGame([0, 0, 3, 4])  # under equal split player 0 follows player 1, who would rather be alone


# --- slow oracles: every partition, every subset ----------------------------------------------------------------


def partitions_of(n):
    """Every partition as a tuple of masks, from the room each player is in."""
    found = set()
    for rooms in product(range(n), repeat=n):
        blocks = [sum(1 << i for i in range(n) if rooms[i] == room) for room in set(rooms)]
        found.add(tuple(sorted(blocks)))
    return sorted(found)


PARTITIONS = {n: partitions_of(n) for n in range(1, 7)}


def best_by_brute_force(values, rest):
    """The most that a partition of the players in ``rest`` earns: every partition is built."""
    if rest == 0:
        return 0.0
    first = rest & -rest
    others, best, part = rest ^ first, -np.inf, rest ^ first
    while True:
        best = max(best, values[part | first] + best_by_brute_force(values, others ^ part))
        if part == 0:
            return best
        part = (part - 1) & others


def cover_by_plain_programme(values):
    cover = list(values)
    for S in range(1, len(cover)):
        part = S
        while part := (part - 1) & S:
            cover[S] = max(cover[S], cover[part] + cover[S ^ part])
    return cover


def whole_game(n, rng, low=-20, high=40):
    return TUGame([0, *rng.integers(low, high, (1 << n) - 1)])


def share(rule, v, S, i):
    """What player i gets in S, by the words of the rule."""
    if not S >> i & 1:
        return 0.0
    if rule is equal_split:
        return v(S) / S.bit_count()
    if rule is marginal_split:
        return v(S) - v(S & ~(1 << i))
    team = oracles.members(S, v.n)
    inside = [v([team[j] for j in oracles.members(T, len(team))]) for T in range(1 << len(team))]
    return oracles.shapley_by_definition(np.array(inside))[team.index(i)]


def moves(table, places):
    """Every (player, place, gain) and whether the hosts agree, from the definition."""
    for i in range(table.shape[-1]):
        (home,) = (k for k, S in enumerate(places) if S >> i & 1)
        for k, S in enumerate(places):
            if k != home:
                gain = table[k][S | 1 << i][i] - table[home][places[home]][i]
                hosts = oracles.members(S, table.shape[-1])
                yield i, k, gain, all(table[k][S | 1 << i][j] >= table[k][S][j] for j in hosts)


def blocking_by_definition(table, partition):
    n = table.shape[1]
    home = {i: S for S in partition for i in oracles.members(S, n)}
    return tuple(
        S for S in range(1, 1 << n) if all(table[S][i] > table[home[i]][i] for i in oracles.members(S, n))
    )


def check_structure(v, value):
    found = best_structure(v)
    assert type(found) is Structure and type(found.value) is float
    assert all(type(S) is int and S > 0 for S in found.coalitions)
    assert sum(found.coalitions) == (1 << v.n) - 1  # with the next line: each player once
    assert sum(S.bit_count() for S in found.coalitions) == v.n
    assert [S & -S for S in found.coalitions] == sorted(S & -S for S in found.coalitions)
    assert found.value == pytest.approx(value, rel=1e-12, abs=1e-9)
    assert sum(v.values[S] for S in found.coalitions) == pytest.approx(value, rel=1e-12, abs=1e-9)


# --- the best structure -----------------------------------------------------------------------------------------


@given(games(max_n=6), st.sampled_from([1, 2, 3, 8]))
def test_best_of_all_partitions(v, block):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(structures, "_BLOCK", block)
        check_structure(v, max(sum(v.values[list(p)]) for p in PARTITIONS[v.n]))


@pytest.mark.parametrize("low, high", [(-20, 40), (-9, 0), (0, 2), (-1, 2)])
@pytest.mark.parametrize("n", [7, 8, 9])
def test_brute_force_up_to_nine_players(n, low, high):
    v = whole_game(n, np.random.default_rng(n), low, high)
    check_structure(v, best_by_brute_force(v.values.tolist(), (1 << n) - 1))


def test_plain_dynamic_programme_on_two_hundred_games():
    rng = np.random.default_rng(0)
    for n in [*range(1, 11)] * 20:
        v = whole_game(n, rng)
        cover = cover_by_plain_programme(v.values.tolist())
        assert superadditive_cover(v).values.tolist() == cover
        check_structure(v, cover[-1])


@pytest.mark.parametrize("n", [11, 12, 13, 14])
def test_plain_dynamic_programme_on_larger_games(n):
    noise = np.random.default_rng(n).random(1 << n)
    worth = (noise - 0.3) * np.array([S.bit_count() for S in range(1 << n)])
    v = TUGame(np.where(np.arange(1 << n) > 0, worth, 0))
    expected = cover_by_plain_programme(v.values.tolist())
    np.testing.assert_allclose(superadditive_cover(v).values, expected, rtol=0, atol=1e-12)
    check_structure(v, expected[-1])


def test_known_answers():
    records = [r for r in RECORDS if "csg_value" in r.get("other", {})]
    assert [r["id"] for r in records] == ["odpip4"]
    v = TUGame(records[0]["values"])
    assert best_structure(v) == Structure((0b0001, 0b0010, 0b1100), 150.0)
    assert best_structure(v).value == records[0]["other"]["csg_value"][0]


@pytest.mark.parametrize("worth", [3, 0, -3])
def test_one_player(worth):
    assert best_structure(TUGame([0, worth])) == Structure((1,), worth)


@pytest.mark.parametrize("n", [4, 10])
def test_planted_structure(n):
    """Only the planted coalitions are worth anything."""
    planted = (0b0101, 0b0010, (1 << n) - 1 ^ 0b0111)
    values = np.full(1 << n, -1.0)
    values[[0, *planted]] = [0, 1, 1, 1]
    assert best_structure(TUGame(values)) == Structure((0b0101, 0b0010, planted[2]), 3.0)


@given(superadditive_games())
def test_nothing_beats_the_grand_coalition_of_a_superadditive_game(v):
    assert superadditive_cover(v) == v
    assert best_structure(v).value == v.values[-1]


@given(whole_games(max_n=6))
def test_the_cover_is_the_smallest_superadditive_game_above(v):
    cover = superadditive_cover(v)
    assert cover.values.tolist() == cover_by_plain_programme(v.values.tolist())
    assert (cover.values >= v.values).all() and is_superadditive(cover)
    assert superadditive_cover(cover) == cover


@given(whole_games(min_n=2, max_n=6), st.randoms(use_true_random=False))
def test_names_and_additive_payments_do_not_matter(v, random):
    order = random.sample(range(v.n), v.n)
    cover = superadditive_cover(v)
    assert superadditive_cover(checks.relabelled(v, order)) == checks.relabelled(cover, order)
    paid = np.array([random.randint(-9, 9) for _ in range(v.n)])
    shifted = best_structure(TUGame(v.values + coalition_sums(paid)))
    assert shifted.value == best_structure(v).value + paid.sum()


def test_labels_and_the_callers_table_survive():
    v = TUGame([0, 1, 2, 0], players=["ada", "bob"])
    assert superadditive_cover(v).players == potential(v).players == ("ada", "bob")
    assert v.values.tolist() == [0, 1, 2, 0]
    with pytest.raises(FrozenInstanceError):
        best_structure(v).value = 4


def test_huge_worths():
    """Losses may run out of the floats on the way; a gain that does is refused."""
    assert best_structure(TUGame([0, *[-1e308] * 1023])) == Structure((1023,), -1e308)
    for n in (2, 9):
        with pytest.raises(ValueError, match="finite"):
            best_structure(TUGame([0, *[1e308] * ((1 << n) - 1)]))


def test_what_does_not_fit_is_refused(monkeypatch):
    v = TUGame(np.zeros(1 << 13))
    monkeypatch.setattr(coalitions, "_memory_bytes", lambda: 1 << 20)
    for search in (best_structure, superadditive_cover, equal_split, marginal_split):
        with pytest.raises(ValueError, match=r"n = 13 .*GiB\. Use"):
            search(v)
    for table in (potential, shapley_split):
        with pytest.raises(ValueError, match=r"n = 15 .*GiB\. Use"):
            table(TUGame(np.zeros(1 << 15)))
    best_structure(TUGame(np.zeros(1 << 9)))


@pytest.mark.parametrize(
    "function",
    [
        best_structure,
        superadditive_cover,
        potential,
        equal_split,
        marginal_split,
        shapley_split,
    ],
)
def test_a_table_is_no_game(function):
    with pytest.raises(TypeError, match="TUGame"):
        function([0, 1])


# --- splits -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", [equal_split, marginal_split, shapley_split])
@given(games(max_n=5))
def test_splits_by_definition(rule, v):
    expected = [[share(rule, v, S, i) for i in range(v.n)] for S in range(1 << v.n)]
    checks.same(rule(v), expected, v)
    if rule is not marginal_split:
        checks.same(rule(v).sum(axis=1), v.values, v)


@pytest.mark.parametrize("rule, phi", [(marginal_split, lambda v: v), (shapley_split, potential)])
@given(games(max_n=5), st.data())
def test_exact_potentials(rule, phi, v, data):
    """Whoever moves gains exactly what the potential gains."""
    p = data.draw(st.sampled_from(PARTITIONS[v.n]))
    gains, before = checks.moving_gains(rule(v), p), sum(map(phi(v), p))
    for i, k in product(range(v.n), range(len(p) + 1)):
        after = [S & ~(1 << i) for S in (*p, 0)]
        after[k] |= 1 << i
        checks.same(gains[k, i], sum(map(phi(v), after)) - before, v)


def test_potential_of_a_rough_game_is_exact():
    """Dividends of (-1)^|S| reach 2^n and would drown the potential; here P(S) = -1 + 1/2 - 1/3 ..."""
    n = 16
    size = np.array([S.bit_count() for S in range(1 << n)])
    v = TUGame(np.where(size % 2, -1.0, 1.0) - (size == 0))
    checks.same(shapley_split(v)[-1], shapley(v), v, tol=1e-12)
    assert shapley_split(v)[-1].sum() == pytest.approx(v.values[-1], abs=1e-12)


# --- deviations -------------------------------------------------------------------------------------------------


@given(whole_games(max_n=5), st.data())
def test_deviations_by_definition(v, data):
    p = data.draw(st.sampled_from(PARTITIONS[v.n]))
    table = 60 * equal_split(v)  # whole numbers
    check_moves(table, p, np.array([table] * (len(p) + 1)), (*p, 0))
    assert blocking_coalitions(table, p) == blocking_by_definition(table, p)


@given(st.integers(1, 4), st.integers(1, 4), st.data())
def test_deviations_between_places(n, K, data):
    whole = st.integers(-3, 4)
    cells = data.draw(st.lists(whole, min_size=K * n << n, max_size=K * n << n))
    table = np.array(cells, dtype=float).reshape(K, 1 << n, n)
    room = data.draw(st.lists(st.integers(0, K - 1), min_size=n, max_size=n))
    places = [sum(1 << i for i in range(n) if room[i] == k) for k in range(K)]
    check_moves(table, places, table, places)


def check_moves(shares, partition, tables, places):
    copy = np.array(shares)
    found = list(moves(tables, places))
    gains = checks.moving_gains(shares, partition)
    assert gains.shape == (len(places), copy.shape[-1])
    assert {(i, k): g for i, k, g, _ in found if g} == {(i, k): g for (k, i), g in np.ndenumerate(gains) if g}
    assert nash_deviations(shares, partition) == tuple(Deviation(i, k, g) for i, k, g, _ in found if g > 0)
    assert max((d.gain for d in nash_deviations(shares, partition)), default=0) == max(gains.max(), 0)
    agreed = tuple(Deviation(i, k, g) for i, k, g, yes in found if g > 0 and yes)
    assert individual_deviations(shares, partition) == agreed
    np.testing.assert_array_equal(shares, copy)


def test_equal_split_may_have_no_nash_stable_partition():
    chases = {p: nash_deviations(equal_split(CHASE), p) for p in PARTITIONS[2]}
    assert chases == {(1, 2): (Deviation(0, 1, 2.0),), (3,): (Deviation(1, 1, 1.0),)}
    assert individual_deviations(equal_split(CHASE), (1, 2)) == ()
    assert nash_deviations(shapley_split(CHASE), (3,)) == ()


@given(games(max_n=5))
def test_shapley_and_marginal_splits_always_have_one(v):
    """The partition where the potential is largest."""
    for rule, phi in ((shapley_split, potential), (marginal_split, lambda v: v)):
        assert nash_deviations(rule(v), best_structure(phi(v)).coalitions) == ()


@given(games(max_n=4), st.data())
def test_who_leaves_alone_blocks_alone_and_stability_is_nested(v, data):
    p = data.draw(st.sampled_from(PARTITIONS[v.n]))
    table = equal_split(v)
    nash, individual = nash_deviations(table, p), individual_deviations(table, p)
    assert set(individual) <= set(nash)
    alone = {1 << d.player for d in nash if d.place == len(p)}
    assert alone == {S for S in blocking_coalitions(table, p) if S.bit_count() == 1}
    assert alone == {1 << d.player for d in individual if d.place == len(p)}


@given(games(max_n=4))
def test_a_division_in_the_core_is_never_blocked(v):
    """A coalition whose members all gain by its own split holds more than they get now."""
    table = shapley_split(v)
    if in_core(v, table[-1]):
        assert blocking_coalitions(table, [(1 << v.n) - 1]) == ()


def test_ties_move_nobody():
    shares = np.array([[0, 0], [1, 0], [0, 1], [1 + 1e-12, 1 + 1e-12]])
    assert nash_deviations(shares, [1, 2]) == individual_deviations(shares, [1, 2]) == ()
    assert blocking_coalitions(shares, [1, 2]) == ()
    assert len(nash_deviations(shares, [1, 2], tol=0)) == 2
    assert blocking_coalitions(shares, [1, 2], tol=0) == (3,)
    assert nash_deviations(1e6 * shares, [1, 2]) == blocking_coalitions(1e6 * shares, [1, 2]) == ()
    losses = np.array([[0, 0], [-1e6, 0], [0, -1e6], [-1e6 + 1e-6, -1e6 + 1e-6]])
    assert nash_deviations(losses, [1, 2]) == blocking_coalitions(losses, [1, 2]) == ()


def test_a_host_may_lose_a_rounding_error():
    shares = np.array([[0, 0], [1, 0], [0, 1], [2, 1 - 1e-12]])
    assert individual_deviations(shares, [1, 2]) == (Deviation(0, 1, 1.0),)
    assert individual_deviations(shares, [1, 2], tol=0) == ()


STABILITY = [moving_payoffs, nash_deviations, individual_deviations, blocking_coalitions]


@pytest.mark.parametrize("check", STABILITY)
@pytest.mark.parametrize(
    "partition, error, shown",
    [
        ([1, 3], ValueError, r"\{0\} twice"),
        ([[0], [0, 1]], ValueError, r"\{0\} twice"),
        ([2], ValueError, r"without \{0\}"),
        ([], ValueError, r"without \{0, 1\}"),
        ([4, 3], ValueError, r"got 4"),
        (3, TypeError, "list of coalitions"),
        ("03", TypeError, "list of coalitions"),
        ([1.0, 2.0], TypeError, "mask"),
    ],
)
def test_what_is_no_partition_is_refused(check, partition, error, shown):
    with pytest.raises(error, match=shown):
        check(equal_split(CHASE), partition)


@pytest.mark.parametrize("check", STABILITY)
@pytest.mark.parametrize(
    "shares, error, shown",
    [
        (CHASE, TypeError, "equal_split"),
        (CHASE.values, ValueError, r"\(4,\)"),
        (np.zeros((4, 3)), ValueError, r"\(4, 3\)"),
        (np.zeros((2, 4)), ValueError, r"\(2, 4\)"),
        (np.zeros((8, 2)), ValueError, r"\(8, 2\)"),
        (np.zeros((1, 0)), ValueError, r"\(1, 0\)"),
        (np.full((4, 2), np.nan), ValueError, "finite"),
        (np.full((4, 2), "1"), TypeError, "real numbers"),
    ],
)
def test_what_is_no_table_of_shares_is_refused(check, shares, error, shown):
    with pytest.raises(error, match=shown):
        check(shares, [1, 2])


def test_places_and_coalitions_must_match():
    stack = np.zeros((3, 4, 2))
    assert nash_deviations(stack, [1, 2, 0]) == ()
    for check in STABILITY[:3]:
        with pytest.raises(ValueError, match=r"2 for 3 places"):
            check(stack, [1, 2])
        with pytest.raises(ValueError, match=r"\(0, 4, 2\)"):
            check(stack[:0], [])
    with pytest.raises(ValueError, match="one table"):
        blocking_coalitions(stack, [1, 2, 0])
