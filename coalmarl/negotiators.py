"""Learned negotiators: carriers that pass messages before they name a partner.

All carriers use one network, so it does not matter how many there are.  `Messenger` keeps a
small vector for every seat, that is for every pair of a coalition and a member.  In each layer
a carrier looks over its own seats, the members of a coalition tell each other what they saw,
and every seat is updated; after ``L`` layers news has travelled ``L`` coalitions far.

Three ways to train it.  `learn_selfishly`: every carrier for its own reward, by trial and
error in the coin protocol.  `imitate`: from the optimum that a central planner found for small
worlds; trained centrally, used locally.  `tune_selfishly`: from any start, every carrier for
its own pay in the naming protocol.

`save_weights` writes a safetensors file with half-precision numbers; `load_weights` refuses
what does not fit before it changes anything.

Letters: ``z`` what seats know, ``(M, 3, 16)``; ``h`` what carriers know; others as in
`coalmarl.negotiation`.
"""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from coalmarl.allocation import nearest
from coalmarl.envs import as_count, as_generator
from coalmarl.learners import build, minimise, mlp
from coalmarl.negotiation import (
    DELTA,
    Market,
    Outcome,
    Round,
    Stance,
    best_for_carriers,
    best_packing,
    coin_protocol,
    draw_carriers,
    favourites,
    make_market,
    naming_protocol,
    per_head,
    second_best,
    split,
    tour_savings,
)

__all__ = [
    "Haggler",
    "Messenger",
    "Scorer",
    "features",
    "fit_savings",
    "gated",
    "imitate",
    "learn_selfishly",
    "load_weights",
    "new_scorer",
    "over_seats",
    "priced",
    "reference",
    "save_weights",
    "tune_selfishly",
]


# --- what carriers see, and how they talk ------------------------------------------------------------------------


def reference(market: Market) -> Tensor:
    """Return the money unit of each coalition's world: the mean of its carriers' best gain per head.

    Parameters
    ----------
    market : Market

    Returns
    -------
    Tensor, shape (M,)

    Examples
    --------
    >>> market = make_market(draw_carriers(2, 50, seed=0))
    >>> len(reference(market).unique())
    2
    """
    best = best_for_carriers(market, per_head(market)[:, None].expand(-1, 3))[:-1].view(market.worlds, -1)
    mean = best.sum(1) / (best > 0).sum(1).clamp(min=1)
    return mean[market.members[:, 0] // best.shape[1]]


def features(market: Market) -> Tensor:
    """Return what is known about each seat, in the money of its world.

    Parameters
    ----------
    market : Market

    Returns
    -------
    Tensor, shape (M, 3, 12)
        Gain per head; gain; own Shapley share; own best per head elsewhere; the partners' sum
        and largest of that; the gain minus everybody's; pair or triple; whether it is one's
        best; how many coalitions one is in; gain per head over one's best elsewhere, and over
        the largest of all members'.

    Examples
    --------
    >>> features(make_market(draw_carriers(1, 50, seed=0))).shape[1:]
    torch.Size([3, 12])
    """
    unit = reference(market)[:, None]
    head = (per_head(market)[:, None] / unit).expand(-1, 3)
    v = market.v[:, None] / unit
    elsewhere = second_best(market, head)
    total = elsewhere.sum(1, keepdim=True)
    partners = [elsewhere[:, [s for s in range(3) if s != seat]].amax(1) for seat in range(3)]
    count = torch.bincount(market.members.flatten(), minlength=market.carriers + 1)[market.members] / 16 - 1
    columns = [
        head,
        v,
        market.shapley / unit,
        elsewhere,
        total - elsewhere,
        torch.stack(partners, 1),
        v - total,
        market.size[:, None] * 2 - 5,
        favourites(market, head),
        count,
        head / elsewhere.clamp(min=1e-3),
        head / elsewhere.amax(1, keepdim=True).clamp(min=1e-3),
    ]
    return torch.stack([x.expand(-1, 3).to(head.dtype) for x in columns], -1).clamp(-5, 5)


def over_seats(market: Market, x: Tensor) -> Tensor:
    """Add up what is in each carrier's seats.

    Parameters
    ----------
    market : Market
    x : Tensor, shape (M, 3, ...)

    Returns
    -------
    Tensor, shape (carriers + 1, ...)

    Examples
    --------
    >>> market = make_market(draw_carriers(1, 50, seed=0))
    >>> int(over_seats(market, torch.ones(market.members.shape)).sum()) == market.members.numel()
    True
    """
    total = torch.zeros(market.carriers + 1, *x.shape[2:], dtype=x.dtype, device=x.device)
    return total.index_add(0, market.members.flatten(), x.flatten(0, 1))


PART = 8192  # coalitions looked at together: their numbers fit a processor's cache
WIDTH = 16  # numbers that a seat keeps, and a message has


class _Layer(nn.Module):
    """One exchange of messages."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.weigh, self.tell = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 2), nn.Linear(WIDTH, WIDTH)
        self.update = nn.Sequential(nn.Linear(4 * WIDTH, 2 * WIDTH), nn.ReLU(inplace=True), nn.Linear(2 * WIDTH, WIDTH))

    def forward(self, market: Market, z: Tensor) -> tuple[Tensor, Tensor]:
        there = market.present[..., None].to(z.dtype)
        x = self.norm(z) * there
        weight = self.weigh(x).clamp(-8, 8).exp() * there
        told = (self.tell(x).unflatten(-1, (2, -1)) * weight[..., None]).flatten(-2)
        total = over_seats(market, torch.cat([told, weight], -1))
        h = total[:, :-2] / total[:, -2:].clamp(min=1e-9).repeat_interleave(told.shape[-1] // 2, 1)  # 0 for nobody
        parts = zip(*(torch.split(table, PART) for table in (z, x, market.members)))
        return torch.cat([old + self._news(own, h.index_select(0, who.flatten())) for old, own, who in parts]), h

    def _news(self, x: Tensor, h: Tensor) -> Tensor:
        """What every seat of some coalitions makes of its own and its partners' news."""
        mine = torch.cat([x, h.view(x.shape)], -1)
        news: Tensor = self.update(torch.cat([mine, mine.sum(1, keepdim=True) - mine], -1))
        return news


class Messenger(nn.Module):
    """Carriers that exchange messages over the coalitions they might form.

    Parameters
    ----------
    layers : int
        How often they exchange, at least 1.

    Notes
    -----
    A step costs as many operations as there are seats, about 16 a carrier.

    References
    ----------
    vaswani2017attention

    Examples
    --------
    >>> seats, carriers = Messenger(2)(make_market(draw_carriers(1, 50, seed=0)))
    >>> seats.shape[1:], carriers.shape
    (torch.Size([3, 16]), torch.Size([51, 16]))
    """

    def __init__(self, layers: int) -> None:
        super().__init__()
        self.enter = nn.Sequential(nn.Linear(12, WIDTH), nn.ReLU(inplace=True), nn.Linear(WIDTH, WIDTH))
        self.layers = nn.ModuleList([_Layer() for _ in range(as_count(layers, "a number of layers"))])
        self.leave = nn.Linear(WIDTH, WIDTH)

    def forward(self, market: Market) -> tuple[Tensor, Tensor]:
        """Return what all seats and all carriers know in the end.

        Parameters
        ----------
        market : Market

        Returns
        -------
        seats : Tensor, shape (M, 3, 16)
        carriers : Tensor, shape (carriers + 1, 16)
        """
        z = self.enter(features(market).to(self.leave.weight.dtype))
        for layer in self.layers:
            z, h = layer(market, z)
        return self.leave(z).relu(), h


class Scorer(nn.Module):
    """Scores for coalitions: what they gain per head, plus a bid by each member.

    Parameters
    ----------
    layers : int
        Exchanges of messages before the bids.

    Notes
    -----
    The bids start at 0, so that it begins as the rule "most per head first".

    Examples
    --------
    >>> market = make_market(draw_carriers(1, 50, seed=0))
    >>> scorer = new_scorer(2, as_generator(0))
    >>> scores = naming_protocol(market, scorer).when
    >>> bool((scores == naming_protocol(market, per_head).when).all())
    True
    """

    def __init__(self, layers: int = 6) -> None:
        super().__init__()
        self.messenger, self.bid = Messenger(layers), nn.Linear(WIDTH, 1)
        self.beta = nn.Parameter(torch.tensor(2.0))

    def bids(self, market: Market) -> Tensor:
        """Return the bids of all seats.

        Parameters
        ----------
        market : Market

        Returns
        -------
        Tensor, shape (M, 3)
        """
        return self.bid(self.messenger(market)[0]).squeeze(-1) * market.present

    def forward(self, market: Market) -> Tensor:
        """Return the scores.

        Parameters
        ----------
        market : Market

        Returns
        -------
        Tensor, shape (M,)
        """
        return self.total(market, self.bids(market))

    def total(self, market: Market, bids: Tensor) -> Tensor:
        """Return the scores that some bids make.

        Parameters
        ----------
        market : Market
        bids : Tensor, shape (M, 3)

        Returns
        -------
        Tensor, shape (M,)
        """
        return self.beta * (per_head(market) / reference(market)).to(bids.dtype) + bids.sum(1)


def new_scorer(layers: int, generator: torch.Generator) -> Scorer:
    """Return an untrained `Scorer`.

    Parameters
    ----------
    layers : int
    generator : torch.Generator

    Returns
    -------
    Scorer

    Examples
    --------
    >>> new_scorer(2, as_generator(0)).beta.item()
    2.0
    """
    scorer = build(lambda: Scorer(layers), generator)
    nn.init.zeros_(scorer.bid.weight)
    return scorer


def gated(
    scorer: Callable[[Market], Tensor], *, fairness: float = 0.0, gate: tuple[float, float] = (2.0, 6.0)
) -> Callable[[Market, Round], Stance]:
    """Return a policy for the coin protocol that proposes by scores.

    Parameters
    ----------
    scorer : callable
        From open coalitions to scores.
    fairness : float
        How gains are offered: 0 equally, 1 by the Shapley value.
    gate : tuple of float
        A coalition is proposed only if no member has a score this much better elsewhere: in
        the first round and in the last, linearly between.  Nobody refuses what is proposed.

    Returns
    -------
    callable

    Examples
    --------
    >>> market = make_market(draw_carriers(1, 200, seed=0))
    >>> outcome = coin_protocol(market, gated(new_scorer(2, as_generator(0))), seed=0)
    >>> bool((outcome.when >= 0).any())
    True
    """

    def policy(market: Market, now: Round) -> Stance:
        with torch.no_grad():
            scores = scorer(market)[:, None].expand(-1, 3)
        best = best_for_carriers(market, scores, -torch.inf)[market.members]
        regret = torch.where(market.present, best - scores, 0.0).amax(1, keepdim=True)
        limit = gate[0] + (gate[1] - gate[0]) * now.number / max(1, now.of - 1)
        offers = (split(market, fairness) * market.v[:, None])[:, None].expand(-1, 3, 3)
        demand = torch.zeros(market.carriers + 1, dtype=offers.dtype, device=offers.device)
        return Stance(torch.where(regret <= limit, scores, -torch.inf), offers, demand)

    return policy


# --- learning from a planner -------------------------------------------------------------------------------------


def _log_total(market: Market, logits: Tensor, alone: Tensor) -> Tensor:
    """Logarithm of the sum of exponentials over each carrier's seats and being alone: (carriers + 1,)."""
    top = torch.maximum(best_for_carriers(market, logits.detach(), -torch.inf), alone.detach())
    return (over_seats(market, (logits - top[market.members]).exp()) + (alone - top).exp()).log() + top


def imitate(
    *, seed: int | torch.Generator, updates: int = 400, layers: int = 6, graphs: int = 25, worlds: int = 16, n: int = 64, device: str = "cpu"
) -> Scorer:
    """Train a `Scorer` to rank coalitions as a central planner would choose them.

    Parameters
    ----------
    seed : int or torch.Generator
    updates : int
    layers : int
    graphs, worlds, n : int
        The planner solves this many graphs of so many worlds with ``n`` carriers each.
    device : str

    Returns
    -------
    Scorer

    Notes
    -----
    For every carrier: cross-entropy between the scores of its coalitions, with 0 for staying
    alone, and the one it has in the best packing.

    Examples
    --------
    >>> imitate(seed=0, updates=1, layers=1, graphs=1, worlds=1, n=10).beta.shape
    torch.Size([])
    """
    generator = as_generator(seed, device)
    scorer = new_scorer(layers, generator)
    lessons = []
    for _ in range(as_count(graphs, "a number of graphs")):
        market = make_market(draw_carriers(worlds, n, seed=generator, device=device))
        lessons.append((market, best_packing(market)))

    def loss() -> Tensor:
        market, chosen = lessons[int(torch.randint(graphs, (), generator=generator, device=device))]
        scores = scorer(market)
        nothing = scores.new_zeros(market.carriers + 1)
        likely = over_seats(market, (scores * chosen)[:, None].expand(-1, 3)) - _log_total(market, scores[:, None].expand(-1, 3), nothing)
        return -likely[:-1].mean()

    minimise(scorer, loss, updates, rate=3e-3, last=0.05)
    return scorer


# --- learning from one's own reward ------------------------------------------------------------------------------

OFFERS = torch.arange(1, 10) / 10  # part of the gain for the partners together
DEMANDS = torch.arange(7) / 4  # as a multiple of one's best gain per head


class Haggler(nn.Module):
    """A policy of the coin protocol that draws everything: proposal, offer and demand.

    Attributes
    ----------
    tape : list or None
        If a list, every round appends who acted and, for each carrier, the log-probability of
        what it did, its entropy, and the value it expected.

    Examples
    --------
    >>> market = make_market(draw_carriers(1, 200, seed=0))
    >>> haggler = build(Haggler, as_generator(0))
    >>> bool((coin_protocol(market, haggler, seed=0).when >= 0).any())
    True
    """

    def __init__(self) -> None:
        super().__init__()
        self.messenger = Messenger(2)
        self.seat, self.carrier = nn.Linear(WIDTH, 1 + len(OFFERS)), nn.Linear(WIDTH, len(DEMANDS) + 2)
        self.beta = nn.Parameter(torch.tensor(2.0))
        self.tape: list[tuple[Tensor, ...]] | None = None

    def forward(self, market: Market, now: Round) -> Stance:
        """Return a stance drawn at random.

        Parameters
        ----------
        market : Market
        now : Round

        Returns
        -------
        Stance
        """
        with torch.set_grad_enabled(self.tape is not None):
            knows = self.messenger(market)
            seats, carriers = self.seat(knows[0]), self.carrier(knows[1])
        unit, best = reference(market), best_for_carriers(market, per_head(market)[:, None].expand(-1, 3))
        appeal = seats[..., 0] + (self.beta * (per_head(market) / unit).to(seats.dtype))[:, None]
        proposes = now.proposes[market.members] & market.present
        open_ = proposes & market.listed & (proposes.sum(1, keepdim=True) == 1)
        appeal, alone = torch.where(open_, appeal, -torch.inf), carriers[:, -2]
        loud = appeal.detach() + _gumbel(appeal, now.generator)
        wish = torch.where(loud > (alone.detach() + _gumbel(alone, now.generator))[market.members], loud, -torch.inf)
        offer, demand = _draw(seats[..., 1:], now.generator), _draw(carriers[:, :-2], now.generator)
        if self.tape is not None:
            self.tape.append(self._record(market, now, (appeal, wish, seats[..., 1:], offer), (carriers, demand)))
        money = OFFERS.to(best)[offer] * (market.v / (market.size - 1))[:, None]
        return Stance(wish.to(best.dtype), money[..., None].expand(-1, -1, 3), DEMANDS.to(best)[demand] * best)

    def _record(self, market: Market, now: Round, seats: tuple[Tensor, ...], carriers: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Who acted, log-probability, entropy, expected value."""
        appeal, wish, offer_logits, offer = seats
        taken, logs = favourites(market, wish), offer_logits.log_softmax(-1)
        total, alone = _log_total(market, appeal, carriers[0][:, -2]), carriers[0][:, -2]
        finite = torch.where(appeal > -torch.inf, appeal, 0.0)
        chance = (appeal - total[market.members]).exp()
        spread = total - over_seats(market, chance * finite) - (alone - total).exp() * alone
        acted = over_seats(market, taken.to(appeal.dtype))
        chosen = over_seats(market, torch.where(taken, finite + _at(logs, offer), 0.0)) + (1 - acted) * alone - total
        spread = spread + over_seats(market, torch.where(taken, -(logs.exp() * logs).sum(-1), 0.0))
        answers = carriers[0][:, :-2].log_softmax(-1)
        log_prob = torch.where(now.proposes, chosen, _at(answers, carriers[1]))
        entropy = torch.where(now.proposes, spread, -(answers.exp() * answers).sum(-1))
        sits = over_seats(market, market.present.to(appeal.dtype)) > 0
        return now.free & sits, log_prob, entropy, carriers[0][:, -1]


def _gumbel(like: Tensor, generator: torch.Generator) -> Tensor:
    """Noise that makes the largest of logits a draw from their softmax."""
    return -(-torch.rand(like.shape, generator=generator, device=like.device, dtype=like.dtype).clamp(1e-9).log()).log()


def _draw(logits: Tensor, generator: torch.Generator) -> Tensor:
    return (logits.detach() + _gumbel(logits, generator)).argmax(-1)


def _at(logs: Tensor, index: Tensor) -> Tensor:
    return logs.gather(-1, index[..., None]).squeeze(-1)


def learn_selfishly(*, seed: int | torch.Generator, updates: int = 300, worlds: int = 8, n: int = 32, device: str = "cpu") -> Haggler:
    """Train a `Haggler` by trial and error, every carrier for its own discounted pay.

    Parameters
    ----------
    seed : int or torch.Generator
    updates : int
    worlds, n : int
        Each update plays this many new worlds of ``n`` carriers.
    device : str

    Returns
    -------
    Haggler

    Notes
    -----
    The policy gradient with a learned baseline; the advantages of an update are divided by
    their root mean square.  The bonus for entropy falls from 0.02 to 0.

    References
    ----------
    williams1992simple

    Examples
    --------
    >>> learn_selfishly(seed=0, updates=1, worlds=1, n=10).tape is None
    True
    """
    generator = as_generator(seed, device)
    haggler = build(Haggler, generator)
    for part in (haggler.seat, haggler.carrier):
        nn.init.zeros_(part.weight)
    done = 0

    def loss() -> Tensor:
        nonlocal done
        market = make_market(draw_carriers(worlds, n, seed=generator, device=device))
        haggler.tape = []
        outcome = coin_protocol(market, haggler, seed=generator)
        pay = outcome.payoffs(market, DELTA) / reference(market).mean()
        pay = torch.cat([pay, pay.new_zeros(1)]).float()
        parts = [(pay[who] / DELTA**t - value[who], log_prob[who], entropy[who]) for t, (who, log_prob, entropy, value) in enumerate(haggler.tape)]
        surprise, log_prob, entropy = (torch.cat(column) for column in zip(*parts))
        size = surprise.detach().square().mean().sqrt().clamp(min=1e-6)
        done += 1
        gain = surprise.detach() / size * log_prob + 0.02 * (1 - done / updates) * entropy
        return surprise.square().mean() / 2 - gain.mean()

    minimise(haggler, loss, updates, rate=2e-3, last=0.1)
    haggler.tape = None
    return haggler


def tune_selfishly(
    scorer: Scorer,
    *,
    seed: int | torch.Generator,
    updates: int = 300,
    price: tuple[float, float] = (0.0, 0.0),
    noise: tuple[float, float] = (0.5, 0.15),
    device: str = "cpu",
) -> Scorer:
    """Train a `Scorer` further, in place, every carrier for its own pay in the naming protocol.

    Parameters
    ----------
    scorer : Scorer
    seed : int or torch.Generator
    updates : int
    price : tuple of float
        What bids cost: a bid of 1 more than the members' mean costs this part of the gain, but
        no more than the second number.
    noise : tuple of float
        Spread of the trial bids, at first and at last.
    device : str

    Returns
    -------
    Scorer

    Notes
    -----
    Gains are split by the Shapley value.  All carriers of 16 worlds of 64 add noise to their
    bids, and the same with the other sign; each is moved towards whichever brought it more
    itself.  Four such pairs an update.

    Examples
    --------
    >>> tuned = tune_selfishly(new_scorer(1, as_generator(0)), seed=0, updates=1)
    """
    generator = as_generator(seed, device)
    done = 0

    def pay(market: Market, bids: Tensor) -> Tensor:
        outcome = naming_protocol(market, scorer.total(market, bids), fairness=1.0)
        return priced(market, outcome, bids, price).payoffs(market, DELTA)

    def loss() -> Tensor:
        nonlocal done
        market = make_market(draw_carriers(16, 64, seed=generator, device=device))
        bids, spread = scorer.bids(market), noise[0] + (noise[1] - noise[0]) * done / updates
        done += 1
        total = bids.new_zeros(())
        for _ in range(4):
            with torch.no_grad():
                xi = torch.randn(bids.shape, generator=generator, device=device) * market.present
                gain = (pay(market, bids + spread * xi) - pay(market, bids - spread * xi)).float()
                gain = torch.cat([gain / gain.std().clamp(min=1e-9), gain.new_zeros(1)])
            total = total - (bids * xi * gain[market.members]).sum()
        return total / (4 * market.carriers)

    minimise(scorer, loss, updates, rate=2e-3, last=0.05)
    return scorer


def priced(market: Market, outcome: Outcome, bids: Tensor, price: tuple[float, float]) -> Outcome:
    """Return the outcome after the eager have paid the others.

    Parameters
    ----------
    market : Market
    outcome : Outcome
    bids : Tensor, shape (M, 3)
    price : tuple of float
        As in `tune_selfishly`.

    Returns
    -------
    Outcome

    Examples
    --------
    >>> market = make_market(draw_carriers(1, 50, seed=0))
    >>> outcome = naming_protocol(market, per_head)
    >>> paid = priced(market, outcome, torch.rand(market.members.shape), (0.1, 0.15))
    >>> paid.shares.sum(1).allclose(outcome.shares.sum(1))
    True
    """
    rate, most = price
    if not rate:
        return outcome
    mean = bids.sum(1, keepdim=True) / market.size[:, None]
    moved = torch.where(market.present, (rate * (mean - bids)).clamp(-most, most), 0.0)
    moved = moved - market.present * (moved.sum(1, keepdim=True) / market.size[:, None])
    return outcome._replace(shares=outcome.shares + moved)


# --- learning what tours are worth -------------------------------------------------------------------------------


def fit_savings(*, seed: int | torch.Generator, updates: int = 1000, device: str = "cpu") -> Callable[[Tensor], Tensor]:
    """Learn to estimate what pairs and triples of neighbours save, from where they drive.

    Parameters
    ----------
    seed : int or torch.Generator
    updates : int
        Each looks at 512 pairs and 512 triples.
    device : str

    Returns
    -------
    callable
        For `coalmarl.negotiation.make_market`, in the place of the true savings.

    Examples
    --------
    >>> market = make_market(draw_carriers(1, 50, seed=0), savings=fit_savings(seed=0, updates=1))
    >>> bool((market.v != market.worth).any())
    True
    """
    generator = as_generator(seed, device)
    networks = nn.ModuleList([mlp([6 * k, 128, 128, 1], generator, between=nn.ReLU) for k in (2, 3)])

    def estimate(lanes: Tensor) -> Tensor:
        order = lanes[:, :, 0, 0].argsort(1)  # from west to east
        own = lanes.take_along_dim(order[..., None, None], 1) - lanes[:, :, 0].mean(1)[:, None, None]
        guess: Tensor = networks[lanes.shape[1] - 2](own.flatten(1).float()).squeeze(1)
        return guess

    def loss() -> Tensor:
        carriers = draw_carriers(16, 32, seed=generator, device=device)
        near = nearest(carriers[:, :, 0], 6).flatten(0, 1) + 32 * torch.arange(16, device=device).repeat_interleave(32)[:, None]
        mates = near.gather(1, torch.rand(near.shape, generator=generator, device=device).argsort(1))[:, :2]
        teams = torch.cat([torch.arange(len(near), device=device)[:, None], mates], 1)
        lanes = carriers.flatten(0, 1)[teams]
        errors = [((estimate(part) - tour_savings(part).float()) ** 2).mean() for part in (lanes, lanes[:, :2])]
        return torch.stack(errors).sum()

    minimise(networks, loss, updates)

    @torch.no_grad()
    def savings(lanes: Tensor) -> Tensor:
        return estimate(lanes).clamp(min=0).to(lanes.dtype)

    return savings


# --- weights -----------------------------------------------------------------------------------------------------


def save_weights(path: str | Path, network: nn.Module, about: dict[str, str]) -> None:
    """Write a network's weights as half-precision numbers into a safetensors file.

    Parameters
    ----------
    path : str or Path
    network : torch.nn.Module
    about : dict of str to str
        How it was made; kept in the file.

    Examples
    --------
    >>> import tempfile
    >>> line = nn.Linear(2, 1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_weights(f"{folder}/line.safetensors", line, {"seed": "0"})
    ...     load_weights(f"{folder}/line.safetensors", line)
    {'seed': '0'}
    """
    from safetensors.torch import save_file

    tensors = {name: tensor.detach().cpu().half().contiguous() for name, tensor in network.state_dict().items()}
    save_file(tensors, path, metadata=about)


def load_weights(path: str | Path, network: nn.Module) -> dict[str, str]:
    """Put the weights of a file into a network of the same shape.

    Parameters
    ----------
    path : str or Path
    network : torch.nn.Module
        Changed in place, and only if everything fits.

    Returns
    -------
    dict of str to str
        How the weights were made.

    Raises
    ------
    ValueError
        If the file is missing or damaged, or holds the weights of another network.

    Examples
    --------
    >>> load_weights("nowhere.safetensors", nn.Linear(2, 1))
    Traceback (most recent call last):
    ...
    ValueError: expected weights in nowhere.safetensors, got no such file
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if not path.is_file():
        raise ValueError(f"expected weights in {path}, got no such file")
    try:
        with safe_open(path, framework="pt") as file:
            about, tensors = file.metadata() or {}, {name: file.get_tensor(name) for name in file.keys()}
    except SafetensorError as error:
        raise ValueError(f"expected a safetensors file of half-precision numbers in {path}, got one that is damaged: {error}") from error
    odd = [name for name, tensor in tensors.items() if tensor.dtype != torch.float16 or not tensor.isfinite().all()]
    if odd:
        raise ValueError(f"expected finite numbers of half precision in {path}, got others in {odd[0]}; the file is damaged")
    wanted = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    got = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if wanted != got:
        odd = sorted(name for name in wanted.keys() | got.keys() if wanted.get(name) != got.get(name))
        raise ValueError(f"expected weights for this network, got others in {path}: {odd[0]} is {got.get(odd[0])}, not {wanted.get(odd[0])}")
    network.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
    return about
