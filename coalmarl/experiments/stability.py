"""Chapter 07: certificates of radars and of carriers against every deviation, and how well targets are tracked."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coalmarl.coalitions import members
from coalmarl.evaluation import Claim, bootstrap_interval
from coalmarl.experiments import Experiment, Part, Run
from coalmarl.games import TUGame
from coalmarl.routing import euclidean, tour_costs
from coalmarl.structures import Settlement, StabilityCertificate, audit, certify, moving_payoffs, settle, shapley_split
from coalmarl.tracking import (
    SPLITS,
    Looks,
    RadarNetwork,
    Tracks,
    believed_shares,
    coalition_worths,
    divide,
    draw_network,
    draw_targets,
    gathering,
    learn_networks,
    learn_payoffs,
    learn_table,
    look,
    looking_at,
    move,
    predict,
    situations,
    update,
)

Floats = NDArray[np.float64]
Ask = Callable[[NDArray[np.int64], int], Floats]

BUDGETS = (20, 60, 200, 600)  # steps of data
TOLERANCES = (0.0, 0.01, 0.05, 0.1)
REFITS = (10, 20, 30, 40, 60, 80, 100, 150, 200, 300, 400, 500, 600)
EXPLORE = 0.2


# --- what the lab runs itself -----------------------------------------------------------------------------


def draw_game(radars: int, targets: int, *, seed: int | np.random.Generator) -> tuple[RadarNetwork, Tracks, Floats]:
    """Return a network, first tracks, and the worths of all coalitions one step later.

    Parameters
    ----------
    radars, targets : int
        How many.
    seed : int or numpy.random.Generator
        Where the chance comes from.

    Returns
    -------
    network : RadarNetwork
    tracks : Tracks
    worths : ndarray, shape (T, 2**R)

    Examples
    --------
    >>> network, tracks, worths = draw_game(3, 2, seed=0)
    >>> worths.shape
    (2, 8)
    """
    rng = np.random.default_rng(seed)
    network = draw_network(radars, targets, seed=rng)
    tracks = draw_targets(targets, seed=rng)[1]
    return network, tracks, coalition_worths(network, predict(network, tracks))


def split_study(worths: Floats, *, seed: int | np.random.Generator) -> dict[str, tuple[bool, bool, float, bool]]:
    """Return how each split fares over all partitions of a small game.

    Parameters
    ----------
    worths : ndarray, shape (K, 2**n)
        Such that ``K**n`` partitions can be listed.
    seed : int or numpy.random.Generator
        Draws the order of moves.

    Returns
    -------
    dict of str to tuple
        By split: whether a stable partition exists, whether players in turn come to rest, what
        their partition is worth relative to the best, and whether the best is stable.

    Examples
    --------
    >>> split_study(np.array([[0, 1, 3, 3.4]] * 2), seed=0)["equal"][:2]
    (False, False)
    """
    places, n, rng = len(worths), worths.shape[1].bit_length() - 1, np.random.default_rng(seed)
    homes, k, players = np.indices((places,) * n).reshape(n, -1).T, np.arange(places), np.arange(n)
    masks = ((homes[:, None, :] == k[:, None]) << players).sum(axis=2)
    total, found = worths[k, masks].sum(axis=1), {}
    for split in SPLITS:
        shares = divide(worths, split)
        offers = shares[k[:, None], masks[:, :, None] | 1 << players, players]
        now = np.take_along_axis(offers, homes[:, None, :], 1)[:, 0]
        stable = (offers.max(axis=1) - now).max(axis=1) < 1e-9
        end = settle(shares, (2**n - 1,) + (0,) * (places - 1), seed=rng)
        worth = _total(worths, end.partition) / float(total.max())
        found[split] = bool(stable.any()), end.settled, worth, bool(stable[total.argmax()])
    return found


def random_looks(network: RadarNetwork, steps: int, *, seed: int | np.random.Generator) -> list[Looks]:
    """Return what radars measure that point at random targets, from which laws can be learned.

    Parameters
    ----------
    network : RadarNetwork
        The true one.
    steps : int
        How long.
    seed : int or numpy.random.Generator
        Where the chance comes from.

    Returns
    -------
    list of Looks

    Examples
    --------
    >>> len(random_looks(draw_network(2, 3, seed=0), 5, seed=0))
    5
    """
    rng = np.random.default_rng(seed)
    states, log = draw_targets(network.targets, seed=rng)[0], []
    for _ in range(steps):
        states, shaken = move(network, states, rng)
        partition = gathering(network, rng.integers(0, network.targets, network.radars))
        log.append(look(network, states, partition, rng, shaken=shaken))
    return log


def wrong_law(seed: int, *, steps: int = 200) -> tuple[float, float]:
    """Return the true regrets where radars rest who learned the right form of the law, and a wrong one.

    Parameters
    ----------
    seed : int
        Of the world of 8 radars and 20 targets, and of all chance in it.
    steps : int
        Steps of data, with beams at random.

    Returns
    -------
    right, wrong : float
        The wrong form is range noise that is the same at any distance, fitted to the same data.

    Raises
    ------
    ValueError
        If the radars do not come to rest.

    Examples
    --------
    >>> right, wrong = wrong_law(0, steps=50)
    >>> right < wrong
    True
    """
    rng = np.random.default_rng(seed)
    network, tracks, worths = draw_game(8, 20, seed=rng)
    log = random_looks(network, steps, seed=rng)
    sd = np.sqrt(np.mean([looks.error[:, 0] ** 2 for looks in log], axis=0))
    models = learn_networks(network, log)
    flat = [replace(own, ranging=np.stack([sd, 0 * sd], axis=1)) for own in models]
    regrets = []
    for believed in (models, flat):
        end = settle(believed_shares(believed, tracks, "shapley"), (255,) + (0,) * 19, seed=rng)
        if not end.settled:
            raise ValueError(f"expected radars that come to rest, got none in world {seed}; try another")
        regrets.append(certify(moving_payoffs(divide(worths, "shapley"), end.partition), end.partition).regret)
    return regrets[0], regrets[1]


def by_world(results: Mapping[int, Part], row: str, budget: int, key: str = "false") -> Floats:
    """Return one number per world from a stored run of certificates.

    Parameters
    ----------
    results : mapping
        "results" of an artefact.
    row : str
        A learner, or a learner and a split.
    budget : int
        Steps of data.
    key : str
        "false" for the share of false certificates among those issued at 5 %; or a number of
        the report, such as "welfare".

    Returns
    -------
    ndarray, shape (worlds,)

    Examples
    --------
    >>> by_world({0: {"model": {"20": {"false": [3, 3, 1, 0], "issued": [9, 9, 10, 10]}}}}, "model", 20)
    array([0.1])
    """
    reports, at = [part[row][str(budget)] for part in results.values()], TOLERANCES.index(0.05)
    if key == "false":
        return np.array([report["false"][at] / max(report["issued"][at], 1) for report in reports])
    return np.array([report[key] for report in reports], dtype=np.float64)


def with_margin(results: Mapping[int, Part], row: str, budget: int) -> tuple[float, int, int, float]:
    """Return what learners sign at 10 % if they allow for their own errors, in a stored run.

    Parameters
    ----------
    results, row, budget
        As in `by_world`.

    Returns
    -------
    margin : float
        On average over the worlds.
    signed, false : int
        Certificates whose bound is within 10 %, and those of them that are false.
    kept : float
        Share of all bounds that held.

    Examples
    --------
    >>> sure = {"issued": [0, 0, 1, 5], "false": [0, 0, 0, 1], "kept": 9}
    >>> with_margin({0: {"model": {"20": {"of": 10, "margin": 0.2, "with margin": sure}}}}, "model", 20)
    (0.2, 5, 1, 0.9)
    """
    reports, at = [part[row][str(budget)] for part in results.values()], TOLERANCES.index(0.1)
    signed, false = (sum(report["with margin"][key][at] for report in reports) for key in ("issued", "false"))
    kept = sum(report["with margin"]["kept"] for report in reports) / sum(report["of"] for report in reports)
    return float(np.mean([report["margin"] for report in reports])), signed, false, kept


def rests_at_once(shares: Floats, home: NDArray[np.int64], *, rounds: int = 100) -> bool:
    """Tell whether players come to rest who all choose their best reply at the same time.

    Parameters
    ----------
    shares : ndarray, shape (K, 2**n, n)
        As from `coalmarl.tracking.divide`.
    home : ndarray of int, shape (n,)
        Where each player starts.
    rounds : int
        How often they choose.

    Returns
    -------
    bool

    Examples
    --------
    >>> rests_at_once(divide([[0, 1, 3, 3.4]] * 2, "shapley"), np.array([0, 0]))
    False
    """
    k = np.arange(len(shares))[:, None]
    for _ in range(rounds):
        last, masks = home, ((home == k) << np.arange(len(home))).sum(axis=1)
        home = moving_payoffs(shares, masks.tolist()).argmax(axis=0)
    return bool((home == last).all())


def claim(id: str, what: str, measured: ArrayLike, bar: str) -> Claim:
    """Return a claim about a number, or about the mean of numbers from independent worlds.

    Parameters
    ----------
    id, what, bar : str
        As in `coalmarl.evaluation.Claim`.
    measured : float, bool or array_like of float, shape (worlds,)
        Several get an interval, which does not reach below zero if none of them does.

    Returns
    -------
    Claim

    Examples
    --------
    >>> claim("C12", "false", [0.0, 0.0, 0.1], "<= 0.1").interval[0]
    0.0
    """
    x = np.asarray(measured)
    if x.ndim == 0:
        return Claim(id, what, x.item(), bar)
    low, high = bootstrap_interval(x)
    return Claim(id, what, float(x.mean()), bar, len(x), (max(low, min(0.0, float(x.min()))), high))


# --- radars: learners on the same budget of steps -----------------------------------------------------


@dataclass(frozen=True, eq=False)
class Scene:
    """What is known before a decision.

    Attributes
    ----------
    network : RadarNetwork
        The true one.  Learners read its sites, its weights and the average agility.
    tracks : Tracks
        After the last looks.
    before : tuple of int
        The last partition, from which moves start.
    """

    network: RadarNetwork
    tracks: Tracks
    before: tuple[int, ...]

    def expected(self, own_guess: bool = True) -> Tracks:
        """Return the prediction with the average agility for all targets, or the tracker's own.

        Parameters
        ----------
        own_guess : bool
            Whether the radars know the average only.

        Returns
        -------
        Tracks
        """
        average = np.full(self.network.targets, self.network.agility.mean())
        return predict(replace(self.network, agility=average) if own_guess else self.network, self.tracks)


@dataclass(frozen=True, eq=False)
class Record:
    """What a step of data holds.

    Attributes
    ----------
    looks : Looks
        What was measured.
    seen : ndarray of float, shape (2, R, 5)
        The situations that the radars chose, by the average agility and by the tracker's own.
    paid : ndarray of float, shape (R,)
        What they got for it.
    """

    looks: Looks
    seen: Floats
    paid: Floats


Belief = Callable[[Sequence[int]], Floats]  # from a partition to what each radar would get at each target
Test = tuple[StabilityCertificate, float, float]  # promised, true regret, welfare
Rule = Callable[[Scene, np.random.Generator], tuple[Settlement, Belief]]


def _learn_model(log: Sequence[Record], network: RadarNetwork, split: str) -> Rule:
    models = learn_networks(network, [record.looks for record in log])

    def decide(scene: Scene, rng: np.random.Generator) -> tuple[Settlement, Belief]:
        shares = believed_shares(models, scene.tracks, split)
        return settle(shares, scene.before, seed=rng), lambda partition: moving_payoffs(shares, partition)

    return decide


def _learn_features(log: Sequence[Record], network: RadarNetwork, fourier: int, own_guess: bool) -> Rule:
    seen = np.stack([record.seen[0 if own_guess else 1] for record in log])
    paid = np.stack([record.paid / network.weights[record.looks.target] for record in log])
    learned = learn_payoffs(seen, paid, fourier=fourier)

    def decide(scene: Scene, rng: np.random.Generator) -> tuple[Settlement, Belief]:
        ask = learned.expect(situations(network, scene.expected(own_guess)), network.weights)
        return settle(ask, scene.before, seed=rng, rounds=20), _asking(ask, network.radars)

    return decide


def _learn_table(log: Sequence[Record], network: RadarNetwork) -> Rule:
    table = learn_table([record.looks.target for record in log], [record.paid for record in log], network.targets)

    def decide(scene: Scene, rng: np.random.Generator) -> tuple[Settlement, Belief]:
        return settle(lambda others, r: table[:, r], scene.before, seed=rng, rounds=20), lambda partition: table

    return decide


def _asking(ask: Ask, n: int) -> Belief:
    """What each player would get at each place, one question per player."""

    def believe(partition: Sequence[int]) -> Floats:
        places = np.array(partition)
        return np.stack([ask(places & ~(1 << i), i) for i in range(n)], axis=1)

    return believe


LEARNERS: dict[str, Callable[[Sequence[Record], RadarNetwork, str], Rule]] = {
    "model": _learn_model,
    "features": lambda log, network, split: _learn_features(log, network, 0, True),
    "Fourier": lambda log, network, split: _learn_features(log, network, 50, True),
    "Fourier, told agility": lambda log, network, split: _learn_features(log, network, 50, False),
    "table": lambda log, network, split: _learn_table(log, network),
}


def radar_season(learner: str, split: str, seed: int, *, budgets: Sequence[int] = BUDGETS, steps: int = 30) -> dict[int, Part]:
    """Return how one learner's certificates stand the audit after so many steps of data, in one world.

    Parameters
    ----------
    learner : str
        One of ``LEARNERS``.
    split : str
        As in `coalmarl.tracking.divide`.
    seed : int
        Of the world of 8 radars and 20 targets, and of all chance in it.
    budgets : sequence of int
        Steps of data.
    steps : int
        Steps of the test after each budget, on a copy of the world.

    Returns
    -------
    dict of int to dict
        By budget, over the tests: "issued" and "false" certificates at each of ``TOLERANCES``
        without a margin, mean "regret", mean "welfare" relative to where true shares lead; from
        30 steps of data on the "margin", and "with margin" what is issued, false, and how often
        the bound was "kept".

    Examples
    --------
    >>> radar_season("model", "shapley", 0, budgets=[20], steps=2)[20]["of"]
    2
    """
    rng = np.random.default_rng(seed)
    network = draw_network(8, 20, seed=rng)
    states, tracks = draw_targets(20, seed=rng)
    scene = Scene(network, tracks, gathering(network, rng.integers(0, 20, 8)))
    log: list[Record] = []
    errors: list[Floats] = []
    found: dict[int, Part] = {}
    rule: Rule | None = None
    for t in range(max(budgets) + 1):
        if t in REFITS or t in budgets:
            rule = LEARNERS[learner](log, network, split)
        if t in budgets and rule is not None:
            tests = _test_radars(rule, scene, states, split, np.random.default_rng([seed, t]))
            found[t] = _report([next(tests) for _ in range(steps)], errors)
        partition, belief = _explore(rule, scene, rng)
        scene, states, record = _play(scene, states, partition, split, rng)
        if belief is not None:
            errors.append(_errors(belief(partition), record.looks.target, record.paid))
        log.append(record)
    return found


def _explore(rule: Rule | None, scene: Scene, rng: np.random.Generator) -> tuple[tuple[int, ...], Belief | None]:
    """The learner's partition with a fifth of the radars somewhere else; anywhere if nothing is learned yet."""
    targets, belief = rng.integers(0, scene.network.targets, scene.network.radars), None
    if rule is not None:
        end, belief = rule(scene, rng)
        stay = rng.random(scene.network.radars) >= EXPLORE
        targets = np.where(stay, looking_at(scene.network, end.partition), targets)
    return gathering(scene.network, targets), belief


def _play(
    scene: Scene, states: Floats, partition: tuple[int, ...], split: str, rng: np.random.Generator
) -> tuple[Scene, Floats, Record]:
    """A step of the world, and what the radars got for it."""
    network, radars = scene.network, np.arange(scene.network.radars)
    expected, target, places = predict(network, scene.tracks), looking_at(network, partition), np.array(partition)
    paid = divide(coalition_worths(network, expected), split)[target, places[target], radars]
    views = [situations(network, tracks) for tracks in (scene.expected(), expected)]
    seen = [[view(places & ~(1 << r), r)[k] for r, k in enumerate(target)] for view in views]
    states, shaken = move(network, states, rng)
    looks = look(network, states, partition, rng, shaken=shaken)
    return replace(scene, tracks=update(network, expected, looks), before=partition), states, Record(looks, np.array(seen), paid)


def _errors(payoffs: Floats, place: NDArray[np.int64], paid: Floats) -> Floats:
    """How far each agent's believed payoff was from what it got at its place, relative as gains are."""
    own, unit = payoffs[place, np.arange(len(paid))], np.abs(payoffs).max(axis=0).mean()
    return np.abs(own - paid) / (unit if unit > 0 else 1.0)


def _test_radars(rule: Rule, scene: Scene, states: Floats, split: str, rng: np.random.Generator) -> Iterator[Test]:
    """Step by step: what the radars promise, what is true, and the welfare that comes with it."""
    while True:
        end, belief = rule(scene, rng)
        worths = coalition_worths(scene.network, predict(scene.network, scene.tracks))
        shares = divide(worths, split)
        ideal = settle(shares, scene.before, seed=rng).partition
        true = certify(moving_payoffs(shares, end.partition), end.partition).regret
        yield certify(belief(end.partition), end.partition), true, _total(worths, end.partition) / _total(worths, ideal)
        scene, states, _ = _play(scene, states, end.partition, split, rng)


def _total(worths: Floats, partition: Sequence[int]) -> float:
    return float(worths[np.arange(len(worths)), list(partition)].sum())


def _report(tests: Sequence[Test], errors: Sequence[Floats]) -> Part:
    """The audit at each tolerance, and that of the bounds with a margin from players' errors in their own payoffs.

    The margin is twice the 95 % quantile of the last 20 steps of data: a gain is the difference of two payoffs.
    """
    promised, true, welfare = zip(*tests, strict=True)
    audits = [audit(promised, true, tol=tol + 1e-9) for tol in TOLERANCES]
    found: Part = {
        "issued": [a.issued for a in audits],
        "false": [a.false for a in audits],
        "of": len(tests),
        "regret": round(float(np.maximum(true, 0).mean()), 4),
        "welfare": round(float(np.mean(welfare)), 4),
    }
    if len(errors) < 20:
        return found
    margin = 2 * float(np.quantile(errors[-20:], 0.95))
    audits = [audit([replace(c, margin=margin) for c in promised], true, tol=tol + 1e-9) for tol in TOLERANCES]
    sure = {"issued": [a.issued for a in audits], "false": [a.false for a in audits], "kept": audits[0].covered}
    return found | {"margin": round(margin, 4), "with margin": sure}


def _radar_certificates(seed: int, run: Run) -> Part:
    """How often is a partition that radars certify not stable, after 20 to 600 steps of data?"""
    steps = 100 if run.scale == "paper" else 30
    cases = [(name, "shapley") for name in LEARNERS] + [("model", "marginal"), ("features", "marginal")]
    return {f"{name}, {split}": {str(t): part for t, part in radar_season(name, split, seed, steps=steps).items()} for name, split in cases}


# --- carriers: the same certificates in another world ---------------------------------------------------

CARRIERS, CUSTOMERS, ADDRESSES = 5, 2, 24
LEGS = 12  # that a carrier's van reports each day
MEETING = 6.0  # minutes that every pair of partners spends on arrangements


@dataclass(frozen=True, eq=False)
class Town:
    """Addresses with a depot, roads of unknown speed, and carriers who meet if they work together.

    Attributes
    ----------
    places : ndarray of float, shape (m + 1, 2)
        The depot first, in km.
    minutes : ndarray of float, shape (m + 1, m + 1)
        How long each leg takes: from 0.8 to 1.6 per km.
    """

    places: Floats
    minutes: Floats

    def savings(self, minutes: Floats, customers: NDArray[np.int64]) -> TUGame:
        """Return what carriers save by serving a day's customers together.

        Parameters
        ----------
        minutes : ndarray of float, shape (m + 1, m + 1)
            True or believed.
        customers : ndarray of int, shape (n, c)
            Addresses of each carrier's customers.

        Returns
        -------
        TUGame
        """
        n, c = customers.shape
        stops = np.concatenate([[0], customers.ravel()])
        tours = tour_costs(minutes[np.ix_(stops, stops)]).values
        all_of = [sum(((1 << c) - 1) << c * i for i in members(S)) for S in range(1 << n)]
        partners = np.bitwise_count(np.arange(1 << n)).astype(np.int64)
        alone = np.array([sum(tours[all_of[1 << i]] for i in members(S)) for S in range(1 << n)])
        return TUGame(alone - tours[all_of] - MEETING * partners * (partners - 1) / 2)


def draw_town(*, seed: int | np.random.Generator) -> Town:
    """Return a town of 40 km by 40 km with the depot in the middle.

    Parameters
    ----------
    seed : int or numpy.random.Generator
        Where the chance comes from.

    Returns
    -------
    Town

    Examples
    --------
    >>> draw_town(seed=0).minutes.shape
    (25, 25)
    """
    rng = np.random.default_rng(seed)
    places = np.vstack([[20.0, 20.0], rng.uniform(0, 40, (ADDRESSES, 2))])
    pace = np.triu(rng.uniform(0.8, 1.6, (ADDRESSES + 1, ADDRESSES + 1)), 1)
    return Town(places, euclidean(places) * (pace + pace.T))


def carrier_season(learner: str, seed: int, *, budgets: Sequence[int] = BUDGETS[:3], steps: int = 20) -> dict[int, Part]:
    """Return how carriers' certificates stand the audit after so many days of data, in one town.

    Parameters
    ----------
    learner : str
        "model" for carriers who learn how long the legs take, "features" or "Fourier" for
        carriers who learn what partners have paid.
    seed : int
        Of the town, its customers and all chance in it.
    budgets : sequence of int
        Days of data.
    steps : int
        Days of the test after each budget.

    Returns
    -------
    dict of int to dict
        By budget, as `radar_season`.

    Examples
    --------
    >>> carrier_season("model", 0, budgets=[20], steps=2)[20]["of"]
    2
    """
    rng = np.random.default_rng(seed)
    town = draw_town(seed=rng)
    log: list[Day] = []
    found: dict[int, Part] = {}
    learn = _learn_pace if learner == "model" else partial(_learn_partners, fourier=50 * (learner == "Fourier"))
    errors: list[Floats] = []
    believe: DayBelief | None = None
    for day in range(max(budgets) + 1):
        if day in REFITS or day in budgets:
            believe = learn(log, town)
        if day in budgets and believe is not None:
            tests = _test_carriers(believe, town, np.random.default_rng([seed, day]))
            found[day] = _report([next(tests) for _ in range(steps)], errors)
        log.append(_day(town, believe, rng))
        if believe is not None:
            belief = believe(log[-1].customers, np.random.default_rng(0))[1]
            errors.append(_errors(belief(log[-1].partition), _home(log[-1].partition), log[-1].paid))
    return found


@dataclass(frozen=True, eq=False)
class Day:
    """What a day of deliveries leaves behind.

    Attributes
    ----------
    customers : ndarray of int, shape (n, c)
        Addresses of each carrier's customers.
    partition : tuple of int
        Who worked together, in as many places as there are carriers.
    paid : ndarray of float, shape (n,)
        Each carrier's Shapley value among its partners, in minutes.
    legs : ndarray of int, shape (n, legs, 2)
        What each carrier's van drove and reports.
    minutes : ndarray of float, shape (n, legs)
        How long it took, with an error of 20 %.
    """

    customers: NDArray[np.int64]
    partition: tuple[int, ...]
    paid: Floats
    legs: NDArray[np.int64]
    minutes: Floats


DayBelief = Callable[[NDArray[np.int64], np.random.Generator], tuple[Settlement, Belief]]
ALONE = tuple(1 << i for i in range(CARRIERS))


def _day(town: Town, believe: DayBelief | None, rng: np.random.Generator) -> Day:
    """A day on which every fifth carrier, or everybody at first, is somewhere at random."""
    customers, n = _orders(rng), CARRIERS
    place = rng.integers(0, n, n)
    if believe is not None:
        chosen = _home(believe(customers, rng)[0].partition)
        place = np.where(rng.random(n) < EXPLORE, place, chosen)
    partition = tuple(sum(1 << i for i in range(n) if place[i] == k) for k in range(n))
    shares = shapley_split(town.savings(town.minutes, customers))
    legs = np.stack([[rng.choice(ADDRESSES + 1, 2, replace=False) for _ in range(LEGS)] for _ in range(n)])
    minutes = town.minutes[legs[..., 0], legs[..., 1]] * (1 + 0.2 * rng.standard_normal((n, LEGS)))
    return Day(customers, partition, shares[np.array(partition)[place], np.arange(n)], legs, minutes)


def _orders(rng: np.random.Generator) -> NDArray[np.int64]:
    return 1 + rng.permutation(ADDRESSES)[: CARRIERS * CUSTOMERS].reshape(CARRIERS, CUSTOMERS)


def _home(partition: Sequence[int]) -> NDArray[np.int64]:
    return (np.array(partition)[:, None] >> np.arange(CARRIERS) & 1).argmax(axis=0)


def _learn_pace(log: Sequence[Day], town: Town) -> DayBelief:
    """Each carrier averages what its own van took for each leg, from a first guess that is its average pace."""
    far = euclidean(town.places)
    km = far + np.eye(len(far))
    models = []
    for i in range(CARRIERS):
        legs, minutes = np.concatenate([day.legs[i] for day in log]), np.concatenate([day.minutes[i] for day in log])
        total, count = np.zeros_like(far), np.zeros_like(far)
        for a, b in (legs.T, legs.T[::-1]):
            np.add.at(total, (a, b), minutes / km[legs[:, 0], legs[:, 1]])
            np.add.at(count, (a, b), 1)
        models.append(far * (total + total.sum() / count.sum()) / (count + 1))

    def believe(customers: NDArray[np.int64], rng: np.random.Generator) -> tuple[Settlement, Belief]:
        table = np.stack([shapley_split(town.savings(own, customers))[:, i] for i, own in enumerate(models)], axis=1)
        shares = np.stack([table] * CARRIERS)
        return settle(shares, ALONE, seed=rng), lambda partition: moving_payoffs(shares, partition)

    return believe


def _learn_partners(log: Sequence[Day], town: Town, fourier: int) -> DayBelief:
    """Each carrier learns what working with such partners has paid; that it pays nothing to be alone is known."""
    seen = []
    for day in log:
        view, places = _partners(town, day.customers), np.array(day.partition)
        seen.append([view(places & ~(1 << i), i)[k] for i, k in enumerate(_home(day.partition))])
    learned = learn_payoffs(seen, [day.paid for day in log], fourier=fourier)

    def believe(customers: NDArray[np.int64], rng: np.random.Generator) -> tuple[Settlement, Belief]:
        expect = learned.expect(_partners(town, customers))

        def ask(others: NDArray[np.int64], i: int) -> Floats:
            return np.where(others > 0, expect(others, i), 0.0)

        return settle(ask, ALONE, seed=rng, rounds=20), _asking(ask, CARRIERS)

    return believe


def _partners(town: Town, customers: NDArray[np.int64]) -> Ask:
    """What a carrier can tell about partners without planning a tour: five numbers for each place."""
    stops = town.places[customers]
    gap = np.linalg.norm(stops[:, None, :, None] - stops[None, :, None, :], axis=-1).min(axis=(2, 3))
    out = np.linalg.norm(stops - town.places[0], axis=-1).max(axis=1)
    near = np.exp(-gap / 5)

    def seen(others: NDArray[np.int64], i: int) -> Floats:
        there = others[:, None] >> np.arange(CARRIERS) & 1
        nearest = np.where(there > 0, gap[i], 40.0).min(axis=1)
        return np.stack([there.sum(axis=1), np.full(len(others), out[i]), there @ near[i], there @ out, nearest], axis=1)

    return seen


def _test_carriers(believe: DayBelief, town: Town, rng: np.random.Generator) -> Iterator[Test]:
    """Day by day: what the carriers promise, what is true, and the savings that come with it."""
    while True:
        customers = _orders(rng)
        end, belief = believe(customers, rng)
        worths = town.savings(town.minutes, customers)
        shares = np.stack([shapley_split(worths)] * CARRIERS)
        ideal = settle(shares, ALONE, seed=rng).partition
        payoffs = belief(end.partition), moving_payoffs(shares, end.partition)
        together = [S for S in end.partition if S]
        promised, true = (certify(_with_a_place_alone(p, end.partition), together) for p in payoffs)
        value = [sum(worths(S) for S in partition) for partition in (end.partition, ideal)]
        yield promised, true.regret, value[0] / value[1] if value[1] else 1.0


def _with_a_place_alone(payoffs: Floats, partition: Sequence[int]) -> Floats:
    """Payoffs in the coalitions there are, and in a last row those of nobody else's company: 0."""
    return np.vstack([payoffs[np.array(partition) > 0], np.zeros(CARRIERS)])


def _carrier_certificates(seed: int, run: Run) -> Part:
    """Do certificates by learned travel times hold for carriers who choose partners, after 20 to 200 days?"""
    steps = 50 if run.scale == "paper" else 20
    return {name: {str(t): part for t, part in carrier_season(name, seed, steps=steps).items()} for name in ("model", "features", "Fourier")}


# --- how well targets are tracked -----------------------------------------------------------------------


def _nearest(scene: Scene, rng: np.random.Generator) -> tuple[int, ...]:
    away = scene.expected(False).mean[:, None, :2] - scene.network.sites
    return gathering(scene.network, np.hypot(away[..., 0], away[..., 1]).argmin(axis=0))


def _anywhere(scene: Scene, rng: np.random.Generator) -> tuple[int, ...]:
    return gathering(scene.network, rng.integers(0, scene.network.targets, scene.network.radars))


def _together(scene: Scene, rng: np.random.Generator) -> tuple[int, ...]:
    worths = coalition_worths(scene.network, scene.expected(False))
    return gathering(scene.network, np.full(scene.network.radars, worths[:, -1].argmax()))


def _greedy(scene: Scene, rng: np.random.Generator) -> tuple[int, ...]:
    """A centre adds the best pair of a radar and a target until every radar is used."""
    worths, n = coalition_worths(scene.network, scene.expected(False)), scene.network.radars
    places, free, k = np.zeros(len(worths), dtype=np.int64), list(range(n)), np.arange(len(worths))
    while free:
        gain = worths[k[:, None], places[:, None] | 1 << np.array(free)] - worths[k, places][:, None]
        target, r = np.unravel_index(gain.argmax(), gain.shape)
        places[target] |= 1 << free.pop(int(r))
    return tuple(places.tolist())


def _by_split(split: str) -> Callable[[Scene, np.random.Generator], tuple[int, ...]]:
    def decide(scene: Scene, rng: np.random.Generator) -> tuple[int, ...]:
        shares = divide(coalition_worths(scene.network, scene.expected(False)), split)
        return settle(shares, scene.before, seed=rng, rounds=20).partition

    return decide


ASSIGNMENTS: dict[str, Callable[[Scene, np.random.Generator], tuple[int, ...]]] = {
    "random": _anywhere,
    "nearest target": _nearest,
    "all together": _together,
    "centre, greedy": _greedy,
    **{split: _by_split(split) for split in ("equal", "proportional", "marginal", "shapley", "everything")},
}


def tracking_error(choose: str, seed: int, *, radars: int = 8, targets: int = 20, use: int | None = None) -> tuple[float, float]:
    """Return how far the tracks are from the targets under one way to share out targets.

    Parameters
    ----------
    choose : str
        One of ``ASSIGNMENTS``.
    seed : int
        Of the world and all chance in it; targets move alike whatever is chosen.
    radars, targets : int
        How many there are.
    use : int, optional
        How many of the radars are switched on; by default all.

    Returns
    -------
    weighted, plain : float
        Root mean squares over steps 11 to 40 and the targets, by weight and alike, in km.

    Examples
    --------
    >>> weighted, plain = tracking_error("all together", 0, radars=2, targets=1)
    >>> weighted == plain < 1
    True
    """
    rng = np.random.default_rng(seed)
    network = draw_network(radars, targets, seed=rng)
    states, tracks = draw_targets(targets, seed=rng)
    on = slice(use)
    network = replace(network, sites=network.sites[on], ranging=network.ranging[on], bearing=network.bearing[on])
    scene, square = Scene(network, tracks, (2**network.radars - 1,) + (0,) * (targets - 1)), []
    for t in range(40):
        chance = np.random.default_rng([seed, t])
        partition = ASSIGNMENTS[choose](scene, chance)
        expected = predict(network, scene.tracks)
        states, shaken = move(network, states, rng)
        looks = look(network, states, partition, chance, shaken=shaken)
        scene = replace(scene, tracks=update(network, expected, looks), before=partition)
        square.append(((states - scene.tracks.mean)[:, :2] ** 2).sum(axis=1))
    by_target = np.mean(square[10:], axis=0)
    return float(np.sqrt(np.average(by_target, weights=network.weights))), float(np.sqrt(by_target.mean()))


def _radar_tracking(seed: int, run: Run) -> Part:
    """How far are tracks from 20 targets under nine ways to share them out, and from one under 1, 2 and 3 radars?"""
    found: Part = {name: np.round(tracking_error(name, seed), 4).tolist() for name in ASSIGNMENTS}
    for use in (1, 2, 3):
        found[f"{use} on one"] = np.round(tracking_error("all together", seed, radars=3, targets=1, use=use), 4).tolist()
    return found


EXPERIMENTS = {
    "radar_certificates": Experiment("07_stability", _radar_certificates, range(20)),
    "carrier_certificates": Experiment("07_stability", _carrier_certificates, range(20)),
    "radar_tracking": Experiment("07_stability", _radar_tracking, range(60)),
}
