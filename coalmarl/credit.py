"""Credit: which part of the team's reward was whose doing?

A team that did the joint action ``a`` has a *credit game*: ``v(S)`` is what it would have
earned had only ``S`` acted, the others staying idle (`coalmarl.teamwork`).  A *credit* is a
rule that turns this game into one payment per agent.  It may be factored, or budget balanced, or
pay nothing to the redundant; no rule is all three.  Learners that are paid so are here too,
beside COMA and VDN, which avoid the question, and the nucleolus as a change of gauge: it splits
the value of a team without changing what anybody does.

Games come in batches: ``worths`` is ``(..., 2**n)``, last index a coalition as a bit mask.
The nucleolus of such a batch is exact and takes no linear programme.  Which coalitions can
press together against an allocation does not depend on what they are worth: these are the
minimal balanced collections, 5 of them for three players and 41 for four.

Letters: ``n`` agents, ``A`` actions of each, ``Z`` states, ``v`` worths, ``x`` payments, ``q``
action values, ``t`` a step.
"""

from collections.abc import Callable, Sequence
from functools import cache
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from coalmarl import solutions
from coalmarl.coalitions import membership, singletons
from coalmarl.envs import as_generator
from coalmarl.games import TUGame
from coalmarl.learners import QSettings, action_values, epsilon_greedy, q_update
from coalmarl.teamwork import Numbers, Task, Vector, without_others

Credit = Callable[[ArrayLike], Vector]
Payments = Callable[[Tensor, Tensor, Tensor], Tensor]  # states (B,), joint actions (B,), rewards (B,) to (B, n)

# A game on which the nucleolus operator cycles at gamma .95: by state and coalition, what it gets
# and which state follows.
CYCLE_REWARDS = np.array(
    [[0, 0.7, 0.2, 0.9, 0.7, 1.7, 0.9, 2.0], [0, 0.6, 0.7, 1.3, 0.4, 1.3, 1.1, 2.0], [0, 0.4, 0.5, 1.7, 0.8, 1.2, 1.3, 2.5]]
)
CYCLE_SUCCESSORS = np.array([[0, 2, 1, 0, 1, 1, 0, 2], [0, 2, 1, 2, 0, 0, 2, 1], [2, 1, 1, 1, 1, 2, 1, 0]])

_LARGEST = 4  # players up to which the nucleolus is a walk down a table


# --- credits: from games to payments ----------------------------------------------------------------------------


def team_credit(worths: ArrayLike) -> Vector:
    """Pay every agent what the team earned.

    Parameters
    ----------
    worths : array_like of float, shape (..., 2**n)
        Credit games.

    Returns
    -------
    ndarray, shape (..., n)

    Raises
    ------
    ValueError
        If these are not games with finite worths.

    Examples
    --------
    >>> team_credit([0, 0, 0, 1, 0, 1, 0, 1]).tolist()
    [1.0, 1.0, 1.0]
    """
    v, n = _games(worths)
    return np.repeat(v[..., -1:], n, axis=-1)


def difference_credit(worths: ArrayLike) -> Vector:
    """Pay every agent its marginal contribution, what the team would lose without it.

    Parameters
    ----------
    worths : array_like of float, shape (..., 2**n)
        Credit games.

    Returns
    -------
    ndarray, shape (..., n)
        ``v(N) - v(N without i)``.  Does not sum to ``v(N)``.

    Raises
    ------
    ValueError
        If these are not games with finite worths.

    Notes
    -----
    Chapter 03's wonderful life utility.

    References
    ----------
    wolpert2000collective

    Examples
    --------
    >>> difference_credit([0, 0, 0, 1, 0, 1, 0, 1]).tolist()
    [1.0, 0.0, 0.0]
    """
    v, n = _games(worths)
    return v[..., -1:] - v[..., (1 << n) - 1 - singletons(n)]


def shapley_credit(worths: ArrayLike) -> Vector:
    """Pay every agent the Shapley value of the credit game.

    Parameters
    ----------
    worths : array_like of float, shape (..., 2**n)
        Credit games.

    Returns
    -------
    ndarray, shape (..., n)
        Sums to ``v(N)``.

    Raises
    ------
    ValueError
        If these are not games with finite worths.

    Notes
    -----
    The value is linear, so a matrix holds it: the Shapley values of the ``2**n - 1`` games in
    which one coalition is worth 1 and all others nothing.

    References
    ----------
    shapley1953value

    Examples
    --------
    >>> shapley_credit([0, 0, 0, 1, 0, 1, 0, 1]).round(3).tolist()
    [0.667, 0.167, 0.167]
    """
    v, n = _games(worths)
    return v @ _shapley_matrix(n)


def nucleolus_credit(worths: ArrayLike) -> Vector:
    """Pay every agent the prenucleolus of the credit game, exactly, for a batch of games at once.

    Parameters
    ----------
    worths : array_like of float, shape (..., 2**n)
        Credit games.

    Returns
    -------
    ndarray, shape (..., n)
        Sums to ``v(N)``.  Where the core is not empty, nobody gets more than its marginal
        contribution ``v(N) - v(N without i)``; a redundant agent gets 0.

    Raises
    ------
    ValueError
        If these are not games with finite worths.

    Notes
    -----
    Least worst excess: minimise ``t`` with ``v(S) - x(S) <= t`` and ``x(N) = v(N)``.  The dual
    programme's vertices are `minimal_balanced_collections`, whatever ``v`` is, so ``t`` is the
    largest of 41 weighted sums (four players) of excesses.  The collection that attains it is
    tight at every optimum.  Settle its coalitions, look at what is left of the space, and do
    the same there: at most ``n - 1`` levels, a product and an argmax each, for all games of
    the batch together.  Levels are worked out when first met, and kept.

    From five players on `coalmarl.solutions.prenucleolus` takes one game after the other, each
    different game once.

    References
    ----------
    schmeidler1969nucleolus, shapley1967balanced

    Examples
    --------
    >>> nucleolus_credit([[0, 0, 0, 2, 0, 2, 1, 4], [0, 0, 0, 0, 0, 0, 0, 3]]).round(3).tolist()
    [[2.0, 1.0, 1.0], [1.0, 1.0, 1.0]]
    """
    v, n = _games(worths)
    games = v.reshape(-1, 1 << n)
    if n > _LARGEST:
        different, which = np.unique(games, axis=0, return_inverse=True)
        alone = [solutions.prenucleolus(TUGame(np.append(0.0, game[1:]))) for game in different]
        return np.reshape(alone, (-1, n))[which.reshape(v.shape[:-1])]
    x = np.repeat(games[:, -1:] / n, n, axis=1)
    if n > 1:
        _settle(games, x, _level(n, ((1 << n) - 1,)))
    return x.reshape(*v.shape[:-1], n)


def minimal_balanced_collections(n: int) -> list[dict[int, float]]:
    """Return every minimal balanced collection of proper coalitions, with its weights.

    Parameters
    ----------
    n : int
        Number of players, from 2 to 5.

    Returns
    -------
    list of dict
        From coalition to its positive weight.  Every player's coalitions weigh 1 together, and
        no part of the collection can do so.

    Raises
    ------
    ValueError
        If there are too few players for a proper coalition, or too many to list.

    Notes
    -----
    The core is not empty if and only if none of these collections, weighted, is worth more
    than ``v(N)``.  There are 1, 5, 41 and 1291 for 2 to 5 players; for 6 already 200 213.
    Every set of 2 to ``n`` coalitions is tried, 174 406 of them for 5 players.

    References
    ----------
    bondareva1963, shapley1967balanced

    Examples
    --------
    >>> minimal_balanced_collections(2)
    [{1: 1.0, 2: 1.0}]
    >>> len(minimal_balanced_collections(3)), len(minimal_balanced_collections(4))
    (5, 41)
    """
    if not 2 <= n <= 5:
        raise ValueError(f"expected 2 to 5 players, got {n}")
    level = _level(n, ((1 << n) - 1,))
    weights = level.weights / (level.weights @ membership(level.open, n))[:, :1]
    return [{int(S): round(float(w), 12) for S, w in zip(level.open, row) if w > 0} for row in weights]


class _Level(NamedTuple):
    """A part of the space of allocations that is still open, and who can press there.

    ``weights`` (vertices, open) are the dual vertices.  ``moves`` (vertices, open, n) turn the
    excesses of the open coalitions into the step to where that vertex's coalitions are tight.
    ``below`` are the coalitions settled after each step.
    """

    open: Numbers
    weights: Vector
    moves: Vector
    below: list[tuple[int, ...]]


def _settle(games: Vector, x: Vector, level: _Level) -> None:
    """Move each allocation, in place, to where its worst excess is least, and go on below."""
    excesses = games[:, level.open] - x @ membership(level.open, x.shape[1]).T
    presses = (excesses @ level.weights.T).argmax(axis=1)
    for k in np.unique(presses):
        rows = np.flatnonzero(presses == k)
        there = x[rows] + excesses[rows] @ level.moves[k]
        if len(level.below[k]) < games.shape[1] - 1:
            _settle(games[rows], there, _level(x.shape[1], level.below[k]))
        x[rows] = there


@cache
def _level(n: int, settled: tuple[int, ...]) -> _Level:
    """The level on which these coalitions, and all in their span, are settled."""
    masks = np.arange(1, 1 << n)
    open_ = np.setdiff1d(masks, settled)
    free = _orthogonal(membership(settled, n).astype(float))  # (d, n): the moves that are left
    pressure = membership(open_, n) @ free.T
    weights = _vertices(pressure)
    moves, below = np.zeros((len(weights), len(open_), n)), []
    for k, row in enumerate(weights):
        tight = np.flatnonzero(row)
        back = np.linalg.pinv(pressure[tight]) @ (np.eye(len(open_))[tight] - row)
        moves[k] = back.T @ free
        left = _orthogonal(membership([*settled, *open_[tight]], n).astype(float))
        gone = np.abs(membership(masks, n) @ left.T).max(axis=1, initial=0.0) < 1e-9
        below.append(tuple(masks[gone].tolist()))
    return _Level(open_, weights, moves, below)


def _vertices(pressure: Vector) -> Vector:
    """All minimal sets of rows that a positive mixture cancels out: (sets, rows), mixtures sum to 1."""
    rows, d = pressure.shape
    found = []
    for size in range(2, d + 2):
        sets = np.array(list(combinations(range(rows), size)))
        system = np.append(pressure[sets], np.ones((*sets.shape, 1)), axis=2).transpose(0, 2, 1)
        target = np.eye(d + 1)[-1]
        mixture = np.linalg.pinv(system, rcond=1e-9) @ target
        solves = np.abs((system @ mixture[..., None])[..., 0] - target).max(axis=1) < 1e-9
        good = solves & (mixture > 1e-9).all(axis=1)
        good[good] = np.linalg.matrix_rank(system[good], tol=1e-9) == size  # else some part would do
        full = np.zeros((int(good.sum()), rows))
        np.put_along_axis(full, sets[good], mixture[good], axis=1)
        found.append(full)
    return np.concatenate(found)


def _orthogonal(rows: Vector) -> Vector:
    """An orthonormal basis of what is orthogonal to all rows."""
    _, sizes, basis = np.linalg.svd(rows)
    return basis[int((sizes > 1e-9).sum()) :]


@cache
def _shapley_matrix(n: int) -> Vector:
    units = np.eye(1 << n)
    units[0] = 0.0  # the empty coalition is worth nothing
    return np.stack([solutions.shapley(TUGame(unit)) for unit in units])


# --- learning from credit ---------------------------------------------------------------------------------------


def known_payments(task: Task, table: Vector) -> Payments:
    """Return payments looked up in a table; the error of the observed reward blurs them all.

    Parameters
    ----------
    task : Task
    table : ndarray, shape (Z, A**n, n)
        What each agent is paid by state and joint action, such as a credit of ``task.games()``.

    Returns
    -------
    callable
        For `q_from_credit`.

    Raises
    ------
    ValueError
        If the table has another shape, or payments that are not finite.

    Examples
    --------
    >>> from coalmarl.teamwork import specialist
    >>> task, first = specialist(3, 0.2), torch.tensor([0])
    >>> pay = known_payments(task, nucleolus_credit(task.games()))
    >>> pay(first, torch.tensor([1 + 3 + 9]), torch.tensor([1.5])).round(decimals=6).tolist()
    [[1.5, 0.5, 0.5]]
    """
    if np.shape(table) != task.split.shape or not np.isfinite(table).all():
        raise ValueError(f"expected finite payments of shape {task.split.shape}, got shape {np.shape(table)}")
    exact, rewards = torch.tensor(table, dtype=torch.float64), torch.from_numpy(task.rewards)

    def pay(states: Tensor, joint: Tensor, seen: Tensor) -> Tensor:
        return exact[states, joint] + (seen - rewards[states, joint])[:, None]

    return pay


def learned_payments(task: Task, credit: Credit, runs: int) -> Payments:
    """Return payments by a credit of games that the team learns on the way.

    Parameters
    ----------
    task : Task
        Only its sizes are used.
    credit : callable
        From games ``(B, 2**n)`` to payments ``(B, n)``.
    runs : int
        How many runs learn side by side, each from its own experience.

    Returns
    -------
    callable
        For `q_from_credit`.

    Notes
    -----
    Each run keeps the mean reward of every joint action it has seen.  What a coalition would
    have earned alone is the mean of that other joint action, 0 if it was never tried.

    Examples
    --------
    >>> from coalmarl.teamwork import specialist
    >>> pay, first = learned_payments(specialist(3, 0.2), nucleolus_credit, 1), torch.tensor([0])
    >>> pay(first, torch.tensor([1 + 3 + 9]), torch.tensor([0.9])).round(decimals=2).tolist()
    [[0.3, 0.3, 0.3]]
    """
    others = torch.from_numpy(without_others(task.agents, task.actions))
    means = torch.zeros(runs, *task.rewards.shape, dtype=torch.float64)
    counts, run = torch.zeros_like(means), torch.arange(runs)

    def pay(states: Tensor, joint: Tensor, seen: Tensor) -> Tensor:
        here = (run, states, joint)
        counts[here] += 1
        means[here] += (seen - means[here]) / counts[here]
        games = means[run[:, None], states[:, None], others[joint]]
        games[:, 0] = 0.0
        return torch.from_numpy(credit(games.numpy()))

    return pay


def q_from_credit(
    task: Task, pay: Payments | None, settings: Sequence[QSettings], *, seed: int | torch.Generator
) -> Tensor:
    """Let every agent learn the value of its own actions from what it is paid.

    Parameters
    ----------
    task : Task
    pay : callable or None
        From states, joint actions and observed rewards, ``(B,)`` each, to payments ``(B, n)``;
        see `known_payments` and `learned_payments`.  None means VDN: nobody is paid, and one
        error of the sum of all values, divided equally, teaches all.
    settings : sequence of QSettings
        One for each run; the runs learn side by side, for equally many steps.  The states are
        the task's, whatever ``states`` says.
    seed : int or torch.Generator

    Returns
    -------
    Tensor, shape (runs, n, Z, A)

    Raises
    ------
    ValueError
        If there is no run, or they differ in their number of steps.
    FloatingPointError
        If a value is not finite.

    References
    ----------
    watkins1992qlearning, sunehag2017value

    Examples
    --------
    >>> from coalmarl.teamwork import specialist
    >>> task, settings = specialist(3, 0.2), QSettings(steps=500)
    >>> pay = known_payments(task, nucleolus_credit(task.games()))
    >>> greedy_joint(task, q_from_credit(task, pay, [settings] * 4, seed=0)).shape
    (4, 1)
    """
    plan, generator, runs, n = _Plan(settings), as_generator(seed), len(settings), task.agents
    q = torch.zeros(runs, n, len(task.rewards), task.actions, dtype=torch.float64)
    world = _World(task, runs, generator)
    for t in range(plan.steps):
        here = world.states[:, None].expand(runs, n)
        actions = epsilon_greedy(action_values(q, here), plan.epsilon(t), generator)
        states, joint, reward = world.step(actions)
        follows = plan.gamma * action_values(q, world.states[:, None].expand(runs, n)).amax(-1)
        if pay is None:
            before = action_values(q, here).gather(-1, actions[..., None]).squeeze(-1)
            surprise = reward + follows.sum(-1) - before.sum(-1)
            targets = before + surprise[:, None] / n
        else:
            targets = pay(states, joint, reward) + follows
        q_update(q, here, actions, targets, plan.rate[..., None])
    if not bool(q.isfinite().all()):
        raise FloatingPointError("a value is not finite; learn more slowly, or scale the rewards down")
    return q


def coma(
    task: Task, settings: Sequence[QSettings], *, actor_rate: ArrayLike, seed: int | torch.Generator
) -> Tensor:
    """Learn a policy for every agent from COMA's counterfactual advantage.

    Parameters
    ----------
    task : Task
    settings : sequence of QSettings
        One for each run, as in `q_from_credit`.  They are the critic's, a table over joint actions
        that all agents share; ``epsilon`` keeps every policy from never trying something.
    actor_rate : float, or one for each run
        How far an advantage moves the logits of a policy.
    seed : int or torch.Generator

    Returns
    -------
    Tensor, shape (runs, n, Z, A)
        Logits of the policies.

    Raises
    ------
    ValueError
        If there is no run, they differ in their number of steps, or a rate is not a finite number above 0.
    FloatingPointError
        If a logit is not finite.

    References
    ----------
    foerster2018counterfactual

    Examples
    --------
    >>> from coalmarl.teamwork import specialist
    >>> logits = coma(specialist(3, 0.2), [QSettings(steps=300)] * 4, actor_rate=0.5, seed=0)
    >>> logits.shape
    torch.Size([4, 3, 1, 3])
    """
    plan, generator, runs, n = _Plan(settings), as_generator(seed), len(settings), task.agents
    run, climb = torch.arange(runs), torch.as_tensor(actor_rate).view(-1, 1, 1)
    if not bool(((climb > 0) & climb.isfinite()).all()):
        raise ValueError(f"expected actor_rate as finite numbers above 0, got {climb.flatten().tolist()}")
    logits = torch.zeros(runs, n, len(task.rewards), task.actions, dtype=torch.float64)
    critic = torch.zeros(runs, *task.rewards.shape, dtype=torch.float64)
    world, last = _World(task, runs, generator), None
    for t in range(plan.steps):
        here = world.states[:, None].expand(runs, n)
        soft, epsilon = action_values(logits, here).softmax(-1), plan.epsilon(t)[..., None]
        policies = (1 - epsilon) * soft + epsilon / task.actions
        actions = torch.multinomial(policies.flatten(0, 1), 1, generator=generator).view(runs, n)
        states, joint, reward = world.step(actions)
        if last is not None:  # the critic learns one step behind: it needs the next joint action
            cell, earned = last
            critic[cell] += plan.rate[:, 0] * (earned + plan.gamma[:, 0] * critic[run, states, joint] - critic[cell])
        last = ((run, states, joint), reward)
        better = counterfactual_advantage(critic[run, states], policies, actions)
        slope = (1 - epsilon) * soft / policies * torch.nn.functional.one_hot(actions, task.actions)
        steps = slope - slope.sum(-1, keepdim=True) * soft
        logits[run[:, None], torch.arange(n), here] += climb * better[..., None] * steps
        if not bool(logits.isfinite().all()):
            raise FloatingPointError(f"step {t}: a logit is not finite; lower actor_rate")
    return logits


def counterfactual_advantage(q: Tensor, policies: Tensor, actions: Tensor) -> Tensor:
    """Return how much better each agent did than its own policy would on average.

    Parameters
    ----------
    q : Tensor, shape (B, A**n)
        Values of the joint actions.
    policies : Tensor, shape (B, n, A)
        Probabilities of each agent's actions.
    actions : Tensor of int64, shape (B, n)
        What they did.

    Returns
    -------
    Tensor, shape (B, n)
        ``Q(a)`` less the mean of ``Q`` over the agent's own action, the others' as they were.

    Raises
    ------
    ValueError
        If the shapes do not fit, or a value is not finite.

    Notes
    -----
    With the reward as ``Q`` this is chapter 03's aristocrat utility.

    References
    ----------
    foerster2018counterfactual, wolpert2001optimal

    Examples
    --------
    >>> q = torch.tensor([[0.0, 1.0, 0.0, 4.0]])  # agent 0 chooses the column
    >>> even = torch.full((1, 2, 2), 0.5)
    >>> counterfactual_advantage(q, even, torch.tensor([[1, 1]])).tolist()
    [[2.0, 1.5]]
    """
    B, n, A = policies.shape
    if q.shape != (B, A**n) or actions.shape != (B, n):
        raise ValueError(f"expected values ({B}, {A**n}) and actions ({B}, {n}), got {tuple(q.shape)} and {tuple(actions.shape)}")
    if not bool(q.sum().isfinite()):  # one pass, and whatever is not finite shows in the sum
        raise ValueError("expected finite values of joint actions, got some that are not")
    place = A ** torch.arange(n)
    joint = (actions * place).sum(-1, keepdim=True)
    instead = joint[..., None] + (torch.arange(A) - actions[..., None]) * place[:, None]
    alternatives = q[torch.arange(B)[:, None, None], instead]
    return q.gather(1, joint) - (policies * alternatives).sum(-1)


def greedy_joint(task: Task, values: Tensor) -> Numbers:
    """Return the joint action of the best own actions, by run and state.

    Parameters
    ----------
    task : Task
    values : Tensor, shape (runs, n, Z, A)
        Values or logits.

    Returns
    -------
    ndarray of int, shape (runs, Z)
        For `coalmarl.teamwork.policy_values`.

    Examples
    --------
    >>> from coalmarl.teamwork import specialist
    >>> greedy_joint(specialist(2), torch.tensor([[[[0, 1, 0]], [[0, 0, 1]]]])).tolist()  # 1 + 2 * 3
    [[7]]
    """
    place = task.actions ** torch.arange(task.agents)
    numbers: Numbers = (values.argmax(-1) * place[:, None]).sum(1).numpy()
    return numbers


class _World:
    """Where each run of a task stands."""

    def __init__(self, task: Task, runs: int, generator: torch.Generator) -> None:
        self.task, self.generator = task, generator
        self.rewards = torch.from_numpy(task.rewards)
        self.edges = torch.from_numpy(task.transitions).cumsum(-1)[..., :-1]
        self.place = task.actions ** torch.arange(task.agents)
        self.states = torch.randint(len(task.rewards), (runs,), generator=generator)

    def step(self, actions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """States left, joint actions and observed rewards; moves on."""
        states, joint = self.states, (actions * self.place).sum(-1)
        blur = torch.randn(len(states), generator=self.generator, dtype=torch.float64)
        luck = torch.rand(len(states), generator=self.generator, dtype=torch.float64)
        reward = self.rewards[states, joint] + self.task.noise * blur
        self.states = (self.edges[states, joint] <= luck[:, None]).sum(-1)
        return states, joint, reward


class _Plan:
    """The settings of all runs as columns, (runs, 1)."""

    def __init__(self, settings: Sequence[QSettings]) -> None:
        if len({s.steps for s in settings}) != 1:
            raise ValueError(f"expected settings for each run, all of equally many steps, got {settings!r:.80}")
        rows = [(s.rate, s.gamma, *s.epsilon, max(1.0, s.anneal * s.steps)) for s in settings]
        columns = torch.tensor(rows, dtype=torch.float64).T[..., None]
        self.rate, self.gamma, self.first, self.last, self.lasts = columns
        self.steps = settings[0].steps

    def epsilon(self, t: int) -> Any:
        """Share of random actions at step t: linearly from first to last."""
        return self.first + (t / self.lasts).clamp(max=1.0) * (self.last - self.first)


# --- the nucleolus as a gauge -----------------------------------------------------------------------------------


def nucleolus_offsets(q: ArrayLike, worths: ArrayLike) -> Vector:
    """Return what to add to a team's values so that they are split as the nucleolus splits them.

    Parameters
    ----------
    q : array_like of float, shape (..., n, Z, A)
        Values that sum to the value of the team, as those of VDN do.
    worths : array_like of float, shape (..., Z, 2**n)
        What each coalition can earn by itself from each state.

    Returns
    -------
    ndarray, shape (..., n, Z)
        ``b`` with sum 0 over the agents.  Neither the sum of the values nor anybody's best
        action changes, and ``max q + b`` is the prenucleolus, with what the team expects to earn
        in place of ``v(N)``.

    Raises
    ------
    ValueError
        If a value or a worth is not finite, or the shapes do not fit.

    Examples
    --------
    >>> q = np.array([[[0.0, 1.0]], [[0.5, 0.0]], [[0.0, 0.5]]])
    >>> nucleolus_offsets(q, [[0, 0, 0, 2, 0, 2, 0, 2]]).round(3).tolist()
    [[1.0], [-0.5], [-0.5]]
    """
    q, (v, n) = np.asarray(q, dtype=np.float64), _games(worths)
    if q.ndim < 3 or q.shape[-3] != n or q.shape[-2] != v.shape[-2] or not np.isfinite(q).all():
        raise ValueError(f"expected finite values of shape (..., {n}, {v.shape[-2]}, A), got shape {q.shape}")
    held = np.swapaxes(q.max(axis=-1), -1, -2)  # (..., Z, n)
    games = np.broadcast_to(v, (*held.shape[:-1], v.shape[-1])).copy()
    games[..., -1] = held.sum(axis=-1)
    return np.swapaxes(nucleolus_credit(games) - held, -1, -2)


def worst_excess(worths: ArrayLike, x: ArrayLike) -> Vector:
    """Return how much the unhappiest coalition could gain by leaving a division.

    Parameters
    ----------
    worths : array_like of float, shape (..., 2**n)
        Games of two players or more.
    x : array_like of float, shape (..., n)
        Divisions.  What they lack of ``v(N)``, or hand out too much, is shared equally first.

    Returns
    -------
    ndarray, shape (...)
        Largest excess of a proper non-empty coalition.

    Raises
    ------
    ValueError
        If these are not games with finite worths.

    Examples
    --------
    >>> float(worst_excess([0, 0, 0, 1, 0, 1, 0, 1], [0.5, 0.25, 0.25]))
    0.25
    """
    (v, n), paid = _games(worths), np.asarray(x, dtype=np.float64)
    whole = paid + (v[..., -1] - paid.sum(axis=-1))[..., None] / n
    inside = membership(range(1, (1 << n) - 1), n)
    return np.asarray((v[..., 1:-1] - whole @ inside.T).max(axis=-1))


def worst_excess_play(worths: ArrayLike, *, steps: int = 4000, rate: float = 0.01) -> Vector:
    """Split by lowering the worst excess only, with a multiplier on every coalition.

    Parameters
    ----------
    worths : array_like of float, shape (..., 2**n)
        Games.
    steps : int
        Rounds.
    rate : float
        How fast the multipliers of unhappy coalitions grow.

    Returns
    -------
    ndarray, shape (..., n)
        Sums to ``v(N)``; mean of the second half of the rounds.

    Raises
    ------
    ValueError
        If these are not games with finite worths, or no rounds or no rate.

    Notes
    -----
    Constrained reinforcement learning in small: the players move towards those whose
    coalitions press, the multipliers towards the pressing coalitions.  It settles near
    the *least core*, which is the nucleolus only where the least core is one point.

    Examples
    --------
    >>> from coalmarl.games import bankruptcy
    >>> talmud = bankruptcy(300, [100, 200, 300]).values
    >>> nucleolus_credit(talmud).round(1).tolist(), worst_excess_play(talmud).round(0).tolist()
    ([50.0, 100.0, 150.0], [47.0, 126.0, 127.0])
    """
    v, n = _games(worths)
    if steps < 2 or not rate > 0:
        raise ValueError(f"expected at least 2 steps and a positive rate, got {steps} and {rate}")
    proper = np.arange(1, (1 << n) - 1)
    inside = membership(proper, n).astype(float)
    x = np.repeat(v[..., -1:] / n, n, axis=-1)
    pressure, total = np.zeros_like(v[..., proper]), np.zeros_like(x)
    for step in range(steps):
        pressure += rate * (v[..., proper] - x @ inside.T)
        multipliers = np.exp(pressure - pressure.max(axis=-1, keepdims=True))
        push = (multipliers / multipliers.sum(axis=-1, keepdims=True)) @ inside
        x = x + 0.5 * (push - push.mean(axis=-1, keepdims=True))
        if step >= steps // 2:
            total += x
    return total / (steps - steps // 2)


def credit_backup(rewards: Vector, successors: Numbers, x: Vector, gamma: float) -> Vector:
    """Apply the nucleolus operator once: split what each coalition gets now and is owed next.

    Parameters
    ----------
    rewards : ndarray, shape (Z, 2**n)
        What each coalition gets in each state.
    successors : ndarray of int, shape (Z, 2**n)
        The state that follows if that coalition acts.
    x : ndarray, shape (Z, n)
        What each agent is owed in each state.
    gamma : float
        Weight of the next step.

    Returns
    -------
    ndarray, shape (Z, n)
        The prenucleolus of ``v(S) = r(S) + gamma x(S)``, with the ``x`` of the successor of ``S``.

    Raises
    ------
    ValueError
        If the games are not finite.

    Notes
    -----
    Where all coalitions lead to the same successor, ``gamma x`` is an additive game and comes
    out as it went in, so the operator is a ``gamma``-contraction.  Where they do not, it need
    not be: the nucleolus can move several times as far as the game did.

    Examples
    --------
    >>> rewards, same = np.array([[0.0, 0, 0, 0, 0, 0, 0, 3]]), np.zeros((1, 8), dtype=int)
    >>> credit_backup(rewards, same, np.array([[4.0, 2, 0]]), gamma=0.5).round(6).tolist()
    [[3.0, 2.0, 1.0]]
    """
    n = x.shape[1]
    owed = (x[successors] * membership(range(1 << n), n)).sum(axis=-1)
    return nucleolus_credit(rewards + gamma * owed)


# --- what coalitions are worth, from experience -----------------------------------------------------------------


class Experience(NamedTuple):
    """Steps of a team in order, ``(T,)`` each.

    Attributes
    ----------
    states, joint : ndarray of int
        State, and joint action in it.
    rewards : ndarray of float
        As observed.
    then : ndarray of int
        The next state.
    """

    states: Numbers
    joint: Numbers
    rewards: Vector
    then: Numbers


def explore(task: Task, steps: int, *, seed: int | torch.Generator, part: float = 0.0) -> Experience:
    """Act at random and write down what happens.

    Parameters
    ----------
    task : Task
    steps : int
        How long.
    seed : int or torch.Generator
    part : float
        Share of the steps in which only a random coalition acts.  In the others all act.

    Returns
    -------
    Experience

    Raises
    ------
    TypeError, ValueError
        If the seed is none.

    Examples
    --------
    >>> from coalmarl.teamwork import subtasks
    >>> explore(subtasks(), 1000, seed=0).rewards.shape
    (1000,)
    """
    generator = as_generator(seed)
    world, shape = _World(task, 1, generator), (steps, 1, task.agents)
    actions = torch.randint(task.actions, shape, generator=generator)
    idle = torch.rand(steps, 1, 1, generator=generator) < part
    actions[idle & (torch.rand(shape, generator=generator) < 0.5)] = 0
    rows = [torch.stack([*map(torch.Tensor.double, world.step(a)), world.states.double()]) for a in actions]
    states, joint, rewards, then = torch.stack(rows)[..., 0].T.numpy()
    return Experience(states.astype(int), joint.astype(int), rewards, then.astype(int))


def counted_model(task: Task, seen: Experience) -> Task:
    """Return the task as experience shows it: mean rewards, and shares of the next states.

    Parameters
    ----------
    task : Task
        Only its sizes are used.
    seen : Experience

    Returns
    -------
    Task
        Where nothing was tried, nothing is earned and the state stays.

    Examples
    --------
    >>> from coalmarl.teamwork import specialist
    >>> task = specialist(3, 0.2)
    >>> model = counted_model(task, explore(task, 500, seed=0))
    >>> bool(abs(model.rewards - task.rewards).max() < 0.3)
    True
    """
    Z, m = task.rewards.shape
    cells = seen.states * m + seen.joint
    counts = np.bincount(cells * Z + seen.then, minlength=Z * m * Z).reshape(Z, m, Z)
    total = counts.sum(axis=-1)
    rewards = np.bincount(cells, weights=seen.rewards, minlength=Z * m).reshape(Z, m) / np.maximum(total, 1)
    rewards[:, 0] = 0.0
    stay = np.broadcast_to(np.eye(Z)[:, None], counts.shape)
    transitions = np.where(total[..., None] > 0, counts / np.maximum(total, 1)[..., None], stay)
    return Task(task.agents, task.actions, rewards, transitions, np.zeros_like(task.split))


def q_of_coalitions(task: Task, seen: Experience, *, gamma: float, rate: float, passes: int = 1) -> Vector:
    """Learn what each coalition can earn by itself, without a model: a table for each coalition.

    Parameters
    ----------
    task : Task
        Only its sizes are used.
    seen : Experience
    gamma : float
        Weight of the next step.
    rate : float
        How far a value moves towards new evidence.
    passes : int
        How often to go through the experience: 1 learns as it happens, more is replay.

    Returns
    -------
    ndarray, shape (Z, 2**n)
        ``V_S(z)``, to compare with `coalmarl.teamwork.coalition_values`.

    Raises
    ------
    ValueError
        If there is no pass.

    Notes
    -----
    Q-learning off policy.  A step teaches every coalition that contains all who acted in it.

    References
    ----------
    watkins1992qlearning

    Examples
    --------
    >>> from coalmarl.teamwork import specialist
    >>> task = specialist(3, 0.2, noise=0.0)
    >>> q_of_coalitions(task, explore(task, 2000, seed=0), gamma=0.0, rate=0.5)[0].round(2).tolist()
    [0.0, 0.0, 0.2, 1.0, 0.2, 1.0, 0.4, 1.2]
    """
    if passes < 1:
        raise ValueError(f"expected at least one pass, got {passes}")
    Z, m = task.rewards.shape
    without = without_others(task.agents, task.actions)
    able = without == np.arange(m)[:, None]  # (m, 2**n): the outsiders of S are idle
    q = np.where(able.T[:, None], 0.0, -np.inf).repeat(Z, axis=1)  # (2**n, Z, m)
    best, learns = np.zeros((Z, len(q))), [np.flatnonzero(row) for row in able]
    steps = list(zip(*(column.tolist() for column in seen)))
    for z, a, reward, then in steps * passes:
        S = learns[a]
        q[S, z, a] += rate * (reward + gamma * best[then, S] - q[S, z, a])
        best[z, S] = q[S, z].max(axis=1)
    best[:, 0] = 0.0
    return best


def _games(worths: ArrayLike) -> tuple[Vector, int]:
    """Worths as floats, with their number of players; refused if they are no games."""
    v = np.asarray(worths, dtype=np.float64)
    n = (v.shape[-1] if v.ndim else 0).bit_length() - 1
    if n < 1 or v.shape[-1] != 1 << n:
        raise ValueError(f"expected games of shape (..., 2**n), a worth for each coalition, got shape {v.shape}")
    if not np.isfinite(v).all():
        raise ValueError(f"expected finite worths, got {v[~np.isfinite(v)][0]}")
    return v, n
