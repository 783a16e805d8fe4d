"""Worlds to learn in: a batch of them at a time, in torch.

A learner needs hundreds of thousands of steps, and a Python loop over agents takes most of a
second for ten thousand.  So a world here is a batch of ``B`` worlds with ``n`` agents each,
and one step moves all of them: observations have shape ``(B, n, d)``, actions and rewards
``(B, n)``.

A world has no memory of its own.  `BatchedEnv.start` draws a state, a dictionary of tensors
whose first dimension is ``B``; `BatchedEnv.step` takes a state and actions and returns the
next state.  All chance is drawn at the start and kept in the state: a step only reads it.
So two policies can meet the same luck, a state can be tried twice with other actions, and
world ``k`` of a batch is the same world alone.

An episode can end in two ways.  *Terminated*: the game is over, nothing can follow.
*Truncated*: we stop watching a game that would go on, so what would follow still counts.

`ParallelAdapter` shows a world of batch size 1 to everybody else, as PettingZoo does.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import torch
from gymnasium.spaces import Box, Discrete
from pettingzoo import ParallelEnv  # type: ignore[import-untyped]
from torch import Tensor

__all__ = [
    "LOLA_IPD",
    "RUSP_IPD",
    "BatchedEnv",
    "ParallelAdapter",
    "RepeatedMatrixGame",
    "State",
    "Step",
    "as_count",
    "as_device",
    "as_generator",
    "check_actions",
    "restart",
]

State = dict[str, Tensor]

# Own payoff in the repeated prisoner's dilemma, row: own action, column: the other's; C, then D.
RUSP_IPD = ((2.0, -2.0), (4.0, 0.0))
LOLA_IPD = ((-1.0, -3.0), (0.0, -2.0))


class Step(NamedTuple):
    """What one step of a batch of worlds brings.

    Attributes
    ----------
    state : dict of str to Tensor
        The next state, also where an episode has ended.
    rewards : Tensor, shape (B, n)
    terminated, truncated : Tensor of bool, shape (B,)
        Whether the game is over, or goes on unwatched; never both.
    """

    state: State
    rewards: Tensor
    terminated: Tensor
    truncated: Tensor


class BatchedEnv(Protocol):
    """What a batch of worlds offers; name it as the base class of a world.

    Attributes
    ----------
    batch_size, n, n_actions, d : int
        Worlds, agents in each, actions ``0 .. n_actions - 1`` of each agent, and numbers in
        what one agent observes.
    horizon : int
        Steps after which an episode is truncated, unless it has terminated before.
    bounds : tuple of float
        Least and largest number in an observation.
    chance : bool
        Whether `start` draws anything.
    device : torch.device
    """

    batch_size: int
    n: int
    n_actions: int
    d: int
    horizon: int
    bounds: tuple[float, float]
    chance: bool
    device: torch.device

    def start(self, generator: torch.Generator) -> State:
        """Draw the first state of every world, and all the chance of its episode.

        Parameters
        ----------
        generator : torch.Generator
            Where the chance comes from, on the device of the world.

        Returns
        -------
        dict of str to Tensor
        """
        ...

    def observe(self, state: State) -> Tensor:
        """Return what each agent sees.

        Parameters
        ----------
        state : dict of str to Tensor

        Returns
        -------
        Tensor of float32, shape (B, n, d)
        """
        ...

    def step(self, state: State, actions: Tensor) -> Step:
        """Let all agents act at once.

        Parameters
        ----------
        state : dict of str to Tensor
            Stays as it is.
        actions : Tensor of int64, shape (B, n)

        Returns
        -------
        Step
        """
        ...


def restart(env: BatchedEnv, step: Step, generator: torch.Generator) -> State:
    """Return the state to go on from: a new episode where one has ended.

    Parameters
    ----------
    env : BatchedEnv
    step : Step
        The step that may have ended episodes.
    generator : torch.Generator
        Where the chance of the new episodes comes from.

    Returns
    -------
    dict of str to Tensor

    Examples
    --------
    >>> env, generator = RepeatedMatrixGame(3, horizon=1), as_generator(0)
    >>> last = env.step(env.start(generator), torch.ones(3, 2, dtype=torch.long))
    >>> last.state["age"].tolist(), restart(env, last, generator)["age"].tolist()
    ([1, 1, 1], [0, 0, 0])
    """
    ended = step.terminated | step.truncated
    if not bool(ended.any()):
        return step.state
    fresh = env.start(generator)
    return {
        name: torch.where(ended.view(-1, *[1] * (old.ndim - 1)), fresh[name], old)
        for name, old in step.state.items()
    }


class RepeatedMatrixGame(BatchedEnv):
    """A matrix game, played again and again by the same agents.

    Each agent sees traces of what has been played.  A trace with rate ``r`` of an action is 0
    at the start, and moves by a share ``r`` of the way to 1 whenever the action is played and
    to 0 whenever it is not: rate 1 remembers the last step, rate .2 about the last five.

    Parameters
    ----------
    batch_size : int
        How many games are played at once.
    payoffs : nested sequence of float
        Own payoff of a symmetric game of two, shape ``(A, A)``, row: own action; or one table
        for each of ``n`` agents, shape ``(n, A, ..., A)`` with ``n`` times ``A``, indexed by
        the actions of agents ``0 .. n-1``.  Shape ``(1, A)`` is a bandit.
    horizon : int
        Steps after which an episode is truncated.
    stop : float
        Probability that the game is over after a step: 0 never, 1 after the first.
    memory : sequence of float
        One rate for each trace that the agents see, in (0, 1].
    device : str or torch.device

    Raises
    ------
    ValueError
        If the payoffs have another shape or are not finite, or a number is out of range.
    TypeError
        If a number has the wrong type.

    Notes
    -----
    Observation of agent ``i``: for agents ``i, i+1, ..., i-1`` in turn, for each action, one
    number per rate.  Keeps ``n**2 A**(n+1)`` numbers.

    Examples
    --------
    >>> env = RepeatedMatrixGame(1, LOLA_IPD)
    >>> step = env.step(env.start(as_generator(0)), torch.tensor([[0, 1]]))
    >>> step.rewards.tolist(), env.observe(step.state).tolist()
    ([[-3.0, 0.0]], [[[1.0, 0.0, 0.0, 1.0], [0.0, 1.0, 1.0, 0.0]]])
    """

    bounds = (0.0, 1.0)

    def __init__(
        self,
        batch_size: int,
        payoffs: Sequence[Any] | Tensor = RUSP_IPD,
        *,
        horizon: int = 16,
        stop: float = 0.0,
        memory: Sequence[float] = (1.0,),
        device: str | torch.device = "cpu",
    ) -> None:
        self.batch_size = as_count(batch_size, "a batch size")
        self.horizon = as_count(horizon, "a horizon")
        if not 0 <= stop <= 1:
            raise ValueError(f"expected a probability to stop between 0 and 1, got {stop}")
        if not len(memory) or not all(0 < rate <= 1 for rate in memory):
            raise ValueError(f"expected one or more rates of memory in (0, 1], got {memory!r:.60}")
        self.device = as_device(device)
        tables = _payoff_tables(payoffs)
        self.n, self.n_actions = tables.shape[:2]
        self.d = self.n * self.n_actions * len(memory)
        self.stop, self.chance = stop, 0 < stop < 1
        self._payoffs = tables.flatten(1).T.contiguous().to(self.device)  # joint action, agent
        self._views = _views(self.n, self.n_actions, len(memory)).to(self.device)
        self._rates = torch.tensor(memory, device=self.device).repeat(self.d // len(memory))
        self._fades = min(memory) < 1

    def start(self, generator: torch.Generator) -> State:
        """Forget what was played, and draw when the game will be over.

        Parameters
        ----------
        generator : torch.Generator

        Returns
        -------
        dict of str to Tensor
            ``trace (B, n, d)``; ``age`` and ``life (B,)``, steps so far and in all.
        """
        B = self.batch_size
        age = torch.zeros(B, dtype=torch.long, device=self.device)
        life = torch.full_like(age, self.horizon + 1 if self.stop < 1 else 1)
        if self.chance:
            drawn = torch.empty(B, device=self.device).geometric_(self.stop, generator=generator)
            life = drawn.clamp(max=self.horizon + 1).long()
        return {"trace": torch.zeros(B, self.n, self.d, device=self.device), "age": age, "life": life}

    def observe(self, state: State) -> Tensor:
        """Return the traces.

        Parameters
        ----------
        state : dict of str to Tensor

        Returns
        -------
        Tensor, shape (B, n, d)
        """
        return state["trace"]

    def step(self, state: State, actions: Tensor) -> Step:
        """Pay everybody and remember what was played.

        Parameters
        ----------
        state : dict of str to Tensor
        actions : Tensor of int64, shape (B, n)

        Returns
        -------
        Step
        """
        check_actions(self, actions)
        joint, *others = actions.unbind(1)
        for action in others:
            joint = torch.add(action, joint, alpha=self.n_actions)
        rewards, trace = self._payoffs.index_select(0, joint), self._views.index_select(0, joint)
        if self._fades:
            trace = torch.lerp(state["trace"], trace, self._rates)
        age = state["age"] + 1
        terminated = age >= state["life"]
        truncated = (age >= self.horizon) > terminated  # at the horizon, and not over
        return Step({"trace": trace, "age": age, "life": state["life"]}, rewards, terminated, truncated)


class ParallelAdapter(ParallelEnv[str, Any, int]):  # type: ignore[misc]
    """A world of batch size 1 as a PettingZoo ``ParallelEnv``, for everybody's tools.

    Parameters
    ----------
    env : BatchedEnv
        The world.

    Raises
    ------
    TypeError
        If it is no world.
    ValueError
        If the batch has any other size.

    Notes
    -----
    For looking and testing, not for training: it moves one world at a time.

    References
    ----------
    terry2021pettingzoo

    Examples
    --------
    >>> world = ParallelAdapter(RepeatedMatrixGame(1))
    >>> observations, infos = world.reset(seed=0)
    >>> world.step({"agent_0": 0, "agent_1": 1})[1]
    {'agent_0': -2.0, 'agent_1': 4.0}
    """

    metadata: dict[str, Any] = {"name": "coalmarl", "render_modes": []}
    render_mode = None

    def __init__(self, env: BatchedEnv) -> None:
        if not hasattr(env, "batch_size"):
            raise TypeError(f"expected a world, got {env!r:.60}; write ParallelAdapter(RepeatedMatrixGame(1))")
        if env.batch_size != 1:
            raise ValueError(f"expected a world of batch size 1, got {env.batch_size}")
        self.env = env
        self.possible_agents = [f"agent_{i}" for i in range(env.n)]
        self.agents: list[str] = []
        self.observation_spaces = {a: Box(*env.bounds, (env.d,)) for a in self.possible_agents}
        self.action_spaces = {a: Discrete(env.n_actions) for a in self.possible_agents}
        self._generator: torch.Generator | None = None
        self._state: State = {}

    def observation_space(self, agent: str) -> Box:
        """Return the space of an agent's observations.

        Parameters
        ----------
        agent : str

        Returns
        -------
        gymnasium.spaces.Box
        """
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> Discrete[Any]:
        """Return the space of an agent's actions.

        Parameters
        ----------
        agent : str

        Returns
        -------
        gymnasium.spaces.Discrete
        """
        return self.action_spaces[agent]

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Start an episode.

        Parameters
        ----------
        seed : int, optional
            Without one, chance goes on where it was; at first it comes from the system.
        options : dict, optional
            ``"state"``: a state of the world, with one row, to start from.

        Returns
        -------
        observations, infos : dict
        """
        if seed is not None:
            self._generator = as_generator(seed, self.env.device)
        elif self._generator is None:
            self._generator = torch.Generator(self.env.device)
            self._generator.seed()
        drawn = self.env.start(self._generator)
        self._state = (options or {}).get("state", drawn)
        self.agents = self.possible_agents[:]
        return self._by_agent(self.env.observe(self._state)), {a: {} for a in self.agents}

    def step(self, actions: dict[str, int]) -> tuple[dict[str, Any], ...]:
        """Let all agents act at once.

        Parameters
        ----------
        actions : dict of str to int
            One for each agent.

        Returns
        -------
        observations, rewards, terminations, truncations, infos : dict

        Raises
        ------
        ValueError
            If no episode runs, or an agent's action is missing, extra or illegal.
        """
        if not self.agents:
            raise ValueError("expected a running episode, but none has begun or it has ended; call reset first")
        if set(actions) != set(self.agents):
            raise ValueError(f"expected one action for each of {self.agents}, got actions of {list(actions)}")
        for agent, action in actions.items():
            if not self.action_spaces[agent].contains(action):
                raise ValueError(f"expected an action of {agent} in 0 .. {self.env.n_actions - 1}, got {action!r:.60}")
        row = torch.tensor([[int(actions[a]) for a in self.agents]], device=self.env.device)
        self._state, rewards, terminated, truncated = self.env.step(self._state, row)
        ends = [dict.fromkeys(self.agents, bool(end)) for end in (terminated, truncated)]
        paid = dict(zip(self.agents, rewards[0].tolist()))
        result = self._by_agent(self.env.observe(self._state)), paid, *ends, {a: {} for a in self.agents}
        self.agents = [] if terminated or truncated else self.agents
        return result

    def _by_agent(self, observations: Tensor) -> dict[str, Any]:
        return dict(zip(self.agents, observations[0].cpu().numpy().copy()))


def check_actions(env: BatchedEnv, actions: Tensor) -> None:
    """Refuse what is not one legal action for each agent of each world.

    Parameters
    ----------
    env : BatchedEnv
    actions : Tensor
        What should be integers of shape ``(B, n)`` in ``0 .. n_actions - 1``.

    Raises
    ------
    TypeError
        If it is no tensor of 64-bit integers.
    ValueError
        If it has another shape, or holds an illegal action.

    Examples
    --------
    >>> check_actions(RepeatedMatrixGame(1), torch.tensor([[0, 2]]))
    Traceback (most recent call last):
    ...
    ValueError: expected actions in 0 .. 1, got 2 from agent 1 of world 0
    """
    if not isinstance(actions, Tensor) or actions.dtype != torch.long:
        what = actions.dtype if isinstance(actions, Tensor) else type(actions).__name__
        raise TypeError(f"expected actions as a tensor of dtype torch.int64, got {what}")
    if actions.shape != (env.batch_size, env.n):
        raise ValueError(
            f"expected actions of shape {(env.batch_size, env.n)}, a row per world and a column per agent, "
            f"got {tuple(actions.shape)}"
        )
    least, largest = torch.aminmax(actions)
    if int(least) < 0 or int(largest) >= env.n_actions:
        world, agent = ((actions < 0) | (actions >= env.n_actions)).nonzero()[0].tolist()
        raise ValueError(
            f"expected actions in 0 .. {env.n_actions - 1}, got {int(actions[world, agent])} "
            f"from agent {agent} of world {world}"
        )


def as_count(value: object, name: str) -> int:
    """Return a number of things, after checking that it is one.

    Parameters
    ----------
    value : int
        At least 1.
    name : str
        What it counts, for the message.

    Returns
    -------
    int

    Raises
    ------
    TypeError
        If it is no integer.
    ValueError
        If it is below 1.

    Examples
    --------
    >>> as_count(0, "a batch size")
    Traceback (most recent call last):
    ...
    ValueError: expected a batch size of at least 1, got 0
    """
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"expected {name} as an integer, got {value!r:.60} of type {type(value).__name__}")
    number = int(value.__index__())
    if number < 1:
        raise ValueError(f"expected {name} of at least 1, got {number}")
    return number


def as_device(device: str | torch.device) -> torch.device:
    """Return a device of this machine, after checking that it works.

    Parameters
    ----------
    device : str or torch.device
        Such as "cpu" or "cuda".

    Returns
    -------
    torch.device

    Raises
    ------
    ValueError
        If torch finds no such device here.

    Examples
    --------
    >>> as_device("cpu")
    device(type='cpu')
    """
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError, TypeError, NotImplementedError) as error:
        raise ValueError(f"expected a device that torch finds on this machine, such as 'cpu', got {device!r:.60}") from error


def as_generator(seed: int | torch.Generator, device: str | torch.device = "cpu") -> torch.Generator:
    """Return a source of chance on a device.

    Parameters
    ----------
    seed : int or torch.Generator
        A generator is returned as it is.
    device : str or torch.device

    Returns
    -------
    torch.Generator

    Raises
    ------
    TypeError
        If the seed is neither an integer nor a torch generator.
    ValueError
        If it is negative, or the generator lives on another device.

    Examples
    --------
    >>> torch.rand(1, generator=as_generator(0)) == torch.rand(1, generator=as_generator(0))
    tensor([True])
    """
    place = as_device(device)
    if isinstance(seed, torch.Generator):
        if seed.device.type != place.type:
            raise ValueError(f"expected a generator on {place}, got one on {seed.device}")
        return seed
    if isinstance(seed, bool) or not hasattr(seed, "__index__"):
        raise TypeError(f"expected a seed as an integer or a torch.Generator, got {seed!r:.60} of type {type(seed).__name__}")
    if not 0 <= (number := int(seed.__index__())) < 1 << 63:
        raise ValueError(f"expected a seed in 0 .. 2**63 - 1, got {number}")
    return torch.Generator(place).manual_seed(number)


def _payoff_tables(payoffs: Sequence[Any] | Tensor) -> Tensor:
    """One table per agent, shape (n, A, ..., A)."""
    try:
        tables = torch.as_tensor(payoffs, dtype=torch.float32).clone()
    except (TypeError, ValueError) as error:
        raise ValueError(f"expected payoffs as a table of numbers, got {payoffs!r:.60}") from error
    shape = tuple(tables.shape)
    if len(shape) == 2 and shape[0] == shape[1] > 1:
        tables = torch.stack([tables, tables.T])
    elif not (len(shape) > 1 and shape[0] == len(shape) - 1 and len(set(shape[1:])) == 1 and shape[1]):
        raise ValueError(
            "expected payoffs of shape (A, A) for a symmetric game of two, or (n, A, ..., A) with n times A "
            f"for n agents, got {shape}"
        )
    if not bool(tables.isfinite().all()):
        raise ValueError("expected finite payoffs, got some that are not")
    return tables


def _views(n: int, A: int, rates: int) -> Tensor:
    """What each agent sees of each joint action, own action first: shape (A**n, n, n * A * rates)."""
    joint = torch.cartesian_prod(*[torch.arange(A)] * n).view(-1, n)
    turned = torch.stack([joint.roll(-i, dims=1) for i in range(n)], dim=1)
    return torch.eye(A)[turned].flatten(2).repeat_interleave(rates, dim=2)
