"""Learning by trial and error: a table of values, a policy network, and a worth function.

`q_learning` keeps a table of how good each action has been.  `ppo` improves a policy network
by small steps; all agents share the network and play against it, and against its own past.
Both learn in the worlds of `coalmarl.envs` and count in steps or updates, never in seconds.
`fit_worth` learns a characteristic function from the worths of some coalitions, and `minimise`
lowers any other loss.

Letters: ``B`` worlds, ``n`` agents, ``T`` steps, ``A`` actions, ``q`` their values, ``d``
numbers in an observation.  What happened is kept time-major, ``(T, B, n)``.  A state as an
argument or in a `Rollout` is a state of the world; the states of a table are numbers
``0, 1, ...``.

Nothing here changes torch's global random state.  Learning that diverges stops with a
``FloatingPointError`` that names the step or the update.
"""

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from coalmarl.envs import BatchedEnv, State, as_count, as_generator, restart

Network = TypeVar("Network", bound=nn.Module)
Player = Callable[[Tensor, torch.Generator], Tensor]  # observations (B, n, d) to actions (B, n)


# --- a table of values ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class QSettings:
    """How a table learns.

    Attributes
    ----------
    steps : int
        Steps of the worlds.
    states : int
        How many states an agent tells apart.
    rate : float
        How far a value moves towards new evidence: 1 all the way.
    gamma : float
        Weight of what follows a step.
    epsilon : tuple of float
        Probability of a random action, first and last.
    anneal : float
        Share of the steps in which it falls from first to last, linearly.
    """

    steps: int
    states: int = 1
    rate: float = 0.1
    gamma: float = 0.0
    epsilon: tuple[float, float] = (0.5, 0.05)
    anneal: float = 0.7

    def __post_init__(self) -> None:
        as_count(self.steps, "a number of steps")
        as_count(self.states, "a number of states")
        _check_shares(self.rate, self.gamma, *self.epsilon, self.anneal, what="rate, gamma, epsilon and anneal")


def action_values(q: Tensor, states: Tensor) -> Tensor:
    """Look up the values of all actions in the agents' states.

    Parameters
    ----------
    q : Tensor, shape (B, n, states, A)
        One table for each agent of each world.
    states : Tensor of int64, shape (B, n)

    Returns
    -------
    Tensor, shape (B, n, A)

    Examples
    --------
    >>> q = torch.tensor([[[[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]]])
    >>> action_values(q, torch.tensor([[2]]))
    tensor([[[4., 5.]]])
    """
    return q.take_along_dim(states[..., None, None], dim=2).squeeze(2)


def epsilon_greedy(values: Tensor, epsilon: float, generator: torch.Generator) -> Tensor:
    """Choose the best action, or now and then any.

    Parameters
    ----------
    values : Tensor, shape (..., A)
    epsilon : float
        Probability of a random action.
    generator : torch.Generator

    Returns
    -------
    Tensor of int64, shape (...)
        Ties are broken at random, so a table of zeros favours no action.

    Examples
    --------
    >>> epsilon_greedy(torch.tensor([[0.0, 3.0, 1.0]]), 0.0, as_generator(0))
    tensor([1])
    """
    luck = torch.rand(values.shape, generator=generator, device=values.device)
    explores = torch.rand(values.shape[:-1], generator=generator, device=values.device) < epsilon
    candidates = (values == values.amax(-1, keepdim=True)) | explores[..., None]
    return torch.where(candidates, luck, -1.0).argmax(-1)


def q_update(q: Tensor, states: Tensor, actions: Tensor, targets: Tensor, rate: float) -> None:
    """Move the values of what was done towards targets, in place.

    Parameters
    ----------
    q : Tensor, shape (B, n, states, A)
        Changed in place.
    states, actions : Tensor of int64, shape (B, n)
    targets : Tensor, shape (B, n)
    rate : float

    Examples
    --------
    >>> q, zero = torch.zeros(1, 1, 1, 2), torch.tensor([[0]])
    >>> q_update(q, zero, zero + 1, torch.tensor([[8.0]]), rate=0.25)
    >>> q.tolist()
    [[[[0.0, 2.0]]]]
    """
    cells, chosen = q.view(*q.shape[:2], -1), (states * q.shape[3] + actions)[..., None]
    before = cells.gather(2, chosen)
    cells.scatter_(2, chosen, torch.lerp(before, targets[..., None], rate))


def q_learning(
    env: BatchedEnv,
    settings: QSettings,
    *,
    seed: int | torch.Generator,
    index: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """Let every agent learn a table of its own; the worlds of the batch are the seeds.

    Parameters
    ----------
    env : BatchedEnv
    settings : QSettings
    seed : int or torch.Generator
    index : callable, optional
        Turns observations ``(B, n, d)`` into states ``0 .. settings.states - 1`` of shape
        ``(B, n)``.  Without it there is one state.

    Returns
    -------
    Tensor, shape (B, n, states, A)
        The values, which start at 0.

    Raises
    ------
    FloatingPointError
        If a target is not finite.

    Notes
    -----
    The target is the reward plus ``gamma`` times the best value in the next state.  Nothing
    follows a termination; something does follow a truncation.

    References
    ----------
    watkins1992qlearning

    Examples
    --------
    >>> from coalmarl.envs import RepeatedMatrixGame
    >>> q = q_learning(RepeatedMatrixGame(1, [[0, 1]]), QSettings(steps=200), seed=0)
    >>> [round(value, 2) for value in q.flatten().tolist()]
    [0.0, 1.0]
    """
    generator = as_generator(seed, env.device)
    locate = index or (lambda seen: torch.zeros_like(seen[..., 0], dtype=torch.long))
    q = torch.zeros(env.batch_size, env.n, settings.states, env.n_actions, device=env.device)
    state = env.start(generator)
    for t in range(settings.steps):
        epsilon = _between(settings.epsilon, t / max(1.0, settings.anneal * settings.steps))
        here = locate(env.observe(state))
        actions = epsilon_greedy(action_values(q, here), epsilon, generator)
        step = env.step(state, actions)
        best = action_values(q, locate(env.observe(step.state))).amax(-1)
        targets = step.rewards + settings.gamma * best * ~step.terminated[:, None]
        if not bool(targets.isfinite().all()):
            raise FloatingPointError(f"step {t}: a reward, or a value learned from rewards, is not finite")
        q_update(q, here, actions, targets, settings.rate)
        state = restart(env, step, generator)
    return q


# --- networks and what they play --------------------------------------------------------------------------------


def build(make: Callable[[], Network], generator: torch.Generator) -> Network:
    """Make a network with weights from a generator, not from torch's global random state.

    Parameters
    ----------
    make : callable
        Returns the network.
    generator : torch.Generator
        The network moves to its device.

    Returns
    -------
    torch.nn.Module
        Its linear layers have orthogonal weights times the square root of 2, and biases 0.
        Parameters of other layers are as torch starts them.

    References
    ----------
    saxe2014exact

    Examples
    --------
    >>> build(lambda: nn.Linear(3, 2), as_generator(0)).bias.tolist()
    [0.0, 0.0]
    """
    with torch.random.fork_rng(devices=[]):
        network = make().to(generator.device)
    for layer in network.modules():
        if isinstance(layer, nn.Linear):
            nn.init.orthogonal_(layer.weight, math.sqrt(2), generator=generator)
            nn.init.zeros_(layer.bias)
    return network


def mlp(
    sizes: Sequence[int], generator: torch.Generator, *, last: float = 1.0, between: type[nn.Module] = nn.Tanh
) -> nn.Sequential:
    """Make a multilayer perceptron.

    Parameters
    ----------
    sizes : sequence of int
        How many inputs, how many units in each hidden layer, how many outputs.
    generator : torch.Generator
        Where the weights come from; the network lives on its device.
    last : float
        Size of the last layer's weights.  If small, all outputs start near 0.
    between : type of torch.nn.Module
        What stands between two linear layers.

    Returns
    -------
    torch.nn.Sequential

    Examples
    --------
    >>> mlp([4, 8, 2], as_generator(0))(torch.zeros(3, 4)).shape
    torch.Size([3, 2])
    """


    def make() -> nn.Sequential:
        pairs = [(nn.Linear(inputs, outputs), between()) for inputs, outputs in zip(sizes[:-1], sizes[1:])]
        return nn.Sequential(*[layer for pair in pairs for layer in pair][:-1])

    network = build(make, generator)
    *_, weight, _ = network.parameters()
    weight.data *= last / math.sqrt(2)
    return network


def sample(logits: Tensor, generator: torch.Generator) -> Tensor:
    """Draw actions with probabilities proportional to the exponentials of the logits.

    Parameters
    ----------
    logits : Tensor, shape (..., A)
    generator : torch.Generator

    Returns
    -------
    Tensor of int64, shape (...)

    Examples
    --------
    >>> sample(torch.tensor([[0.0, 50.0]]), as_generator(0))
    tensor([1])
    """
    chances = logits.softmax(-1).flatten(0, -2)
    return torch.multinomial(chances, 1, generator=generator).view(logits.shape[:-1])


def player(actor: nn.Module) -> Player:
    """Return a function that plays as a policy network says.

    Parameters
    ----------
    actor : torch.nn.Module
        From observations ``(B, n, d)`` to logits ``(B, n, A)``.

    Returns
    -------
    callable
        From observations and a generator to actions ``(B, n)``.

    Examples
    --------
    >>> generator = as_generator(0)
    >>> player(mlp([4, 2], generator))(torch.zeros(3, 2, 4), generator).shape
    torch.Size([3, 2])
    """
    return lambda observations, generator: sample(actor(observations), generator)


class Rollout(NamedTuple):
    """What happened in ``T`` steps of a batch of worlds.

    Attributes
    ----------
    observations : Tensor, shape (T, B, n, d)
        What the agents saw before they acted.
    actions, rewards : Tensor, shape (T, B, n)
    terminated, truncated : Tensor of bool, shape (T, B)
    next_observations : Tensor, shape (T, B, n, d)
        What they saw after the step, before a new episode replaced one that had ended.
    state : dict of str to Tensor
        Where to go on.
    """

    observations: Tensor
    actions: Tensor
    rewards: Tensor
    terminated: Tensor
    truncated: Tensor
    next_observations: Tensor
    state: State


def rollout(
    env: BatchedEnv, play: Player, steps: int, generator: torch.Generator, state: State | None = None
) -> Rollout:
    """Play some steps in all worlds; an episode that ends is followed by a new one.

    Parameters
    ----------
    env : BatchedEnv
    play : callable
        From observations ``(B, n, d)`` and a generator to actions ``(B, n)``.
    steps : int
    generator : torch.Generator
    state : dict of str to Tensor, optional
        Where to start; by default at new episodes.

    Returns
    -------
    Rollout

    Raises
    ------
    ValueError
        If a reward is not finite.

    Examples
    --------
    >>> from coalmarl.envs import RepeatedMatrixGame
    >>> defect = lambda observations, generator: torch.ones(observations.shape[:2], dtype=torch.long)
    >>> rollout(RepeatedMatrixGame(3), defect, 5, as_generator(0)).rewards.shape
    torch.Size([5, 3, 2])
    """
    as_count(steps, "a number of steps")
    rows = []
    with torch.no_grad():
        state = env.start(generator) if state is None else state
        for _ in range(steps):
            observations = env.observe(state)
            actions = play(observations, generator)
            step = env.step(state, actions)
            rows.append((observations, actions, *step[1:], env.observe(step.state)))
            state = restart(env, step, generator)
        played = Rollout._make([*map(torch.stack, zip(*rows)), state])
    rewards = played.rewards
    if not bool(rewards.isfinite().all()):
        t, world, agent = (~rewards.isfinite()).nonzero()[0].tolist()
        raise ValueError(
            f"expected finite rewards, got {float(rewards[t, world, agent])} at step {t} for agent {agent} of world {world}"
        )
    return played


# --- proximal policy optimisation -------------------------------------------------------------------------------


@dataclass(frozen=True)
class PPOSettings:
    """How `ppo` learns.  A pair of numbers goes linearly from the first to the second.

    Attributes
    ----------
    updates : int
        How often data is gathered and learned from.
    steps : int
        Steps of all worlds in each update.
    gamma : float
        Weight of what follows a step.
    lam : float
        Weight of longer looks ahead in the advantages: 0 looks one step, 1 to the end.
    rate : tuple of float
        Learning rate of Adam.
    entropy : tuple of float
        Bonus for unpredictability.
    clip : float
        How far an action's probability may change before the gain stops counting, as a ratio.
    epochs : int
        Passes over the data of an update.
    minibatches : int
        Parts into which a pass is cut.
    max_norm : float
        Longest gradient.
    reward_scale : float
        Factor on the rewards, so that returns have size 1 to 10.
    hidden : tuple of int
        Units in each hidden layer of actor and critic, if they are not given.
    past_share : float
        Probability that a seat is taken by a past policy.
    past_every : int
        Updates from one snapshot to the next.
    past_kept : int
        How many snapshots are kept.
    """

    updates: int
    steps: int = 16
    gamma: float = 0.95
    lam: float = 0.95
    rate: tuple[float, float] = (4e-3, 2e-4)
    entropy: tuple[float, float] = (0.005, 0.0)
    clip: float = 0.2
    epochs: int = 2
    minibatches: int = 1
    max_norm: float = 1.0
    reward_scale: float = 1.0
    hidden: tuple[int, ...] = (32, 32)
    past_share: float = 0.0
    past_every: int = 10
    past_kept: int = 20

    def __post_init__(self) -> None:
        for name in ("updates", "steps", "epochs", "minibatches", "past_every", "past_kept"):
            as_count(getattr(self, name), f"a number of {name}")
        _check_shares(self.gamma, self.lam, self.past_share, what="gamma, lam and past_share")
        positive = (*self.rate, self.clip, self.max_norm, self.reward_scale)
        if not all(0 < x < math.inf for x in positive) or not all(0 <= x < math.inf for x in self.entropy):
            raise ValueError(
                "expected positive numbers for rate, clip, max_norm and reward_scale, and none below 0 for entropy, "
                f"got {positive} and {self.entropy}"
            )


class Report(NamedTuple):
    """Where `ppo` stands after an update.

    Attributes
    ----------
    update : int
        Updates done.
    actor, critic : torch.nn.Module
        The networks themselves, not copies.
    reward : float
        Mean reward per agent and step in the data of this update.
    entropy : float
        Mean unpredictability of the policy in it, in nats.
    loss : float
        Loss of the last minibatch.
    """

    update: int
    actor: nn.Module
    critic: nn.Module
    reward: float
    entropy: float
    loss: float


def ppo(
    env: BatchedEnv,
    settings: PPOSettings,
    *,
    seed: int | torch.Generator,
    actor: nn.Module | None = None,
    critic: nn.Module | None = None,
) -> Iterator[Report]:
    """Train a policy that all agents share, by proximal policy optimisation.

    Parameters
    ----------
    env : BatchedEnv
    settings : PPOSettings
    seed : int or torch.Generator
    actor : torch.nn.Module, optional
        From observations ``(m, n, d)`` to logits ``(m, n, A)``, for any number ``m`` of
        worlds; trained in place.  By default an `mlp`.
    critic : torch.nn.Module, optional
        From observations ``(m, n, d)`` to values ``(m, n, 1)``, likewise; it may look at the
        observations of all agents of a world.

    Yields
    ------
    Report
        After each update.  Whoever stops asking stops the training.

    Raises
    ------
    FloatingPointError
        If the loss or its gradient is not finite; the message names the update.
    ValueError
        If a network's output has the wrong shape.

    Notes
    -----
    Step by step, for each update:

    1. Play ``steps`` steps in every world.  All agents use the actor, but each seat is held
       by a past policy with probability ``past_share``; the pool is spread over the worlds.
    2. Let the critic value the situations before and after each step, and compute the
       advantages by `gae`, which looks through truncation but not through termination.
    3. In each epoch cut the data at random into minibatches of whole situations, all agents
       of a world together, so that an actor may let them talk to each other.
    4. Standardise the advantages within the minibatch.
    5. Take a step of Adam (``eps`` 1e-5) on: minus the `surrogate`, plus half the squared
       error of the values, minus the entropy times its weight.  What past policies did
       counts nowhere.
    6. Cut the gradient of both networks together to length ``max_norm``.
    7. Every ``past_every`` updates, put a copy of the actor into the pool.

    Learning rate and entropy bonus fall linearly.  Weights start orthogonal; the actor's last
    layer starts small, so that all actions begin equally likely.  Memory is a feature of
    the world's observation, not of the networks.

    References
    ----------
    schulman2017proximal, schulman2016high

    Examples
    --------
    >>> from coalmarl.envs import RepeatedMatrixGame
    >>> *_, last = ppo(RepeatedMatrixGame(64), PPOSettings(updates=60), seed=0)
    >>> last.reward < 0.2  # both defect
    True
    """
    generator = as_generator(seed, env.device)
    state = env.start(generator)
    if actor is None:
        actor = mlp([env.d, *settings.hidden, env.n_actions], generator, last=0.01)
    if critic is None:
        critic = mlp([env.d, *settings.hidden, 1], generator)
    seen = env.observe(state)
    for network, outputs in ((actor, env.n_actions), (critic, 1)):
        expected, got = (*seen.shape[:2], outputs), tuple(network(seen).shape)
        if got != expected:
            raise ValueError(f"expected a network that turns {tuple(seen.shape)} into {expected}, got {got}")
    return _train(env, settings, generator, _Networks(actor, critic), state)


class _Networks(NamedTuple):
    actor: nn.Module
    critic: nn.Module


class _Batch(NamedTuple):
    """Data of an update, one row per situation; `learns` is 1 where the actor acted, else 0."""

    observations: Tensor
    actions: Tensor
    log_probs: Tensor
    advantages: Tensor
    returns: Tensor
    learns: Tensor


def _train(
    env: BatchedEnv, s: PPOSettings, generator: torch.Generator, networks: _Networks, state: State
) -> Iterator[Report]:
    """The loop of `ppo`."""
    parameters = [p for network in networks for p in network.parameters()]
    optimiser = torch.optim.Adam(parameters, lr=s.rate[0], eps=1e-5)
    pool = deque([deepcopy(networks.actor)], maxlen=s.past_kept)
    for update in range(s.updates):
        optimiser.param_groups[0]["lr"] = _between(s.rate, update / s.updates)
        bonus = _between(s.entropy, update / s.updates)
        past = torch.rand(env.batch_size, env.n, generator=generator, device=env.device) < s.past_share
        rivals = [pool[k] for k in torch.randperm(len(pool), generator=generator, device=env.device).tolist()]
        try:
            played = rollout(env, _mixed(networks.actor, rivals, past), s.steps, generator, state)
        except Exception as error:
            error.add_note(f"in update {update + 1} of ppo")
            raise
        state, batch = played.state, _prepare(played, networks, ~past, s)
        for _ in range(s.epochs):
            order = torch.randperm(len(batch.actions), generator=generator, device=env.device)
            for part in order.chunk(s.minibatches):
                loss, entropy = _loss(networks, _Batch(*(column[part] for column in batch)), s.clip, bonus)
                _descend(loss, optimiser, s.max_norm, f"update {update + 1}")
        if (update + 1) % s.past_every == 0:
            pool.append(deepcopy(networks.actor))
        yield Report(update + 1, *networks, float(played.rewards.mean()), float(entropy), float(loss.detach()))


def _mixed(actor: nn.Module, rivals: Sequence[nn.Module], past: Tensor) -> Player:
    """Play by the actor, but in the seats of the past by the rivals: each has its part of the worlds."""
    if not bool(past.any()):
        return player(actor)

    def play(seen: Tensor, generator: torch.Generator) -> Tensor:
        old = torch.cat([rival(part) for rival, part in zip(rivals, seen.chunk(len(rivals)))])
        return sample(torch.where(past[..., None], old, actor(seen)), generator)

    return play


@torch.no_grad()
def _prepare(played: Rollout, networks: _Networks, learns: Tensor, s: PPOSettings) -> _Batch:
    """Advantages, returns and old log-probabilities of a rollout; time and worlds become one."""
    seen, actions, after = (x.flatten(0, 1) for x in (played.observations, played.actions, played.next_observations))
    values, next_values = (networks.critic(x).squeeze(-1) for x in (seen, after))
    shape = played.rewards.shape
    advantages = gae(played, values.view(shape), next_values.view(shape), s).flatten(0, 1)
    log_probs = _log_probs(networks.actor(seen), actions)
    return _Batch(seen, actions, log_probs, advantages, advantages + values, learns.repeat(s.steps, 1).to(values.dtype))


def gae(played: Rollout, values: Tensor, next_values: Tensor, settings: PPOSettings) -> Tensor:
    """Estimate how much better each action was than the policy's average.

    Parameters
    ----------
    played : Rollout
    values, next_values : Tensor, shape (T, B, n)
        A critic's values before and after each step.
    settings : PPOSettings
        Its ``gamma``, ``lam`` and ``reward_scale``.

    Returns
    -------
    Tensor, shape (T, B, n)

    Notes
    -----
    One step's surprise is ``delta = r + gamma V' - V``, with ``V' = 0`` after a termination.
    The advantage adds the surprises of later steps of the same episode, each step's weight
    ``gamma lam`` times that of the step before.

    References
    ----------
    schulman2016high

    Examples
    --------
    >>> from coalmarl.envs import RepeatedMatrixGame
    >>> env, first = RepeatedMatrixGame(1, [[1.0]], horizon=2), lambda seen, _: torch.tensor([[0]])
    >>> zero = torch.zeros(3, 1, 1)
    >>> settings = PPOSettings(updates=1, gamma=0.5, lam=1.0)
    >>> gae(rollout(env, first, 3, as_generator(0)), zero, zero, settings).flatten().tolist()
    [1.5, 1.0, 1.0]
    """
    follows = settings.gamma * next_values * ~played.terminated[..., None]
    surprises = settings.reward_scale * played.rewards + follows - values
    lasts = ~(played.terminated | played.truncated)[..., None]
    advantages, later = torch.empty_like(surprises), torch.zeros_like(surprises[0])
    for t in reversed(range(len(surprises))):
        later = advantages[t] = surprises[t] + settings.gamma * settings.lam * later * lasts[t]
    return advantages


def surrogate(log_probs: Tensor, old: Tensor, advantages: Tensor, clip: float) -> Tensor:
    """Return what a policy gains over an old one, as far as PPO believes it.

    Parameters
    ----------
    log_probs, old : Tensor
        Log-probabilities of the actions taken, under the policy and under the old one.
    advantages : Tensor
        How much better than average the actions were.
    clip : float
        Beyond a ratio of ``1 - clip`` or ``1 + clip`` no further gain is believed; a loss is.

    Returns
    -------
    Tensor
        ``min(ratio * advantage, clipped ratio * advantage)``, one for each action.

    References
    ----------
    schulman2017proximal

    Examples
    --------
    >>> ratio = torch.tensor([1.0, 2.0, 2.0])
    >>> surrogate(ratio.log(), torch.zeros(3), torch.tensor([1.0, 1.0, -1.0]), 0.5)
    tensor([ 1.0000,  1.5000, -2.0000])
    """
    ratio = (log_probs - old).exp()
    return torch.minimum(ratio * advantages, ratio.clamp(1 - clip, 1 + clip) * advantages)


def _loss(networks: _Networks, batch: _Batch, clip: float, bonus: float) -> tuple[Tensor, Tensor]:
    """What Adam shall lower, and the policy's entropy; means are over those who learn."""

    def mean(x: Tensor) -> Tensor:
        return (x * batch.learns).sum() / batch.learns.sum().clamp(min=1)

    centred = batch.advantages - mean(batch.advantages)
    advantages = centred / (mean(centred**2).sqrt() + 1e-8)
    logits = networks.actor(batch.observations).log_softmax(-1)
    gain = mean(surrogate(_log_probs(logits, batch.actions), batch.log_probs, advantages, clip))
    entropy = -mean((logits.exp() * logits).sum(-1))
    error = mean((networks.critic(batch.observations).squeeze(-1) - batch.returns) ** 2)
    return error / 2 - gain - bonus * entropy, entropy.detach()


def _log_probs(logits: Tensor, actions: Tensor) -> Tensor:
    return logits.log_softmax(-1).gather(-1, actions[..., None]).squeeze(-1)


# --- any other loss ---------------------------------------------------------------------------------------------


def minimise(network: nn.Module, loss: Callable[[], Tensor], updates: int, *, rate: float = 1e-3, last: float = 0.03) -> nn.Module:
    """Lower a loss by Adam, in place, with a learning rate that falls linearly.

    Parameters
    ----------
    network : torch.nn.Module
    loss : callable
        Draws a batch and returns its loss.
    updates : int
    rate : float
        Learning rate at first.
    last : float
        At the end it is this times as large.

    Returns
    -------
    torch.nn.Module
        The network itself.

    Raises
    ------
    FloatingPointError
        If a loss or its gradient is not finite; the message names the update.

    Notes
    -----
    Gradients are cut to length 1.

    Examples
    --------
    >>> line = mlp([1, 1], as_generator(0))
    >>> trained = minimise(line, lambda: (line(torch.ones(1)) - 3).square().sum(), 300, rate=0.1)
    >>> round(trained(torch.ones(1)).item(), 1)
    3.0
    """
    optimiser = torch.optim.Adam(network.parameters(), lr=rate)
    for update in range(as_count(updates, "a number of updates")):
        optimiser.param_groups[0]["lr"] = rate * (1 + (last - 1) * update / updates)
        _descend(loss(), optimiser, 1.0, f"update {update}")
    return network


# --- a characteristic function from examples --------------------------------------------------------------------


def fit_worth(
    members: Any, worths: Any, *, seed: int | torch.Generator, epochs: int = 150, device: str | torch.device = "cpu"
) -> Callable[[Any], Any]:
    """Learn what coalitions are worth from examples.

    Parameters
    ----------
    members : ndarray of bool, shape (m, n)
        Who is in each of ``m`` coalitions.
    worths : ndarray, shape (m,)
        What they are worth.
    seed : int or torch.Generator
    epochs : int
        Passes over the examples.
    device : str or torch.device
        Where to learn; the function then takes and gives arrays of the processor's memory.

    Returns
    -------
    callable
        From a boolean array ``(k, n)`` to ``k`` worths: a game for
        `coalmarl.estimation.sample_shapley`.  The empty coalition is worth 0, always.

    Raises
    ------
    ValueError
        If the shapes do not fit, or a worth is not finite.
    FloatingPointError
        If the learning diverges; the message names the epoch.

    Notes
    -----
    A perceptron with two hidden layers of 64 units (ReLU) sees +1 for members and -1 for others.
    The empty coalition is one more example.  Targets are standardised; Adam, rate 1e-3,
    minibatches of at most 128.

    Examples
    --------
    >>> import numpy as np
    >>> members = np.arange(16)[:, None] >> np.arange(4) & 1 > 0
    >>> v = fit_worth(members, members.sum(axis=1) ** 2, seed=0, epochs=400)
    >>> v(members[[0, 15]]).round().tolist()
    [0.0, 16.0]
    """
    generator = as_generator(seed, device)
    T, y = _examples(members, worths, generator.device)
    centre, spread = y.mean(), y.std(correction=0).clamp(min=1e-300)
    network = mlp([T.shape[1], 64, 64, 1], generator, between=nn.ReLU)
    _regress(network, T, ((y - centre) / spread).float(), as_count(epochs, "a number of epochs"), generator)

    @torch.no_grad()
    def worth(coalitions: Any) -> Any:
        rows = _indicators(coalitions, T.shape[1], generator.device)
        learned = network(rows).squeeze(-1).double() * spread + centre
        return torch.where((rows > 0).any(1), learned, 0.0).cpu().numpy()

    return worth


def _regress(network: nn.Module, x: Tensor, y: Tensor, epochs: int, generator: torch.Generator) -> None:
    """Least squares by Adam, in place."""
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3)
    for epoch in range(epochs):
        order = torch.randperm(len(x), generator=generator, device=x.device)
        for part in order.tensor_split(-(-len(x) // 128)):
            loss = ((network(x[part]).squeeze(-1) - y[part]) ** 2).mean()
            _descend(loss, optimiser, math.inf, f"epoch {epoch}")


def _examples(members: Any, worths: Any, device: torch.device) -> tuple[Tensor, Tensor]:
    """Members as +1 and -1, and the worths; the empty coalition, worth 0, is one more example."""
    T, y = _indicators(members, None, device), torch.tensor(worths, dtype=torch.float64, device=device)
    if y.shape != T.shape[:1] or not len(y):
        raise ValueError(f"expected one worth for each coalition, got {tuple(y.shape)} for {len(T)} coalitions")
    if not bool((y.abs() < 1e150).all()):
        raise ValueError("expected finite worths, smaller than 1e150, got some that are not")
    return torch.cat([T, torch.full_like(T[:1], -1.0)]), torch.cat([y, y.new_zeros(1)])


def _indicators(members: Any, n: int | None, device: torch.device) -> Tensor:
    """Rows of true and false as +1 and -1."""
    rows = torch.tensor(members, device=device)  # copies, as the array may be read-only
    if rows.dtype != torch.bool or rows.ndim != 2 or rows.shape[1] != (n or rows.shape[1]) or not rows.shape[1]:
        raise ValueError(
            f"expected coalitions as a boolean array with a row each and a column for each of {n or 'the'} players, "
            f"got {rows.dtype} of shape {tuple(rows.shape)}"
        )
    return rows.float() * 2 - 1


def _descend(loss: Tensor, optimiser: torch.optim.Optimizer, max_norm: float, when: str) -> None:
    """One step down the gradient; nothing that is not finite gets into the weights."""
    optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    length = float(nn.utils.clip_grad_norm_(optimiser.param_groups[0]["params"], max_norm))
    if not math.isfinite(float(loss.detach())) or not math.isfinite(length):
        raise FloatingPointError(
            f"{when}: the loss is {float(loss.detach())} and its gradient has length {length}; "
            "learn more slowly, or scale the rewards down"
        )
    optimiser.step()


def _between(ends: tuple[float, float], share: float) -> float:
    """From the first end to the second."""
    return ends[0] + min(share, 1.0) * (ends[1] - ends[0])


def _check_shares(*numbers: float, what: str) -> None:
    if not all(0 <= x <= 1 for x in numbers):
        raise ValueError(f"expected numbers from 0 to 1 for {what}, got {numbers}")
