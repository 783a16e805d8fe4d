"""Worlds: what they pay and show, how they end, and the strict checks on every public one."""

import copy
from functools import partial
from itertools import product

import numpy as np
import pytest
import torch

import env_checks
from coalmarl.envs import (
    LOLA_IPD,
    RUSP_IPD,
    ParallelAdapter,
    RepeatedMatrixGame,
    Step,
    as_count,
    as_device,
    as_generator,
    check_actions,
    restart,
)

WORLDS = env_checks.public_worlds()
THREE = torch.arange(24.0).view(3, 2, 2, 2).sin()  # no symmetry anywhere
VARIANTS = {
    **WORLDS,
    "it may stop": partial(RepeatedMatrixGame, stop=0.2),
    "one shot": partial(RepeatedMatrixGame, stop=1.0),
    "slow memory": partial(RepeatedMatrixGame, payoffs=LOLA_IPD, memory=(1.0, 0.2, 0.05), horizon=7),
    "three agents": partial(RepeatedMatrixGame, payoffs=THREE, stop=0.1, memory=(0.5,)),
    "bandit": partial(RepeatedMatrixGame, payoffs=[[0.0, 1.0, 0.5]], horizon=1),
}


@pytest.mark.parametrize("make", VARIANTS.values(), ids=VARIANTS)
@pytest.mark.parametrize("check", env_checks.CHECKS, ids=lambda check: check.__name__)
def test_strict_checks(check, make):
    check(make)


def test_every_public_world_is_found_and_needs_only_a_batch_size():
    assert "RepeatedMatrixGame" in WORLDS
    for world in WORLDS.values():
        assert world(2).batch_size == world(2, device="cpu").batch_size == 2


# --- broken worlds: what the strict checks are for ---------------------------------------------------------------


class Broken(RepeatedMatrixGame):
    """The game that may stop, to be broken in one place."""

    def __init__(self, batch_size, **options):
        super().__init__(batch_size, stop=0.2, horizon=6, **options)


class Remembers(Broken):
    calls = 0

    def start(self, generator):
        self.calls += 1
        return {**super().start(generator), "calls": torch.full((self.batch_size,), self.calls)}


class IgnoresTheSeed(Broken):
    def start(self, generator):
        return super().start(as_generator(0))


class HidesItsChance(Broken):
    def __init__(self, batch_size, **options):
        super().__init__(batch_size, **options)
        self.chance = False

    def start(self, generator):
        self.chance = True
        state = super().start(generator)
        self.chance = False
        return state


class SharesItsLuck(Broken):
    def start(self, generator):
        state = super().start(generator)
        return {**state, "life": state["life"][:1].expand(self.batch_size).clone()}


class DrawsFromTheGlobalState(Broken):
    def start(self, generator):
        return {**super().start(generator), "luck": torch.rand(self.batch_size)}


class WritesIntoTheState(Broken):
    def step(self, state, actions):
        step = super().step(state, actions)
        state["age"] += 1
        return step


class LeaksAcrossWorlds(Broken):
    def step(self, state, actions):
        after, rewards, *ends = super().step(state, actions)
        return Step(after, rewards + rewards.mean(), *ends)


class EndsBothWays(Broken):
    def step(self, state, actions):
        after, rewards, terminated, truncated = super().step(state, actions)
        return Step(after, rewards, terminated, truncated | (after["age"] >= self.horizon))


class CallsTruncationTermination(Broken):
    def step(self, state, actions):
        after, rewards, terminated, truncated = super().step(state, actions)
        return Step(after, rewards, truncated, terminated)


class NeverEnds(Broken):
    def step(self, state, actions):
        after, rewards, terminated, truncated = super().step(state, actions)
        return Step({**after, "age": after["age"].clamp(max=2)}, rewards, terminated, truncated)


class ShowsTooMuch(Broken):
    def observe(self, state):
        return 2 * super().observe(state)


class SeesDoubles(Broken):
    def observe(self, state):
        return super().observe(state).double()


class TakesAnything(Broken):
    def step(self, state, actions):
        return super().step(state, actions.long().clamp(0, 1)[: self.batch_size])


class TakesAnySize(Broken):
    def __init__(self, batch_size, **options):
        super().__init__(max(1, int(batch_size or 1)), **options)


@pytest.mark.parametrize("broken", Broken.__subclasses__(), ids=lambda broken: broken.__name__)
def test_no_broken_world_passes(broken):
    caught = [check.__name__ for check in env_checks.CHECKS if fails(check, broken)]
    assert caught and not [check.__name__ for check in env_checks.CHECKS if fails(check, Broken)]


def test_pettingzoo_alone_would_miss_most_of_them():
    missed = [w.__name__ for w in Broken.__subclasses__() if not fails(env_checks.passes_pettingzoo, w)]
    assert len(missed) >= 10


def fails(check, make):
    try:
        check(make)
    except (Exception, pytest.fail.Exception):
        return True
    return False


# --- the matrix game --------------------------------------------------------------------------------------------


def play(env, *joint_actions):
    """The last step after these joint actions in every world."""
    state = env.start(as_generator(0))
    for joint in joint_actions:
        step = env.step(state, torch.tensor([joint] * env.batch_size))
        state = step.state
    return step


def test_dilemmas():
    """CC, CD, DC, DD, as decided once."""
    for payoffs, own in ((RUSP_IPD, (2, -2, 4, 0)), (LOLA_IPD, (-1, -3, 0, -2))):
        env = RepeatedMatrixGame(1, payoffs)
        for (a, b), expected in zip(product((0, 1), repeat=2), own):
            assert play(env, (a, b)).rewards[0, 0] == expected == play(env, (b, a)).rewards[0, 1]


def test_payoffs_of_three_who_differ():
    env = RepeatedMatrixGame(2, THREE)
    for joint in product((0, 1), repeat=3):
        assert play(env, joint).rewards.tolist() == [[float(THREE[(i, *joint)]) for i in range(3)]] * 2


def test_a_table_for_each_of_two_is_not_taken_for_a_symmetric_game():
    pennies = [[[1.0, -1.0], [-1.0, 1.0]], [[-1.0, 1.0], [1.0, -1.0]]]
    assert play(RepeatedMatrixGame(1, pennies), (0, 1)).rewards.tolist() == [[-1, 1]]


def test_the_callers_payoffs_are_copied():
    for table in (torch.eye(2), torch.zeros(1, 2)):
        env = RepeatedMatrixGame(1, table)
        before = play(env, (0,) * env.n).rewards
        table += 7
        assert torch.equal(play(env, (0,) * env.n).rewards, before)


def test_observations_by_hand():
    env = RepeatedMatrixGame(1, THREE, memory=(1.0, 0.25))
    start = env.observe(env.start(as_generator(0)))
    assert start.shape == (1, 3, 12) and not start.any()
    seen = env.observe(play(env, (0, 1, 1), (1, 1, 0)).state)[0].view(3, 3, 2, 2)  # agent, whose, action, rate
    trace = {0: [(0, 0.1875), (1, 0.25)], 1: [(0, 0), (1, 0.4375)], 2: [(1, 0.25), (0, 0.1875)]}
    for i in range(3):
        expected = [trace[(i + k) % 3] for k in range(3)]
        assert torch.equal(seen[i], torch.tensor(expected, dtype=torch.float32))


def test_ends_by_hand():
    env = RepeatedMatrixGame(3, horizon=3)
    for t in (1, 2, 3):
        step = play(env, *[(0, 0)] * t)
        assert not step.terminated.any() and step.truncated.tolist() == [t == 3] * 3
    once = play(RepeatedMatrixGame(3, stop=1.0, horizon=1), (0, 0))
    assert once.terminated.all() and not once.truncated.any(), "a game that is over is not cut off"


def test_how_long_a_game_lasts():
    """After each step it is over with the probability given."""
    env = RepeatedMatrixGame(20_000, stop=0.25, horizon=4)
    state, alive = env.start(as_generator(1)), torch.ones(20_000, dtype=torch.bool)
    for t in range(1, 5):
        step = env.step(state, torch.zeros(20_000, 2, dtype=torch.long))
        assert float(step.terminated[alive].float().mean()) == pytest.approx(0.25, abs=0.02), t
        alive &= ~step.terminated
        state = step.state
    assert torch.equal(step.truncated, alive)


def test_restart_leaves_running_worlds_alone():
    env, generator = RepeatedMatrixGame(200, stop=0.5, horizon=9), as_generator(0)
    step = env.step(env.start(generator), torch.ones(200, 2, dtype=torch.long))
    after = restart(env, step, generator)
    ended = step.terminated
    assert 0 < int(ended.sum()) < 200
    for name, tensor in after.items():
        assert torch.equal(tensor[~ended], step.state[name][~ended])
    assert not after["trace"][ended].any() and not after["age"][ended].any()
    running = play(RepeatedMatrixGame(2), (0, 0))
    assert restart(env, running, generator) is running.state


@pytest.mark.parametrize(
    "options, shown",
    [
        ({"payoffs": [[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]]}, r"\(2, 3\)"),
        ({"payoffs": [1.0, 2.0]}, r"\(2,\)"),
        ({"payoffs": []}, r"\(0,\)"),
        ({"payoffs": torch.zeros(0, 0)}, r"\(0, 0\)"),
        ({"payoffs": torch.zeros(1, 0)}, r"\(1, 0\)"),
        ({"payoffs": torch.zeros(3, 2, 2)}, r"\(3, 2, 2\)"),
        ({"payoffs": [[1.0, 2.0], [3.0]]}, "table of numbers"),
        ({"payoffs": [["a", "b"], ["c", "d"]]}, "table of numbers"),
        ({"payoffs": [[1.0, float("nan")], [0.0, 0.0]]}, "finite"),
        ({"payoffs": [[1.0, float("inf")], [0.0, 0.0]]}, "finite"),
        ({"horizon": 0}, "horizon"),
        ({"stop": -0.1}, "probability"),
        ({"stop": 1.1}, "probability"),
        ({"stop": float("nan")}, "probability"),
        ({"memory": ()}, "rates"),
        ({"memory": (0.5, 0.0)}, "rates"),
        ({"memory": (1.5,)}, "rates"),
        ({"device": "toaster"}, "device"),
        ({"device": "cuda:99"}, "device"),
    ],
)
def test_bad_worlds_are_refused(options, shown):
    with pytest.raises(ValueError, match=shown):
        RepeatedMatrixGame(2, **options)


# --- the adapter ------------------------------------------------------------------------------------------------


def test_the_adapter_takes_one_world():
    with pytest.raises(ValueError, match="batch size 1, got 2"):
        ParallelAdapter(RepeatedMatrixGame(2))
    for nothing in (None, 5, RepeatedMatrixGame):
        with pytest.raises(TypeError, match="expected a world, got"):
            ParallelAdapter(nothing)


def test_the_adapter_refuses_what_is_no_move():
    world = ParallelAdapter(RepeatedMatrixGame(1, horizon=2))
    with pytest.raises(ValueError, match="call reset"):
        world.step({"agent_0": 0, "agent_1": 0})
    world.reset(seed=0)
    for actions, shown in (
        ({"agent_0": 0}, "one action for each"),
        ({"agent_0": 0, "agent_1": 0, "agent_2": 0}, "one action for each"),
        ({}, "one action for each"),
        ({"agent_0": 0, "agent_1": 2}, "agent_1 in 0 .. 1, got 2"),
        ({"agent_0": -1, "agent_1": 0}, "agent_0 in 0 .. 1, got -1"),
        ({"agent_0": 0.5, "agent_1": 0}, "agent_0 in 0 .. 1, got 0.5"),
        ({"agent_0": None, "agent_1": 0}, "agent_0 in 0 .. 1, got None"),
    ):
        with pytest.raises(ValueError, match=shown):
            world.step(actions)
    for _ in range(2):
        world.step({"agent_0": 0, "agent_1": np.int64(1)})
    with pytest.raises(ValueError, match="call reset"):
        world.step({"agent_0": 0, "agent_1": 0})


def lives(seeds):
    """How long each of these episodes lasts; None goes on with the chance there is."""
    world, found = ParallelAdapter(RepeatedMatrixGame(1, stop=0.1, horizon=1000)), []
    for seed in seeds:
        world.reset(seed=seed)
        found.append(0)
        while world.agents:
            world.step({"agent_0": 0, "agent_1": 0})
            found[-1] += 1
    return found


def test_the_adapter_draws_on():
    first = lives([3, None, None, None])
    assert first == lives([3, None, None, None]) and len(set(first)) > 1
    assert len({tuple(lives([None] * 4)) for _ in range(4)}) > 1, "without a seed chance comes from the system"


def test_what_the_adapter_gave_is_the_readers():
    """Nothing later changes it, and writing into it changes nothing later."""
    world, twin = (ParallelAdapter(RepeatedMatrixGame(1, memory=(0.5,))) for _ in range(2))
    for adapter in (world, twin):
        adapter.reset(seed=0)
    both = {"agent_0": 1, "agent_1": 1}
    seen, *_ = world.step(both)
    kept = copy.deepcopy(twin.step(both)[0])
    for own in seen.values():
        own += 7
    after, expected = world.step(both)[0], twin.step(both)[0]
    assert all(np.array_equal(after[a], expected[a]) and np.array_equal(seen[a], kept[a] + 7) for a in seen)


# --- seeds, counts, devices -------------------------------------------------------------------------------------


def test_generators():
    own = torch.Generator()
    assert as_generator(own) is own
    draws = [torch.rand(3, generator=as_generator(seed)).tolist() for seed in (1, np.int64(1), 2)]
    assert draws[0] == draws[1] != draws[2]


@pytest.mark.parametrize("seed", [None, "0", 1.0, True, np.random.default_rng(0), [0]])
def test_unknown_seeds_are_refused(seed):
    with pytest.raises(TypeError, match="seed as an integer or a torch.Generator"):
        as_generator(seed)


@pytest.mark.parametrize("seed", [-1, 1 << 63])
def test_seeds_out_of_range_are_refused(seed):
    with pytest.raises(ValueError, match=str(seed)):
        as_generator(seed)


def test_counts():
    assert as_count(np.int32(3), "a number") == 3 and type(as_count(np.int32(3), "a number")) is int


def test_a_generator_of_another_device_is_refused():
    with pytest.raises(ValueError, match="a generator on meta, got one on cpu"):
        as_generator(torch.Generator(), "meta")


def test_devices():
    assert as_device(torch.device("cpu")) == as_device("cpu")
    for device in ("", 3.5, "cpu:x"):
        with pytest.raises(ValueError, match="device that torch finds"):
            as_device(device)


def test_actions_are_checked_before_anything_else():
    env = RepeatedMatrixGame(2)
    check_actions(env, torch.zeros(2, 2, dtype=torch.long))
    with pytest.raises(ValueError):
        env.step({}, torch.full((2, 2), 9))
