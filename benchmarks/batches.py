"""Joint steps per second of a batch of worlds beside one world written with dictionaries.

Times are CPU seconds, the least of several runs taken in turn.  ``ratio`` compares with random
play as PettingZoo's documentation writes it, ``world alone`` with actions drawn beforehand.
"""

from collections.abc import Callable
from functools import partial
from time import process_time
from typing import Any

import numpy as np
import torch
from gymnasium.spaces import Box, Discrete
from pettingzoo import ParallelEnv

from coalmarl.envs import RUSP_IPD, BatchedEnv, RepeatedMatrixGame, as_generator, restart


def cpu(*tasks: Callable[[], None], rounds: int = 5) -> list[float]:
    """Least CPU time of each task, run in turn, each for a tenth of a second at least."""
    best = [np.inf] * len(tasks)
    for _ in range(rounds):
        for k, task in enumerate(tasks):
            begin, repeats = process_time(), 0
            while repeats < 1 or process_time() - begin < 0.1:
                task()
                repeats += 1
            best[k] = min(best[k], (process_time() - begin) / repeats)
    return best


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


def main() -> None:
    """Print the table."""
    print("Repeated prisoner's dilemma, 16 steps, million joint steps per second")
    print(f"{'worlds':>7}{'coalmarl':>10}{'by dicts':>10}{'ratio':>8}{'world alone':>13}")
    torch.set_num_threads(1)
    peer, pairs = DictGame(), np.random.default_rng(0).integers(0, 2, (16, 2)).tolist()
    for B in (1, 64, 512, 4096):
        batch = partial(play_batch, RepeatedMatrixGame(B), as_generator(0))
        ours, theirs, alone = cpu(batch, partial(play_dicts, peer), partial(play_given, peer, pairs))
        speed, slow = 16e-6 * B / ours, 16e-6 / theirs
        print(f"{B:7}{speed:10.2f}{slow:10.3f}{speed / slow:8.0f}{alone * B / ours:13.0f}", flush=True)


if __name__ == "__main__":
    main()
