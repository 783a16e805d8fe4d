"""The game object, the named games and the predicates, each against its definition."""

import copy
import math
import pickle
import re
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import oracles
from coalmarl.coalitions import coalition_sums
from coalmarl.games import (
    TUGame,
    airport,
    bankruptcy,
    glove,
    is_convex,
    is_essential,
    is_monotone,
    is_superadditive,
    savings,
    unanimity,
    weighted_voting,
)
from coalmarl.solutions import (
    core_is_empty,
    excess,
    in_core,
    kohlberg_certificate,
    least_core,
    nucleolus,
    prenucleolus,
    shapley,
    weighted_voting_indices,
)
from coalmarl.structures import blocking_coalitions, equal_split, individual_deviations, nash_deviations, settle
from strategies import convex_games, games, superadditive_games, voting_bodies, whole_games

MAJORITY = TUGame([0, 0, 0, 1, 0, 1, 1, 1])

V = TUGame([0, 0, 0, 1, 0, 1, 1, 2])


# --- the object -------------------------------------------------------------------------------------------------


@given(games())
def test_a_coalition_can_be_asked_for_in_many_ways(v):
    for mask in range(1 << v.n):
        S = oracles.members(mask, v.n)
        ways = [mask, np.int64(mask), np.uint8(mask), S, S[::-1], tuple(S), set(S), frozenset(S), iter(S), np.array(S, dtype=int)]
        answers = [v(way) for way in ways]
        assert answers == [v.values[mask]] * len(ways)
        assert all(type(a) is float for a in answers)
    assert v(range(v.n)) == v.values[-1] and v([]) == v(()) == v(0) == 0.0
    assert v.n == round(math.log2(len(v.values)))


@pytest.mark.parametrize("S", [True, False, np.True_, "1", "", b"1", 1.0, None, [True], [0, "1"], [0.0], [[0]]])
def test_what_is_no_coalition_is_a_type_error(S):
    with pytest.raises(TypeError, match="expected"):
        V(S)


@pytest.mark.parametrize("S", [8, -1, np.int64(8), 10**30, [3], [-1], [0, 0], (1, 2, np.int64(1))])
def test_what_is_out_of_range_or_twice_is_a_value_error(S):
    with pytest.raises(ValueError, match="expected"):
        V(S)


def test_values_are_a_read_only_copy():
    table = np.array([0.0, 1, 2, 4])
    v = TUGame(table)
    table[1] = 9
    assert v(1) == 1 and v.values.dtype == np.float64
    with pytest.raises(ValueError):
        v.values[1] = 5
    assert table.flags.writeable and not np.shares_memory(v.values, table)
    with pytest.raises(ValueError, match="WRITEABLE"):
        v.values.flags.writeable = True
    numbers = [0, 1, 2, 4]
    assert TUGame(numbers) == v and numbers == [0, 1, 2, 4]
    assert TUGame(np.array(numbers, dtype=np.float32)) == v and TUGame(tuple(numbers)) == v
    assert TUGame([Fraction(0), Fraction(1), 2, 4]) == v


def test_equality_is_exact_and_on_values_only():
    v = TUGame([0, 1, 2, 4])
    assert v == TUGame([0, 1, 2, 4], players=["a", "b"]) and not v != TUGame([0, 1, 2, 4])
    assert v != TUGame([0, 1, 2, np.nextafter(4, 5)]) and v != TUGame([0, 1]) and v != [0, 1, 2, 4] and v != "v"
    assert TUGame([0, 0, 0, 0]) == TUGame([0, -0.0, -0.0, 0])
    assert (v == v.values) is False and (v.values == v) is False and (v != v.values) is True
    with pytest.raises(TypeError):
        hash(v)


@given(games())
def test_negation(v):
    assert (-v).values.tolist() == [-a for a in v.values] and -(-v) == v and (-v).n == v.n


def test_repr_is_short_and_names_players():
    assert re.fullmatch(r"TUGame\(.*n=3.*\)", repr(V))
    labelled = TUGame([0, 1, 2, 4], players=["Ann", "Bo"])
    assert "Ann" in repr(labelled) and "Bo" in repr(labelled)
    assert len(repr(TUGame(np.zeros(1 << 10)))) < 120


@pytest.mark.parametrize(
    "values, error, shown",
    [
        ([], ValueError, "0"),
        ([0], ValueError, "1"),
        ([0, 1, 2], ValueError, "3"),
        (np.zeros(12), ValueError, "12"),
        (np.zeros((2, 2)), ValueError, r"\(2, 2\)"),
        (0, ValueError, r"\(\)"),
        ([1, 2], ValueError, "1"),
        ([1e-300, 2], ValueError, "1e-300"),
        ([0, math.nan], ValueError, "nan"),
        ([0, 1, 2, math.inf], ValueError, r"\{0, 1\}.*inf"),
        ([0, 1, -math.inf, 3], ValueError, r"\{1\}.*-inf"),
        ([math.nan, 1], ValueError, "nan"),
        (["0", "1"], TypeError, "'0'"),
        ([0, None], TypeError, "None"),
        ([0, 1j], TypeError, "1j"),
        (np.array([0, 1], dtype=complex), TypeError, "complex"),
        ({0: 0, 1: 1}, TypeError, ""),
        (None, TypeError, "None"),
        ("ab", TypeError, "ab"),
        ([0, np.datetime64("2020-01-01")], TypeError, ""),
    ],
)
def test_bad_values(values, error, shown):
    with pytest.raises(error, match=f"(?s)expected.*{shown}"):
        TUGame(values)


def test_ragged_values():
    with pytest.raises((TypeError, ValueError)):
        TUGame([0, [1, 2]])


def test_bad_labels():
    with pytest.raises(ValueError, match="2.*3"):
        TUGame([0, 1, 2, 4], players=["a", "b", "c"])


# --- tabulating a function --------------------------------------------------------------------------------------


@given(st.integers(1, 7))
def test_from_function_asks_once_for_every_non_empty_coalition(n):
    asked = []

    def v(S):
        assert type(S) is frozenset and all(type(i) is int for i in S)
        asked.append(S)
        return sum(2**i for i in S)

    assert TUGame.from_function(v, n).values.tolist() == list(range(1 << n))
    assert len(asked) == len(set(asked)) == 2**n - 1 and frozenset() not in asked


def square_of_size(S):
    return len(S) ** 2


def test_from_function_in_parallel_and_with_progress(capfd):
    expected = TUGame([mask.bit_count() for mask in range(1 << 6)])
    assert TUGame.from_function(len, 6, n_jobs=2) == expected
    assert capfd.readouterr().err == ""
    assert TUGame.from_function(len, 6, progress=True) == expected
    assert "63" in capfd.readouterr().err
    assert TUGame.from_function(square_of_size, np.int64(2)) == TUGame([0, 1, 1, 4])
    assert TUGame.from_function(lambda S: np.float32(len(S)), 2) == TUGame([0, 1, 1, 2])


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_from_function_names_the_coalition_that_is_not_finite(bad):
    with pytest.raises(ValueError, match=r"\{0, 2\}.*(nan|inf)"):
        TUGame.from_function(lambda S: bad if S == {0, 2} else 1.0, 3)


@pytest.mark.parametrize("bad", [None, "a", 1j, [1, 2]])
def test_from_function_refuses_what_is_no_number(bad):
    with pytest.raises((TypeError, ValueError)) as caught:
        TUGame.from_function(lambda S: bad if S == {0, 2} else 1.0, 3)
    assert "{0, 2}" in str(caught.value) + "".join(getattr(caught.value, "__notes__", []))


def test_from_function_lets_the_functions_own_error_through():
    with pytest.raises(ZeroDivisionError):
        TUGame.from_function(lambda S: 1 / (2 - len(S)), 3)


@pytest.mark.parametrize("n, error", [(0, ValueError), (-1, ValueError), (2.0, TypeError), (True, TypeError), ("3", TypeError), (None, TypeError)])
def test_from_function_refuses_bad_numbers_of_players(n, error):
    with pytest.raises(error, match=re.escape(str(n))):
        TUGame.from_function(square_of_size, n)


# --- tables that would not fit ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "build",
    [
        lambda: TUGame.from_function(square_of_size, 60),
        lambda: unanimity(60, [0, 1]),
        lambda: glove(range(30), range(30, 60)),
        lambda: weighted_voting([10] * 51, 256),
        lambda: bankruptcy(100, [10] * 60),
        lambda: airport(range(1, 61)),
        lambda: airport(range(1, 5001)),
    ],
    ids=["from_function", "unanimity", "glove", "weighted_voting", "bankruptcy", "airport", "airport-5000"],
)
def test_a_table_that_would_not_fit_is_refused_with_a_way_out(build):
    with pytest.raises(ValueError, match=r"(?s)2\*\*(60|51|5000).*need.*[KMGTPEZY]i?B.*([Uu]se|weighted_voting_indices)"):
        build()


def test_a_large_vote_points_to_the_dynamic_programme():
    with pytest.raises(ValueError, match="weighted_voting_indices"):
        weighted_voting([10] * 51, 256)
    assert sum(weighted_voting_indices([10] * 51, 256).shapley) == 1


# --- named games ------------------------------------------------------------------------------------------------


def every(n):
    return [(mask, set(oracles.members(mask, n))) for mask in range(1 << n)]


@given(st.integers(1, 7).flatmap(lambda n: st.tuples(st.just(n), st.sets(st.integers(0, n - 1), min_size=1))))
def test_unanimity(case):
    n, carrier = case
    for way in (carrier, sorted(carrier), sum(1 << i for i in carrier)):
        v = unanimity(n, way)
        assert all(v(mask) == (carrier <= S) for mask, S in every(n))


@given(st.integers(1, 7).flatmap(lambda n: st.tuples(st.just(n), st.sets(st.integers(0, n - 1)))))
def test_glove(case):
    n, left = case
    right = set(range(n)) - left
    v = glove(left, iter(sorted(right)))
    assert v.n == n and all(v(mask) == min(len(S & left), len(S & right)) for mask, S in every(n))


@given(voting_bodies())
def test_weighted_voting(body):
    weights, quota = body
    v = weighted_voting(weights, quota)
    assert all(v(mask) == (sum(weights[i] for i in S) >= quota) for mask, S in every(len(weights)))


def test_weighted_voting_with_fractions_of_votes():
    v = weighted_voting([0.5, 0.25, 0.25], 0.5)
    assert v.values.tolist() == [0, 1, 0, 1, 0, 1, 1, 1]


@given(st.lists(st.integers(0, 40), min_size=1, max_size=6), st.floats(0, 1))
def test_bankruptcy(claims, share):
    estate = math.floor(share * sum(claims))
    v = bankruptcy(estate, claims)
    for mask, S in every(len(claims)):
        assert v(mask) == max(0, estate - sum(c for i, c in enumerate(claims) if i not in S))
    assert is_convex(v)


@given(st.lists(st.integers(1, 40), min_size=1, max_size=6))
def test_airport_and_savings(costs):
    c = airport(costs)
    assert all(c(mask) == max((costs[i] for i in S), default=0) for mask, S in every(c.n))
    v = savings(c)
    assert all(v(mask) == sum(costs[i] for i in S) - c(mask) for mask, S in every(c.n))
    assert is_convex(v)


@given(whole_games())
def test_savings_of_any_game(c):
    v = savings(c)
    assert all(v(mask) == sum(c([i]) for i in S) - c(mask) for mask, S in every(c.n))


def test_arguments_are_left_alone():
    claims, costs, weights = np.array([10.0, 20]), np.array([3, 8]), np.array([2, 1])
    bankruptcy(12, claims), airport(costs), weighted_voting(weights, 2)
    assert claims.tolist() == [10, 20] and costs.tolist() == [3, 8] and weights.tolist() == [2, 1]
    assert claims.flags.writeable and costs.flags.writeable and weights.flags.writeable


# --- predicates -------------------------------------------------------------------------------------------------

PREDICATES = [
    (is_monotone, oracles.monotone),
    (is_superadditive, oracles.superadditive),
    (is_convex, oracles.convex),
    (is_essential, oracles.essential),
]


@pytest.mark.parametrize("predicate, definition", PREDICATES, ids=[p.__name__ for p, _ in PREDICATES])
@given(v=st.one_of(whole_games(max_n=5), convex_games(max_n=5), superadditive_games()))
def test_predicates_by_definition(predicate, definition, v):
    assert predicate(v) is bool(definition(v.values.tolist()))
    assert predicate(-v) is bool(definition((-v).values.tolist()))


@pytest.mark.parametrize("predicate, definition", PREDICATES[:3], ids=[p.__name__ for p, _ in PREDICATES[:3]])
@given(v=convex_games(min_n=2, max_n=5), data=st.data())
def test_predicates_near_the_border(predicate, definition, v, data):
    """One value changed by one, so that a single comparison decides."""
    values = v.values.copy()
    values[data.draw(st.integers(1, len(values) - 1))] += data.draw(st.sampled_from([-1, 1]))
    assert predicate(TUGame(values)) is bool(definition(values.tolist()))


@pytest.mark.parametrize("n", [11, 12])
@pytest.mark.parametrize("predicate", [is_superadditive, is_convex, is_monotone])
def test_predicates_find_the_one_violation_in_a_larger_game(predicate, n):
    squares = np.array([mask.bit_count() for mask in range(1 << n)], dtype=float) ** 2
    assert predicate(TUGame(squares))
    for mask in (1 << n - 1 | 1, (1 << n) - 1, 0b110):
        worse = squares.copy()
        worse[mask] = -1.0
        assert not predicate(TUGame(worse))


@pytest.mark.parametrize("predicate", [is_monotone, is_superadditive, is_convex])
@pytest.mark.parametrize("unit", [1.0, 1e6])
def test_tolerances_count_in_units_of_the_game(predicate, unit):
    def off_by(gap):
        return TUGame([0, 0, 0, -gap * unit, 0, 0, 0, unit])

    assert predicate(off_by(0)) and predicate(off_by(1e-10))
    assert not predicate(off_by(1e-6)) and predicate(off_by(1e-6), tol=1e-5)
    assert not predicate(off_by(1e-10), tol=0)


def test_essential_means_strictly_more():
    assert is_essential(TUGame([0, 1, 2, 4])) and not is_essential(TUGame([0, 1, 2, 3])) and not is_essential(TUGame([0, 1, 2, 2]))
    assert not is_essential(TUGame([0, 1, 2, 3 + 1e-10])) and is_essential(TUGame([0, 1, 2, 3 + 1e-6]))
    assert not is_essential(TUGame([0, 5]))


# --- bad input --------------------------------------------------------------------------------------------------

BAD_CALLS = {
    "unanimity of nobody": (lambda: unanimity(3, []), ValueError, "empty"),
    "unanimity of a stranger": (lambda: unanimity(3, [3]), ValueError, "3"),
    "unanimity, one player twice": (lambda: unanimity(3, [1, 1]), ValueError, "1"),
    "unanimity of no players": (lambda: unanimity(0, []), ValueError, "0"),
    "unanimity of 2.5 players": (lambda: unanimity(2.5, [0]), TypeError, "2.5"),
    "gloves overlap": (lambda: glove([0, 1], [1]), ValueError, "1"),
    "gloves leave a gap": (lambda: glove([0], [2]), ValueError, "2"),
    "glove owner twice": (lambda: glove([0, 0], [1]), ValueError, "0"),
    "gloves of nobody": (lambda: glove([], []), ValueError, "0"),
    "glove owner of a wrong type": (lambda: glove(["a"], [0]), TypeError, "'a'"),
    "negative weight": (lambda: weighted_voting([3, -1], 2), ValueError, "-1"),
    "negative quota": (lambda: weighted_voting([3, 1], -2), ValueError, "-2"),
    "quota zero": (lambda: weighted_voting([3, 1], 0), ValueError, "0"),
    "quota nan": (lambda: weighted_voting([3, 1], math.nan), ValueError, "nan"),
    "weight nan": (lambda: weighted_voting([3, math.nan], 1), ValueError, "nan"),
    "no voters": (lambda: weighted_voting([], 1), ValueError, "0"),
    "weights in a table": (lambda: weighted_voting([[1, 2]], 1), ValueError, r"\(1, 2\)"),
    "weights as text": (lambda: weighted_voting(["a"], 1), TypeError, "a"),
    "quota as text": (lambda: weighted_voting([1, 2], "2"), TypeError, "'2'"),
    "negative claim": (lambda: bankruptcy(5, [10, -1]), ValueError, "-1"),
    "negative estate": (lambda: bankruptcy(-5, [10, 1]), ValueError, "-5"),
    "infinite claim": (lambda: bankruptcy(5, [10, math.inf]), ValueError, "inf"),
    "estate above the claims": (lambda: bankruptcy(50, [10, 20]), ValueError, "50"),
    "claims complex": (lambda: bankruptcy(5, [10, 1j]), TypeError, "complex"),
    "no claims": (lambda: bankruptcy(0, []), ValueError, "0"),
    "negative cost": (lambda: airport([3, -2]), ValueError, "-2"),
    "cost zero": (lambda: airport([3, 0]), ValueError, "0"),
    "cost nan": (lambda: airport([math.nan]), ValueError, "nan"),
    "no costs": (lambda: airport([]), ValueError, "0"),
    "excess, too short": (lambda: excess(V, [1, 1]), ValueError, r"3.*\(2,\)"),
    "excess, a matrix": (lambda: excess(V, [[1, 1, 0]]), ValueError, r"\(1, 3\)"),
    "excess, nan": (lambda: excess(V, [1, 1, math.nan]), ValueError, "nan"),
    "excess, text": (lambda: excess(V, ["a", "b", "c"]), TypeError, "a"),
    "excess, complex": (lambda: excess(V, [1, 1j, 0]), TypeError, "1j"),
    "in_core, too long": (lambda: in_core(V, [1, 1, 0, 0]), ValueError, r"3.*\(4,\)"),
    "in_core, infinite": (lambda: in_core(V, [1, 1, math.inf]), ValueError, "inf"),
    "certificate, too short": (lambda: kohlberg_certificate(V, [2]), ValueError, r"3.*\(1,\)"),
    "certificate, nan": (lambda: kohlberg_certificate(V, [1, 1, math.nan]), ValueError, "nan"),
    "least core of one player": (lambda: least_core(TUGame([0, 1])), ValueError, "1"),
    "indices, negative weight": (lambda: weighted_voting_indices([3, -1], 2), ValueError, "-1"),
    "indices, negative quota": (lambda: weighted_voting_indices([3, 1], -2), ValueError, "-2"),
    "indices, quota zero": (lambda: weighted_voting_indices([3, 1], 0), ValueError, "0"),
    "indices, fractional weight": (lambda: weighted_voting_indices([0.5, 1], 1), TypeError, "0.5"),
    "indices, fractional quota": (lambda: weighted_voting_indices([1, 1], 1.5), TypeError, "1.5"),
    "indices, text": (lambda: weighted_voting_indices(["a"], 1), TypeError, "a"),
    "indices, nobody": (lambda: weighted_voting_indices([], 1), ValueError, "0"),
    "indices, a matrix": (lambda: weighted_voting_indices([[1, 2]], 1), ValueError, r"\(1, 2\)"),
    "indices, boolean": (lambda: weighted_voting_indices([True, 1], True), TypeError, "True"),
    "indices, too many votes": (lambda: weighted_voting_indices([10**10] * 3, 2 * 10**10), ValueError, "20000000000|need"),
}


@pytest.mark.parametrize("call, error, shown", BAD_CALLS.values(), ids=BAD_CALLS.keys())
def test_bad_input(call, error, shown):
    with pytest.raises(error, match=f"(?s)expected.*{shown}"):
        call()


def test_no_imputation_names_the_way_out():
    v = TUGame([0, 4, 1, 2, 0, 2, 0, 3])
    with pytest.raises(ValueError, match=r"(?s)3.*prenucleolus"):
        nucleolus(v)
    assert prenucleolus(v).sum() == pytest.approx(3)
    with pytest.raises(ValueError, match="prenucleolus"):
        nucleolus(TUGame([0, 1, 1, 1]))


def test_copies_stay_read_only_and_nothing_can_be_replaced():
    for copied in (copy.deepcopy(MAJORITY), pickle.loads(pickle.dumps(MAJORITY))):
        assert copied == MAJORITY and not copied.values.flags.writeable
    for name in ("n", "values", "players"):
        with pytest.raises(AttributeError):
            setattr(MAJORITY, name, 5)


@pytest.mark.parametrize("n", [np.uint8(9), np.int8(9), np.uint64(9)])
def test_numpy_integers_count_players(n):
    assert unanimity(n, [0]) == unanimity(9, [0])
    assert TUGame.from_function(len, n) == TUGame.from_function(len, 9)


@pytest.mark.parametrize(
    "call, error",
    [
        (lambda: TUGame([0, 10**400]), ValueError),
        (lambda: TUGame([0, [1, 2]]), ValueError),
        (lambda: weighted_voting([1, 2], 10**400), ValueError),
        (lambda: airport([10**400]), ValueError),
        (lambda: TUGame.from_function(lambda S: "1", 2), TypeError),
        (lambda: TUGame.from_function(lambda S: None, 2), TypeError),
        (lambda: shapley([0, 1, 1, 2]), TypeError),
        (lambda: nucleolus([0, 1, 1, 2]), TypeError),
        (lambda: prenucleolus([0, 1, 1, 2]), TypeError),
        (lambda: kohlberg_certificate([0, 1, 1, 2], [1, 1]), TypeError),
        (lambda: excess([0, 1, 1, 2], [1, 1]), TypeError),
        (lambda: savings([0, 1]), TypeError),
        (lambda: excess(MAJORITY, [1, [2], 3]), ValueError),
        (lambda: nucleolus(TUGame([0, 1e9, 1e9, 2e9 - 1])), ValueError),
    ],
)
def test_more_bad_input_is_answered_in_our_words(call, error):
    with pytest.raises(error, match="expected"):
        call()


def test_fractions_are_an_allocation_and_indices_print_briefly():
    indices = weighted_voting_indices([1] * 51, 26)
    assert abs(excess(MAJORITY, weighted_voting_indices([1, 1, 1], 2).shapley)[7]) < 1e-15
    assert len(repr(indices)) < 100


def test_a_large_common_part_does_not_loosen_the_certificate():
    v = TUGame(coalition_sums([1e10, 1e10]) + [0, 0, 0, 1])
    x = nucleolus(v)
    assert kohlberg_certificate(v, x).holds
    for move in ([4.5, 4.5], [0.1, 0], [0.1, -0.1]):
        assert not kohlberg_certificate(v, x + move).holds


@pytest.mark.parametrize(
    "tol, error", [(-1e-9, ValueError), (math.nan, ValueError), (math.inf, ValueError), ("1", TypeError), (True, TypeError)]
)
def test_what_is_no_tolerance_is_refused(tol, error):
    for predicate in (is_monotone, is_superadditive, is_convex, is_essential, core_is_empty):
        with pytest.raises(error, match="expected .* tolerance"):
            predicate(V, tol=tol)
    with pytest.raises(error, match="expected .* tolerance"):
        in_core(V, [0.0] * 3, tol=tol)
    shares = equal_split(V)
    for search in (nash_deviations, individual_deviations, blocking_coalitions):
        with pytest.raises(error, match="expected .* tolerance"):
            search(shares, [[0, 1, 2]], tol=tol)
    with pytest.raises(error, match="expected .* tolerance"):
        settle(np.stack([shares] * 2), [7, 0], tol=tol)
