"""Tours and routes, each against every order of the customers or every way to share them out."""

import tracemalloc
from dataclasses import FrozenInstanceError, replace
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import oracles
from checks import relabelled
from clock import timed
from coalmarl import coalitions, routing
from coalmarl.coalitions import coalition_sums
from coalmarl.games import TUGame, airport, is_monotone, is_superadditive, savings
from coalmarl.routing import (
    C101,
    Delivery,
    airports,
    carrier_costs,
    euclidean,
    great_circle,
    route_cost,
    solomon_c101,
    tour_costs,
    tour_operations,
)
from coalmarl.solutions import core_is_empty, excess, least_core, shapley
from coalmarl.structures import superadditive_cover

TRIANGLE = np.array([[0, 30, 40], [30, 0, 50], [40, 50, 0]])
SHARED = {"demands": [1, 1], "capacity": 2, "owners": [0, 1]}


# --- slow oracles -----------------------------------------------------------------------------------------------


def shortest_by_all_orders(d, S):
    rows = [i + 1 for i in oracles.members(S, len(d) - 1)]
    lengths = (sum(d[a][b] for a, b in zip([0, *order], [*order, 0])) for order in permutations(rows))
    return min(lengths) if rows else 0


def cheapest_routes(problem):
    """Exactly: the tour of every set that one vehicle can carry, and the best way to split up a set into these."""
    tours = tour_costs(problem.distances).values
    fits = coalition_sums(problem.demands) <= problem.capacity
    return -superadditive_cover(TUGame(np.where(fits, -tours, -tours.sum()))).values


def customers_of(problem, carriers):
    """Mask of the customers, for a mask of carriers."""
    return sum(1 << i for i, owner in enumerate(problem.owners.tolist()) if carriers >> owner & 1)


def exact_carrier_costs(problem):
    routes = cheapest_routes(problem)
    return [routes[customers_of(problem, carriers)] for carriers in range(1 << problem.n)]


@st.composite
def matrices(draw, max_n=5, symmetric=False):
    size = 1 + draw(st.integers(1, max_n))
    cells = draw(st.lists(st.integers(0, 30), min_size=size**2, max_size=size**2))
    d = np.array(cells).reshape(size, size)
    return d + d.T if symmetric else d


def random_delivery(seed, customers=8, scale=100, symmetric=True):
    rng = np.random.default_rng(seed)
    d = euclidean(rng.random((customers + 1, 2))) * scale
    if not symmetric:
        d *= rng.uniform(0.6, 1.4, d.shape)
    return Delivery(d, rng.integers(1, 10, customers), 20, np.arange(customers) % 4)


# --- tours ------------------------------------------------------------------------------------------------------


@given(matrices())
def test_every_tour_is_the_shortest_of_all_orders(d):
    assert tour_costs(d).values.tolist() == [shortest_by_all_orders(d.tolist(), S) for S in range(1 << len(d) - 1)]


def test_seven_customers_one_way_streets_and_all():
    d = np.random.default_rng(0).random((8, 8))
    np.testing.assert_allclose(
        tour_costs(d).values, [shortest_by_all_orders(d.tolist(), S) for S in range(128)], rtol=1e-14
    )


@given(matrices(max_n=6), st.randoms(use_true_random=False))
def test_names_and_directions_do_not_matter(d, random):
    n = len(d) - 1
    order = random.sample(range(n), n)
    places = [0, *(i + 1 for i in order)]
    assert tour_costs(d[np.ix_(places, places)]) == relabelled(tour_costs(d), order)
    assert tour_costs(d.T) == tour_costs(d)  # the other way round


def test_a_street_is_a_runway():
    """All customers on one street: go to the farthest and back."""
    street = [3, 1, 4, 15, 9, 2, 6, 5, 35, 8, 97, 93]
    assert tour_costs(euclidean([(x, 0) for x in [0, *street]])) == airport(2 * np.array(street))


def test_a_star_is_additive():
    """All roads lead through the depot: nothing can be saved."""
    spoke = np.array([0, 3, 1, 4, 1, 5, 9])
    assert tour_costs(spoke[:, None] + spoke).values.tolist() == coalition_sums(2 * spoke[1:]).tolist()


@given(matrices(max_n=5, symmetric=True))
def test_no_detours_no_losses(d):
    """Under the triangle inequality nobody is a gain to drop and nobody loses by a common tour."""
    for k in range(len(d)):
        d = np.minimum(d, d[:, [k]] + d[[k]])
    c = tour_costs(d)
    assert is_monotone(c, tol=0) and is_superadditive(-c, tol=0) and is_superadditive(savings(c), tol=0)


def test_without_the_triangle_inequality_a_customer_may_be_a_gain():
    c = tour_costs([[0, 1, 9], [9, 0, 1], [1, 9, 0]])
    assert c.values.tolist() == [0, 10, 10, 3]


def test_the_diagonal_and_the_callers_matrix_are_left_alone():
    d = np.array([[np.nan, 3, 4], [3, np.inf, 5], [4, 5, -1]])
    before = d.copy()
    assert tour_costs(d).values.tolist() == [0, 6, 8, 12]
    np.testing.assert_array_equal(d, before)
    assert tour_costs([[0, 2], [3, 0]]).values.tolist() == [0, 5]


@pytest.mark.parametrize("n", [*range(1, 13), 40])
def test_operations_are_counted_exactly(n):
    one, separate = tour_operations(n)
    assert one == n * n * 2**n
    assert 3 * separate * 3 == 2 * n * (2 * n + 1) * 3**n
    if n <= 12:
        sizes = [S.bit_count() for S in range(1 << n)]
        assert separate == sum(k * k * 2**k for k in sizes)


def test_one_table_for_fifteen_customers_takes_no_time():
    assert timed(tour_costs, np.random.default_rng(0).random((16, 16)))[1] < 1


@pytest.mark.parametrize("n", [12, 16])
def test_the_memory_asked_for_is_the_memory_used(n, monkeypatch):
    asked = []
    monkeypatch.setattr(routing, "check_memory", lambda need, *_: asked.append(need))
    tracemalloc.start()
    tour_costs(np.ones((n + 1, n + 1)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert asked[0] / 2 < peak < asked[0]


def test_too_many_customers_are_refused_before_any_work(monkeypatch):
    with pytest.raises(ValueError, match=r"2\*\*60 coalitions.*sample_shapley"):
        tour_costs(np.ones((61, 61)))
    monkeypatch.setattr(coalitions, "_memory_bytes", lambda: 1 << 20)
    with pytest.raises(ValueError, match="sample_shapley"):
        tour_costs(np.ones((14, 14)))
    tour_costs(np.ones((9, 9)))


@pytest.mark.parametrize(
    "distances, error, shown",
    [
        ([[0, 1], [2, 0], [3, 4]], ValueError, r"\(n \+ 1, n \+ 1\), got \(3, 2\)"),
        ([[0]], ValueError, r"got \(1, 1\)"),
        (np.zeros((0, 0)), ValueError, r"got \(0, 0\)"),
        ([0, 1], ValueError, "two dimensions"),
        (np.zeros((2, 2, 2)), ValueError, "two dimensions"),
        (7, ValueError, "two dimensions"),
        ([[0, 1], [2]], ValueError, "equal rows"),
        ([["0", "1"], ["2", "0"]], TypeError, "real numbers"),
        ([[0, 1j], [1, 0]], TypeError, "real numbers"),
        ([[0, 1], [-2, 0]], ValueError, "-2.0 from customer 0 to the depot"),
        ([[0, np.inf], [1, 0]], ValueError, "inf from the depot to customer 0"),
        ([[0, 1, 1], [1, 0, np.nan], [1, 1, 0]], ValueError, "nan from customer 0 to customer 1"),
        ([[0, 1e301], [1, 0]], ValueError, "1e[+]301 from the depot"),
    ],
)
def test_what_is_no_matrix_of_distances_is_refused(distances, error, shown):
    with pytest.raises(error, match=shown):
        tour_costs(distances)
    with pytest.raises(error, match=shown):
        Delivery(distances, [1], 1, [0])


@pytest.mark.parametrize("n, error", [(0, ValueError), (-1, ValueError), (2.0, TypeError), (True, TypeError)])
def test_operations_of_nobody_are_refused(n, error):
    with pytest.raises(error, match="number of customers"):
        tour_operations(n)


# --- routes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("seed", range(5))
def test_the_solver_finds_the_cheapest_routes(seed, symmetric):
    problem = random_delivery(seed, symmetric=symmetric)
    np.testing.assert_allclose(carrier_costs(problem).values, exact_carrier_costs(problem), rtol=0, atol=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_one_vehicle_for_all_drives_the_tour(seed):
    problem = replace(random_delivery(seed, customers=6), capacity=10**30, owners=range(6))
    assert not np.isclose(tour_costs(problem.distances).values, 0).all()
    np.testing.assert_allclose(carrier_costs(problem).values, tour_costs(problem.distances).values, atol=0.3)


@pytest.mark.parametrize("scale", [20, 10**4, 10**6, 10**8])
def test_the_unit_of_distance_does_not_matter(scale):
    """Where a trip costs more than the solver's usual penalty, it would overload vehicles and never come back."""
    problem = replace(random_delivery(7, scale=scale), demands=[1, 2, 3, 1, 2, 3, 1, 2], capacity=4)
    np.testing.assert_allclose(carrier_costs(problem).values, exact_carrier_costs(problem), rtol=1e-12)


def test_a_full_vehicle_goes_home():
    d = [[0, 10, 10], [10, 0, 1], [10, 1, 0]]
    costs = [route_cost(Delivery(d, [2, 3], capacity, [0, 0]), [0, 1]) for capacity in (3, 4, 5)]
    assert costs == [40.0, 40.0, 21.0]
    assert route_cost(Delivery(d, [0, 0], 1, [0, 0]), [0, 1]) == 21.0


def test_nobody_and_every_way_to_name_customers():
    problem = random_delivery(0)
    assert type(route_cost(problem, [])) is float and route_cost(problem, []) == route_cost(problem, 0) == 0
    assert len({route_cost(problem, S) for S in (0b10010, [4, 1], {1, 4}, np.array([1, 4]))}) == 1
    assert type(route_cost(problem, 1)) is float


def test_more_customers_than_bits_in_a_word():
    rng = np.random.default_rng(0)
    problem = Delivery(euclidean(rng.integers(0, 100, (71, 2))), np.ones(70), 70, np.arange(70))
    alone = 2 * problem.distances[0, 1:]
    assert route_cost(problem, [69]) == pytest.approx(alone[69])
    assert alone.max() <= route_cost(problem, range(70), iterations=1) < alone.sum()


def test_same_seed_same_cost_here_and_in_two_workers():
    problem, state = random_delivery(3, customers=20), np.random.get_state()[1].copy()
    once = carrier_costs(problem, iterations=3)
    assert carrier_costs(problem, iterations=3) == once == carrier_costs(problem, iterations=3, n_jobs=2)
    assert once.values[-1] == route_cost(problem, range(20), iterations=3)
    assert len({route_cost(problem, range(20), iterations=3, seed=seed) for seed in range(8)}) > 1
    assert carrier_costs(problem).values[-1] <= once.values[-1]
    np.testing.assert_array_equal(np.random.get_state()[1], state)


def test_every_option_reaches_its_place(monkeypatch):
    asked = []
    monkeypatch.setattr(routing, "_search", lambda problem, served, *options: asked.append(options) or 10)
    carrier_costs(random_delivery(0), iterations=7, seed=5)
    assert set(asked) == {(7, 5)}
    monkeypatch.setattr(TUGame, "from_function", lambda v, n, **options: (n, options))
    assert carrier_costs(random_delivery(0), n_jobs=3, progress=True) == (4, {"n_jobs": 3, "progress": True})


def test_nothing_is_printed(capfd):
    carrier_costs(random_delivery(0))
    assert capfd.readouterr() == ("", "")


def test_no_plan_is_no_number(monkeypatch):
    monkeypatch.setattr(routing, "_search", lambda *_: np.inf)
    with pytest.raises(ValueError, match="none in 50 iterations"):
        route_cost(random_delivery(0), [0])


def test_a_delivery_is_frozen_and_copied():
    d, demands = 10.0 * TRIANGLE, np.array([1, 1])
    problem = Delivery(d, demands, np.int64(2), [0, 1])
    d[0, 1] = demands[0] = 99
    assert problem.distances[0, 1] == 300 and problem.demands[0] == 1 and type(problem.capacity) is int
    for array in (problem.distances, problem.demands, problem.owners):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
    with pytest.raises(FrozenInstanceError):
        problem.capacity = 4
    assert repr(problem) == "Delivery(2 carriers, 2 customers, capacity 2)"


def test_distances_are_rounded_to_tenths_where_everybody_sees_it():
    problem = Delivery(TRIANGLE / 1.1, **SHARED)
    assert problem.distances.tolist() == [[0, 27.3, 36.4], [27.3, 0, 45.5], [36.4, 45.5, 0]]
    assert route_cost(problem, [0, 1]) == 109.2


@pytest.mark.parametrize(
    "change, error, shown",
    [
        ({"demands": [1, 3]}, ValueError, "at most the capacity 2, got 3 for customer 1"),
        ({"demands": [1, -1]}, ValueError, "-1.0 for customer 1"),
        ({"demands": [0.5, 1]}, ValueError, "0.5 for customer 0"),
        ({"demands": [1, np.nan]}, ValueError, "nan for customer 1"),
        ({"demands": [1e9, 1], "capacity": 10**9}, ValueError, "another unit"),
        ({"demands": [1]}, ValueError, "2 demands, one per customer, got 1"),
        ({"demands": "11"}, TypeError, "demands"),
        ({"capacity": 0}, ValueError, "at least 1"),
        ({"capacity": 2.0}, TypeError, "capacity as an integer"),
        ({"owners": [0, 1, 0]}, ValueError, "2 owners"),
        ({"owners": [1, 2]}, ValueError, r"got \[1, 2\]; count from 0"),
        ({"owners": [0, 2]}, ValueError, "count from 0"),
        ({"owners": [-1, 0]}, ValueError, "-1.0 for customer 0"),
        ({"distances": TRIANGLE / 100}, ValueError, "smaller unit"),
        ({"distances": TRIANGLE * 10**8}, ValueError, r"1e\+08.*to customer 0"),
    ],
)
def test_what_is_no_delivery_is_refused(change, error, shown):
    with pytest.raises(error, match=shown):
        Delivery(**{"distances": TRIANGLE, **SHARED, **change})


@pytest.mark.parametrize(
    "customers, options, error, shown",
    [
        ([2], {}, ValueError, r"0 \.\. 1, got 2"),
        ([0, 0], {}, ValueError, "twice"),
        (4, {}, ValueError, r"\[0, 4\)"),
        ("0", {}, TypeError, "player indices"),
        ([0], {"iterations": 0}, ValueError, "at least 1"),
        ([0], {"iterations": 1.5}, TypeError, "iterations"),
        ([0], {"seed": -1}, ValueError, "seed from 0"),
        ([0], {"seed": 1 << 32}, ValueError, "seed from 0"),
        ([0], {"seed": None}, TypeError, "seed"),
    ],
)
def test_what_is_no_question_is_refused(customers, options, error, shown):
    with pytest.raises(error, match=shown):
        route_cost(Delivery(TRIANGLE, **SHARED), customers, **options)


@pytest.mark.parametrize("ask", [carrier_costs, lambda problem: route_cost(problem, [])])
def test_a_matrix_is_no_delivery(ask):
    with pytest.raises(TypeError, match="expected a Delivery"):
        ask(TRIANGLE)


# --- the benchmark's five carriers ------------------------------------------------------------------------------


def test_c101_is_typed_in_right():
    x, y, demand = np.array(C101).T
    assert (len(C101), C101[0], C101[15]) == (16, (40, 50, 0), (20, 80, 40))
    assert (x.sum(), y.sum(), demand.sum()) == (571, 1120, 260)
    problem = solomon_c101()
    assert problem.owners.tolist() == [0, 1, 2, 3, 4] * 3
    assert problem.distances[0, 1] == 18.7  # sqrt(5**2 + 18**2)


def test_c101_has_gains_and_no_core():
    problem = solomon_c101()
    c = carrier_costs(problem)
    np.testing.assert_allclose(c.values, exact_carrier_costs(problem), rtol=0, atol=1e-9)
    assert c.values[1 << np.arange(5)].sum() == pytest.approx(365.5) and c.values[-1] == pytest.approx(230.1)
    v = savings(c)
    assert is_superadditive(v) and core_is_empty(v)
    assert v.values[-1] == pytest.approx(135.4)
    np.testing.assert_allclose(shapley(v), [16.42, 26.35, 20.21, 46.02, 26.40], atol=0.006)
    assert excess(v, shapley(v))[1:-1].max() == pytest.approx(17.43, abs=0.005)
    assert least_core(v).epsilon == pytest.approx(13.47, abs=0.005)
    assert carrier_costs(problem, iterations=200) == c == carrier_costs(problem, seed=1)


# --- real places ------------------------------------------------------------------------------------------------

PLACES = st.tuples(st.floats(-90, 90), st.floats(-180, 180))


@given(st.lists(PLACES, min_size=1, max_size=5))
def test_great_circle_is_the_angle_between_directions(places):
    latitude, longitude = np.radians(places).T
    x = np.array([np.cos(latitude) * np.cos(longitude), np.cos(latitude) * np.sin(longitude), np.sin(latitude)])
    cross = np.linalg.norm(np.cross(x[:, :, None], x[:, None], axis=0), axis=0)
    km = great_circle(places)
    np.testing.assert_allclose(km, 6371.0088 * np.arctan2(cross, x.T @ x), rtol=0, atol=0.001)
    assert (km == km.T).all() and (np.diag(km) == 0).all()


def test_great_circle_goes_round_the_world():
    half = np.pi * 6371.0088
    km = great_circle([[90, 0], [-90, 0], [0, 180], [0, -180], [0, 0], [90, 77]])
    np.testing.assert_allclose(km[0], [0, half, half / 2, half / 2, half / 2, 0], atol=1e-6)
    np.testing.assert_allclose(km[2], [half / 2, half / 2, 0, 0, half, half / 2], atol=1e-6)
    for latitude in range(90):  # where rounding must not lead beyond the antipode
        assert great_circle([[latitude, 77], [-latitude, 77 - 180]])[0, 1] == pytest.approx(half)
    assert 39_900 < 2 * half < 40_100


@pytest.mark.parametrize("measure", [great_circle, euclidean])
@pytest.mark.parametrize(
    "coordinates, error, shown",
    [
        ([1, 2], ValueError, "two dimensions"),
        ([[1, 2, 3]], ValueError, r"\(m, 2\).*\(1, 3\)"),
        ([[1, np.nan]], ValueError, "finite"),
        ([["1", "2"]], TypeError, "real numbers"),
        ([[1, 2], [3]], ValueError, "equal rows"),
    ],
)
def test_what_are_no_coordinates_is_refused(measure, coordinates, error, shown):
    with pytest.raises(error, match=shown):
        measure(coordinates)


@pytest.mark.parametrize("place", [[91, 0], [0, 181], [0, -181]])
def test_places_off_the_map_are_refused(place):
    with pytest.raises(ValueError, match="latitudes up to 90"):
        great_circle([[0, 0], place])


def test_euclidean_by_definition():
    points = np.random.default_rng(0).normal(size=(6, 2))
    expected = [[((p - q) ** 2).sum() ** 0.5 for q in points] for p in points]
    np.testing.assert_allclose(euclidean(points), expected, rtol=1e-12)


def test_airports_are_where_they_are():
    names, coordinates = airports(code for code in ["BHX", "JFK", "SYD"])
    assert [name.split()[0] for name in names] == ["Birmingham", "John", "Sydney"]
    np.testing.assert_allclose(coordinates, [[52.45, -1.75], [40.64, -73.78], [-33.95, 151.18]], atol=0.02)
    assert airports([])[1].shape == (0, 2)


def test_a_tour_of_airports_is_a_game():
    _, coordinates = airports("BHX DUB CDG AMS FRA MAD FCO VIE CPH".split())
    km = great_circle(coordinates)
    c = tour_costs(km)
    assert is_monotone(c) and is_superadditive(savings(c))
    np.testing.assert_allclose(c.values[1 << np.arange(8)], 2 * km[0, 1:])
    problem = Delivery(km, np.ones(8), 8, np.arange(8))
    assert route_cost(problem, range(8)) == pytest.approx(c.values[-1], abs=0.5)


@pytest.mark.parametrize(
    "codes, error, shown",
    [
        (["BHX", "QQQ"], ValueError, "'QQQ'"),
        (["bhx"], ValueError, "capital letters each, got 'bhx'"),
        (["EGBB"], ValueError, "IATA"),
        ([""], ValueError, "''"),
        ("BHX", TypeError, r"\['BHX'\]"),
    ],
)
def test_unknown_airports_are_named(codes, error, shown):
    with pytest.raises(error, match=shown):
        airports(codes)
