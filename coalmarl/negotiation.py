"""Negotiation at scale: thousands of carriers, each with a few neighbours and a few local worths.

A carrier drives from its depot to a pickup, to a delivery, and home.  Two or three neighbours
can do it in one tour.  A carrier looks at its six nearest neighbours, so at 6 pairs and 15
triples; no coalition beyond is ever valued, and what a thousand carriers need to know grows
like a thousand, not like ``2**1000``.  Each keeps a list of the 8 best coalitions per head.

Two protocols.  In `coin_protocol` a coin makes each free carrier a proposer or a responder,
again and again; proposers offer shares, responders accept one offer or none.  In
`naming_protocol` all free carriers name a coalition at once, and one that is named by all its
members forms.  Whoever plays is a *policy*: what it finds appealing, what it offers, what it
demands.  `Rule` holds the hand-written ones; `coalmarl.negotiators` learns others.

A batch of worlds is one `Market` with more carriers: worlds do not touch.  Its tables have a
row for each of ``M`` coalitions and three columns for their members.  Letters: ``n`` carriers
of each of ``B`` worlds, ``A`` of all together, ``v`` worths.
"""

from collections.abc import Callable, Sequence
from itertools import combinations, permutations
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.optimize import Bounds, LinearConstraint, linprog, milp
from scipy.sparse import csr_array
from torch import Tensor

from coalmarl.allocation import nearest
from coalmarl.envs import as_count, as_generator

__all__ = [
    "Market",
    "Measures",
    "Outcome",
    "Round",
    "Rule",
    "Stance",
    "bargained_scores",
    "best_for_carriers",
    "best_packing",
    "blocked",
    "coin_protocol",
    "draw_carriers",
    "favourites",
    "make_market",
    "measure",
    "mixed",
    "naming_protocol",
    "packing_bound",
    "per_head",
    "random_policy",
    "second_best",
    "split",
    "tour_costs",
    "tour_savings",
]

NEIGHBOURS, LISTED, ROUNDS, DELTA = 6, 8, 8, 0.97


# --- carriers, tours, coalitions ---------------------------------------------------------------------------------


def draw_carriers(batch_size: int, n: int, *, seed: int | torch.Generator, device: str = "cpu") -> Tensor:
    """Draw carriers in a square with 20 of them per unit of area.

    Parameters
    ----------
    batch_size, n : int
        Number of worlds, and of carriers in each, at least 1.
    seed : int or torch.Generator
    device : str

    Returns
    -------
    Tensor of float64, shape (B, n, 3, 2)
        Depot, pickup and delivery; the latter two fall around the depot with a spread of 0.25.

    Raises
    ------
    TypeError, ValueError
        If a number is not an integer of at least 1, or the seed is none.

    Examples
    --------
    >>> draw_carriers(2, 10, seed=0).shape
    torch.Size([2, 10, 3, 2])
    """
    B, n, generator = as_count(batch_size, "a number of worlds"), as_count(n, "a number of carriers"), as_generator(seed, device)
    depots = (n / 20) ** 0.5 * torch.rand(B, n, 1, 2, dtype=torch.float64, **_chance(generator))
    return torch.cat([depots, depots + 0.25 * torch.randn(B, n, 2, 2, dtype=torch.float64, **_chance(generator))], 2)


def _chance(generator: torch.Generator) -> dict[str, Any]:
    return {"generator": generator, "device": generator.device}


def tour_costs(lanes: Tensor) -> Tensor:
    """Return the shortest tour from one of the members' depots, through all lanes, and back.

    Parameters
    ----------
    lanes : Tensor, shape (m, k, 3, 2)
        Depot, pickup and delivery of the ``k`` members of each of ``m`` coalitions.

    Returns
    -------
    Tensor, shape (m,)

    Notes
    -----
    Tries all ``k`` depots and all ``k!`` orders; one load at a time.

    Examples
    --------
    >>> lane = torch.tensor([[0.0, 0.0], [0.0, 1.0], [0.0, 2.0]])
    >>> tour_costs(lane[None, None]).item()
    4.0
    """
    depot, pickup, delivery = lanes.unbind(2)
    best = torch.full_like(depot[:, 0, 0], torch.inf)
    for order in permutations(range(lanes.shape[1])):
        start, end = pickup[:, order], delivery[:, order]
        through = (end - start).norm(dim=-1).sum(1) + (start[:, 1:] - end[:, :-1]).norm(dim=-1).sum(1)
        home = (depot - start[:, :1]).norm(dim=-1) + (depot - end[:, -1:]).norm(dim=-1)
        best = torch.minimum(best, through + home.amin(1))
    return best


def tour_savings(lanes: Tensor) -> Tensor:
    """Return what coalitions save by one tour for all, or 0 if that is longer.

    Parameters
    ----------
    lanes : Tensor, shape (m, k, 3, 2)

    Returns
    -------
    Tensor, shape (m,)

    Examples
    --------
    >>> there, back = [[0.0, 0.0], [0.0, 0.0], [0.0, 1.0]], [[0.0, 0.0], [0.0, 1.0], [0.0, 0.0]]
    >>> tour_savings(torch.tensor([[there, back]])).item()
    2.0
    """
    apart = tour_costs(lanes.flatten(0, 1)[:, None]).view(lanes.shape[:2]).sum(1)
    return (apart - tour_costs(lanes)).clamp(min=0)


class Market(NamedTuple):
    """All coalitions that somebody has on its list.

    Attributes
    ----------
    carriers, worlds : int
    members : Tensor of int64, shape (M, 3)
        Numbers of the carriers, rising; ``carriers`` stands for nobody.
    v : Tensor, shape (M,)
        What the carriers believe that it gains.
    worth : Tensor, shape (M,)
        What it gains; the same unless they have to estimate.
    shapley : Tensor, shape (M, 3)
        How the Shapley value of the members alone splits ``v``.
    listed : Tensor of bool, shape (M, 3)
        Whether it is on that member's own list.
    queries : int
        Worths that were looked up to make this: 21 for each carrier, and the 15 pairs of
        neighbours inside its triples, which fairness needs.
    """

    carriers: int
    worlds: int
    members: Tensor
    v: Tensor
    worth: Tensor
    shapley: Tensor
    listed: Tensor
    queries: int

    @property
    def present(self) -> Tensor:
        """Which seats are taken: bool, shape (M, 3)."""
        return self.members < self.carriers

    @property
    def size(self) -> Tensor:
        """Number of members, shape (M,)."""
        return self.present.sum(1)

    def only(self, rows: Tensor) -> "Market":
        """Return the market with some of its coalitions.

        Parameters
        ----------
        rows : Tensor
            A mask, or indices.

        Returns
        -------
        Market
        """
        tables = {name: getattr(self, name)[rows] for name in ("members", "v", "worth", "shapley", "listed")}
        return self._replace(**tables)


def make_market(carriers: Tensor, *, savings: Callable[[Tensor], Tensor] = tour_savings) -> Market:
    """Find the coalitions of neighbours, what they gain, and who lists them.

    Parameters
    ----------
    carriers : Tensor, shape (B, n, 3, 2)
        As from `draw_carriers`.
    savings : callable
        What carriers believe of pairs and triples, from their lanes ``(m, k, 3, 2)`` to
        ``(m,)``; by default the truth.

    Returns
    -------
    Market

    Raises
    ------
    ValueError
        If a world has fewer than 2 carriers, or a coordinate is not finite.

    Notes
    -----
    A triple is worth at least the best of its pairs.  The Shapley value of a pair is half each;
    of a triple ``v/3 + (v_ij + v_ik)/6 - v_jk/3``.  Steps: ``n log n`` for the neighbours, 36
    tours per carrier.

    Examples
    --------
    >>> market = make_market(draw_carriers(1, 1000, seed=0))
    >>> market.queries, len(market.v) < 8000
    (36000, True)
    """
    if carriers.ndim != 4 or carriers.shape[2:] != (3, 2) or carriers.shape[1] < 2 or not bool(carriers.isfinite().all()):
        raise ValueError(f"expected finite carriers of shape (B, n, 3, 2) with n of at least 2, got {tuple(carriers.shape)}")
    B, n = carriers.shape[:2]
    A, lanes = B * n, carriers.flatten(0, 1)
    near = (nearest(carriers[:, :, 0], NEIGHBOURS) + n * torch.arange(B, device=lanes.device)[:, None, None]).flatten(0, 1)
    me = torch.arange(A, device=lanes.device)[:, None]
    seats = [*combinations(range(near.shape[1]), 1), *combinations(range(near.shape[1]), 2)]
    nobody = torch.full_like(me, A)
    teams = torch.stack([torch.cat([me, near[:, s], *[nobody] * (2 - len(s))], 1) for s in seats], 1).sort(2).values
    members, inverse = torch.unique(teams.flatten(0, 1), dim=0, return_inverse=True)
    v, shapley = _tables(lanes, members, savings)
    worth = v if savings is tour_savings else _tables(lanes, members, tour_savings)[0]
    listed = _lists(v / (members < A).sum(1), inverse.view(A, -1), members)
    queries = A * (len(seats) + len(seats) - near.shape[1])
    whole = Market(A, B, members, v, worth, shapley, listed, queries)
    return whole.only(listed.any(1))


def _tables(lanes: Tensor, members: Tensor, savings: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    """Worths (M,) and Shapley values (M, 3) of pairs and triples."""
    triple = members[:, 2] < len(lanes)
    v, shapley = torch.zeros(len(members), dtype=lanes.dtype, device=lanes.device), torch.zeros(members.shape, dtype=lanes.dtype, device=lanes.device)
    v[~triple] = savings(lanes[members[~triple, :2]])
    shapley[~triple, :2] = v[~triple, None] / 2
    three = members[triple]
    pairs = torch.stack([savings(lanes[three[:, s]]) for s in ([1, 2], [0, 2], [0, 1])], 1)  # without 0, 1, 2
    v[triple] = torch.maximum(savings(lanes[three]), pairs.amax(1))
    shapley[triple] = v[triple, None] / 3 + pairs.sum(1, keepdim=True) / 6 - pairs / 2
    return v, shapley


def _lists(head: Tensor, candidates: Tensor, members: Tensor) -> Tensor:
    """Which members list a coalition: it is among their 8 best per head, and gains."""
    value, place = head[candidates].topk(min(LISTED, candidates.shape[1]), dim=1)
    owner = torch.arange(len(candidates), device=head.device)[:, None].expand_as(place)[value > 1e-6]
    chosen = candidates.gather(1, place)[value > 1e-6]
    listed = torch.zeros(members.shape, dtype=torch.bool, device=head.device)
    seat = (members[chosen] == owner[:, None]).long().argmax(1)
    listed[chosen, seat] = True
    return listed


def per_head(market: Market) -> Tensor:
    """Return what each coalition gains per member.

    Parameters
    ----------
    market : Market

    Returns
    -------
    Tensor, shape (M,)

    Examples
    --------
    >>> bool((per_head(make_market(draw_carriers(1, 20, seed=0))) > 0).all())
    True
    """
    return market.v / market.size


def best_for_carriers(market: Market, appeal: Tensor, nothing: float = 0.0) -> Tensor:
    """Return the largest number that each carrier meets in its seats.

    Parameters
    ----------
    market : Market
    appeal : Tensor, shape (M, 3)
    nothing : float
        For carriers without a seat, and no carrier has less.

    Returns
    -------
    Tensor, shape (carriers + 1,)
        The last one is nobody's.

    Examples
    --------
    >>> market = make_market(draw_carriers(1, 20, seed=0))
    >>> best_for_carriers(market, per_head(market)[:, None].expand(-1, 3)).shape
    torch.Size([21])
    """
    best = torch.full((market.carriers + 1,), nothing, dtype=appeal.dtype, device=appeal.device)
    return best.scatter_reduce(0, market.members.flatten(), appeal.flatten(), "amax")


def favourites(market: Market, appeal: Tensor) -> Tensor:
    """Return the seat that each carrier finds most appealing, one at most.

    Parameters
    ----------
    market : Market
    appeal : Tensor, shape (M, 3)
        Minus infinity where a seat is out of the question.

    Returns
    -------
    Tensor of bool, shape (M, 3)

    Examples
    --------
    >>> market = make_market(draw_carriers(1, 20, seed=0))
    >>> int(favourites(market, torch.ones(market.members.shape)).sum()) <= 20
    True
    """
    top = (appeal == best_for_carriers(market, appeal, -torch.inf)[market.members]) & market.present & (appeal > -torch.inf)
    row = torch.arange(len(appeal), device=appeal.device)[:, None]
    first = best_for_carriers(market, torch.where(top, -row, -len(appeal)), -len(appeal))
    return top & (row == -first[market.members])


# --- policies ----------------------------------------------------------------------------------------------------


class Round(NamedTuple):
    """Where in the coin protocol we are.

    Attributes
    ----------
    number, of : int
        This round, from 0, and how many there are.
    proposes : Tensor of bool, shape (carriers + 1,)
        How the coins fell.
    free : Tensor of bool, shape (carriers + 1,)
        Who has no coalition yet.
    generator : torch.Generator
    """

    number: int
    of: int
    proposes: Tensor
    free: Tensor
    generator: torch.Generator


class Stance(NamedTuple):
    """What carriers are up to in a round.

    Attributes
    ----------
    appeal : Tensor, shape (M, 3)
        A proposer proposes the coalition that appeals most, or none if all are minus infinity.
    offers : Tensor, shape (M, 3, 3)
        Money that a proposer in the first seat offers to the second.
    demand : Tensor, shape (carriers + 1,)
        Below that a responder does not accept.
    """

    appeal: Tensor
    offers: Tensor
    demand: Tensor


Policy = Callable[[Market, Round], Stance]


class Rule:
    """Propose the best coalition per head, offer a part, demand a part of the best per head.

    Parameters
    ----------
    offer : float, optional
        Part of the gain that the partners get together; by default an equal share each.
    demand : tuple of float
        What a responder wants, as a multiple of what its best coalition gains per head: in the
        first round and in the last, linearly between.

    Examples
    --------
    >>> market = make_market(draw_carriers(1, 200, seed=0))
    >>> tough = coin_protocol(market, Rule(offer=0.1, demand=(1.0, 1.0)), seed=0)
    >>> int((tough.when >= 0).sum())
    0
    """

    def __init__(self, offer: float | None = None, demand: tuple[float, float] = (0.75, 0.75)) -> None:
        if offer is not None and not 0 <= offer <= 1:
            raise ValueError(f"expected an offer between 0 and 1, got {offer}")
        self.offer, self.demand = offer, demand

    def __call__(self, market: Market, now: Round) -> Stance:
        """Return the rule's stance.

        Parameters
        ----------
        market : Market
        now : Round

        Returns
        -------
        Stance
        """
        head = per_head(market)[:, None].expand(-1, 3)
        others = self.offer * market.v / (market.size - 1) if self.offer is not None else head[:, 0]
        first, last = self.demand
        wish = first + (last - first) * now.number / max(1, now.of - 1)
        return Stance(head, others[:, None, None].expand(-1, 3, 3), wish * best_for_carriers(market, head))


def random_policy(market: Market, now: Round) -> Stance:
    """Propose, offer and demand anything: 10 to 90 % of the gain, 0 to 1.5 of one's best per head.

    Parameters
    ----------
    market : Market
    now : Round

    Returns
    -------
    Stance

    Examples
    --------
    >>> market = make_market(draw_carriers(1, 200, seed=0))
    >>> bool((coin_protocol(market, random_policy, seed=0).when >= 0).any())
    True
    """
    M, place = len(market.v), _chance(now.generator)
    part = torch.randint(1, 10, (M, 3), **place) / 10
    offers = part * (market.v / (market.size - 1))[:, None]
    best = best_for_carriers(market, per_head(market)[:, None].expand(-1, 3))
    wish = torch.randint(0, 7, best.shape, **place) / 4
    return Stance(torch.rand(M, 3, **place), offers[..., None].expand(-1, -1, 3), wish * best)


def mixed(policies: Sequence[Policy], kinds: Tensor) -> Policy:
    """Return the policy of a population in which different carriers follow different policies.

    Parameters
    ----------
    policies : sequence of callable
    kinds : Tensor of int64, shape (carriers,)
        Which of them each carrier follows.

    Returns
    -------
    callable

    Raises
    ------
    ValueError
        If a kind has no policy.

    Examples
    --------
    >>> market = make_market(draw_carriers(1, 200, seed=0))
    >>> half = mixed([Rule(), Rule(offer=0.1, demand=(0, 0))], torch.arange(200) % 2)
    >>> bool((coin_protocol(market, half, seed=0).when >= 0).any())
    True
    """
    if len(kinds) and not 0 <= int(kinds.min()) <= int(kinds.max()) < len(policies):
        raise ValueError(f"expected kinds in 0 .. {len(policies) - 1}, got {int(kinds.min())} .. {int(kinds.max())}")
    everyone = torch.cat([kinds, kinds.new_zeros(1)])

    def policy(market: Market, now: Round) -> Stance:
        stances, seat = [policy(market, now) for policy in policies], everyone[market.members]
        appeal, offers, demand = stances[0]
        for k, other in enumerate(stances[1:], 1):
            appeal = torch.where(seat == k, other.appeal, appeal)
            offers = torch.where((seat == k)[..., None], other.offers, offers)
            demand = torch.where(everyone == k, other.demand, demand)
        return Stance(appeal, offers, demand)

    return policy


# --- protocols ---------------------------------------------------------------------------------------------------


class Outcome(NamedTuple):
    """Which coalitions formed, and who is paid what.

    Attributes
    ----------
    when : Tensor of int64, shape (M,)
        The round, from 0; -1 where a coalition did not form.
    shares : Tensor, shape (M, 3)
        Of the coalition's gain, to each member.
    proposals : int
        How many were made.
    """

    when: Tensor
    shares: Tensor
    proposals: int

    def payoffs(self, market: Market, delta: float = 1.0) -> Tensor:
        """Return what each carrier gets.

        Parameters
        ----------
        market : Market
        delta : float
            Worth of a gain one round later.

        Returns
        -------
        Tensor, shape (carriers,)
        """
        money = self.shares * (market.worth * delta ** self.when * (self.when >= 0))[:, None]
        total = torch.zeros(market.carriers + 1, dtype=money.dtype, device=money.device)
        return total.index_add(0, market.members.flatten(), money.flatten())[:-1]


def coin_protocol(market: Market, policy: Policy, *, seed: int | torch.Generator, rounds: int = ROUNDS) -> Outcome:
    """Negotiate by proposals: each round a coin makes every free carrier proposer or responder.

    Parameters
    ----------
    market : Market
    policy : callable
        From the coalitions whose members are all free, and the `Round`, to a `Stance`.
    seed : int or torch.Generator
    rounds : int

    Returns
    -------
    Outcome

    Raises
    ------
    TypeError, ValueError
        If ``rounds`` is not an integer of at least 1, or the seed is none.

    Notes
    -----
    A proposer may propose what is on its own list and has only responders for partners.  A
    responder accepts its best offer if that meets its demand.  A coalition forms if all the
    partners accept; the proposer keeps what it has not offered.

    Examples
    --------
    >>> market = make_market(draw_carriers(1, 200, seed=0))
    >>> outcome = coin_protocol(market, Rule(), seed=0)
    >>> bool((outcome.payoffs(market) >= 0).all())
    True
    """
    generator = as_generator(seed, market.v.device)
    outcome, free = _nothing_yet(market)
    proposals = 0
    for t in range(as_count(rounds, "a number of rounds")):
        rows = free[market.members].all(1).nonzero().squeeze(1)
        heads = torch.rand(market.carriers + 1, generator=generator, device=free.device) < 0.5
        now = Round(t, rounds, heads & free, free.clone(), generator)
        tabled, shares, formed = _round(market.only(rows), policy, now)
        outcome.when[rows[formed]], outcome.shares[rows[formed]] = t, shares[formed]
        free[market.members[rows[formed]]] = False
        free[-1] = True
        proposals += int(tabled.sum())
    return outcome._replace(proposals=proposals)


def _round(market: Market, policy: Policy, now: Round) -> tuple[Tensor, Tensor, Tensor]:
    """What was tabled, at which shares, and what formed."""
    proposes = now.proposes[market.members] & market.present
    stance = policy(market, now)
    open_to = proposes & market.listed & (proposes.sum(1, keepdim=True) == 1)
    proposer = favourites(market, torch.where(open_to, stance.appeal, -torch.inf))
    tabled = proposer.any(1)
    partner = market.present & ~proposer & tabled[:, None]
    offered = torch.where(partner, (stance.offers * proposer[..., None]).sum(1), 0.0)
    taken = favourites(market, torch.where(partner, offered, -torch.inf)) & (offered >= stance.demand[market.members])
    kept = torch.where(proposer, market.v[:, None] - offered.sum(1, keepdim=True), offered)
    return tabled, kept / market.v[:, None], tabled & (taken | ~partner).all(1)


def _nothing_yet(market: Market) -> tuple[Outcome, Tensor]:
    when = torch.full(market.v.shape, -1, dtype=torch.long, device=market.v.device)
    return Outcome(when, torch.zeros_like(market.shapley), 0), torch.ones(market.carriers + 1, dtype=torch.bool, device=market.v.device)


def naming_protocol(
    market: Market,
    score: Callable[[Market], Tensor] | Tensor,
    *,
    fairness: float = 0.0,
    bars: Sequence[float] = (),
    rounds: int = ROUNDS,
) -> Outcome:
    """Negotiate by naming: all free carriers name a coalition, and one that all its members name forms.

    Parameters
    ----------
    market : Market
    score : callable or Tensor, shape (M,)
        From the coalitions whose members are all free to a number for each, or one number for
        each that stays; each carrier names the largest it belongs to, on its own list or not.
    fairness : float
        How the gain is split: 0 equally, 1 by the Shapley value, or in between.
    bars : sequence of float
        In round ``t`` only coalitions with scores above ``bars[t]`` form; later any.
    rounds : int

    Returns
    -------
    Outcome
        ``proposals`` counts the coalitions above the bar that somebody named.

    Raises
    ------
    TypeError, ValueError
        If ``rounds`` is not an integer of at least 1, or ``fairness`` is out of range.

    Notes
    -----
    With ``score=per_head`` and enough rounds this is the greedy matching by gain per head.

    Examples
    --------
    >>> market = make_market(draw_carriers(1, 200, seed=0))
    >>> bool((naming_protocol(market, per_head).when >= 0).any())
    True
    """
    outcome, free = _nothing_yet(market)
    outcome.shares[:], proposals = split(market, fairness), 0
    for t in range(as_count(rounds, "a number of rounds")):
        rows = free[market.members].all(1).nonzero().squeeze(1)
        open_ = market.only(rows)
        scores = score(open_) if callable(score) else score[rows]
        bar = bars[t] if t < len(bars) else -torch.inf
        named = favourites(open_, scores[:, None].expand(-1, 3)) & (scores > bar)[:, None]
        formed = (named | ~open_.present).all(1)
        outcome.when[rows[formed]] = t
        free[market.members[rows[formed]]] = False
        free[-1] = True
        proposals += int(named.any(1).sum())
    return outcome._replace(proposals=proposals)


def split(market: Market, fairness: float) -> Tensor:
    """Return shares between the equal split (0) and the Shapley value (1).

    Parameters
    ----------
    market : Market
    fairness : float

    Returns
    -------
    Tensor, shape (M, 3)

    Raises
    ------
    ValueError
        If ``fairness`` is not between 0 and 1.

    Examples
    --------
    >>> market = make_market(draw_carriers(1, 200, seed=0))
    >>> split(market, 1.0).sum(1).allclose(split(market, 0.0).sum(1))
    True
    """
    if not 0 <= fairness <= 1:
        raise ValueError(f"expected fairness between 0 and 1, got {fairness}")
    equal = market.present / market.size[:, None]
    return (1 - fairness) * equal + fairness * market.shapley / market.v[:, None]


def bargained_scores(messages: int = 8) -> Callable[[Market], Tensor]:
    """Return scores from natural bargaining: neighbours tell each other what they could get elsewhere.

    Parameters
    ----------
    messages : int
        How often they tell.

    Returns
    -------
    callable
        For `naming_protocol`: what a coalition leaves per member beyond the members'
        alternatives.

    Notes
    -----
    An offer starts at ``v / |S|``.  A member's alternative is its best offer from another
    coalition; its next offer is its alternative plus an equal part of what is left, or 0, and
    half way there.

    References
    ----------
    kanoria2011fast

    Examples
    --------
    >>> market = make_market(draw_carriers(1, 200, seed=0))
    >>> bargained_scores(8)(market).shape == market.v.shape
    True
    """

    def score(market: Market) -> Tensor:
        offer = per_head(market)[:, None].expand(-1, 3)
        for _ in range(messages):
            elsewhere = second_best(market, offer)
            left = (market.v - elsewhere.sum(1)) / market.size
            offer = (offer + (elsewhere + left[:, None]).clamp(min=0)) / 2
        return (market.v - second_best(market, offer).sum(1)) / market.size

    return score


def second_best(market: Market, appeal: Tensor) -> Tensor:
    """Return the largest number that each carrier meets in its seats elsewhere.

    Parameters
    ----------
    market : Market
    appeal : Tensor, shape (M, 3)
        Not negative.

    Returns
    -------
    Tensor, shape (M, 3)
        0 where there is no elsewhere, and in empty seats.

    Examples
    --------
    >>> market = make_market(draw_carriers(1, 200, seed=0))
    >>> head = per_head(market)[:, None].expand(-1, 3)
    >>> bool((second_best(market, head) <= best_for_carriers(market, head)[market.members]).all())
    True
    """
    top = favourites(market, appeal)
    first = best_for_carriers(market, appeal)
    second = best_for_carriers(market, torch.where(top, 0.0, appeal))
    return torch.where(market.present, torch.where(top, second[market.members], first[market.members]), 0.0)


# --- benchmarks and measures -------------------------------------------------------------------------------------


def packing_bound(market: Market) -> float:
    """Return a bound that no set of disjoint coalitions of the market can beat.

    Parameters
    ----------
    market : Market

    Returns
    -------
    float
        The linear relaxation of the best packing.

    Examples
    --------
    >>> market = make_market(draw_carriers(1, 50, seed=0))
    >>> packing_bound(market) >= market.worth[best_packing(market)].sum() - 1e-9
    tensor(True)
    """
    if not len(market.v):
        return 0.0
    found = linprog(-market.worth.cpu().numpy(), A_ub=_seats(market), b_ub=np.ones(market.carriers), bounds=(0, 1), method="highs")
    return -float(found.fun)


def best_packing(market: Market, *, gap: float = 5e-4) -> Tensor:
    """Find the disjoint coalitions that gain most together, by a central planner.

    Parameters
    ----------
    market : Market
    gap : float
        How far from the optimum it may be.

    Returns
    -------
    Tensor of bool, shape (M,)

    Examples
    --------
    >>> market = make_market(draw_carriers(1, 50, seed=0))
    >>> bool(market.members[best_packing(market)].flatten().bincount()[:50].max() <= 1)
    True
    """
    formed = torch.zeros_like(market.v, dtype=torch.bool)
    n = market.carriers // market.worlds
    for world in range(market.worlds):  # they do not touch, so each is a problem of its own
        rows = (market.members[:, 0] // n == world).nonzero().squeeze(1)
        if len(rows):
            v = market.v[rows].cpu().numpy()
            fits = LinearConstraint(_seats(market.only(rows))[n * world : n * world + n], ub=np.ones(n))
            found = milp(-v, constraints=fits, integrality=np.ones(len(v)), bounds=Bounds(0, 1), options={"mip_rel_gap": gap})
            formed[rows] = torch.from_numpy(found.x > 0.5).to(rows.device)
    return formed


def _seats(market: Market) -> Any:
    """Carriers by coalitions, 1 for a seat."""
    row, seat = (x.numpy() for x in market.present.cpu().nonzero(as_tuple=True))
    carrier = market.members.cpu().numpy()[row, seat]
    return csr_array((np.ones(len(row)), (carrier, row)), shape=(market.carriers, len(market.v)))


def blocked(market: Market, payoffs: Tensor, *, fairness: float | None = None) -> Tensor:
    """Return who belongs to a coalition that would rather leave.

    Parameters
    ----------
    market : Market
    payoffs : Tensor, shape (carriers,)
    fairness : float, optional
        How leavers would split, as in `naming_protocol`: then each of them has to gain.  By
        default they may split as they like, so it is enough that they gain together.

    Returns
    -------
    Tensor of bool, shape (carriers,)

    Examples
    --------
    >>> market = make_market(draw_carriers(1, 200, seed=0))
    >>> paid = naming_protocol(market, per_head, rounds=50).payoffs(market)
    >>> int(blocked(market, paid, fairness=0.0).sum())
    0
    """
    now = torch.cat([payoffs, payoffs.new_zeros(1)])[market.members]
    if fairness is None:
        leaves = market.worth > now.sum(1) + 1e-9
    else:
        alone = split(market, fairness) * market.worth[:, None]
        leaves = ((alone > now + 1e-9) | ~market.present).all(1)
    unhappy = torch.zeros(market.carriers + 1, dtype=torch.bool, device=payoffs.device)
    unhappy[market.members[leaves]] = True
    return unhappy[:-1]


class Measures(NamedTuple):
    """How well a negotiation went.

    Attributes
    ----------
    surplus : float
        What was gained, as a share of the bound.
    discounted : float
        The same with a factor of 0.97 for each round of delay.
    unfairness : float
        Mean distance of members' shares from their Shapley shares.
    matched : float
        Share of the carriers that found a coalition.
    accepted : float
        Share of the proposals that ended in one.
    """

    surplus: float
    discounted: float
    unfairness: float
    matched: float
    accepted: float


def measure(market: Market, outcome: Outcome, bound: float) -> Measures:
    """Measure an outcome against the bound and the Shapley value.

    Parameters
    ----------
    market : Market
    outcome : Outcome
    bound : float
        As from `packing_bound`.

    Returns
    -------
    Measures

    Examples
    --------
    >>> market = make_market(draw_carriers(1, 200, seed=0))
    >>> best = naming_protocol(market, per_head, fairness=1.0)
    >>> measure(market, best, packing_bound(market)).unfairness
    0.0
    """
    formed = outcome.when >= 0
    fair = market.shapley / market.v[:, None]
    off = (outcome.shares - fair).abs()[formed[:, None] & market.present]
    return Measures(
        float(market.worth[formed].sum()) / max(bound, 1e-12),
        float(outcome.payoffs(market, DELTA).sum()) / max(bound, 1e-12),
        float(off.mean()) if len(off) else 0.0,
        float(market.present[formed].sum()) / market.carriers,
        float(formed.sum()) / max(1, outcome.proposals),
    )
