"""Deliveries: games whose worths cost real work, a route to plan for every coalition.

Players with customers share a depot.  What a coalition costs is the length of the routes that
serve its customers, so filling the table means planning ``2**n`` times.  For one vehicle that
carries everything, `tour_costs` has all ``2**n`` tours from a single dynamic programme.  With
vehicles that fill up, `route_cost` asks PyVRP, and `carrier_costs` asks it once per coalition.

All costs are cost games: `coalmarl.games.savings` turns them into gains to divide.

Places are numbered with the depot first: row 0 of a matrix of distances is the depot, and
customer ``i`` is row ``i + 1``.  Letters: ``d`` distances, ``n`` customers or
carriers, ``S`` a coalition, ``i`` and ``j`` customers.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from math import comb
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coalmarl.coalitions import Coalition, as_mask, as_vector, check_memory, members, singletons, sizes
from coalmarl.games import TUGame

_UNITS = 10  # PyVRP counts in whole numbers: tenths of the unit of distance
_LARGEST = 10**8  # distances and demands beyond would overflow its penalties
_EARTH = 6371.0088  # mean radius in km

C101 = (  # the depot and the first 15 customers: x, y, demand
    (40, 50, 0),
    (45, 68, 10),
    (45, 70, 30),
    (42, 66, 10),
    (42, 68, 10),
    (42, 65, 10),
    (40, 69, 20),
    (40, 66, 20),
    (38, 68, 20),
    (38, 70, 10),
    (35, 66, 10),
    (35, 69, 10),
    (25, 85, 20),
    (22, 75, 30),
    (22, 85, 10),
    (20, 80, 40),
)


def tour_costs(distances: ArrayLike) -> TUGame:
    """Return the length of the shortest tour from the depot through each coalition and back.

    Parameters
    ----------
    distances : array_like of float, shape (n + 1, n + 1)
        From each place (row) to each place (column), the depot first; not negative, and not
        necessarily symmetric.  The diagonal is not read.

    Returns
    -------
    TUGame
        A cost game with one player per customer: solve its negative, or its `savings`.

    Raises
    ------
    TypeError, ValueError
        If this is no matrix of distances, two places are not connected, or the table does not
        fit in memory.

    Notes
    -----
    The shortest path that leaves the depot, visits all of ``S`` and ends at ``j`` does not
    depend on anything outside ``S``.  One table of these paths, grown by one customer at a
    time, therefore holds the tours of all coalitions: ``n**2 2**n`` steps (`tour_operations`).
    Half a second for n = 18; 3 seconds and a fifth of a GiB for n = 20.

    References
    ----------
    held1962dynamic

    Examples
    --------
    >>> c = tour_costs([[0, 3, 4], [3, 0, 5], [4, 5, 0]])
    >>> c.values.tolist()
    [0.0, 6.0, 8.0, 12.0]
    """
    d = _distances(distances)
    n = len(d) - 1
    what = f"the shortest paths through 2**{n} coalitions of {n} customers"
    check_memory(10 * (n + 4) << n, what, "coalmarl.estimation.sample_shapley, which asks for a few tours only")
    out, between, back = d[0, 1:], d[1:, 1:], d[1:, 0]
    path = np.full((1 << n, n), np.inf)  # path[S, j]: from the depot through all of S, j last
    path[singletons(n), np.arange(n)] = out
    size = sizes(n)
    for s in range(1, n):
        layer = np.flatnonzero(size == s)
        for j in range(n):
            S = layer[layer >> j & 1 == 0]
            path[S | 1 << j, j] = (path[S] + between[:, j]).min(axis=1)
    path += back
    tours = path.min(axis=1)
    tours[0] = 0.0
    return TUGame(tours)


def tour_operations(n: int) -> tuple[int, int]:
    """Return the work of all tours from one table, and with a table per coalition.

    Parameters
    ----------
    n : int
        Number of customers, at least 1.

    Returns
    -------
    one, separate : int
        A table over ``k`` customers is counted as ``k**2 2**k``: a step per coalition, last
        stop and next stop.

    Raises
    ------
    TypeError, ValueError
        If ``n`` is no integer, or less than 1.

    Notes
    -----
    The sum over the coalitions is ``2 n (2 n + 1) 3**(n-2)``: ``2**n`` tours, ``3**n`` work.

    Examples
    --------
    >>> for n in (10, 15, 20):
    ...     one, separate = tour_operations(n)
    ...     print(n, round(separate / one))
    10 27
    15 201
    20 1515
    """
    n = _whole(n, 1, "a number of customers")
    return n**2 << n, sum(comb(n, k) * k**2 << k for k in range(n + 1))


@dataclass(frozen=True, eq=False)
class Delivery:
    """Carriers with customers of their own, one depot, and as many equal vehicles as needed.

    Attributes
    ----------
    distances : ndarray of float, shape (m + 1, m + 1)
        From each place to each place, the depot first.  Rounded to tenths, since the solver
        counts in whole numbers: choose a unit in which the largest is 10 or more.
    demands : ndarray of int, shape (m,)
        What each customer ordered.
    capacity : int
        What a vehicle carries.
    owners : ndarray of int, shape (m,)
        Which carrier each customer belongs to, ``0 .. n-1``.

    Raises
    ------
    TypeError, ValueError
        If a part is not of this kind, two places are not connected, the unit is too large, an
        order exceeds the capacity, or a carrier has no customer.
    """

    distances: NDArray[np.float64]
    demands: NDArray[np.int64]
    capacity: int
    owners: NDArray[np.int64]

    def __post_init__(self) -> None:
        distances = _distances(self.distances, most=_LARGEST).round(1)
        demands = _whole_numbers(self.demands, len(distances) - 1, "demands")
        owners = _whole_numbers(self.owners, len(distances) - 1, "owners")
        capacity = _whole(self.capacity, 1, "a capacity")
        if distances.max() < 10:
            raise ValueError(
                f"expected distances up to 10 or more, for they are rounded to tenths, got {distances.max():g} at most; "
                "choose a smaller unit"
            )
        if demands.max() > capacity:
            i = int(demands.argmax())
            raise ValueError(
                f"expected orders of at most the capacity {capacity}, got {demands[i]} for customer {i}; "
                "split the order, or use larger vehicles"
            )
        if owners.max() >= len(set(owners.tolist())):
            raise ValueError(
                f"expected carriers 0 .. n-1 with a customer each, got {sorted(set(owners.tolist()))}; count from 0"
            )
        object.__setattr__(self, "capacity", capacity)
        for name, array in (("distances", distances), ("demands", demands), ("owners", owners)):
            array.setflags(write=False)
            object.__setattr__(self, name, array)

    @property
    def n(self) -> int:
        """Number of carriers."""
        return int(self.owners.max()) + 1

    def __repr__(self) -> str:
        return f"Delivery({self.n} carriers, {len(self.demands)} customers, capacity {self.capacity})"


def route_cost(problem: Delivery, customers: Coalition, *, iterations: int = 50, seed: int = 0) -> float:
    """Return the length of the routes that PyVRP finds for some of the customers.

    Parameters
    ----------
    problem : Delivery
        The problem.
    customers : int or iterable of int
        Whom to serve, as a mask or as indices; each by one vehicle, once.
    iterations : int
        How long to search: iterations, not seconds, so that the answer can be repeated.
    seed : int
        Where the search's chance comes from; the same seed gives the same cost.

    Returns
    -------
    float
        0 for no customers.

    Raises
    ------
    TypeError, ValueError
        If an argument is not of its kind, or the search found no plan within the capacity.

    Notes
    -----
    A heuristic: never below the optimum, and seldom above it for up to 20 customers and 50
    iterations.  For 40 customers its noise is about 1 %, enough to make gains negative that are
    not: test such a game with `coalmarl.games.is_superadditive` before believing it.

    References
    ----------
    wouda2024pyvrp

    Examples
    --------
    >>> problem = solomon_c101()
    >>> route_cost(problem, []), route_cost(problem, [0, 5, 10])
    (0.0, 48.4)
    """
    if not isinstance(problem, Delivery):
        raise TypeError(f"expected a Delivery, got {problem!r:.60}")
    iterations = _whole(iterations, 1, "a number of iterations")
    seed = _whole(seed, 0, "a seed", most=(1 << 32) - 1)
    served = members(as_mask(customers, len(problem.demands)))
    if not served:
        return 0.0
    cost = _search(problem, list(served), iterations, seed) / _UNITS
    if cost == np.inf:
        raise ValueError(f"expected a plan within the capacity, got none in {iterations} iterations; allow more")
    return cost


def carrier_costs(
    problem: Delivery, *, iterations: int = 50, seed: int = 0, n_jobs: int = 1, progress: bool = False
) -> TUGame:
    """Return the cost game of carriers who serve their customers together.

    Parameters
    ----------
    problem : Delivery
        The problem.
    iterations, seed : int
        As in `route_cost`.
    n_jobs, progress
        As in `coalmarl.games.TUGame.from_function`.

    Returns
    -------
    TUGame
        Worth of each coalition: what serving all customers of its carriers costs.

    Raises
    ------
    TypeError, ValueError
        As `route_cost`.

    Notes
    -----
    ``2**n - 1`` routing problems, some milliseconds each.

    Examples
    --------
    >>> from coalmarl.games import savings
    >>> savings(carrier_costs(solomon_c101()))
    TUGame(n=5, v(N)=135.4)
    """
    if not isinstance(problem, Delivery):
        raise TypeError(f"expected a Delivery, got {problem!r:.60}")
    cost = partial(_shared_cost, problem, iterations, seed)
    return TUGame.from_function(cost, problem.n, n_jobs=n_jobs, progress=progress)


def solomon_c101() -> Delivery:
    """Return five carriers with three customers each, from a benchmark of 1987.

    Returns
    -------
    Delivery
        The first 15 customers of Solomon's C101 without their time windows, dealt out to the
        carriers one after the other.  Vehicles carry 80.  The coordinates are in ``C101``.

    References
    ----------
    solomon1987algorithms

    Examples
    --------
    >>> solomon_c101()
    Delivery(5 carriers, 15 customers, capacity 80)
    """
    table = np.array(C101)
    return Delivery(euclidean(table[:, :2]), table[1:, 2], 80, np.arange(15) % 5)


def airports(codes: Iterable[str]) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """Return the names and the coordinates of airports.

    Parameters
    ----------
    codes : iterable of str
        The three letters that are on your luggage, such as "BHX".

    Returns
    -------
    names : tuple of str
    coordinates : ndarray, shape (m, 2)
        Latitude and longitude in degrees, as `great_circle` takes them.

    Raises
    ------
    TypeError
        If ``codes`` is a single string.
    ValueError
        If there is no airport of that code.

    Examples
    --------
    >>> names, coordinates = airports(["BHX", "CDG"])
    >>> names[0], coordinates.round().tolist()
    ('Birmingham International Airport', [[52.0, -2.0], [49.0, 3.0]])
    """
    if isinstance(codes, str):
        raise TypeError(f"expected a list of airport codes, got the string {codes!r}; write [{codes!r}]")
    import airportsdata

    known, codes = airportsdata.load("IATA"), list(codes)
    for code in codes:
        if code not in known:
            raise ValueError(f"expected IATA codes of airports, three capital letters each, got {code!r:.60}")
    found = [known[code] for code in codes]
    places = np.array([(a["lat"], a["lon"]) for a in found]).reshape(-1, 2)
    return tuple(a["name"] for a in found), places


def great_circle(coordinates: ArrayLike) -> NDArray[np.float64]:
    """Return the distances in km between places on Earth.

    Parameters
    ----------
    coordinates : array_like of float, shape (m, 2)
        Latitude and longitude in degrees, one place per row.

    Returns
    -------
    ndarray, shape (m, m)
        Along the surface of a sphere; on the real Earth up to about half a per cent more or less.

    Raises
    ------
    TypeError, ValueError
        If these are no such places.

    Examples
    --------
    >>> great_circle([[0, 0], [0, 90], [90, 0]]).round().tolist()
    [[0.0, 10008.0, 10008.0], [10008.0, 0.0, 10008.0], [10008.0, 10008.0, 0.0]]
    """
    places = _points(coordinates)
    wrong = np.flatnonzero((np.abs(places) > [90, 180]).any(axis=1))
    if wrong.size:
        raise ValueError(f"expected latitudes up to 90 and longitudes up to 180, got {places[wrong[0]].tolist()}")
    latitude, longitude = np.radians(places).T
    north = np.sin((latitude[:, None] - latitude) / 2) ** 2
    east = np.sin((longitude[:, None] - longitude) / 2) ** 2
    chord = north + np.cos(latitude[:, None]) * np.cos(latitude) * east  # (half the straight line, radius 1)**2
    return 2 * _EARTH * np.arcsin(np.sqrt(np.minimum(chord, 1)))


def euclidean(coordinates: ArrayLike) -> NDArray[np.float64]:
    """Return the straight-line distances between points of the plane.

    Parameters
    ----------
    coordinates : array_like of float, shape (m, 2)
        One point per row.

    Returns
    -------
    ndarray, shape (m, m)

    Raises
    ------
    TypeError, ValueError
        If these are no points.

    Examples
    --------
    >>> euclidean([[0, 0], [3, 4]]).tolist()
    [[0.0, 5.0], [5.0, 0.0]]
    """
    x, y = _points(coordinates).T
    return np.hypot(x[:, None] - x, y[:, None] - y)


def _shared_cost(problem: Delivery, iterations: int, seed: int, carriers: frozenset[int]) -> float:
    """Cost of all customers of these carriers; at the top of the module, so that workers find it."""
    theirs = np.flatnonzero(np.isin(problem.owners, list(carriers)))
    return route_cost(problem, theirs, iterations=iterations, seed=seed)


def _search(problem: Delivery, served: list[int], iterations: int, seed: int) -> float:
    """Length of PyVRP's best routes in its own units, infinite if it found none."""
    from pyvrp import Client, Depot, Location, PenaltyParams, ProblemData, SolveParams, VehicleType, solve
    from pyvrp.stop import MaxIterations

    stops = [0, *(i + 1 for i in served)]
    d: Any = np.rint(problem.distances[np.ix_(stops, stops)] * _UNITS).astype(np.int64)
    orders = problem.demands[served].tolist()
    data = ProblemData(
        locations=[Location(0, 0)] * len(stops),  # the matrix says where they are
        clients=[Client(k, delivery=[order]) for k, order in enumerate(orders, start=1)],
        depots=[Depot(0)],
        vehicle_types=[VehicleType(len(served), capacity=[min(problem.capacity, sum(orders))])],
        distance_matrices=[d],
        duration_matrices=[np.zeros_like(d)],
    )
    # The search starts from half of this: one item too many shall cost as much as another trip.
    params = SolveParams(penalty=PenaltyParams(max_penalty=max(100_000.0, 4.0 * d.max())))
    return solve(data, MaxIterations(iterations), seed, collect_stats=False, display=False, params=params).cost()


def _distances(data: ArrayLike, most: float = 1e300) -> NDArray[np.float64]:
    """A new square matrix of distances, 0 on the diagonal, with a depot and a customer at least."""
    d = _matrix(data, "distances")
    if len(d) != d.shape[1] or len(d) < 2:
        raise ValueError(
            f"expected distances between the depot and n >= 1 customers, of shape (n + 1, n + 1), got {d.shape}"
        )
    np.fill_diagonal(d, 0.0)
    wrong = np.argwhere(~((d >= 0) & (d <= most)))
    if wrong.size:
        i, j = wrong[0].tolist()
        raise ValueError(
            f"expected distances from 0 to {most:g}, got {d[i, j]} from {_place(i)} to {_place(j)}; "
            "leave out customers whom no road reaches"
        )
    return d


def _place(row: int) -> str:
    return f"customer {row - 1}" if row else "the depot"


def _points(data: ArrayLike) -> NDArray[np.float64]:
    points = _matrix(data, "coordinates")
    if points.shape[1] != 2 or not np.isfinite(points).all():
        raise ValueError(f"expected finite coordinates of shape (m, 2), got {points!r:.60} of shape {points.shape}")
    return points


def _matrix(data: ArrayLike, name: str) -> NDArray[np.float64]:
    """A new float array of two dimensions."""
    try:
        array = np.asarray(data)
    except ValueError as error:
        raise ValueError(f"expected {name} as a table with equal rows, got {data!r:.60}: {error}") from None
    if array.ndim != 2:
        raise ValueError(f"expected {name} as a table of two dimensions, got shape {array.shape}")
    return as_vector(array.ravel(), name).reshape(array.shape)


def _whole_numbers(data: ArrayLike, length: int, name: str) -> NDArray[np.int64]:
    """One whole number per customer."""
    numbers = as_vector(data, name)
    if len(numbers) != length:
        raise ValueError(f"expected {length} {name}, one per customer, got {len(numbers)}")
    wrong = np.flatnonzero(~((numbers >= 0) & (numbers <= _LARGEST) & (numbers % 1 == 0)))
    if wrong.size:
        i = int(wrong[0])
        raise ValueError(
            f"expected {name} as whole numbers from 0 to {_LARGEST:g}, got {numbers[i]} for customer {i}; "
            "choose another unit"
        )
    return numbers.astype(np.int64)


def _whole(value: object, least: int, name: str, *, most: int | None = None) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"expected {name} as an integer, got {value!r:.60} of type {type(value).__name__}")
    if value < least or (most is not None and value > most):
        limits = f"of at least {least}" if most is None else f"from {least} to {most}"
        raise ValueError(f"expected {name} {limits}, got {value}")
    return int(value)
