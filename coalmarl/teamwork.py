"""Small worlds of shared work: who should do what, and what each coalition could do alone.

Every agent picks an action: 0 is to stay idle, ``k`` is to go to work site ``k``.  A joint
action is one number whose digits to the base ``A`` are the agents' actions, agent 0 first.
What a coalition would have earned had the others stayed idle is then another entry of the same
table of rewards, and so every joint action carries a cooperative game, its *credit game*.

Letters: ``n`` agents, ``A`` actions of each, ``m = A**n`` joint actions, ``Z`` states, ``S`` a
coalition as a bit mask, ``V_S(z)`` what ``S`` can earn from state ``z`` on by itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache

import numpy as np
from numpy.typing import NDArray

from coalmarl.coalitions import membership

Vector = NDArray[np.float64]
Numbers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Task:
    """A team's decision problem, written out as tables.

    Attributes
    ----------
    agents, actions : int
        How many agents, and actions of each.
    rewards : ndarray, shape (Z, A**n)
        What the team earns, by state and joint action; nothing if all stay idle.
    transitions : ndarray, shape (Z, A**n, Z)
        Probability of each next state.
    split : ndarray, shape (Z, A**n, n)
        What each work site pays, divided equally among those who went there.
    noise : float
        Standard deviation of the error with which a learner sees what the team earned.

    Raises
    ------
    ValueError
        If the tables do not fit together, are not finite, are no probabilities, or idleness
        earns something.
    """

    agents: int
    actions: int
    rewards: Vector = field(repr=False)
    transitions: Vector = field(repr=False)
    split: Vector = field(repr=False)
    noise: float = 0.0

    def __post_init__(self) -> None:
        Z, m = len(self.rewards), self.actions**self.agents
        shapes = {"rewards": (Z, m), "transitions": (Z, m, Z), "split": (Z, m, self.agents)}
        for name, shape in shapes.items():
            table = getattr(self, name)
            if table.shape != shape or not np.isfinite(table).all():
                raise ValueError(f"expected {name} as finite numbers of shape {shape}, got shape {table.shape}")
        if (self.transitions < 0).any() or (np.abs(self.transitions.sum(axis=-1) - 1) > 1e-9).any():
            raise ValueError("expected transitions as probabilities that sum to 1 over the next states")
        if (self.rewards[:, 0] != 0).any():
            raise ValueError(f"expected a team that stays idle to earn 0, got {self.rewards[:, 0].tolist()}")

    def games(self) -> Vector:
        """Return the credit game of every state and joint action.

        Returns
        -------
        ndarray, shape (Z, A**n, 2**n)
            Last index ``S``: the reward if ``S`` acts so and all others stay idle.
        """
        return self.rewards[:, without_others(self.agents, self.actions)]


@cache
def joint_actions(n: int, A: int) -> Numbers:
    """Return the actions of all agents in every joint action.

    Parameters
    ----------
    n, A : int
        Number of agents, and of actions of each.

    Returns
    -------
    ndarray of int, shape (A**n, n)

    Examples
    --------
    >>> joint_actions(2, 3)[5].tolist()  # 5 = 2 + 1 * 3
    [2, 1]
    """
    return np.arange(A**n)[:, None] // A ** np.arange(n) % A


@cache
def without_others(n: int, A: int) -> Numbers:
    """Return, for every joint action and coalition, the joint action in which others stay idle.

    Parameters
    ----------
    n, A : int
        Number of agents, and of actions of each.

    Returns
    -------
    ndarray of int, shape (A**n, 2**n)

    Examples
    --------
    >>> without_others(2, 3)[5].tolist()  # nobody, agent 0, agent 1, both
    [0, 2, 3, 5]
    """
    acts = joint_actions(n, A)[:, None] * membership(range(1 << n), n)
    return acts @ A ** np.arange(n)


def own_moves(task: Task, table: Vector, i: int) -> Vector:
    """Lay a table over joint actions out by one agent's own action.

    Parameters
    ----------
    task : Task
    table : ndarray, shape (..., A**n)
        Such as the rewards, or what the agent is paid.
    i : int
        The agent.

    Returns
    -------
    ndarray, shape (..., A, A**(n-1))
        Own action, then what the others do: for `coalmarl.collectives.factoredness`.

    Examples
    --------
    >>> own_moves(specialist(2, 0.2), np.arange(9), 1).tolist()
    [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    """
    n, A, front = task.agents, task.actions, table.shape[:-1]
    apart = table.reshape(*front, *[A] * n)  # the last axis is agent 0's
    return np.moveaxis(apart, len(front) + n - 1 - i, len(front)).reshape(*front, A, -1)


def specialist(n: int = 4, small: float = 0.15, *, noise: float = 0.1) -> Task:
    """Return the task of one specialist among many who can do little jobs.

    Site 1 pays 1 if agent 0, the specialist, and at least one other go there.  Site 2 pays
    ``small`` for every agent that goes, but for the specialist.

    Parameters
    ----------
    n : int
        Number of agents.
    small : float
        What a little job pays.
    noise : float
        See `Task`.

    Returns
    -------
    Task
        With one state.  Best is one assistant for the specialist, all others at little jobs:
        ``1 + (n - 2) * small``.

    Examples
    --------
    >>> float(specialist(4, 0.15).rewards.max())
    1.3
    """
    acts = joint_actions(n, 3)
    big = (acts[:, 0] == 1) & (acts[:, 1:] == 1).any(axis=1)
    little = small * (acts[:, 1:] == 2).sum(axis=1)
    return _one_state(n, np.stack([big, little], axis=1), noise)


def hunt(
    n: int = 4,
    prey: Sequence[float] = (1.0, 0.8, 0.3),
    *,
    exactly: bool = False,
    penalty: float = 0.0,
    noise: float = 0.1,
) -> Task:
    """Return a hunt in which all hunters are alike.

    Parameters
    ----------
    n : int
        Number of hunters.
    prey : sequence of float
        What each prey is worth.  It takes two to catch one.
    exactly : bool
        Whether a third hunter scares the prey away.
    penalty : float
        What a hunter alone with a prey costs the team.
    noise : float
        See `Task`.

    Returns
    -------
    Task
        With one state.

    Examples
    --------
    >>> float(hunt(4).rewards.max())
    1.8
    """
    came = _attendance(joint_actions(n, len(prey) + 1), len(prey))
    caught = came == 2 if exactly else came >= 2
    return _one_state(n, caught * np.array(prey, dtype=float) - penalty * (came == 1), noise)


def subtasks(penalty: float = 4.0, strengths: Sequence[int] = (2, 1, 1, 1)) -> Task:
    """Return a task of two sites that ask for a strength of 1, 2 or 3 each, over and over.

    A site where strong enough a crew shows up pays four times what it asks for, and next asks
    for another strength, each equally likely.  Too weak a crew costs ``penalty``.

    Parameters
    ----------
    penalty : float
        What too weak a crew costs the team.
    strengths : sequence of int
        Strength of each agent.

    Returns
    -------
    Task
        With 9 states: 3 times what site 1 asks for, plus what site 2 asks for, both less 1.

    Examples
    --------
    >>> task = subtasks()
    >>> task.rewards.shape, float(task.rewards.max())
    ((9, 81), 20.0)
    """
    acts = joint_actions(len(strengths), 3)
    crew = np.stack([(acts == site) @ np.array(strengths) for site in (1, 2)], axis=1)
    asked = np.array([(a, b) for a in (1, 2, 3) for b in (1, 2, 3)])[:, None]
    done = crew >= asked  # (9, 81, 2)
    pays = np.where(done, 4.0 * asked, -penalty * (crew > 0))
    stays = np.eye(3)[asked - 1]
    then = np.where(done[..., None], 1 / 3, stays)  # (9, 81, 2, 3): what each site asks for next
    transitions = (then[:, :, 0, :, None] * then[:, :, 1, None, :]).reshape(9, len(acts), 9)
    return Task(len(strengths), 3, pays.sum(axis=-1), transitions, _equal_split(acts, pays))


def coalition_values(task: Task, gamma: float) -> Vector:
    """Return what each coalition can earn by itself while all others stay idle.

    Parameters
    ----------
    task : Task
    gamma : float
        Weight of the next step, at least 0 and below 1.

    Returns
    -------
    ndarray, shape (Z, 2**n)
        ``V_S(z)``: a game for every state.

    Raises
    ------
    ValueError
        If ``gamma`` is none such.

    Notes
    -----
    Value iteration over the joint actions of the members, until nothing moves by more than
    1e-10: the exact answer to "what could they do without us?".

    Examples
    --------
    >>> coalition_values(specialist(3, 0.2), gamma=0.0)[0].round(2).tolist()
    [0.0, 0.0, 0.2, 1.0, 0.2, 1.0, 0.4, 1.2]
    """
    _check_gamma(gamma)
    n, Z = task.agents, len(task.rewards)
    worths = np.zeros((Z, 1 << n))
    for S in range(1, 1 << n):
        able = np.unique(without_others(n, task.actions)[:, S])
        rewards, transitions = task.rewards[:, able], task.transitions[:, able]
        change = 1.0
        while change > 1e-10:
            best = (rewards + gamma * (transitions @ worths[:, S])).max(axis=1)
            change = float(np.abs(best - worths[:, S]).max())
            worths[:, S] = best
    return worths


def policy_values(task: Task, joint: NDArray[np.int64], gamma: float) -> Vector:
    """Return what the team earns if it does one joint action in each state, for ever.

    Parameters
    ----------
    task : Task
    joint : ndarray of int, shape (..., Z)
        The joint action in each state.
    gamma : float
        Weight of the next step, at least 0 and below 1.

    Returns
    -------
    ndarray, shape (..., Z)

    Raises
    ------
    ValueError
        If ``gamma`` is none such.

    Examples
    --------
    >>> policy_values(specialist(3, 0.2), np.array([[0], [1 + 3 + 2 * 9]]), gamma=0.5).tolist()
    [[0.0], [2.4]]
    """
    _check_gamma(gamma)
    z = np.arange(len(task.rewards))
    system = np.eye(len(z)) - gamma * task.transitions[z, joint]
    return np.asarray(np.linalg.solve(system, task.rewards[z, joint][..., None])[..., 0], dtype=np.float64)


def _one_state(n: int, pays: NDArray[np.generic], noise: float) -> Task:
    """A task without a tomorrow, from what each site pays in each joint action."""
    A, paid = pays.shape[1] + 1, np.asarray(pays, dtype=np.float64)[None]
    split = _equal_split(joint_actions(n, A), paid)
    return Task(n, A, paid.sum(axis=-1), np.ones((1, A**n, 1)), split, noise)


def _attendance(acts: Numbers, sites: int) -> Numbers:
    """How many agents go to each site, by joint action."""
    return np.stack([(acts == site + 1).sum(axis=1) for site in range(sites)], axis=1)


def _equal_split(acts: Numbers, pays: Vector) -> Vector:
    """Each site's pay divided among its visitors: (Z, m, sites) to (Z, m, n)."""
    each = pays / np.maximum(_attendance(acts, pays.shape[-1]), 1)
    by_action = np.concatenate([np.zeros_like(each[..., :1]), each], axis=-1)
    return np.take_along_axis(by_action, acts[None], axis=-1)


def _check_gamma(gamma: float) -> None:
    if not 0 <= gamma < 1:
        raise ValueError(f"expected gamma of at least 0 and below 1, got {gamma}")
