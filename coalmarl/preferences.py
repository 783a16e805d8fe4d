"""Uncertain social preferences: nobody knows for sure how much anybody cares.

An agent that always counts its partner's payoff as its own is easily used.  So let the
preferences be drawn anew for every episode, between not caring at all and caring a lot, and let
everybody see them only through noise (randomised uncertain social preferences, RUSP).  Whoever
wants to know whether kindness pays has to watch what the partner does.

A `Society` says how *regards* ``T`` are drawn: agents fall into teams, and only within a team is
there regard.  Rows divided by their sums are the weights ``W``; agent ``i`` is rewarded with
``sum_j W[i, j] r[j]``.  `draw` draws them, `views` shows agents what they may see, and
`WithPreferences` puts both around any world.

In the worlds for more than two it matters whom one deals with.  In `Rematching` the prisoner's
dilemma is played with a new partner each step, and everybody sees what everybody did.  In
`PrisonersBuddy` agents choose each other or sit out; with an odd number somebody is left out.
Networks that treat all others alike learn there faster: `FacingOne`, `ChoosingOne`.

Three models, each nearer to life: `learn_table` has four signals and no sampling, `learn_memory_one`
has a network and exact returns, and `coalmarl.learners.ppo` in a `WithPreferences` world has
nothing but experience.  In all of them policies remember rounds as in `coalmarl.shaping`.

What counts is tested without any kindness in the reward: everybody alone, ``W = I``, no noise.

Letters: ``B`` worlds, ``n`` agents.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from coalmarl.envs import (
    RUSP_IPD,
    BatchedEnv,
    RepeatedMatrixGame,
    State,
    Step,
    as_count,
    as_device,
    as_generator,
    check_actions,
)
from coalmarl.learners import Player, PPOSettings, mlp
from coalmarl.shaping import IteratedGame

__all__ = [
    "DILEMMA",
    "EXACT",
    "RECIPROCITY",
    "RELEASED",
    "REPUTATION",
    "SIGNALS",
    "TABLE",
    "TEAMS",
    "ChoosingOne",
    "ExactSettings",
    "FacingOne",
    "Preferences",
    "PrisonersBuddy",
    "Rematching",
    "Society",
    "WithPreferences",
    "answer",
    "cooperation",
    "draw",
    "learn_memory_one",
    "learn_table",
    "normalise",
    "prosocial",
    "recall_one",
    "seated",
    "signal_chances",
    "team_sizes",
    "views",
]

SIGNALS = ("surely alone", "surely a team", "perhaps alone", "perhaps a team")

# The prisoner's dilemma with traces of the last round and of about the last five.
DILEMMA = partial(RepeatedMatrixGame, memory=(1.0, 0.2))

# What `coalmarl.learners.ppo` needs to find reciprocity among 512 pairs.
RECIPROCITY = PPOSettings(updates=140, gamma=0.9, rate=(5e-3, 2.5e-4), reward_scale=0.25, past_share=0.3)

# What it needs among 256 groups of four, where an old self must not stay for long, and among 128 of five.
REPUTATION = PPOSettings(
    updates=180, gamma=0.85, rate=(2e-3, 1e-4), entropy=(0.02, 0.005), reward_scale=0.25, past_share=0.3, past_every=5, past_kept=5
)
TEAMS = PPOSettings(updates=70, entropy=(0.06, 0.003), reward_scale=0.25, past_share=0.3)

_FADING = 0.2  # how fast a trace of the past moves


# --- who cares for whom -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Society:
    """How preferences are drawn, once per episode.

    Attributes
    ----------
    n : int
        Agents, at least 2.
    teams : tuple of int
        Least and greatest size of a team.  All ways to write ``n`` as a sum of such sizes are
        equally likely.
    loners : float, optional
        Instead: each agent is alone with this probability, and all others form one team.
    own : tuple of float
        Range of an agent's regard for itself.
    regard : tuple of float
        Range of the regard for a member of the own team; may reach below 0.
    noise : tuple of float
        Range of the standard deviation with which each number is seen, at least 0.
    mutual : bool
        Whether two agents have the same regard for each other.
    shared : bool
        Whether all observers see the same noisy numbers.
    own_row : bool
        Whether agents see only their own regards, and nothing of how others regard themselves.

    Raises
    ------
    ValueError
        If no society can be drawn that way.
    TypeError
        If a number has the wrong type.

    Notes
    -----
    The default is what was published with the idea, for two agents.  ``mutual=False`` together
    with ``own_row=True`` is what is often told instead.

    References
    ----------
    baker2020emergent
    """

    n: int = 2
    teams: tuple[int, int] = (1, 2)
    loners: float | None = None
    own: tuple[float, float] = (0.0, 1.0)
    regard: tuple[float, float] = (0.0, 1.0)
    noise: tuple[float, float] = (0.0, 1.0)
    mutual: bool = True
    shared: bool = False
    own_row: bool = False

    def __post_init__(self) -> None:
        if as_count(self.n, "a number of agents") < 2:
            raise ValueError("expected 2 agents or more, got 1: alone there is nobody to care for")
        team_sizes(self.n, *self.teams)
        if self.loners is not None and not 0 <= self.loners <= 1:
            raise ValueError(f"expected a probability of loners between 0 and 1, got {self.loners}")
        for name, (low, high) in (("own", self.own), ("regard", self.regard), ("noise", self.noise)):
            if not -float("inf") < low <= high < float("inf"):
                raise ValueError(f"expected for {name} a finite range from a lower to a higher number, got {(low, high)}")
        if self.own[0] < 0 or self.noise[0] < 0:
            raise ValueError(f"expected no number below 0 in own and noise, got {self.own} and {self.noise}")
        if self.own[1] == 0:
            raise ValueError("expected some regard for oneself, got own=(0, 0), which leaves whoever is alone without weights")

    @property
    def chance(self) -> bool:
        """Whether two draws can differ."""
        fixed = self.own[0] == self.own[1] and self.noise[1] == 0
        sizes = {1} if self.loners == 1 else {self.n} if self.loners == 0 else set() if self.loners else set(self.teams)
        together = sizes == {self.n} and self.regard[0] == self.regard[1]
        return not (fixed and (sizes == {1} or together))


def prosocial(alpha: float, n: int = 2) -> Society:
    """Return a society where all count others' payoffs ``alpha`` times, and know it.

    Parameters
    ----------
    alpha : float
        0: everybody is selfish.
    n : int

    Returns
    -------
    Society

    Examples
    --------
    >>> draw(prosocial(0.25), 1, as_generator(0)).weights.tolist()
    [[[0.800000011920929, 0.20000000298023224], [0.20000000298023224, 0.800000011920929]]]
    """
    return Society(n, teams=(n, n), own=(1.0, 1.0), regard=(alpha, alpha), noise=(0.0, 0.0))


class Preferences(NamedTuple):
    """What was drawn for a batch of worlds.

    Attributes
    ----------
    regards : Tensor, shape (B, n, n)
        ``T``.
    weights : Tensor, shape (B, n, n)
        ``W``: what agent ``i``'s reward takes from agent ``j``'s payoff.
    noise : Tensor, shape (B, n, n, n)
        Standard deviation with which observer ``i`` sees ``T[j, k]``.
    seen : Tensor, shape (B, n, n, n)
        What observer ``i`` sees of it.
    """

    regards: Tensor
    weights: Tensor
    noise: Tensor
    seen: Tensor


def team_sizes(n: int, least: int, greatest: int) -> list[tuple[int, ...]]:
    """List the ways to cut a number of agents into teams.

    Parameters
    ----------
    n : int
    least, greatest : int
        Allowed sizes of a team.

    Returns
    -------
    list of tuple of int
        Sizes in ascending order.

    Raises
    ------
    ValueError
        If there is no way.
    TypeError
        If a number is no integer.

    Examples
    --------
    >>> team_sizes(4, 1, 4)
    [(1, 1, 1, 1), (1, 1, 2), (1, 3), (2, 2), (4,)]
    """
    n, low, high = as_count(n, "a number of agents"), as_count(least, "a least size"), as_count(greatest, "a greatest size")

    def cut(rest: int, low: int) -> list[tuple[int, ...]]:
        further = [(size, *others) for size in range(low, min(high, rest) + 1) for others in cut(rest - size, size)]
        return further if rest else [()]

    if not (found := cut(n, low)):
        raise ValueError(f"expected team sizes that add up to {n} agents, got sizes from {low} to {high}")
    return found


def draw(society: Society, batch_size: int, generator: torch.Generator) -> Preferences:
    """Draw the preferences of a batch of worlds.

    Parameters
    ----------
    society : Society
    batch_size : int
    generator : torch.Generator
        Where the chance comes from; the tensors live on its device.

    Returns
    -------
    Preferences

    Raises
    ------
    ValueError
        If a row of regards is all 0.

    Notes
    -----
    1. Cut the agents into teams, and shuffle who is in which.
    2. Draw a regard for each pair of a team; outside teams it is 0.
    3. Draw everybody's regard for themselves.
    4. Divide each row by its sum; a loner's weights are 1 and 0, whatever was drawn.
    5. For each observer and each number draw a noise level and one error.  Neither changes
       during the episode: noise drawn anew each step would average away.

    References
    ----------
    baker2020emergent

    Examples
    --------
    >>> drawn = draw(Society(), 20_000, as_generator(0))
    >>> [round(float(w), 2) for w in drawn.weights.mean(0)[0]]
    [0.75, 0.25]
    """
    B, n, device = as_count(batch_size, "a batch size"), society.n, generator.device

    def between(ends: tuple[float, float], *shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator, device=device) * (ends[1] - ends[0]) + ends[0]

    team = _teams(society, B, generator)
    regards = between(society.regard, B, n, n)
    if society.mutual:
        regards = regards.tril() + regards.tril(-1).mT
    regards = torch.where(team[:, :, None] == team[:, None, :], regards, 0.0)
    own = between(society.own, B, n).clamp(min=torch.finfo(torch.float32).tiny)  # 0 comes up once in 2^24 draws
    regards.diagonal(dim1=1, dim2=2).copy_(own)
    observers = 1 if society.shared else n
    noise = between(society.noise, B, observers, n, n)
    seen = regards[:, None] + noise * torch.randn(noise.shape, generator=generator, device=device)
    rows = torch.eye(n, device=device)[..., None] if society.own_row else torch.ones(n, n, 1, device=device)
    return Preferences(regards, normalise(regards), noise * rows, seen * rows)


def _teams(society: Society, B: int, generator: torch.Generator) -> Tensor:
    """A label for each agent, equal within a team: shape (B, n)."""
    n, device = society.n, generator.device
    if society.loners is not None:
        alone = torch.rand(B, n, generator=generator, device=device) < society.loners
        return torch.where(alone, torch.arange(1, n + 1, device=device), 0)
    cuts = [[k for k, size in enumerate(sizes) for _ in range(size)] for sizes in team_sizes(n, *society.teams)]
    chosen = torch.randint(len(cuts), (B,), generator=generator, device=device)
    shuffled = torch.rand(B, n, generator=generator, device=device).argsort(1)
    return torch.tensor(cuts, device=device)[chosen].gather(1, shuffled)


def normalise(regards: Tensor) -> Tensor:
    """Divide each row of regards by its sum, or by the sum of sizes where some are negative.

    Parameters
    ----------
    regards : Tensor, shape (..., n, n)

    Returns
    -------
    Tensor, shape (..., n, n)

    Raises
    ------
    ValueError
        If a row is all 0 or not finite.

    Examples
    --------
    >>> normalise(torch.tensor([[3.0, 1.0], [1.0, 1.0]]))
    tensor([[0.7500, 0.2500],
            [0.5000, 0.5000]])
    """
    total = regards.abs().sum(-1, keepdim=True)
    if not bool(((total > 0) & total.isfinite()).all()):
        raise ValueError("expected finite regards, and in each row one that is not 0, got a row without; give agents some regard for themselves")
    return regards / total


def views(drawn: Preferences) -> Tensor:
    """Return what each agent may see of the preferences.

    Parameters
    ----------
    drawn : Preferences

    Returns
    -------
    Tensor, shape (B, n, 2 + 4 (n - 1))
        Its regard for itself; then for agents ``i+1, i+2, ..., i-1`` in turn its regard for
        the other, and the other's regard for itself.  Each number as agent ``i`` sees it,
        followed by its noise level.  How two others regard each other is not shown.

    Examples
    --------
    >>> views(draw(prosocial(0.25), 1, as_generator(0)))[0, 0]
    tensor([1.0000, 0.0000, 0.2500, 0.0000, 1.0000, 0.0000])
    """
    B, n = drawn.regards.shape[:2]
    i = torch.arange(n, device=drawn.regards.device)
    j = (i[:, None] + torch.arange(1, n, device=i.device)) % n
    k = i[:, None]

    def look(me: Tensor, row: Tensor, column: Tensor) -> list[Tensor]:
        return [x.expand(B, n, n, n)[:, me, row, column] for x in (drawn.seen, drawn.noise)]

    others = torch.stack([*look(k, k, j), *look(k, j, j)], dim=-1)
    return torch.cat([torch.stack(look(i, i, i), dim=-1), others.flatten(2)], dim=-1)


# --- a world with preferences -----------------------------------------------------------------------------------


RELEASED = Society()


class WithPreferences(BatchedEnv):
    """Any world, its rewards mixed by preferences that agents see through noise.

    Parameters
    ----------
    batch_size : int
    game : callable
        Makes the world: takes a batch size and ``device``.  By default ``DILEMMA``, the
        prisoner's dilemma, 16 times, with traces of the last round and of about the last five.
    society : Society
        How the preferences of an episode are drawn; by default as published, for two.
    device : str or torch.device

    Raises
    ------
    ValueError
        If the world has another number of agents than the society.

    Notes
    -----
    An agent sees what the world shows, and then its `views`.

    References
    ----------
    baker2020emergent

    Examples
    --------
    >>> env = WithPreferences(1, society=prosocial(1.0))
    >>> env.step(env.start(as_generator(0)), torch.tensor([[0, 1]])).rewards.tolist()
    [[1.0, 1.0]]
    """

    bounds = (-float("inf"), float("inf"))

    def __init__(
        self,
        batch_size: int,
        game: Callable[..., BatchedEnv] = DILEMMA,
        society: Society = RELEASED,
        *,
        device: str | torch.device = "cpu",
    ) -> None:
        self.batch_size = as_count(batch_size, "a batch size")
        self.device = as_device(device)
        self.game, self.society = game(self.batch_size, device=self.device), society
        self.n, self.n_actions, self.horizon = self.game.n, self.game.n_actions, self.game.horizon
        if self.n != society.n:
            raise ValueError(f"expected a society of {self.n} agents, as in the world, got one of {society.n}")
        self.d = self.game.d + 2 + 4 * (self.n - 1)
        self.chance = self.game.chance or society.chance

    def start(self, generator: torch.Generator) -> State:
        """Start the world, and draw the preferences.

        Parameters
        ----------
        generator : torch.Generator

        Returns
        -------
        dict of str to Tensor
            The world's, and ``weights (B, n, n)`` and ``views (B, n, 2 + 4 (n - 1))``.
        """
        state, drawn = self.game.start(generator), draw(self.society, self.batch_size, generator)
        return {**state, "weights": drawn.weights, "views": views(drawn)}

    def observe(self, state: State) -> Tensor:
        """Return what the world shows, and the preferences as seen.

        Parameters
        ----------
        state : dict of str to Tensor

        Returns
        -------
        Tensor, shape (B, n, d)
        """
        return torch.cat([self.game.observe(state), state["views"]], dim=-1)

    def step(self, state: State, actions: Tensor) -> Step:
        """Let the world pay, and mix what it pays.

        Parameters
        ----------
        state : dict of str to Tensor
        actions : Tensor of int64, shape (B, n)

        Returns
        -------
        Step
        """
        step = self.game.step(state, actions)
        mixed = (state["weights"] @ step.rewards[..., None]).squeeze(-1)
        kept = {name: state[name] for name in ("weights", "views")}
        return Step({**step.state, **kept}, mixed, step.terminated, step.truncated)


def recall_one(policy: Sequence[float]) -> Player:
    """Return a player of the repeated dilemma that remembers one round.

    Parameters
    ----------
    policy : sequence of float
        Probability of C at the start and after CC, CD, DC, DD, own action first, as in
        `coalmarl.shaping.STRATEGIES`.

    Returns
    -------
    callable
        From observations of a `WithPreferences` world with its default game to actions.

    Raises
    ------
    ValueError
        If these are not five probabilities.

    Examples
    --------
    >>> env, generator = WithPreferences(1), as_generator(0)
    >>> suspicious = recall_one((0, 1, 0, 1, 0))
    >>> suspicious(env.observe(env.start(generator)), generator).tolist()
    [[1, 1]]
    """
    chances = torch.tensor(policy, dtype=torch.float32)
    if chances.shape != (5,) or not bool(((chances >= 0) & (chances <= 1)).all()):
        raise ValueError(f"expected five probabilities, for the start and after CC, CD, DC, DD, got {policy!r:.60}")

    def play(seen: Tensor, generator: torch.Generator) -> Tensor:
        met, own_d, other_d = seen[..., 0] + seen[..., 2], seen[..., 2], seen[..., 6]
        state = (met * (1 + 2 * own_d + other_d)).long()
        luck = torch.rand(state.shape, generator=generator, device=seen.device)
        return (luck >= chances.to(seen.device)[state]).long()

    return play


def seated(players: Sequence[Player]) -> Player:
    """Give each seat to a player of its own.

    Parameters
    ----------
    players : sequence of callable
        One for each agent: from observations ``(B, 1, d)`` and a generator to actions ``(B, 1)``.

    Returns
    -------
    callable
        From observations ``(B, n, d)`` to actions ``(B, n)``.

    Raises
    ------
    ValueError
        When called for another number of agents.

    Examples
    --------
    >>> pair = seated([recall_one([1.0] * 5), recall_one([0.0] * 5)])
    >>> pair(torch.zeros(3, 2, 14), as_generator(0)).tolist()
    [[0, 1], [0, 1], [0, 1]]
    """

    def play(seen: Tensor, generator: torch.Generator) -> Tensor:
        if seen.shape[1] != len(players):
            raise ValueError(f"expected a player for each of {seen.shape[1]} agents, got {len(players)}")
        return torch.cat([player(seen[:, [i]], generator) for i, player in enumerate(players)], dim=1)

    return play


# --- a new partner each step ------------------------------------------------------------------------------------


class Rematching(BatchedEnv):
    """The prisoner's dilemma with a partner drawn anew each step, everything on public record.

    Parameters
    ----------
    batch_size : int
    n : int
        Agents, an even number.
    horizon : int
        Steps after which an episode is truncated.
    device : str or torch.device

    Raises
    ------
    ValueError
        If a number is out of range, or ``n`` is odd.
    TypeError
        If a number is no integer.

    Notes
    -----
    Actions are C and D, payoffs `coalmarl.envs.RUSP_IPD`.  Observation: four times four numbers,
    for what I last did to this partner, it last did to me, it last did to anybody, and I last
    did to anybody; each time whether C, whether D, and a fading trace of each.  Then for agents
    ``i+1, i+2, ..., i-1`` whether it is the partner.

    Examples
    --------
    >>> env = Rematching(1)
    >>> env.step(env.start(as_generator(0)), torch.tensor([[0, 0, 0, 0]])).rewards.tolist()
    [[2.0, 2.0, 2.0, 2.0]]
    """

    n_actions, bounds, chance = 2, (0.0, 1.0), True

    def __init__(self, batch_size: int, *, n: int = 4, horizon: int = 16, device: str | torch.device = "cpu") -> None:
        self.batch_size, self.n = as_count(batch_size, "a batch size"), as_count(n, "a number of agents")
        self.horizon, self.device = as_count(horizon, "a horizon"), as_device(device)
        if n % 2:
            raise ValueError(f"expected an even number of agents, so that all have a partner, got {n}")
        self.d = 16 + n - 1
        self._payoffs = torch.tensor(RUSP_IPD, device=self.device)

    def start(self, generator: torch.Generator) -> State:
        """Draw all partners of the episode.

        Parameters
        ----------
        generator : torch.Generator

        Returns
        -------
        dict of str to Tensor
            ``partner (B, horizon + 1, n)``; ``direct (B, n, n, 4)`` and ``record (B, n, 4)``, what
            each last did to each and to anybody; ``age (B,)``.
        """
        B, n = self.batch_size, self.n
        order = torch.rand(B, self.horizon + 1, n, generator=generator, device=self.device).argsort(-1)
        partner = torch.zeros_like(order).scatter_(-1, order, order.view(*order.shape[:2], -1, 2).flip(-1).flatten(2))
        direct, record = torch.zeros(B, n, n, 4, device=self.device), torch.zeros(B, n, 4, device=self.device)
        return {"partner": partner, "direct": direct, "record": record, "age": torch.zeros_like(partner[:, 0, 0])}

    def observe(self, state: State) -> Tensor:
        """Return the records that concern the partner of the next step.

        Parameters
        ----------
        state : dict of str to Tensor

        Returns
        -------
        Tensor, shape (B, n, d)
        """
        partner = self._partner(state)
        mine, its = (x.take_along_dim(partner[..., None, None], 2).squeeze(2) for x in (state["direct"], state["direct"].transpose(1, 2)))
        known = state["record"].take_along_dim(partner[..., None], 1)
        ahead = (partner - torch.arange(self.n, device=self.device)) % self.n
        who = nn.functional.one_hot(ahead - 1, self.n - 1).float()
        return torch.cat([mine, its, known, state["record"], who], dim=-1)

    def step(self, state: State, actions: Tensor) -> Step:
        """Pay each pair, and write down what everybody did.

        Parameters
        ----------
        state : dict of str to Tensor
        actions : Tensor of int64, shape (B, n)

        Returns
        -------
        Step
        """
        check_actions(self, actions)
        partner = self._partner(state)
        rewards = self._payoffs[actions, actions.gather(1, partner)]
        done = nn.functional.one_hot(actions, 2).float().repeat(1, 1, 2)
        where = partner[..., None, None].expand(-1, -1, 1, 4)
        direct = state["direct"].scatter(2, where, _remembered(state["direct"].gather(2, where), done.unsqueeze(2)))
        age = state["age"] + 1
        after = {"partner": state["partner"], "direct": direct, "record": _remembered(state["record"], done), "age": age}
        return Step(after, rewards, torch.zeros_like(age, dtype=torch.bool), age >= self.horizon)

    def _partner(self, state: State) -> Tensor:
        """Partner of each agent in the next step, shape (B, n)."""
        return state["partner"].take_along_dim(state["age"][:, None, None], 1).squeeze(1)


def _remembered(old: Tensor, done: Tensor) -> Tensor:
    """Two numbers for the last action, and two traces of it that fade."""
    return torch.lerp(old, done, torch.tensor([1.0, 1.0, _FADING, _FADING], device=old.device))


def answer(first: int = 0) -> Player:
    """Return a player of `Rematching` that does to each partner what that one last did to it.

    Parameters
    ----------
    first : int
        What it does at a first meeting: 0 for C, 1 for D.

    Returns
    -------
    callable
        From observations ``(B, m, d)`` to actions ``(B, m)``.

    Examples
    --------
    >>> answer(first=1)(torch.zeros(1, 2, 19), as_generator(0)).tolist()
    [[1, 1]]
    """

    def play(seen: Tensor, generator: torch.Generator) -> Tensor:
        never = (seen[..., 4] + seen[..., 5]) == 0
        return torch.where(never, first, seen[..., 5].long())

    return play


# --- choosing each other ----------------------------------------------------------------------------------------


class PrisonersBuddy(BatchedEnv):
    """Agents choose each other: a mutual choice pays, a vain one costs.

    Parameters
    ----------
    batch_size : int
    n : int
        Agents, at least 3.
    vain : float
        Payoff of choosing somebody who does not choose back.
    horizon : int
        Steps after which an episode is truncated.
    device : str or torch.device

    Raises
    ------
    ValueError
        If a number is out of range or not finite.
    TypeError
        If a number of things is no integer.

    Notes
    -----
    Action 0 sits out; action ``k`` chooses agent ``i + k``, counted round.  Payoffs: 2 for each of
    two who choose each other; for others `vain` for choosing, and 1 for each vain choice that
    falls on one.  Observation: for agents ``i+1, i+2, ..., i-1`` in turn seven numbers: whether I
    chose it last, whether it chose me, fading traces of both, whether that was mutual, whether
    it is in a pair with somebody else, and the share of agents that chose it.

    References
    ----------
    baker2020emergent

    Examples
    --------
    >>> env = PrisonersBuddy(1, n=3)
    >>> env.step(env.start(as_generator(0)), torch.tensor([[1, 2, 1]])).rewards.tolist()
    [[3.0, 2.0, -1.0]]
    """

    bounds, chance = (0.0, 1.0), False

    def __init__(
        self, batch_size: int, *, n: int = 5, vain: float = -1.0, horizon: int = 16, device: str | torch.device = "cpu"
    ) -> None:
        self.batch_size, self.n = as_count(batch_size, "a batch size"), as_count(n, "a number of agents")
        self.horizon, self.device = as_count(horizon, "a horizon"), as_device(device)
        if n < 3 or not -float("inf") < vain < float("inf"):
            raise ValueError(f"expected 3 agents or more and a finite payoff of a vain choice, got {n} and {vain}")
        self.n_actions, self.d, self.vain = n, 7 * (n - 1), vain
        start = torch.arange(n, device=self.device)
        self._others = (start[:, None] + torch.arange(1, n, device=self.device)) % n
        self._at = start[:, None]

    def start(self, generator: torch.Generator) -> State:
        """Forget who chose whom.

        Parameters
        ----------
        generator : torch.Generator

        Returns
        -------
        dict of str to Tensor
            ``chose`` and ``habit (B, n, n)``: whether ``i`` chose ``j`` last, and its fading trace; ``age (B,)``.
        """
        chose = torch.zeros(self.batch_size, self.n, self.n, device=self.device)
        return {"chose": chose, "habit": chose.clone(), "age": torch.zeros_like(chose[:, 0, 0], dtype=torch.long)}

    def observe(self, state: State) -> Tensor:
        """Return what each agent knows of each other one.

        Parameters
        ----------
        state : dict of str to Tensor

        Returns
        -------
        Tensor, shape (B, n, d)
        """
        chose, habit = state["chose"], state["habit"]
        mutual = chose * chose.mT
        taken = mutual.sum(2)[:, None, :] - mutual
        popular = (chose.sum(1) / (self.n - 1))[:, None, :].expand_as(chose)
        known = torch.stack([chose, chose.mT, habit, habit.mT, mutual, taken, popular], dim=-1)
        return known[:, self._at, self._others].flatten(2)

    def step(self, state: State, actions: Tensor) -> Step:
        """Pay for the choices, and remember them.

        Parameters
        ----------
        state : dict of str to Tensor
        actions : Tensor of int64, shape (B, n)

        Returns
        -------
        Step
        """
        check_actions(self, actions)
        target = (self._at.squeeze(1) + actions) % self.n
        chose = nn.functional.one_hot(target, self.n) * (actions > 0)[..., None]
        mutual = chose * chose.mT
        vain = chose - mutual
        rewards = 2.0 * mutual.sum(2) + self.vain * vain.sum(2) + vain.sum(1)
        age, chosen = state["age"] + 1, chose.float()
        after = {"chose": chosen, "habit": torch.lerp(state["habit"], chosen, _FADING), "age": age}
        return Step(after, rewards, torch.zeros_like(age, dtype=torch.bool), age >= self.horizon)


# --- networks that treat all others alike -----------------------------------------------------------------------


class FacingOne(nn.Module):
    """A network for `Rematching` with preferences: of all regards it sees those of its partner.

    Parameters
    ----------
    n : int
        Agents in the world.
    outputs : int
        2 for a policy, 1 for a critic.
    generator : torch.Generator
        Where the weights come from.

    Examples
    --------
    >>> FacingOne(4, 2, as_generator(0))(torch.zeros(3, 4, 19 + 14)).shape
    torch.Size([3, 4, 2])
    """

    def __init__(self, n: int, outputs: int, generator: torch.Generator) -> None:
        super().__init__()
        self.parts = [16, n - 1, 2, 4 * (n - 1)]
        self.body = mlp([16 + 2 + 4, 48, 48, outputs], generator, last=0.01 if outputs > 1 else 1.0)

    def forward(self, seen: Tensor) -> Tensor:
        """Return logits or values.

        Parameters
        ----------
        seen : Tensor, shape (m, n, d)

        Returns
        -------
        Tensor, shape (m, n, outputs)
        """
        game, who, own, others = seen.split(self.parts, dim=-1)  # type: ignore[no-untyped-call]
        partner = (who[..., None, :] @ others.unflatten(-1, (-1, 4))).squeeze(-2)
        return self.body(torch.cat([game, own, partner], dim=-1))


class ChoosingOne(nn.Module):
    """A network for `PrisonersBuddy` with preferences: the same weights score each of the others.

    Parameters
    ----------
    n : int
        Agents in the world.
    outputs : int
        ``n`` for a policy, 1 for a critic.
    generator : torch.Generator
        Where the weights come from.

    Notes
    -----
    What is known of each of the others goes through the same layers; the mean over the others
    says whether to sit out, and together with each single one whether to choose that one.

    Examples
    --------
    >>> ChoosingOne(5, 5, as_generator(0))(torch.zeros(3, 5, 28 + 18)).shape
    torch.Size([3, 5, 5])
    """

    def __init__(self, n: int, outputs: int, generator: torch.Generator) -> None:
        super().__init__()
        self.parts = [7 * (n - 1), 2, 4 * (n - 1)]
        size = 0.01 if outputs > 1 else 1.0
        self.look = nn.Sequential(mlp([7 + 2 + 4, 32, 32], generator), nn.Tanh())
        self.alone = mlp([32, 32, 1], generator, last=size)
        self.choose = mlp([64, 32, 1], generator, last=size) if outputs > 1 else None

    def forward(self, seen: Tensor) -> Tensor:
        """Return logits or values.

        Parameters
        ----------
        seen : Tensor, shape (m, n, d)

        Returns
        -------
        Tensor, shape (m, n, outputs)
        """
        game, own, others = seen.split(self.parts, dim=-1)  # type: ignore[no-untyped-call]
        about = torch.cat([game.unflatten(-1, (-1, 7)), others.unflatten(-1, (-1, 4))], dim=-1)
        each = self.look(torch.cat([about, own.unsqueeze(-2).expand(*about.shape[:-1], 2)], dim=-1))
        together = each.mean(-2)
        sit = self.alone(together)
        if self.choose is None:
            return sit
        pairs = torch.cat([each, together.unsqueeze(-2).expand_as(each)], dim=-1)
        return torch.cat([sit, self.choose(pairs).squeeze(-1)], dim=-1)


# --- exact models -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ExactSettings:
    """How policies with exact returns learn.

    Attributes
    ----------
    updates : int
        Steps along the gradient.
    gamma : float
        Weight of each next round.
    tremble : float
        Probability that an action is left to a fair coin.
    rate : float
        Learning rate at the start.
    pairs : int
        Pairs drawn for each step, where pairs are drawn.
    """

    updates: int = 300
    gamma: float = 0.9
    tremble: float = 0.05
    rate: float = 0.01
    pairs: int = 512

    def __post_init__(self) -> None:
        as_count(self.updates, "a number of updates")
        as_count(self.pairs, "a number of pairs")
        if not 0 <= self.tremble <= 1 or not 0 < self.rate < float("inf"):
            raise ValueError(f"expected a tremble in [0, 1] and a rate above 0, got {self.tremble} and {self.rate}")


EXACT = ExactSettings()
TABLE = ExactSettings(updates=1500, rate=20.0)


def cooperation(own: Tensor, other: Tensor, gamma: float = 0.9) -> Tensor:
    """Return how often a policy cooperates with another, round ``t`` weighing ``gamma**t``.

    Parameters
    ----------
    own, other : Tensor, shape (..., 5)
        Probabilities of C at the start and after CC, CD, DC, DD, own action first.
    gamma : float

    Returns
    -------
    Tensor, shape (...)

    Examples
    --------
    >>> from coalmarl.shaping import STRATEGIES
    >>> tft, all_d = torch.tensor([STRATEGIES["TFT"], STRATEGIES["AllD"]], dtype=torch.float64)
    >>> cooperation(tft, all_d)
    tensor(0.1000, dtype=torch.float64)
    """
    visits = IteratedGame(RUSP_IPD, gamma).visits(_pair(own, other))
    return (1 - gamma) * visits[..., :2].sum(-1)


def _wellbeing(own: Tensor, other: Tensor, weights: Tensor, gamma: float) -> Tensor:
    """Weighted mean payoff per round, for whoever can change only its own policy.

    Policies ``(..., 5)``, the weights of the own and of the other's payoff ``(..., 2)``.
    """
    returns = IteratedGame(RUSP_IPD, gamma).returns(_pair(own, other.detach()))
    return (1 - gamma) * (weights * returns).sum(-1)


def _pair(own: Tensor, other: Tensor) -> Tensor:
    return torch.stack(torch.broadcast_tensors(own, other), dim=-2)  # type: ignore[no-untyped-call]


def _trembling(policies: Tensor, tremble: float) -> Tensor:
    return (1 - tremble) * policies + tremble / 2


def signal_chances(certain: Tensor, accuracy: float) -> Tensor:
    """Return how likely each of `SIGNALS` is for a loner and for a member of a team.

    Parameters
    ----------
    certain : Tensor, shape (...)
        Probability of a signal that cannot be wrong.
    accuracy : float
        Probability that any other signal is right.

    Returns
    -------
    Tensor, shape (..., 2, 4)

    Raises
    ------
    ValueError
        If a number is no probability.

    Examples
    --------
    >>> signal_chances(torch.tensor(0.5), accuracy=0.75)
    tensor([[0.5000, 0.0000, 0.3750, 0.1250],
            [0.0000, 0.5000, 0.1250, 0.3750]])
    """
    if not bool(((certain >= 0) & (certain <= 1)).all()) or not 0 <= accuracy <= 1:
        raise ValueError(f"expected probabilities in [0, 1], got certain={certain} and accuracy={accuracy}")
    zero, right, wrong = torch.zeros_like(certain), (1 - certain) * accuracy, (1 - certain) * (1 - accuracy)
    alone, team = (certain, zero, right, wrong), (zero, certain, wrong, right)
    return torch.stack([torch.stack(alone, dim=-1), torch.stack(team, dim=-1)], dim=-2)


def learn_table(
    certain: Tensor, loners: Tensor, settings: ExactSettings = TABLE, *, accuracy: float = 0.6
) -> Tensor:
    """Learn what to do on each of four signals, by exact gradients.

    With probability `loners` both agents of a pair are alone and ``W = I``; else they are a team
    and all weights are one half.  Each gets one of `SIGNALS` about it.

    Parameters
    ----------
    certain : Tensor, shape (...)
        Probability of a sure signal.
    loners : Tensor, shape (...)
        Probability that the two are alone.
    settings : ExactSettings
        Its `pairs` is not used: nothing is sampled.
    accuracy : float
        Probability that an unsure signal is right.

    Returns
    -------
    Tensor of float64, shape (updates, ..., 4, 5)
        After each update, for each signal, the probability of C in each of
        `coalmarl.shaping.STATES`.

    Raises
    ------
    ValueError
        If a number is no probability.

    Notes
    -----
    Plain gradient steps, with the partner's policy held fixed, from probabilities of one half.
    Each of 16 pairs of signals costs a linear system of size 4.

    Examples
    --------
    >>> half = torch.tensor(0.5)
    >>> learn_table(half, half, ExactSettings(updates=2, rate=20.0)).shape
    torch.Size([2, 4, 5])
    """
    certain, loners = certain.double() + 0 * loners, loners.double() + 0 * certain
    if not bool(((loners >= 0) & (loners <= 1)).all()):
        raise ValueError(f"expected probabilities in [0, 1], got loners={loners}")
    heard = signal_chances(certain, accuracy)
    together = heard[..., :, None] * heard[..., None, :] * torch.stack([loners, 1 - loners], -1)[..., None, None]
    weights = torch.einsum("...wij,wk->...ijk", together, torch.tensor([[1.0, 0.0], [0.5, 0.5]], dtype=torch.float64))
    logits = torch.zeros(*certain.shape, 4, 5, dtype=torch.float64)
    path = []
    for _ in range(settings.updates):
        logits.requires_grad_()
        policies = _trembling(logits.sigmoid(), settings.tremble)
        gain = _wellbeing(policies[..., :, None, :], policies[..., None, :, :], weights, settings.gamma)
        (slope,) = torch.autograd.grad(gain.sum(), logits)
        logits = (logits + settings.rate * slope).detach()
        path.append(logits.sigmoid())
    return torch.stack(path)


def learn_memory_one(
    society: Society, settings: ExactSettings = EXACT, *, seed: int | torch.Generator
) -> Iterator[nn.Module]:
    """Learn a policy that remembers one round, by exact gradients on drawn pairs.

    Parameters
    ----------
    society : Society
        Of two agents.
    settings : ExactSettings
    seed : int or torch.Generator

    Yields
    ------
    torch.nn.Module
        After each update the network itself, not a copy: from `views`, in float64, to logits
        of C in each of `coalmarl.shaping.STATES`.

    Raises
    ------
    ValueError
        If the society has another number of agents.

    Notes
    -----
    The network has two hidden layers of 32 units, and at first says one half everywhere.  For
    each drawn pair both agents' weighted returns are differentiated in the own policy only.
    The learning rate of Adam falls linearly to 0.  Its ``eps`` is 1e-3: a smaller one blows
    up the vanishing gradients of states that are hardly ever reached, and cooperation comes
    and goes.  An update takes some 4 ms.

    Examples
    --------
    >>> *_, network = learn_memory_one(Society(), ExactSettings(updates=2), seed=0)
    >>> network(views(draw(prosocial(0.0), 3, as_generator(0))).double()).shape
    torch.Size([3, 2, 5])
    """
    if society.n != 2:
        raise ValueError(f"expected a society of 2 agents, got one of {society.n}")
    return _ascend(society, settings, as_generator(seed))


def _ascend(society: Society, settings: ExactSettings, generator: torch.Generator) -> Iterator[nn.Module]:
    """The loop of `learn_memory_one`."""
    network = mlp([6, 32, 32, 5], generator, last=0.1).double()
    adam = torch.optim.Adam(network.parameters(), lr=settings.rate, eps=1e-3, maximize=True)
    for update in range(settings.updates):
        adam.param_groups[0]["lr"] = settings.rate * (1 - update / settings.updates)
        drawn = draw(society, settings.pairs, generator)
        policies = _trembling(network(views(drawn).double()).sigmoid(), settings.tremble)
        own, others = drawn.weights.diagonal(dim1=1, dim2=2), drawn.weights.flip(2).diagonal(dim1=1, dim2=2)
        weights = torch.stack([own, others], dim=-1).double()
        gain = _wellbeing(policies, policies.flip(1), weights, settings.gamma)
        adam.zero_grad()
        gain.sum(1).mean().backward()  # type: ignore[no-untyped-call]
        adam.step()
        yield network
