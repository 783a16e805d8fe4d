"""Bargaining without v: three carriers agree on a coalition and a split, and never compute its worth.

Three carriers with a truck, a depot and three customers each can save by serving each other's
customers.  In every round one of them, drawn at random, proposes a coalition and shares of its
gain; the others in it accept or refuse.  The first agreement ends the game, and a round of
delay costs everybody a factor ``delta``.

What a coalition gains is the solution of a routing problem, `routing_values`.  The negotiators
here see the addresses and nothing else.  They *estimate* the gains with a network that was
shown one coalition for each of many past days (`fit_values`), and they have learned what it is
worth to refuse and wait (`fit_waiting`).  An `Oracle` knows the gains and counts how often it
is asked: once to pay an agreement, never while they negotiate.

`stationary_equilibrium` is the exact benchmark for players who do know v.  `Bargaining` is the
same game as a batch of worlds, for learners who start from nothing.

Shapes: ``B`` games; coalitions are masks of 3 bits, so worths are ``(B, 8)``, and what each
agent believes of them ``(B, 3, 8)``; shares and values of waiting ``(B, 3)``.  Letters: ``v``
worths, ``w`` values of waiting, ``S`` a coalition, ``i`` a player.
"""

from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from coalmarl.envs import BatchedEnv, State, Step, as_count, as_device, as_generator, check_actions
from coalmarl.learners import minimise, mlp

__all__ = [
    "Agreements",
    "Bargainer",
    "Bargaining",
    "Believers",
    "EqualSplitters",
    "Equilibrium",
    "Offer",
    "Oracle",
    "RandomBargainers",
    "draw_deliveries",
    "fit_values",
    "fit_waiting",
    "learned_bargainers",
    "negotiate",
    "per_capita_best",
    "routing_values",
    "stationary_equilibrium",
    "views",
]

DEPOTS = torch.tensor([[-0.2, 0.03**0.5], [0.2, 0.03**0.5], [0.0, -(0.03**0.5)]], dtype=torch.float64)
RADII = (0.3, 0.4, 0.6)  # how far customers live from their depot: the overlap of the carriers
TEAMS = (3, 5, 6, 7)  # masks of the coalitions that can gain
MEMBERS = torch.tensor([[S >> i & 1 for i in range(3)] for S in range(8)], dtype=torch.bool)
SIZES = MEMBERS.sum(1)


# --- the deliveries and their worth ------------------------------------------------------------------------------


def draw_deliveries(batch_size: int, *, seed: int | torch.Generator, radii: Sequence[float] = RADII) -> Tensor:
    """Draw the customers of three carriers whose depots are 0.4 apart.

    Parameters
    ----------
    batch_size : int
        Number of games.
    seed : int or torch.Generator
    radii : sequence of float
        Each game takes one of these, and its customers fall evenly into the discs of that
        radius around their depots.

    Returns
    -------
    Tensor of float64, shape (B, 3, 3, 2)
        Game, carrier, customer, coordinates.

    Raises
    ------
    ValueError
        If a radius is not positive.

    References
    ----------
    mak2023fair

    Examples
    --------
    >>> draw_deliveries(5, seed=0).shape
    torch.Size([5, 3, 3, 2])
    """
    B, generator = as_count(batch_size, "a number of games"), as_generator(seed)
    if not len(radii) or min(radii) <= 0:
        raise ValueError(f"expected one or more positive radii, got {radii!r:.60}")
    reach = torch.tensor(radii, dtype=torch.float64)[torch.randint(len(radii), (B, 1, 1), generator=generator)]
    luck = torch.rand(2, B, 3, 3, generator=generator, dtype=torch.float64)
    distance, angle = reach * luck[0].sqrt(), 2 * torch.pi * luck[1]
    return DEPOTS[:, None] + distance[..., None] * torch.stack([angle.cos(), angle.sin()], -1)


def routing_values(customers: Tensor) -> Tensor:
    """Return what every coalition saves by planning its routes together, exactly.

    Parameters
    ----------
    customers : Tensor of float64, shape (B, 3, 3, 2)
        As from `draw_deliveries`.

    Returns
    -------
    Tensor, shape (B, 8)
        The members' tours apart, minus the best way to share out their customers among their
        trucks; never below 0.

    Raises
    ------
    ValueError
        If the shape is another, or a coordinate is not finite.

    Notes
    -----
    One dynamic programme gives each truck's tour through every subset of the nine customers;
    then all 64 ways to divide six customers among two trucks, and 19683 for nine among three,
    are tried.  About 0.7 ms a game.

    References
    ----------
    held1962dynamic

    Examples
    --------
    >>> v = routing_values(draw_deliveries(100, seed=0))
    >>> bool((v[:, 7] >= v.amax(1)).all()), v[:, [0, 1, 2, 4]].max().item()
    (True, 0.0)
    """
    shape = tuple(getattr(customers, "shape", ()))
    if shape[1:] != (3, 3, 2) or not bool(customers.isfinite().all()):
        raise ValueError(f"expected finite customers of shape (B, 3, 3, 2), got {shape or repr(customers)}")
    return torch.cat([_values(part.double()) for part in torch.split(customers, 256)])


def _values(customers: Tensor) -> Tensor:
    B = len(customers)
    places = customers.reshape(B, 1, 9, 2).expand(B, 3, 9, 2)
    tours = _tours(torch.cat([DEPOTS.expand(B, 3, 2)[:, :, None], places], 2).flatten(0, 1)).view(512, B, 3)
    v = torch.zeros(B, 8, dtype=torch.float64)
    solo = torch.stack([tours[0b111 << 3 * i, :, i] for i in range(3)], 1)
    for S in TEAMS:
        trucks = [i for i in range(3) if S >> i & 1]
        total = torch.stack([tours[loads, :, i] for i, loads in zip(trucks, _loads(trucks))]).sum(0)
        v[:, S] = (solo[:, trucks].sum(1) - total.amin(0)).clamp(min=0)
    v[:, 7] = v.amax(1)  # what rounding may have taken away
    return torch.where(v > 1e-9, v, 0.0)


def _loads(trucks: list[int]) -> Tensor:
    """Every way to hand the customers of these carriers to their trucks: a mask of customers for each truck."""
    theirs = [3 * i + c for i in trucks for c in range(3)]
    ways = torch.arange(len(trucks) ** len(theirs))
    whose = torch.stack([ways // len(trucks) ** k % len(trucks) for k in range(len(theirs))])
    bits = 1 << torch.tensor(theirs)[:, None]
    return torch.stack([((whose == t) * bits).sum(0) for t in range(len(trucks))])


def _tours(places: Tensor) -> Tensor:
    """Shortest tour from place 0 through each subset of the others: (M, m + 1, 2) to (2**m, M)."""
    d = torch.cdist(places, places).permute(1, 2, 0)
    m, M = len(d) - 1, len(places)
    path = torch.full((1 << m, m, M), torch.inf, dtype=d.dtype)  # through all of S, ending at j
    for j in range(m):
        path[1 << j, j] = d[0, j + 1]
    for s in range(1, m):
        layer = torch.tensor([sum(1 << k for k in S) for S in combinations(range(m), s)])
        for j in range(m):
            S = layer[layer >> j & 1 == 0]
            path[S | 1 << j, j] = (path[S] + d[1:, j + 1]).amin(1)
    tours = (path + d[0, 1:]).amin(1)
    tours[0] = 0.0
    return tours


class Oracle:
    """Knows what every coalition gains, and counts how often somebody asks.

    Parameters
    ----------
    customers : Tensor, shape (B, 3, 3, 2)

    Attributes
    ----------
    calls : int
        Worths told so far, one for each game and coalition.

    Examples
    --------
    >>> oracle = Oracle(draw_deliveries(4, seed=0))
    >>> gains = oracle(torch.tensor([3, 5, 6, 7]))
    >>> oracle.calls
    4
    """

    def __init__(self, customers: Tensor) -> None:
        self._worths = routing_values(customers)
        self.calls = 0

    def __call__(self, coalitions: Tensor, games: Tensor | None = None) -> Tensor:
        """Return the worth of one coalition in each game; to ask for the empty one is no question.

        Parameters
        ----------
        coalitions : Tensor of int64, shape (m,)
        games : Tensor of int64, shape (m,), optional
            Which games; by default all, in order.

        Returns
        -------
        Tensor, shape (m,)
        """
        self.calls += int((coalitions > 0).sum())
        worths = self._worths if games is None else self._worths[games]
        return worths.gather(1, coalitions[:, None]).squeeze(1)


def per_capita_best(v: Tensor) -> Tensor:
    """Return the coalition in which each player would get most if gains were split equally.

    Parameters
    ----------
    v : Tensor, shape (B, 8)

    Returns
    -------
    Tensor of int64, shape (B, 3)
        A mask for each player; it contains the player.

    Examples
    --------
    >>> per_capita_best(torch.tensor([[0, 0, 0, 0.76, 0, 0.24, 0.01, 0.88]])).tolist()
    [[3, 3, 7]]
    """
    return (v / SIZES.clamp(min=1))[:, None].where(_allowed(), -torch.inf).argmax(-1)


def _allowed() -> Tensor:
    """(3, 8): what each player may propose."""
    return MEMBERS.T & (SIZES > 1)


# --- exact benchmark ---------------------------------------------------------------------------------------------


class Equilibrium(NamedTuple):
    """A stationary equilibrium.

    Attributes
    ----------
    waiting : Tensor, shape (B, 3)
        What each player expects when a round begins.
    residual : Tensor, shape (B,)
        How far that is from what one more round would bring, as a share of v(N); not 0 where
        the equilibrium mixes several proposals.
    """

    waiting: Tensor
    residual: Tensor


def stationary_equilibrium(v: Tensor, *, delta: float = 0.95, iterations: int = 600) -> Equilibrium:
    """Find what players who know v expect from the game: a fixed point, by damped steps.

    Parameters
    ----------
    v : Tensor, shape (B, 8)
        Worths, 0 for single players.
    delta : float
        Worth of a gain one round later, in (0, 1).
    iterations : int

    Returns
    -------
    Equilibrium

    Raises
    ------
    ValueError
        If ``delta`` lies outside (0, 1), or the worths have another shape.

    Notes
    -----
    A proposer offers each partner exactly ``delta`` times what that partner expects, and picks
    the coalition that leaves most for itself.  Where the grand coalition is best per head for
    everybody, all expect ``v(N)/3`` and the proposer asks for ``1 - 2 delta / 3``.

    References
    ----------
    okada1996noncooperative

    Examples
    --------
    >>> v = torch.tensor([[0, 0, 0, 2.0, 0, 2.0, 2.0, 9.0]])
    >>> stationary_equilibrium(v).waiting.tolist()
    [[3.0, 3.0, 3.0]]
    """
    if not 0 < delta < 1 or v.ndim != 2 or v.shape[1] != 8:
        raise ValueError(f"expected worths of shape (B, 8) and delta between 0 and 1, got {tuple(v.shape)} and {delta}")
    w = v[:, 7:].expand(-1, 3) / 3
    for t in range(iterations):
        w = w + (_one_round(v, w, delta) - w) * max(0.3 / (1 + t / 60), 0.02)
    off = (_one_round(v, w, delta) - w).abs().amax(1) / v[:, 7].clamp(min=1e-9)
    return Equilibrium(w, off)


def _one_round(v: Tensor, w: Tensor, delta: float) -> Tensor:
    """Expected payoffs if the next round is played by the values of waiting after it."""
    believers = Believers(v[:, None].expand(-1, 3, 8), w, delta=delta)
    total = torch.zeros_like(w)
    for i in range(3):
        coalition = believers.choose(torch.full((len(v),), i))
        inside = MEMBERS[coalition]
        paid = torch.where(inside, delta * w, 0.0)
        paid[:, i] = 0.0
        paid[:, i] = v.gather(1, coalition[:, None]).squeeze(1) - paid.sum(1)
        total += paid / 3
    return total


# --- the protocol and those who play it --------------------------------------------------------------------------


class Offer(NamedTuple):
    """What a proposer puts on the table in each game.

    Attributes
    ----------
    coalition : Tensor of int64, shape (B,)
    shares : Tensor, shape (B, 3)
        Of whatever the coalition will gain; they add up to 1, outsiders have 0.
    """

    coalition: Tensor
    shares: Tensor


class Bargainer(Protocol):
    """Whoever can play: all three players of every game by the same rule."""

    def propose(self, proposer: Tensor, generator: torch.Generator) -> Offer:
        """Make an offer in each game.

        Parameters
        ----------
        proposer : Tensor of int64, shape (B,)
        generator : torch.Generator

        Returns
        -------
        Offer
        """
        ...

    def accepts(self, offer: Offer, generator: torch.Generator) -> Tensor:
        """Say who would accept.

        Parameters
        ----------
        offer : Offer
        generator : torch.Generator

        Returns
        -------
        Tensor of bool, shape (B, 3)
            What outsiders and the proposer say does not matter.
        """
        ...


class Believers:
    """Players who offer what refusing would be worth, by what they believe.

    Parameters
    ----------
    worth : Tensor, shape (B, 3, 8)
        What each player believes of each coalition.
    waiting : Tensor, shape (B, 3)
        What each player expects when a round begins.
    delta : float
        Worth of a gain one round later.
    markup : float
        Offers are this times ``delta`` times the partner's expectation.
    tolerance : float
        Offers above this times ``delta`` times one's own expectation are accepted.
    explore : float
        Probability of a random coalition.

    Examples
    --------
    >>> v = torch.tensor([[0, 0, 0, 2.0, 0, 2.0, 2.0, 9.0]])
    >>> players = Believers(v.expand(1, 3, 8), torch.full((1, 3), 3.0))
    >>> offer = players.propose(torch.tensor([0]), as_generator(0))
    >>> int(offer.coalition), round(float(offer.shares[0, 0]), 4)
    (7, 0.3667)
    """

    def __init__(
        self,
        worth: Tensor,
        waiting: Tensor,
        *,
        delta: float = 0.95,
        markup: float = 1.0,
        tolerance: float = 1 - 1e-9,
        explore: float = 0.0,
    ) -> None:
        self.worth, self.waiting = worth, waiting
        self.delta, self.markup, self.tolerance, self.explore = delta, markup, tolerance, explore

    def choose(self, proposer: Tensor) -> Tensor:
        """Return the coalition that leaves most for the proposer.

        Parameters
        ----------
        proposer : Tensor of int64, shape (B,)

        Returns
        -------
        Tensor of int64, shape (B,)
        """
        inside = MEMBERS.to(self.waiting.dtype)
        own = self.waiting.gather(1, proposer[:, None])
        left = _of(self.worth, proposer) - self.delta * (self.waiting @ inside.T - own)
        return left.where(_allowed()[proposer], -torch.inf).argmax(1)

    def propose(self, proposer: Tensor, generator: torch.Generator) -> Offer:
        """Offer each partner the worth of waiting, and keep the rest.

        Parameters
        ----------
        proposer : Tensor of int64, shape (B,)
        generator : torch.Generator

        Returns
        -------
        Offer
        """
        coalition = self.choose(proposer)
        if self.explore:
            anywhere = _random_coalition(proposer, generator)
            tries = torch.rand(proposer.shape, generator=generator) < self.explore
            coalition = torch.where(tries, anywhere, coalition)
        partners = MEMBERS[coalition].scatter(1, proposer[:, None], False)
        gain = _of(self.worth, proposer).gather(1, coalition[:, None]).clamp(min=1e-9)
        shares = torch.where(partners, self.markup * self.delta * self.waiting / gain, 0.0)
        shares = shares * (0.95 / shares.sum(1, keepdim=True).clamp(min=0.95))
        return Offer(coalition, shares.scatter(1, proposer[:, None], 1 - shares.sum(1, keepdim=True)))

    def accepts(self, offer: Offer, generator: torch.Generator) -> Tensor:
        """Compare one's share with waiting.

        Parameters
        ----------
        offer : Offer
        generator : torch.Generator
            Not needed.

        Returns
        -------
        Tensor of bool, shape (B, 3)
        """
        gain = self.worth.gather(2, offer.coalition[:, None, None].expand(-1, 3, 1)).squeeze(2)
        return offer.shares * gain >= self.tolerance * self.delta * self.waiting


class EqualSplitters:
    """Players who propose that all three share equally, and accept everything.

    Examples
    --------
    >>> EqualSplitters().propose(torch.tensor([2]), as_generator(0)).coalition
    tensor([7])
    """

    def propose(self, proposer: Tensor, generator: torch.Generator) -> Offer:
        """Offer a third.

        Parameters
        ----------
        proposer : Tensor of int64, shape (B,)
        generator : torch.Generator
            Not needed.

        Returns
        -------
        Offer
        """
        return Offer(torch.full_like(proposer, 7), torch.full((len(proposer), 3), 1 / 3, dtype=torch.float64))

    def accepts(self, offer: Offer, generator: torch.Generator) -> Tensor:
        """Accept.

        Parameters
        ----------
        offer : Offer
        generator : torch.Generator
            Not needed.

        Returns
        -------
        Tensor of bool, shape (B, 3)
        """
        return torch.ones_like(offer.shares, dtype=torch.bool)


class RandomBargainers:
    """Players who propose any coalition and any split, and toss a coin over every offer.

    Examples
    --------
    >>> offer = RandomBargainers().propose(torch.tensor([0, 1]), as_generator(0))
    >>> offer.shares.sum(1).round(decimals=6).tolist()
    [1.0, 1.0]
    """

    def propose(self, proposer: Tensor, generator: torch.Generator) -> Offer:
        """Offer anything.

        Parameters
        ----------
        proposer : Tensor of int64, shape (B,)
        generator : torch.Generator

        Returns
        -------
        Offer
        """
        coalition = _random_coalition(proposer, generator)
        wish = -torch.rand(len(proposer), 3, generator=generator, dtype=torch.float64).log()
        wish = torch.where(MEMBERS[coalition], wish, 0.0)
        return Offer(coalition, wish / wish.sum(1, keepdim=True))

    def accepts(self, offer: Offer, generator: torch.Generator) -> Tensor:
        """Toss a coin.

        Parameters
        ----------
        offer : Offer
        generator : torch.Generator

        Returns
        -------
        Tensor of bool, shape (B, 3)
        """
        return torch.rand(offer.shares.shape, generator=generator) < 0.5


def _of(table: Tensor, player: Tensor) -> Tensor:
    """The rows of one player per game."""
    return table[torch.arange(len(player)), player]


def _random_coalition(proposer: Tensor, generator: torch.Generator) -> Tensor:
    return torch.multinomial(_allowed()[proposer].double(), 1, generator=generator).squeeze(1)


class Agreements(NamedTuple):
    """How the games ended.

    Attributes
    ----------
    coalition : Tensor of int64, shape (B,)
        0 where nobody agreed.
    shares : Tensor, shape (B, 3)
        Of the coalition's gain, whatever it will be.
    rounds : Tensor of int64, shape (B,)
        How many it took.
    """

    coalition: Tensor
    shares: Tensor
    rounds: Tensor


def negotiate(bargainer: Bargainer, batch_size: int, *, seed: int | torch.Generator, rounds: int = 10) -> Agreements:
    """Let three players bargain in each game until they agree.

    Parameters
    ----------
    bargainer : Bargainer
    batch_size : int
        Number of games.
    seed : int or torch.Generator
    rounds : int
        Where we stop watching.

    Returns
    -------
    Agreements

    Raises
    ------
    TypeError, ValueError
        If a number of games or rounds is not an integer of at least 1, or the seed is none.

    Notes
    -----
    Worths occur nowhere: what a player believes is the player's own affair.

    References
    ----------
    okada1996noncooperative

    Examples
    --------
    >>> negotiate(EqualSplitters(), 2, seed=0).rounds
    tensor([1, 1])
    """
    B, generator = as_count(batch_size, "a number of games"), as_generator(seed)
    coalition, taken = torch.zeros(B, dtype=torch.long), torch.full((B,), as_count(rounds, "a number of rounds"))
    shares = torch.zeros(B, 3, dtype=torch.float64)
    for t in range(rounds):
        proposer = torch.randint(3, (B,), generator=generator)
        offer = bargainer.propose(proposer, generator)
        ends = _agreed(proposer, offer.coalition, bargainer.accepts(offer, generator)) & (coalition == 0)
        coalition, taken = torch.where(ends, offer.coalition, coalition), torch.where(ends, t + 1, taken)
        shares = torch.where(ends[:, None], offer.shares.double(), shares)
    return Agreements(coalition, shares, taken)


def _agreed(proposer: Tensor, coalition: Tensor, accepted: Tensor) -> Tensor:
    """Whether all members but the proposer accept."""
    return (accepted.scatter(1, proposer[:, None], True) | ~MEMBERS[coalition]).all(1)


# --- learning ----------------------------------------------------------------------------------------------------


def views(customers: Tensor) -> Tensor:
    """Return the addresses as each carrier sees them: its own depot always at the same place.

    Parameters
    ----------
    customers : Tensor, shape (B, 3, 3, 2)

    Returns
    -------
    Tensor of float32, shape (B, 3, 18)
        Customers of the carrier, of the next and of the one after, each carrier's in the order
        of their angle, around the centre of the three depots.

    Examples
    --------
    >>> views(draw_deliveries(5, seed=0)).abs().max() < 1
    tensor(True)
    """
    turned = []
    for i in range(3):
        angle = torch.tensor(2 * torch.pi * i / 3, dtype=torch.float64)
        turn = torch.stack([angle.cos(), angle.sin(), -angle.sin(), angle.cos()]).view(2, 2)
        mine = (customers.roll(-i, dims=1) - DEPOTS.mean(0)) @ turn
        around = mine - (DEPOTS - DEPOTS.mean(0))[:, None]
        order = torch.atan2(around[..., 1], around[..., 0]).argsort(-1)
        turned.append(mine.take_along_dim(order[..., None], 2).flatten(1))
    return torch.stack(turned, 1).float()


_RELATIVE = torch.tensor(  # column of an estimate, and mask as player i sees it, for each player and mask
    [[sum((S >> (i + k) % 3 & 1) << k for k in range(3)) for S in range(8)] for i in range(3)]
)
_COLUMN = torch.tensor([-1, -1, -1, 0, -1, 1, 2, 3])[_RELATIVE]


def _by_mask(estimates: Tensor) -> Tensor:
    """Estimates (B, 3, 4) in each player's own order to beliefs (B, 3, 8) in everybody's."""
    known = estimates.gather(2, _COLUMN.clamp(min=0).expand(len(estimates), 3, 8))
    return torch.where(_COLUMN >= 0, known, 0.0)


def fit_values(customers: Tensor, coalitions: Tensor, worths: Tensor, *, seed: int | torch.Generator, updates: int = 2500) -> nn.Module:
    """Learn to estimate gains from addresses, out of one coalition's gain per game.

    Parameters
    ----------
    customers : Tensor, shape (B, 3, 3, 2)
    coalitions : Tensor of int64, shape (B,)
        Which coalition delivered together that day.
    worths : Tensor, shape (B,)
        What it gained.
    seed : int or torch.Generator
    updates : int

    Returns
    -------
    torch.nn.Module
        From a view of 18 numbers to four gains: with the next carrier, with the one after, the
        other two without me, and all three.

    Raises
    ------
    ValueError
        If the numbers of games differ, or a coalition has fewer than two members.

    Notes
    -----
    A perceptron with two hidden layers of 256 units; Adam, 170 games an update, seen by all
    three carriers and in a mirror.

    Examples
    --------
    >>> days = draw_deliveries(20, seed=0)
    >>> estimate = fit_values(days, torch.full((20,), 7), torch.ones(20), seed=0, updates=1)
    >>> estimate(views(days)).shape
    torch.Size([20, 3, 4])
    """
    if not len(customers) == len(coalitions) == len(worths) or not bool(torch.isin(coalitions, torch.tensor(TEAMS)).all()):
        raise ValueError(
            f"expected as many coalitions in {TEAMS} and worths as games, "
            f"got {len(coalitions)} and {len(worths)} for {len(customers)} games"
        )
    generator = as_generator(seed)
    network = mlp([18, 256, 256, 4], generator, between=nn.ReLU)
    both = torch.cat([customers, _mirrored(customers)])
    seen, column = views(both), _COLUMN[:, torch.cat([coalitions, _MIRRORED[coalitions]])].T
    target = worths.float().repeat(2)[:, None]

    def loss() -> Tensor:
        rows = torch.randint(len(seen), (170,), generator=generator)
        guess = network(seen[rows]).gather(2, column[rows][..., None]).squeeze(2)
        return ((guess - target[rows]) ** 2).mean()

    return minimise(network, loss, updates)


_MIRRORED = torch.tensor([0, 2, 1, 3, 4, 6, 5, 7])  # carriers 0 and 1 change places


def _mirrored(customers: Tensor) -> Tensor:
    """The same games seen in a mirror; routes are as long there."""
    return customers[:, [1, 0, 2]] * torch.tensor([-1.0, 1.0], dtype=customers.dtype)


def fit_waiting(
    values: nn.Module, customers: Tensor, oracle: Oracle, *, seed: int | torch.Generator, updates: int = 2000, delta: float = 0.95
) -> nn.Module:
    """Learn from play what it is worth to refuse: what a player gets on average from a round on.

    Parameters
    ----------
    values : torch.nn.Module
        As from `fit_values`.
    customers : Tensor, shape (B, 3, 3, 2)
        Games to play.
    oracle : Oracle
        Of these games; pays the agreements.
    seed : int or torch.Generator
    updates : int
    delta : float

    Returns
    -------
    torch.nn.Module
        From the four gains that a player believes in to the worth of waiting.

    Raises
    ------
    TypeError, ValueError
        If the seed is none.

    Notes
    -----
    Each update plays one round of 1024 games by the present network, with fewer and fewer
    random coalitions, and moves it towards what was paid, or towards ``delta`` times the worth
    of waiting where somebody refused.

    Examples
    --------
    >>> days = draw_deliveries(20, seed=0)
    >>> values = mlp([18, 4], as_generator(0))
    >>> waiting = fit_waiting(values, days, Oracle(days), seed=0, updates=1)
    >>> waiting(torch.ones(5, 4)).shape
    torch.Size([5, 1])
    """
    generator = as_generator(seed)
    network = nn.Sequential(mlp([4, 64, 64, 1], generator, between=nn.ReLU), nn.Softplus())
    estimates = _estimates(values, customers)
    done = 0

    def loss() -> Tensor:
        nonlocal done
        rows = torch.randint(len(estimates), (1024,), generator=generator)
        expected = network(estimates[rows]).squeeze(2)
        waiting = expected.detach()
        bold = 0.05 * (1 - done / updates)
        players = Believers(_by_mask(estimates[rows]), waiting, delta=delta, **LEARNED, explore=bold)
        proposer = torch.randint(3, rows.shape, generator=generator)
        offer = players.propose(proposer, generator)
        agreed = _agreed(proposer, offer.coalition, players.accepts(offer, generator))
        paid = offer.shares * oracle(torch.where(agreed, offer.coalition, 0), rows)[:, None]
        done += 1
        return ((expected - torch.where(agreed[:, None], paid.float(), delta * waiting)) ** 2).mean()

    return minimise(network, loss, updates, rate=2e-3)


LEARNED = {"markup": 1.05, "tolerance": 0.9}  # beliefs err, so learned players leave some room


@torch.no_grad()
def _estimates(values: nn.Module, customers: Tensor) -> Tensor:
    estimates: Tensor = values(views(customers)).clamp(min=1e-3)
    return estimates


@torch.no_grad()
def learned_bargainers(values: nn.Module, waiting: nn.Module, customers: Tensor, *, delta: float = 0.95) -> Believers:
    """Return the players who believe what two networks say of the addresses.

    Parameters
    ----------
    values, waiting : torch.nn.Module
        As from `fit_values` and `fit_waiting`.
    customers : Tensor, shape (B, 3, 3, 2)
        The games they shall play.
    delta : float

    Returns
    -------
    Believers

    Examples
    --------
    >>> days, chance = draw_deliveries(20, seed=0), as_generator(0)
    >>> players = learned_bargainers(mlp([18, 4], chance), mlp([4, 1], chance), days)
    >>> negotiate(players, 20, seed=0).coalition.shape
    torch.Size([20])
    """
    estimates = _estimates(values, customers)
    return Believers(_by_mask(estimates), waiting(estimates).squeeze(2), delta=delta, **LEARNED)


# --- the same game as a batch of worlds --------------------------------------------------------------------------


class Bargaining(BatchedEnv):
    """Bargaining for learners who start from nothing: even the gains have to be found out.

    A round has two steps.  First the proposer names a coalition and what it asks for itself;
    the rest is offered to the partners in equal parts.  Then they answer.

    Parameters
    ----------
    batch_size : int
        How many games are played at once.
    customers : Tensor, shape (P, 3, 3, 2), optional
        The games to draw from; by default 64 of their own.
    rounds : int
        After these an episode is truncated.
    device : str or torch.device

    Raises
    ------
    TypeError, ValueError
        If a number is no count, the customers are not as `routing_values` wants them, or one
        is so far out that what is seen would leave the bounds.

    Notes
    -----
    Action ``16 c + a`` of a proposer: coalition ``c`` (0 with the next carrier, 1 with the one
    after, 2 all) and an ask of ``0.2 + 0.05 a``.  Even actions of a partner accept.  Everybody
    else's actions mean nothing.  Observation: the own `views`, whether an offer is on the
    table, whose it is and who is in it (three numbers each, seen from the agent), the own
    share, the time gone.  Rewards are shares of true gains, so the world asks for them.

    Examples
    --------
    >>> env = Bargaining(2)
    >>> state = env.start(as_generator(0))
    >>> offered = env.step(state, torch.full((2, 3), 2 * 16 + 3)).state
    >>> paid = env.step(offered, torch.zeros(2, 3, dtype=torch.long))
    >>> paid.terminated.tolist(), bool((paid.rewards > 0).all())
    ([True, True], True)
    """

    n, n_actions, d = 3, 48, 27
    bounds = (-1.0, 1.0)
    chance = True

    def __init__(
        self, batch_size: int, customers: Tensor | None = None, *, rounds: int = 10, device: str | torch.device = "cpu"
    ) -> None:
        self.batch_size = as_count(batch_size, "a batch size")
        self.horizon = 2 * as_count(rounds, "a number of rounds")
        self.device = as_device(device)
        pool = draw_deliveries(64, seed=0) if customers is None else customers
        self._worths = routing_values(pool).float().to(self.device)
        self._views = views(pool).to(self.device)
        if not len(pool) or self._views.abs().max() > self.bounds[1]:
            raise ValueError(f"expected one or more games, all within 1 of the depots' centre, got {len(pool)} games")

    def start(self, generator: torch.Generator) -> State:
        """Draw the games, and who will propose in each round.

        Parameters
        ----------
        generator : torch.Generator

        Returns
        -------
        dict of str to Tensor
            ``game (B,)``, ``order (B, rounds)``, ``age (B,)``, ``coalition (B,)`` on the table
            or 0, ``shares (B, 3)``.
        """
        B, place = self.batch_size, self.device
        return {
            "game": torch.randint(len(self._views), (B,), generator=generator, device=place),
            "order": torch.randint(3, (B, self.horizon // 2), generator=generator, device=place),
            "age": torch.zeros(B, dtype=torch.long, device=place),
            "coalition": torch.zeros(B, dtype=torch.long, device=place),
            "shares": torch.zeros(B, 3, device=place),
        }

    def _proposer(self, state: State) -> Tensor:
        turn = (state["age"] // 2).clamp(max=self.horizon // 2 - 1)
        return state["order"].gather(1, turn[:, None]).squeeze(1)

    def observe(self, state: State) -> Tensor:
        """Return the addresses and what is on the table, as each agent sees them.

        Parameters
        ----------
        state : dict of str to Tensor

        Returns
        -------
        Tensor of float32, shape (B, 3, 27)
        """
        place = self.device
        around = (torch.arange(3, device=place)[:, None] + torch.arange(3, device=place)) % 3  # agent, then seat
        proposes = nn.functional.one_hot(self._proposer(state), 3)[:, around]
        inside = MEMBERS.to(place)[state["coalition"]][:, around]
        on_table = (state["coalition"] > 0)[:, None, None].expand(-1, 3, 1)
        time = (state["age"] / self.horizon)[:, None, None].expand(-1, 3, 1)
        parts = [self._views[state["game"]], on_table, proposes, inside, state["shares"][..., None], time]
        return torch.cat([part.float() for part in parts], 2)

    def step(self, state: State, actions: Tensor) -> Step:
        """Put an offer on the table, or answer it.

        Parameters
        ----------
        state : dict of str to Tensor
        actions : Tensor of int64, shape (B, 3)

        Returns
        -------
        Step
        """
        check_actions(self, actions)
        proposer, answers = self._proposer(state), state["coalition"] > 0
        coalition, shares = self._offer(proposer, actions.gather(1, proposer[:, None]).squeeze(1))
        willing = (actions % 2 == 0).scatter(1, proposer[:, None], True) | ~MEMBERS.to(self.device)[state["coalition"]]
        terminated = answers & willing.all(1)
        worth = self._worths[state["game"]].gather(1, state["coalition"][:, None])
        rewards = torch.where(terminated[:, None], state["shares"] * worth, 0.0)
        age = state["age"] + 1
        table = {
            "coalition": torch.where(answers, 0, coalition),
            "shares": torch.where(answers[:, None], 0.0, shares),
        }
        return Step(state | table | {"age": age}, rewards, terminated, (age >= self.horizon) > terminated)

    def _offer(self, proposer: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        choice, ask = action // 16, 0.2 + 0.05 * (action % 16)
        left_out = torch.where(choice == 2, 3, 2 - choice)  # how many seats on: 3 is nobody
        coalition = torch.where(choice == 2, 7, 7 - (1 << (proposer + left_out) % 3))
        partners = MEMBERS.to(self.device)[coalition].scatter(1, proposer[:, None], False)
        shares = partners * ((1 - ask) / partners.sum(1))[:, None]
        return coalition, shares.scatter(1, proposer[:, None], ask[:, None])
