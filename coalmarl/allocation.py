"""Sharing a gain among a thousand: every agent looks at its neighbours and says what is its due.

Lorries with nearby, parallel routes can share rides.  In the *lane game* a coalition gains the
sum of its pairs' savings, so the Shapley value has a closed form, `lane_shapley`: half of what
an agent saves with all others.  That makes the game a test with an answer key at any size.

The agents see features, never worths: where the others are, where they drive, how much.  A
`Claimer` network turns what an agent sees into a claim.  It is trained on games of at most 12
agents, on marginal contributions in random orders of arrival (`fit_claims`), and then used on
games of any size.  Whether that works depends on how it pools what it sees: a softmax averages
and cannot count, a sum over all pairs counts the far ones too, a sum over neighbours does both
jobs right.

Shapes: ``B`` games of ``n`` agents, features ``(B, n)``, claims ``(B, n)``; ``k`` neighbours.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from scipy.spatial import cKDTree
from torch import Tensor, nn

from coalmarl.envs import as_count, as_generator
from coalmarl.learners import build, minimise

__all__ = [
    "POOLS",
    "Claimer",
    "Lanes",
    "arrival_gains",
    "draw_lanes",
    "fit_claims",
    "lane_savings",
    "lane_shapley",
    "local_blocking",
    "nearest",
]

WIDTH = 0.25  # distance at which savings fade
NEIGHBOURS = 16
POOLS = ("own", "softmax", "sum", "local")


class Lanes(NamedTuple):
    """The agents of a batch of lane games.

    Attributes
    ----------
    place : Tensor, shape (B, n, 2)
    angle : Tensor, shape (B, n)
        Direction of the drive.
    load : Tensor, shape (B, n)
        How much it carries.
    """

    place: Tensor
    angle: Tensor
    load: Tensor


def draw_lanes(batch_size: int, n: int, *, seed: int | torch.Generator, side: float | None = None, device: str = "cpu") -> Lanes:
    """Draw games in a square.

    Parameters
    ----------
    batch_size, n : int
        Number of games, and of agents in each.
    seed : int or torch.Generator
    side : float, optional
        Of the square; by default ``sqrt(n / 10)``, so that there are always ten agents per
        unit of area.
    device : str
        Of the generator.

    Returns
    -------
    Lanes

    Raises
    ------
    ValueError
        If the side is not positive.

    Examples
    --------
    >>> draw_lanes(2, 5, seed=0).place.shape
    torch.Size([2, 5, 2])
    """
    B, n, generator = as_count(batch_size, "a number of games"), as_count(n, "a number of agents"), as_generator(seed, device)
    side = (n / 10) ** 0.5 if side is None else side
    if not side > 0:
        raise ValueError(f"expected a square with a positive side, got {side}")
    luck = torch.rand(4, B, n, generator=generator, device=generator.device)
    return Lanes(side * luck[:2].permute(1, 2, 0), 2 * torch.pi * luck[2], 0.5 + 1.5 * luck[3])


def lane_savings(lanes: Lanes, agents: slice = slice(None)) -> Tensor:
    """Return what pairs of agents save together.

    Parameters
    ----------
    lanes : Lanes
    agents : slice
        Which rows of the table; by default all.

    Returns
    -------
    Tensor of float64, shape (B, m, n)
        ``sqrt(q_i q_j) exp(-d_ij**2 / (2 * 0.25**2)) (1 + cos(angle between)) / 2``, and 0 for
        an agent with itself.

    Examples
    --------
    >>> two = Lanes(torch.zeros(1, 2, 2), torch.zeros(1, 2), torch.ones(1, 2))
    >>> lane_savings(two).tolist()
    [[[0.0, 1.0], [1.0, 0.0]]]
    """
    place, angle, load = (x.double() for x in lanes)
    apart = torch.cdist(place[:, agents], place, compute_mode="donot_use_mm_for_euclid_dist")
    parallel = (1 + (angle[:, agents, None] - angle[:, None]).cos()) / 2
    savings = (load[:, agents, None] * load[:, None]).sqrt() * (-(apart**2) / (2 * WIDTH**2)).exp() * parallel
    n = place.shape[1]
    itself = torch.arange(n, device=place.device)[agents, None] == torch.arange(n, device=place.device)
    return savings.masked_fill(itself, 0.0)


def lane_shapley(lanes: Lanes) -> Tensor:
    """Return the Shapley values: half of what each agent saves with all others.

    Parameters
    ----------
    lanes : Lanes

    Returns
    -------
    Tensor of float64, shape (B, n)

    Notes
    -----
    Each pair is a game of its own whose saving its two players split.  ``n**2`` steps, in parts
    of 256 agents.

    References
    ----------
    deng1994complexity

    Examples
    --------
    >>> two = Lanes(torch.zeros(1, 2, 2), torch.zeros(1, 2), torch.ones(1, 2))
    >>> lane_shapley(two).tolist()
    [[0.5, 0.5]]
    """
    n = lanes.load.shape[1]
    return torch.cat([lane_savings(lanes, slice(a, a + 256)).sum(2) / 2 for a in range(0, n, 256)], 1)


def nearest(place: Tensor, k: int) -> Tensor:
    """Return each agent's nearest others.

    Parameters
    ----------
    place : Tensor, shape (B, n, 2)
    k : int
        How many; fewer where there are no more.

    Returns
    -------
    Tensor of int64, shape (B, n, min(k, n - 1))
        Their numbers, nearest first.

    Raises
    ------
    TypeError, ValueError
        If ``k`` is not an integer of at least 1.

    Notes
    -----
    A tree per game: ``n log n``.  It is built in the processor's memory.

    Examples
    --------
    >>> nearest(torch.tensor([[[0.0, 0.0], [1.0, 0.0], [5.0, 0.0]]]), 1).flatten().tolist()
    [1, 0, 1]
    """
    n = place.shape[1]
    k = min(as_count(k, "a number of neighbours"), n - 1)
    if not k:
        return torch.empty(*place.shape[:2], 0, dtype=torch.long, device=place.device)
    found = [torch.from_numpy(cKDTree(game).query(game, k + 1)[1]) for game in place.detach().cpu().numpy()]
    near = torch.stack(found).long().to(place.device)
    itself = near == torch.arange(n, device=place.device)[:, None]
    itself[..., -1] |= ~itself.any(-1)  # an agent at the same place may have pushed it out
    return near[~itself].view(*place.shape[:2], k)


class Claimer(nn.Module):
    """From what an agent sees to its claim.

    Parameters
    ----------
    pool : {"own", "softmax", "sum", "local"}
        How it pools what it sees of others: not at all; by a softmax over all, which is an
        average; by a sum over all; by a sum over the 16 nearest, with distances cut at 1.
    width : int

    Raises
    ------
    ValueError
        If there is no such way.

    Notes
    -----
    Steps: ``n**2`` for "softmax" and "sum", ``16 n`` for "local".

    Examples
    --------
    >>> Claimer("local")(draw_lanes(2, 5, seed=0)).shape
    torch.Size([2, 5])
    """

    def __init__(self, pool: str, width: int = 48) -> None:
        if pool not in POOLS:
            raise ValueError(f"expected one of {POOLS}, got {pool!r:.60}")
        super().__init__()
        self.pool, self.queries = pool, 0
        self.own = nn.Sequential(nn.Linear(3, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())
        self.pair = nn.Sequential(nn.Linear(8, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())
        self.score, self.value = nn.Linear(width, 1), nn.Linear(width, width)
        self.out = nn.Sequential(nn.Linear(2 * width, width), nn.ReLU(), nn.Linear(width, 1), nn.Softplus())

    def forward(self, lanes: Lanes) -> Tensor:
        """Return the claims.

        Parameters
        ----------
        lanes : Lanes

        Returns
        -------
        Tensor, shape (B, n)
        """
        heading = torch.stack([lanes.angle.cos(), lanes.angle.sin()], -1)
        seen = torch.cat([heading, lanes.load[..., None], lanes.place], -1)
        pooled = torch.cat([self._pool(seen, block, others) for block, others in self._sight(lanes)], 1)
        return self.out(torch.cat([self.own(seen[..., :3]), pooled], -1)).squeeze(-1)

    def _sight(self, lanes: Lanes) -> Iterator[tuple[Tensor, Tensor]]:
        """Some agents (m,), and whom they look at (B or 1, m, k): parts that fit a processor's cache."""
        n, place = lanes.load.shape[1], lanes.load.device
        agents = torch.arange(n, device=place)
        if self.pool == "local":
            near = nearest(lanes.place, NEIGHBOURS)
            yield from ((block, near[:, block]) for block in torch.split(agents, 1024))
        else:
            everyone = torch.arange(0 if self.pool == "own" else n - 1, device=place)
            yield from ((block, (everyone + (everyone >= block[:, None]))[None]) for block in torch.split(agents, 64))

    def _pool(self, seen: Tensor, agents: Tensor, others: Tensor) -> Tensor:
        """What some agents see of others, (B, m, width)."""
        me = seen[:, agents, None].expand(-1, -1, others.shape[2], -1)
        them = seen[torch.arange(len(seen), device=seen.device)[:, None, None], others]
        away = them[..., 3:] - me[..., 3:]
        away = away.clamp(-1, 1) if self.pool == "local" else away
        code = self.pair(torch.cat([away, away.square().sum(-1, keepdim=True), me[..., :2], them[..., :3]], -1))
        score = self.score(code)
        weight = score.softmax(2) if self.pool == "softmax" else (score - 2).sigmoid()
        return self.value((weight * code).sum(2))


def arrival_gains(savings: Tensor, generator: torch.Generator) -> Tensor:
    """Let the agents of each game arrive in a random order, and return what each one's arrival adds.

    Parameters
    ----------
    savings : Tensor, shape (B, n, n)
        As from `lane_savings`.
    generator : torch.Generator

    Returns
    -------
    Tensor, shape (B, n)

    Notes
    -----
    Takes ``n`` worths a game.  The Shapley value is the average over all orders.

    Examples
    --------
    >>> arrival_gains(torch.ones(1, 3, 3).triu(1) + torch.ones(1, 3, 3).tril(-1), as_generator(0)).sort().values
    tensor([[0., 1., 2.]])
    """
    when = torch.rand(savings.shape[:2], generator=generator, device=savings.device)
    return (savings * (when[:, None] < when[:, :, None])).sum(2)


def fit_claims(pool: str, *, seed: int | torch.Generator, updates: int = 1100, batch_size: int = 128, device: str = "cpu") -> Claimer:
    """Train a `Claimer` on games of 5 to 12 agents, each seen once, in one order of arrival.

    Parameters
    ----------
    pool : {"own", "softmax", "sum", "local"}
    seed : int or torch.Generator
    updates : int
    batch_size : int
        Games in each update.
    device : str

    Returns
    -------
    Claimer
        Its ``queries`` says how many worths it was shown.

    Notes
    -----
    The claim that is nearest to a random arrival's gain, in the mean square, is its average: the
    Shapley value.  Nobody computes one.

    Examples
    --------
    >>> fit_claims("local", seed=0, updates=1, batch_size=2).queries in range(10, 26)
    True
    """
    generator = as_generator(seed, device)
    claimer = build(lambda: Claimer(pool), generator)

    def loss() -> Tensor:
        n = int(torch.randint(5, 13, (), generator=generator, device=generator.device))
        lanes = draw_lanes(batch_size, n, seed=generator, device=device)
        gains = arrival_gains(lane_savings(lanes), generator)
        claimer.queries += gains.numel()
        return ((claimer(lanes) - gains.float()) ** 2).mean()

    minimise(claimer, loss, updates, rate=2e-3, last=0.02)
    return claimer


def local_blocking(lanes: Lanes, shares: Tensor, *, k: int = 4) -> Tensor:
    """Return the part of local coalitions that could do better alone: an agent and its nearest.

    Parameters
    ----------
    lanes : Lanes
    shares : Tensor, shape (B, n)
        What the agents get.
    k : int
        How many neighbours join.

    Returns
    -------
    Tensor of float64, shape (B,)

    Examples
    --------
    >>> lanes = draw_lanes(3, 20, seed=0)
    >>> local_blocking(lanes, lane_shapley(lanes)).tolist(), local_blocking(lanes, torch.zeros(3, 20)).tolist()
    ([0.0, 0.0, 0.0], [1.0, 1.0, 1.0])
    """
    B, n = lanes.load.shape
    near = nearest(lanes.place, k)
    team = torch.cat([torch.arange(n, device=near.device).expand(B, n)[..., None], near], 2)
    games = torch.arange(B, device=near.device)[:, None, None]
    worth = lane_savings(Lanes(*(x[games, team].flatten(0, 1) for x in lanes))).sum((1, 2)) / 2
    paid = shares[games, team].sum(2).double()
    return (worth.view(B, n) > paid + 1e-9).double().mean(1)
