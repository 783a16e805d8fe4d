"""Many at once beside one at a time: worlds, and the nuclei of small games.

Of the worlds, ``ratio`` compares with random play as PettingZoo's documentation writes it, ``world alone`` with
actions drawn beforehand.
"""

from functools import partial
from typing import Any

import numpy as np
import torch
from gymnasium.spaces import Box, Discrete
from numpy.typing import NDArray
from pettingzoo import ParallelEnv

from benchmarks import cpu, head, row, short
from coalmarl.credit import nucleolus_credit
from coalmarl.envs import RUSP_IPD, BatchedEnv, RepeatedMatrixGame, as_generator, restart
from coalmarl.games import TUGame
from coalmarl.solutions import prenucleolus


class DictGame(ParallelEnv):
    """The repeated dilemma as one writes it by hand: one game, dictionaries by agent."""

    metadata = {"name": "dict_game"}
    possible_agents = ["agent_0", "agent_1"]

    def __init__(self) -> None:
        self.observation_spaces = {a: Box(0.0, 1.0, (4,)) for a in self.possible_agents}
        self.action_spaces = {a: Discrete(2) for a in self.possible_agents}

    def observation_space(self, agent: str) -> Box:
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> Discrete:
        return self.action_spaces[agent]

    def reset(self, seed: int | None = None, options: Any = None) -> tuple[dict, dict]:
        self.agents, self.age = self.possible_agents[:], 0
        return {a: np.zeros(4, np.float32) for a in self.agents}, {a: {} for a in self.agents}

    def step(self, actions: dict[str, int]) -> tuple[dict, ...]:
        observations, rewards = {}, {}
        for agent, other in zip(self.agents, self.agents[::-1]):
            own, its = actions[agent], actions[other]
            if not self.action_spaces[agent].contains(own):
                raise ValueError(f"illegal action {own} of {agent}")
            observations[agent] = np.zeros(4, np.float32)
            observations[agent][[own, 2 + its]] = 1
            rewards[agent] = RUSP_IPD[own][its]
        self.age += 1
        over, cut = dict.fromkeys(self.agents, False), dict.fromkeys(self.agents, self.age == 16)
        infos = {a: {} for a in self.agents}
        self.agents = [] if self.age == 16 else self.agents
        return observations, rewards, over, cut, infos


def play_dicts(env: ParallelEnv, steps: int = 16) -> None:
    """Random play, as PettingZoo's documentation writes it."""
    env.reset()
    for _ in range(steps):
        env.step({agent: env.action_space(agent).sample() for agent in env.agents})


def play_given(env: ParallelEnv, pairs: list[list[int]]) -> None:
    """The same with actions drawn beforehand: the world alone."""
    env.reset()
    for own, its in pairs:
        env.step({"agent_0": own, "agent_1": its})


def play_batch(env: BatchedEnv, generator: torch.Generator, steps: int = 16) -> None:
    state = env.start(generator)
    for _ in range(steps):
        env.observe(state)
        actions = torch.randint(env.n_actions, (env.batch_size, env.n), generator=generator)
        state = restart(env, env.step(state, actions), generator)


def one_by_one(worths: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    return [prenucleolus(TUGame(v)) for v in worths]


def bench_worlds() -> None:
    title = "Repeated prisoner's dilemma, 16 steps, million joint steps per second"
    head(title, "worlds", "coalmarl", "by dictionaries", "ratio", "ratio, world alone")
    peer, pairs = DictGame(), np.random.default_rng(0).integers(0, 2, (16, 2)).tolist()
    for B in (1, 64, 512, 4096):
        batch = partial(play_batch, RepeatedMatrixGame(B), as_generator(0))
        ours, theirs, alone = cpu(batch, partial(play_dicts, peer), partial(play_given, peer, pairs), tick=0.1)
        speed, slow = 16e-6 * B / ours, 16e-6 / theirs
        row(B, short(speed), short(slow), short(speed / slow), short(alone * B / ours))


def bench_nuclei() -> None:
    head("Prenucleolus of many random games, thousand per second", "players", "at once", "in a loop", "ratio")
    for n in (3, 4):
        worths = np.random.default_rng(n).random((10_000, 1 << n))
        worths[:, 0] = 0
        batch, loop = cpu(partial(nucleolus_credit, worths), partial(one_by_one, worths[:100]))
        row(n, short(10 / batch), short(0.1 / loop), short(100 * loop / batch))


if __name__ == "__main__":
    torch.set_num_threads(1)
    bench_worlds()
    bench_nuclei()
