"""What a result is worth: many seeds, intervals, strangers as partners, and claims with a bar.

One run shows that something can happen.  So a result here is a list over seeds with an
interval, and what agents learned with each other is tried with partners they have not met.
A `Claim` puts a measured number beside the bar it has to pass; the labs print claims as a
table, and the page of all claims is read back from what the labs printed.

Two small worlds show why strangers matter.  In the *lever game* two players are paid if they
pull the same lever; nine levers pay 1 and are alike, the tenth pays 0.9.  In the *ultimatum*
a proposer offers shares of 1 to a partner again and again and does not know what it asks for.

Shapes: policies ``(agents, levers)``; offers are indices into `OFFERS`; everything is a batch.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, log10
from operator import eq, ge, gt, le, lt
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import ArrayLike, NDArray

Vector = NDArray[np.float64]

VERDICTS = ("reproduced", "partly", "not at our scale", "corrected")


class Interval(NamedTuple):
    """Where a quantity lies, at some level of confidence.

    Attributes
    ----------
    low, high : float
    """

    low: float
    high: float


# --- intervals and cross-play -----------------------------------------------------------------------------------


def bootstrap_interval(
    samples: ArrayLike, *, level: float = 0.95, resamples: int = 10_000, seed: int | np.random.Generator = 0
) -> Interval:
    """Return an interval for the mean that the samples come from.

    Parameters
    ----------
    samples : array_like, shape (m,)
        Independent results, such as one per seed; at least 2.  For two methods run on the
        same seeds give their differences, seed by seed.
    level : float
        How often the interval shall hold the mean.
    resamples : int
    seed : int or numpy.random.Generator

    Returns
    -------
    Interval

    Raises
    ------
    ValueError
        If there are fewer than 2 samples, one is not finite, or the level is not in (0, 1).

    Notes
    -----
    Samples are drawn again and again from the samples, with replacement.  The percentile
    interval takes the quantiles of the new means; of five normal samples it holds the mean
    83 % of the time instead of 95 %.  The studentised interval divides each new mean's error
    by the spread of the same draw, which repairs that, but too little spread is left where
    values repeat.  This is the smallest interval that holds both.  Samples that are all equal
    give an interval of no length; for a share of successes use `wilson_interval`.

    References
    ----------
    efron1993introduction

    Examples
    --------
    >>> low, high = bootstrap_interval([1, 2, 3, 4, 5, 6, 7, 8])
    >>> low < 3 < 6 < high
    True
    """
    x = np.asarray(samples, dtype=np.float64)
    if x.ndim != 1 or len(x) < 2 or not np.isfinite(x).all():
        raise ValueError(f"expected two or more finite samples in a row, got shape {x.shape}: {samples!r:.60}")
    drawn = x[np.random.default_rng(seed).integers(0, len(x), (resamples, len(x)))]
    means, spreads = drawn.mean(axis=1), drawn.std(axis=1)
    ends = np.array([_tail(level), 1 - _tail(level)])
    percentile = np.quantile(means, ends)
    some = spreads > 1e-12 * np.abs(x).max()
    if not some.any():
        return Interval(*percentile.tolist())
    errors = (means[some] - x.mean()) / spreads[some]
    studentised = x.mean() - x.std() * np.quantile(errors, ends[::-1])
    return Interval(float(min(percentile[0], studentised[0])), float(max(percentile[1], studentised[1])))


def wilson_interval(successes: int, trials: int, *, level: float = 0.95) -> Interval:
    """Return an interval for the probability behind a share of successes.

    Parameters
    ----------
    successes, trials : int
    level : float
        How often the interval shall hold the probability.

    Returns
    -------
    Interval
        Of some length even where all trials succeed.

    Raises
    ------
    ValueError
        If not ``0 <= successes <= trials``, there is no trial, or the level is not in (0, 1).

    References
    ----------
    wilson1927probable

    Examples
    --------
    >>> low, high = wilson_interval(10, 10)
    >>> round(low, 3), round(high, 3)
    (0.722, 1.0)
    """
    if not 0 <= successes <= trials or not trials:
        raise ValueError(f"expected successes from 0 to the number of trials, at least 1, got {successes} of {trials}")
    z, p = NormalDist().inv_cdf(1 - _tail(level)), successes / trials
    centre = (p + z**2 / (2 * trials)) / (1 + z**2 / trials)
    reach = z / (1 + z**2 / trials) * (p * (1 - p) / trials + z**2 / (4 * trials**2)) ** 0.5
    low, high = max(0.0, centre - reach), min(1.0, centre + reach)
    return Interval(low if successes else 0.0, high if successes < trials else 1.0)


def cross_play(
    play: Callable[[Any, Any], float], agents: Sequence[Any], others: Sequence[Any] | None = None, *, n_jobs: int = 1
) -> NDArray[np.float64]:
    """Let every agent meet every other one.

    Parameters
    ----------
    play : callable
        Takes two agents and returns the first one's payoff.
    agents : sequence
        The rows.
    others : sequence, optional
        The columns; by default the same agents.
    n_jobs : int
        Worker processes, as in joblib.

    Returns
    -------
    ndarray, shape (len(agents), len(others))
        With one list of agents, self-play stands on the diagonal.

    Raises
    ------
    ValueError
        If a list is empty, or a payoff is not finite.

    Notes
    -----
    One call of ``play`` for each entry, whatever is already known of the reverse.

    Examples
    --------
    >>> cross_play(lambda a, b: a == b, ["left", "right"]).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    columns = agents if others is None else others
    if not len(agents) or not len(columns):
        raise ValueError(f"expected one or more agents on both sides, got {len(agents)} and {len(columns)}")
    met = Parallel(n_jobs=n_jobs)(delayed(play)(a, b) for a in agents for b in columns)
    matrix = np.array(met, dtype=np.float64).reshape(len(agents), len(columns))
    if not np.isfinite(matrix).all():
        a, b = np.argwhere(~np.isfinite(matrix))[0]
        raise ValueError(f"expected finite payoffs, got {matrix[a, b]} where agent {a} meets {b}")
    return matrix


class CrossPlay(NamedTuple):
    """What agents earn with themselves, and with each other.

    Attributes
    ----------
    self_play, cross_play : float
        Mean payoff of an agent with its own copy, and of a pair of different agents.
    interval : Interval
        Where the mean over all pairs of such agents lies.
    worst : float
        What the worst pair of different agents earns.
    """

    self_play: float
    cross_play: float
    interval: Interval
    worst: float


def summarise_cross_play(matrix: ArrayLike, *, level: float = 0.95, seed: int | np.random.Generator = 0) -> CrossPlay:
    """Reduce a table of every agent with every agent to what should be reported of it.

    Parameters
    ----------
    matrix : array_like of float, shape (agents, agents)
        As from `cross_play`: three or more agents, each trained on its own.
    level : float
        How often the interval shall hold the mean of the pairs.
    seed : int or Generator
        Draws the agents for the interval.

    Returns
    -------
    CrossPlay

    Raises
    ------
    ValueError
        If the table is not square, has fewer than three rows, a payoff is not finite, or the
        level is not in (0, 1).

    Notes
    -----
    Thirty agents make 870 ordered pairs, but only thirty things were trained: an agent that
    failed spoils a row and a column.  So not pairs but agents are drawn again and again, with
    replacement, and an agent drawn twice does not meet itself.  The interval is the middle of
    the means.  Below ten agents it is too short; where each training is a lottery, thirty agents
    still give 85 % in place of 95; and it cannot know of failures that it has not seen.

    Examples
    --------
    >>> report = summarise_cross_play([[1, 0, 0], [0, 1, 1], [0, 1, 1]])
    >>> report.self_play, round(report.cross_play, 3), report.worst
    (1.0, 0.333, 0.0)
    """
    x = np.asarray(matrix, dtype=np.float64)
    n = len(x) if x.ndim else 0
    if n < 3 or x.shape != (n, n) or not np.isfinite(x).all():
        raise ValueError(f"expected finite payoffs of three or more agents with each other, got shape {x.shape}: {matrix!r:.60}")
    others, copies = ~np.eye(n, dtype=bool), np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), 5_000)
    pairs = n**2 - (copies**2).sum(axis=1)
    earned = (copies @ (x * others) * copies).sum(axis=1)
    ends = np.quantile(earned[pairs > 0] / pairs[pairs > 0], [_tail(level), 1 - _tail(level)])
    return CrossPlay(float(x.trace()) / n, float(x[others].mean()), Interval(*ends.tolist()), float(x[others].min()))


def _tail(level: float) -> float:
    if not 0 < level < 1:
        raise ValueError(f"expected a level between 0 and 1, got {level}")
    return (1 - level) / 2


# --- claims -----------------------------------------------------------------------------------------------------

_NUMBER = r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?"
_BAR = re.compile(rf"(?P<sign>>=|<=|>|<|=) (?P<end>{_NUMBER}|True|False)|(?P<low>{_NUMBER}) to (?P<high>{_NUMBER})")
_SIGNS = {">=": ge, "<=": le, ">": gt, "<": lt, "=": eq}
_HEADS = ("id", "what", "measured", "95 % interval", "seeds", "bar", "bar met")
_OPTIONAL, _MISSING = ("95 % interval", "seeds"), "-"


@dataclass(frozen=True)
class Claim:
    """One measured number and the bar it has to pass.

    Attributes
    ----------
    id : str
        The claim it belongs to, such as "C06"; a claim may rest on several numbers.
    what : str
        What was measured, in one line without double spaces.
    value : bool, int or float
    bar : str
        ``">= 0.99"``, likewise with ``<=``, ``>``, ``<``, ``=``, or ``"2.5 to 3.1"``.
    seeds : int, optional
        How many runs are behind the value.
    interval : pair of float, optional
        Its 95 % interval.

    Examples
    --------
    >>> Claim("C06", "share of the optimum", 0.9991, ">= 0.99", seeds=20).met
    True
    """

    id: str
    what: str
    value: bool | int | float
    bar: str
    seeds: int | None = None
    interval: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if not re.fullmatch(r"C\d\d", self.id):
            raise ValueError(f"expected an id such as 'C06', got {self.id!r:.60}")
        if not self.what or re.search(r"\s\s|[^\S ]", f" {self.what} "):
            raise ValueError(f"expected one line of words with single spaces between them, got {self.what!r:.60}")
        if not _BAR.fullmatch(self.bar):
            raise ValueError(f"expected a bar such as '>= 0.99', '= True' or '2.5 to 3.1', got {self.bar!r:.60}")
        low, high = self.interval or (0.0, 0.0)
        if not all(map(isfinite, (self.value, low, high))) or low > high:
            raise ValueError(
                f"expected a finite value, and an interval from a lower to a higher number or none, got {self.value!r:.60} "
                f"and {self.interval}"
            )

    @property
    def met(self) -> bool:
        """Whether the value passes the bar."""
        return _passes(self.value, self.bar)


def claim_table(claims: Sequence[Claim], verdicts: Mapping[str, str]) -> str:
    """Lay out claims as a table for people, that `read_claims` reads as well.

    Parameters
    ----------
    claims : sequence of Claim
    verdicts : mapping of str to str
        For each id one of `VERDICTS`; "reproduced" only if all its bars are met.

    Returns
    -------
    str
        Numbers have three significant digits, or as many as it takes to show on which side
        of the bar they lie.  Columns that would be empty are left out.

    Raises
    ------
    ValueError
        If there is no claim, the verdicts are not for exactly these ids, or one is not
        among `VERDICTS` or better than the bars allow.

    Examples
    --------
    >>> row = Claim("C06", "share of the optimum", 0.9991, ">= 0.99", seeds=20, interval=(0.998, 1))
    >>> print(claim_table([row], {"C06": "reproduced"}))
    id   what                  measured  95 % interval  seeds      bar  bar met
    C06  share of the optimum     0.999     0.998 to 1     20  >= 0.99     True
    C06: reproduced
    """
    _check_verdicts(claims, verdicts)
    rows = [_HEADS, *(_cells(claim) for claim in claims)]
    columns = [c for c in zip(*rows) if c[0] not in _OPTIONAL or set(c[1:]) != {_MISSING}]
    widths = [max(map(len, column)) for column in columns]
    lines = []
    for row in zip(*columns):
        words = [cell.ljust(w) for cell, w in zip(row[:2], widths)]
        numbers = [cell.rjust(w) for cell, w in zip(row[2:], widths[2:])]
        lines.append("  ".join(words + numbers))
    return "\n".join([*lines, *(f"{id}: {verdict}" for id, verdict in verdicts.items())])


def read_claims(text: str) -> tuple[list[Claim], dict[str, str]]:
    """Find the tables of claims in a text, and read them.

    Parameters
    ----------
    text : str
        Such as all that a lab printed.

    Returns
    -------
    claims : list of Claim
        With the numbers as printed.
    verdicts : dict of str to str

    Raises
    ------
    ValueError
        If a row says of its bar what its numbers do not say, or the verdicts do not fit.

    Examples
    --------
    >>> row = Claim("C06", "share of the optimum", 0.9991, ">= 0.99", seeds=20)
    >>> read_claims(claim_table([row], {"C06": "reproduced"}))[0][0].value
    0.999
    """
    heads: list[str] = []
    claims: list[Claim] = []
    verdicts: dict[str, str] = {}
    for line in text.splitlines():
        cells = re.split(r"\s{2,}", line.strip())
        if cells[:2] == list(_HEADS[:2]) and cells[-1] == _HEADS[-1]:
            heads = cells
        elif found := re.fullmatch(rf"(C\d\d): ({'|'.join(VERDICTS)})", line.strip()):
            verdicts[found[1]], heads = found[2], []
        elif heads and re.match(r"\s*C\d\d\s", line):
            claims.append(_claim(dict(zip(heads, cells, strict=True)), line))
    if claims or verdicts:
        _check_verdicts(claims, verdicts)
    return claims, verdicts


def _passes(value: float, bar: str) -> bool:
    parts = _BAR.fullmatch(bar)
    assert parts
    if parts["sign"]:
        return bool(_SIGNS[parts["sign"]](value, _number(parts["end"])))
    return bool(_number(parts["low"]) <= value <= _number(parts["high"]))


def _number(text: str) -> bool | int | float:
    if text in ("True", "False"):
        return text == "True"
    return int(text) if re.fullmatch(r"-?\d+", text) else float(text)


def _shown(x: float, digits: int = 3) -> str:
    """A number with so many significant digits; up to a thousand million all before the point."""
    if isinstance(x, (bool, np.bool_, int, np.integer)):
        return str(x)
    whole = int(log10(abs(x))) + 1 if 1 <= abs(x) < 1e9 else 0
    return f"{x + 0.0:.{max(digits, whole + 1)}g}"  # + 0.0 turns -0.0 into 0.0


def _cells(claim: Claim) -> tuple[str, ...]:
    """What a row of the table shows."""
    value = next(t for k in range(3, 20) if _passes(_number(t := _shown(claim.value, k)), claim.bar) == claim.met)
    interval = " to ".join(map(_shown, claim.interval)) if claim.interval else _MISSING
    seeds = _MISSING if claim.seeds is None else str(claim.seeds)
    return claim.id, claim.what, value, interval, seeds, claim.bar, str(claim.met)


def _claim(cells: dict[str, str], line: str) -> Claim:
    """What a row of the table says."""
    seeds, interval = cells.get("seeds", _MISSING), cells.get("95 % interval", _MISSING)
    claim = Claim(
        *(cells["id"], cells["what"], _number(cells["measured"]), cells["bar"]),
        seeds=None if seeds == _MISSING else int(seeds),
        interval=None if interval == _MISSING else tuple(map(_number, interval.split(" to "))),  # type: ignore[arg-type]
    )
    if str(claim.met) != cells["bar met"]:
        raise ValueError(f"expected a row whose last word follows from its numbers, got {line!r}")
    return claim


def _check_verdicts(claims: Sequence[Claim], verdicts: Mapping[str, str]) -> None:
    met = {claim.id: all(c.met for c in claims if c.id == claim.id) for claim in claims}
    if not met or set(met) != set(verdicts):
        raise ValueError(f"expected claims, and one verdict for each of {sorted(met)}, got verdicts for {sorted(verdicts)}")
    for id, verdict in verdicts.items():
        if verdict not in VERDICTS or (verdict == VERDICTS[0] and not met[id]):
            raise ValueError(
                f"expected a verdict on {id} among {', '.join(VERDICTS)}, the first only if all bars are met, got {verdict!r}"
            )


# --- the lever game ---------------------------------------------------------------------------------------------

LEVERS = (1.0,) * 9 + (0.9,)
ALL_DIFFERENT = tuple(range(10))  # self-play: every lever has a name
ALIKE = (0,) * 9 + (1,)  # other-play: the nine equal levers might be named in any order


def expected_match(policies: ArrayLike, names: ArrayLike, levers: ArrayLike = LEVERS) -> Vector:
    """Return what a policy earns with a copy of itself that may name its levers differently.

    Parameters
    ----------
    policies : array_like of float, shape (..., K)
        Probability of each lever.
    names : array_like of int, shape (K,)
        Levers with the same number are alike: the copy may have swapped them.
    levers : array_like of float, shape (K,)
        What each lever pays.

    Returns
    -------
    ndarray, shape (...)
        Exact mean over all ways to swap levers that are alike.

    Raises
    ------
    ValueError
        If there is not one name and one pay per lever, a number is not finite, or levers of
        one name pay differently.

    Notes
    -----
    Among ``m`` levers that are alike the copy's mass spreads evenly, so a group with pay ``R``
    and mass ``P`` earns ``R P**2 / m``.  With ten names for ten levers this is self-play; with
    one name for the nine equal ones it is other-play.

    References
    ----------
    hu2020otherplay

    Examples
    --------
    >>> first, uniform = np.eye(10)[0], np.full(10, 0.1)
    >>> expected_match(first, ALL_DIFFERENT).item(), round(expected_match(first, ALIKE).item(), 3)
    (1.0, 0.111)
    >>> round(expected_match(uniform, ALIKE).item(), 3), expected_match(np.eye(10)[9], ALIKE).item()
    (0.099, 0.9)
    """
    p = np.asarray(policies, dtype=np.float64)
    group, pay, size = _groups(p, names, levers)
    return (pay * (p @ group) ** 2 / size).sum(axis=-1)


def learn_levers(starts: ArrayLike, names: ArrayLike, *, levers: ArrayLike = LEVERS, steps: int = 400, rate: float = 3.0) -> Vector:
    """Return the policies after exact policy-gradient ascent on `expected_match`.

    Parameters
    ----------
    starts : array_like of float, shape (..., K)
        Logits at first.
    names : array_like of int, shape (K,)
        Which levers are alike.
    levers : array_like of float, shape (K,)
        What each lever pays.
    steps : int
        Number of gradient steps.
    rate : float
        Length of a step.

    Returns
    -------
    ndarray, shape (..., K)
        Probability of each lever.

    Raises
    ------
    ValueError
        If the names or the pay do not go with the logits, or are not finite.

    Notes
    -----
    The logit of a lever moves by its probability times what its slope is above the average one.

    Examples
    --------
    >>> start = np.zeros(10)
    >>> start[3] = 0.1
    >>> learn_levers(start, ALL_DIFFERENT).argmax().item()
    3
    """
    logits = np.array(starts, dtype=np.float64)
    group, pay, size = _groups(logits, names, levers)
    for _ in range(steps):
        p = _softmax(logits)
        slope = (2 * pay * (p @ group) / size) @ group.T
        logits += rate * p * (slope - (p * slope).sum(axis=-1, keepdims=True))
    return _softmax(logits)


def best_of_restarts(names: ArrayLike, *, agents: int, restarts: int, seed: int | np.random.Generator, scale: float = 1.0) -> Vector:
    """Return the policies of agents who each train from several starts and keep their best.

    Parameters
    ----------
    names : array_like of int, shape (10,)
        Which of the `LEVERS` are alike.
    agents, restarts : int
        How many agents, and starts each.
    seed : int or Generator
        Draws the starts.
    scale : float
        Standard deviation of the logits at first.

    Returns
    -------
    ndarray, shape (agents, 10)

    Raises
    ------
    ValueError
        If there is no agent or no start.

    Notes
    -----
    Each agent judges by its own objective.  To choose the start that does best with the other
    agents would be to train on the test.

    Examples
    --------
    >>> best_of_restarts(ALIKE, agents=3, restarts=10, seed=0).round(2)[:, 9].tolist()
    [1.0, 1.0, 1.0]
    """
    if agents < 1 or restarts < 1:
        raise ValueError(f"expected at least one agent and one start, got {agents} and {restarts}")
    rng = np.random.default_rng(seed)
    policies = learn_levers(scale * rng.standard_normal((agents, restarts, len(LEVERS))), names)
    best = expected_match(policies, names).argmax(axis=1)
    return policies[np.arange(agents), best]


def match_matrix(policies: ArrayLike, levers: ArrayLike = LEVERS) -> Vector:
    """Return what each pair of policies earns: `cross_play` in the lever game.

    Parameters
    ----------
    policies : array_like of float, shape (agents, K)
        Probability of each lever.
    levers : array_like of float, shape (K,)
        What each lever pays.

    Returns
    -------
    ndarray, shape (agents, agents)

    Examples
    --------
    >>> match_matrix(np.eye(10)[[0, 1, 1]]).tolist()
    [[1.0, 0.0, 0.0], [0.0, 1.0, 1.0], [0.0, 1.0, 1.0]]
    """
    p = np.asarray(policies, dtype=np.float64)
    return (p * np.asarray(levers)) @ p.T


def _groups(batch: Vector, names: ArrayLike, levers: ArrayLike) -> tuple[Vector, Vector, Vector]:
    """Which lever is in which group (K, groups), and each group's pay and size."""
    pay, name = np.asarray(levers, dtype=np.float64), np.asarray(names)
    if name.ndim != 1 or pay.shape != name.shape or batch.shape[-1:] != name.shape:
        raise ValueError(f"expected one name and one pay for each lever, got shapes {name.shape} and {pay.shape} for {batch.shape}")
    if not np.isfinite(batch).all() or not np.isfinite(pay).all():
        raise ValueError(f"expected finite numbers, got {batch.tolist()!r:.60} for levers that pay {pay.tolist()}")
    group = (name[:, None] == np.unique(name)).astype(np.float64)
    size = group.sum(axis=0)
    mean = pay @ group / size
    if not np.allclose(group @ mean, pay):
        raise ValueError(f"expected levers that are alike to pay alike, got names {name.tolist()} and pay {pay.tolist()}")
    return group, mean, size


def _softmax(logits: Vector) -> Vector:
    p = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return p / p.sum(axis=-1, keepdims=True)


# --- the ultimatum ----------------------------------------------------------------------------------------------

Partner = str | float | None  # a name in PARTNERS, or what it asks for; None tosses a coin

OFFERS = np.arange(1, 20) / 20
PARTNERS: dict[str, float | None] = {**{f"asks {tau}": tau for tau in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)}, "careless": None}
FLOOR = 1e-12  # an answer that a partner would never give makes it a million million times less likely, not impossible

# what a proposer may hold possible before it has seen anything, by weight
BROAD: dict[float | None, float] = {**dict.fromkeys((np.arange(1, 41) / 50).tolist(), 1.0), None: 1.0}
NARROW: dict[float | None, float] = {tau: 1.0 for tau in BROAD if tau is not None and tau < 0.3}  # nobody asks for more or is careless
DOUBTFUL: dict[float | None, float] = {**dict.fromkeys(BROAD, 1e-12), **NARROW}  # the same, but nothing is quite impossible


@dataclass(frozen=True, eq=False)
class Answers:
    """What a proposer has seen of its partner: all that matters, since partners do not change.

    Attributes
    ----------
    accepted, refused : ndarray, shape (runs, offers)
        How often each offer was.
    left : int
        Rounds after this one.
    """

    accepted: Vector
    refused: Vector
    left: int


Proposer = Callable[[Answers], Vector]  # a score for every offer, (runs, offers)


def acceptance(partner: Partner) -> Vector:
    """Return how probably a partner accepts each offer.

    Parameters
    ----------
    partner : str, float or None
        A name in `PARTNERS`, or what the partner asks for; None for one who tosses a coin.

    Returns
    -------
    ndarray, shape (offers,)

    Raises
    ------
    ValueError
        If there is no partner of that name, or it asks for less than nothing or more than all.

    Examples
    --------
    >>> acceptance("asks 0.3")[4:7].round(2).tolist()  # offers of .25, .30, .35
    [0.08, 0.5, 0.92]
    >>> acceptance("careless")[0].item()
    0.5
    """
    asks = PARTNERS.get(partner, partner) if isinstance(partner, str) else partner
    if asks is None:
        return np.full(len(OFFERS), 0.5)
    if isinstance(asks, str) or not 0 <= asks <= 1:
        raise ValueError(f"expected a partner among {', '.join(PARTNERS)}, or what it asks for, from 0 to 1, got {partner!r}")
    return 0.5 + 0.5 * np.tanh((OFFERS - asks) / 0.04)  # logistic((offer - asks) / .02)


def best_response(partner: Partner) -> float:
    """Return what the best fixed offer earns per round against a known partner.

    Parameters
    ----------
    partner : str, float or None
        As in `acceptance`.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If there is no such partner.

    Examples
    --------
    >>> round(best_response("asks 0.1"), 2), best_response("careless")
    (0.79, 0.475)
    """
    return float(((1 - OFFERS) * acceptance(partner)).max())


def specialist(partner: Partner) -> Proposer:
    """Return the proposer that plays as if everybody were this partner.

    Parameters
    ----------
    partner : str, float or None
        As in `acceptance`.

    Returns
    -------
    callable
        Takes `Answers`, returns a score for every offer, ``(runs, offers)``.

    Examples
    --------
    >>> nothing = Answers(np.zeros((1, 19)), np.zeros((1, 19)), left=19)
    >>> OFFERS[specialist("asks 0.3")(nothing).argmax()].item()
    0.35
    """
    scores = (1 - OFFERS) * acceptance(partner)
    return lambda seen: np.broadcast_to(scores, seen.accepted.shape)


def equal_split(seen: Answers) -> Vector:
    """Offer half, always.

    Parameters
    ----------
    seen : Answers
        Only its shape is used.

    Returns
    -------
    ndarray, shape (runs, offers)

    Examples
    --------
    >>> OFFERS[equal_split(Answers(np.zeros((1, 19)), np.zeros((1, 19)), 19)).argmax()].item()
    0.5
    """
    return np.broadcast_to(-np.abs(OFFERS - 0.5), seen.accepted.shape)


def upper_bounds(seen: Answers, *, width: float = 0.1) -> Vector:
    """Score each offer by its mean so far and a bonus for being rarely tried.

    Parameters
    ----------
    seen : Answers
        What the partner did.
    width : float
        Weight of the bonus.

    Returns
    -------
    ndarray, shape (runs, offers)
        An offer never tried is valued at what it would earn if accepted.

    Examples
    --------
    >>> nothing = Answers(np.zeros((1, 19)), np.zeros((1, 19)), left=19)
    >>> OFFERS[upper_bounds(nothing).argmax()].item()
    0.05
    """
    tried = seen.accepted + seen.refused
    mean = (1 - OFFERS) * seen.accepted / np.maximum(tried, 1)
    rounds = tried.sum(axis=-1, keepdims=True)
    return np.where(tried > 0, mean + width * np.sqrt(np.log(rounds + 1) / np.maximum(tried, 1)), 1 - OFFERS)


def believer(prior: Mapping[float | None, float], *, ahead: bool) -> Proposer:
    """Return the proposer with a prior over partners, by Bayes' rule.

    Parameters
    ----------
    prior : mapping of (float or None) to float
        Weight of each partner it holds possible, as in `acceptance`; they need not sum to one.
    ahead : bool
        Whether it counts what the answer to an offer will be good for in the rounds left.

    Returns
    -------
    callable
        Takes `Answers`, returns a score for every offer, ``(runs, offers)``.

    Raises
    ------
    ValueError
        If a weight is negative or infinite, or none is above 0.

    Notes
    -----
    Partners do not change, so counts are all it needs.  A partner outside its prior is never
    found, however long they play; a weight of a million millionth is enough to be.

    Examples
    --------
    >>> nothing = Answers(np.zeros((1, 19)), np.zeros((1, 19)), left=19)
    >>> [OFFERS[believer(BROAD, ahead=a)(nothing).argmax()].item() for a in (False, True)]
    [0.5, 0.35]
    """
    weights = np.array(list(prior.values()), dtype=np.float64)
    if not (weights >= 0).all() or not 0 < weights.sum() < np.inf:
        raise ValueError(f"expected weights of at least 0, some above, got {weights.tolist()!r:.60}: a prior needs support")
    with np.errstate(divide="ignore"):  # a weight of 0 stays 0, whatever is seen
        log_prior = np.log(weights)
    yes = np.array([acceptance(kind) for kind in prior])  # (T, offers)
    log_yes, log_no = (np.log(np.maximum(p, FLOOR)) for p in (yes, 1 - yes))
    pays_after_yes = (yes[:, :, None] * (yes * (1 - OFFERS))[:, None, :]).reshape(len(yes), -1)  # (T, offers now x offers later)

    def scores(seen: Answers) -> Vector:
        belief = _softmax(log_prior + seen.accepted @ log_yes.T + seen.refused @ log_no.T)
        now = (belief @ yes) * (1 - OFFERS)
        if not ahead or not seen.left:
            return now
        if_yes = (belief @ pays_after_yes).reshape(len(belief), len(OFFERS), -1)  # times the chance of a yes
        if_no = now[:, None, :] - if_yes
        return now + seen.left * (if_yes.max(axis=-1) + if_no.max(axis=-1))

    return scores


def play_ultimatum(proposer: Proposer, partner: Partner, *, runs: int, seed: int | np.random.Generator, rounds: int = 20) -> Vector:
    """Return a proposer's share of what the best response to the partner earns.

    Parameters
    ----------
    proposer : callable
        Takes `Answers`, returns a score for every offer; the highest one is made.
    partner : str, float or None
        As in `acceptance`.
    runs, rounds : int
        How often they meet, and for how many rounds.
    seed : int or Generator
        Draws the answers; the same number gives every proposer the same luck.

    Returns
    -------
    ndarray, shape (runs,)
        Mean payoff per round, divided by `best_response`.

    Raises
    ------
    ValueError
        If there is no run or no round, or the proposer's scores are not finite or not one for
        each run and offer.

    Examples
    --------
    >>> play_ultimatum(equal_split, "asks 0.2", runs=3, seed=0).round(2).tolist()
    [0.72, 0.72, 0.72]
    """
    if runs < 1 or rounds < 1:
        raise ValueError(f"expected at least one run and one round, got {runs} and {rounds}")
    rng, chance = np.random.default_rng(seed), acceptance(partner)
    accepted, refused = np.zeros((2, runs, len(OFFERS)))
    earned, row = np.zeros(runs), np.arange(runs)
    for left in range(rounds - 1, -1, -1):
        scores = np.asarray(proposer(Answers(accepted, refused, left)))
        if scores.shape != accepted.shape or not np.isfinite(scores).all():
            raise ValueError(f"expected finite scores of shape {accepted.shape}, got shape {scores.shape}: {scores!r:.60}")
        offer = (scores >= scores.max(axis=-1, keepdims=True) - 1e-9).argmax(axis=-1)  # of equal ones the lowest
        yes = rng.random(runs) < chance[offer]
        accepted[row, offer] += yes
        refused[row, offer] += ~yes
        earned += yes * (1 - OFFERS[offer])
    return earned / rounds / best_response(partner)


def proposers() -> dict[str, Proposer]:
    """Return the proposers that chapter 06 compares, by name.

    Returns
    -------
    dict of str to callable

    Examples
    --------
    >>> list(proposers())[5:9]
    ['specialist 0.6', 'equal split', 'upper bounds', 'Bayes, broad, myopic']
    """
    return {
        **{f"specialist {asks}": specialist(asks) for asks in PARTNERS.values() if asks is not None},
        "equal split": equal_split,
        "upper bounds": upper_bounds,
        "Bayes, broad, myopic": believer(BROAD, ahead=False),
        "Bayes, broad, look-ahead": believer(BROAD, ahead=True),
        "Bayes, narrow": believer(NARROW, ahead=True),
        "Bayes, narrow with doubt": believer(DOUBTFUL, ahead=True),
    }
