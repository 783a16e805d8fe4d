"""What a batch of worlds must satisfy: functions ``check(make)`` that assert, and how to find all worlds.

``make(batch_size)`` builds a world.  PettingZoo's own tests see one world through the adapter and
miss most of what can go wrong with a batch; the rest stands here.  ``test_envs`` runs every check
on every public world, and on broken ones that each check has to refuse.
"""

import importlib
import inspect
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from pettingzoo.test import parallel_api_test, parallel_seed_test

import coalmarl
from coalmarl.envs import BatchedEnv, ParallelAdapter, as_generator, restart

Make = Callable[[int], BatchedEnv]
B, STEPS = 5, 40


def public_worlds():
    """Every class named in an ``__all__`` of the package that says it is a `BatchedEnv`."""
    found = {}
    for path in sorted(Path(coalmarl.__file__).parent.glob("*.py")):
        if "BatchedEnv" in path.read_text(encoding="utf-8"):
            module = importlib.import_module(f"coalmarl.{path.stem}")
            named = [getattr(module, name) for name in getattr(module, "__all__", ())]
            found |= {c.__qualname__: c for c in named if inspect.isclass(c) and is_world(c)}
    return found


def is_world(cls):
    return BatchedEnv in cls.__mro__ and cls is not BatchedEnv


def random_actions(env, generator):
    return torch.randint(env.n_actions, (env.batch_size, env.n), generator=generator)


def trajectory(env, seed, steps=STEPS):
    """State, actions and step, again and again; the actions' chance is not the world's."""
    generator, moves = as_generator(seed), as_generator(12345)
    state = env.start(generator)
    for _ in range(steps):
        actions = random_actions(env, moves)
        step = env.step(state, actions)
        yield state, actions, step
        state = restart(env, step, generator)


def everything(env, seed):
    """All tensors of a trajectory, in one list."""
    flat = []
    for state, _, step in trajectory(env, seed):
        flat += [env.observe(state), *state.values(), step.rewards, step.terminated, step.truncated]
    return flat


def same(a, b):
    return len(a) == len(b) and all(torch.equal(x, y) for x, y in zip(a, b))


def row(state, k):
    return {name: tensor[k : k + 1].clone() for name, tensor in state.items()}


# --- the checks -------------------------------------------------------------------------------------------------


def shapes_and_types(make):
    env = make(B)
    assert (env.batch_size, env.device.type) == (B, "cpu") and min(env.n, env.n_actions, env.d, env.horizon) >= 1
    for state, _, step in trajectory(env, 0):
        assert all(tensor.shape[0] == B for tensor in state.values()), "a tensor of the state lacks its row per world"
        assert [(k, v.shape, v.dtype) for k, v in state.items()] == [(k, v.shape, v.dtype) for k, v in step.state.items()]
        seen = env.observe(state)
        assert (seen.shape, seen.dtype) == ((B, env.n, env.d), torch.float32)
        assert (step.rewards.shape, step.rewards.dtype) == ((B, env.n), torch.float32)
        for end in (step.terminated, step.truncated):
            assert (end.shape, end.dtype) == ((B,), torch.bool)


def observations_lie_in_their_space(make):
    env = make(B)
    box = ParallelAdapter(make(1)).observation_space("agent_0")
    assert box.shape == (env.d,) and box.dtype == np.float32
    for state, _, step in trajectory(env, 1):
        for seen in (env.observe(state), env.observe(step.state)):
            assert all(box.contains(own) for world in seen.numpy() for own in world)
        assert step.rewards.isfinite().all()


def equal_seeds_give_equal_trajectories(make):
    assert same(everything(make(B), 3), everything(make(B), 3))
    env = make(B)
    assert same(everything(env, 3), everything(env, 3)), "the world remembers something outside its state"


def different_seeds_give_different_trajectories(make):
    """If the world says that it has chance; otherwise the seed must not matter at all."""
    runs = [everything(make(B), seed) for seed in range(8)]
    differ = sum(not same(runs[0], run) for run in runs)
    assert differ >= 5 if make(B).chance else differ == 0


def worlds_of_a_batch_differ(make):
    """Each world has its own chance."""
    env = make(64)
    if env.chance:
        state = env.start(as_generator(4))
        assert any((tensor != tensor[:1]).any() for tensor in state.values())


def ends_are_told_apart(make):
    """No end is of both kinds, truncation comes at the horizon and at no other time, nothing lasts longer."""
    env, age = make(B), torch.zeros(B, dtype=torch.long)
    for _, _, step in trajectory(env, 5, steps=3 * env.horizon + 2):
        age += 1
        assert not (step.terminated & step.truncated).any()
        assert (age[step.truncated] == env.horizon).all()
        ended = step.terminated | step.truncated
        assert ended[age == env.horizon].all()
        age[ended] = 0


def a_step_is_a_function(make):
    """It leaves its arguments alone, and the same ones give the same result."""
    env = make(B)
    for state, actions, step in list(trajectory(env, 6, steps=10)):
        kept, played = {k: v.clone() for k, v in state.items()}, actions.clone()
        again = env.step(state, actions)
        assert same([*kept.values(), played], [*state.values(), actions]), "the step changed its arguments"
        assert same([*again[0].values(), *again[1:]], [*step[0].values(), *step[1:]])
        assert same([env.observe(state)], [env.observe(kept)])


def world_k_of_a_batch_is_the_adapter(make):
    """From the same state, with the same actions, step by step until it ends."""
    env, alone = make(B), make(1)
    first = env.start(as_generator(7))
    for k in range(B):
        world, state, moves = ParallelAdapter(alone), first, as_generator(70 + k)
        seen, _ = world.reset(seed=0, options={"state": row(first, k)})
        assert np.array_equal(np.stack([*seen.values()]), env.observe(state)[k].numpy())
        for _ in range(env.horizon):
            actions = random_actions(env, moves)
            step = env.step(state, actions)
            seen, paid, over, cut, _ = world.step(dict(zip(world.agents, actions[k].tolist())))
            assert np.array_equal(np.stack([*seen.values()]), env.observe(step.state)[k].numpy())
            assert [*paid.values()] == step.rewards[k].tolist()
            assert set(over.values()) == {bool(step.terminated[k])} and set(cut.values()) == {bool(step.truncated[k])}
            state = step.state
            if not world.agents:
                break
        assert bool(step.terminated[k] | step.truncated[k]), "the episode outlasts the horizon"


def illegal_actions_are_refused(make):
    env = make(B)
    state, legal = env.start(as_generator(8)), torch.zeros(B, env.n, dtype=torch.long)
    before = [tensor.clone() for tensor in state.values()]
    env.step(state, legal)
    for bad in (-1, env.n_actions):
        actions = legal.clone()
        actions[-1, -1] = bad
        with pytest.raises(ValueError, match=f"got {bad} from agent {env.n - 1} of world {B - 1}"):
            env.step(state, actions)
    for actions in (legal[:-1], legal[:, :-1], legal[None], legal.flatten()):
        with pytest.raises(ValueError, match="shape"):
            env.step(state, actions)
    for actions in (legal.float(), legal.bool(), legal.int(), legal.tolist(), None):
        with pytest.raises(TypeError, match="int64"):
            env.step(state, actions)
    assert same(before, [*state.values()])


def wrong_constructions_are_refused(make):
    for size in (0, -3):
        with pytest.raises(ValueError, match=f"batch size of at least 1, got {size}"):
            make(size)
    for size in (2.0, True, "2", None):
        with pytest.raises(TypeError, match="batch size"):
            make(size)


def global_chance_is_left_alone(make):
    kept, also = torch.get_rng_state(), np.random.get_state()[1].copy()
    everything(make(B), 9)
    ParallelAdapter(make(1)).reset()
    assert torch.equal(kept, torch.get_rng_state()) and np.array_equal(also, np.random.get_state()[1])


def passes_pettingzoo(make):
    parallel_api_test(ParallelAdapter(make(1)), num_cycles=100)
    parallel_seed_test(lambda: ParallelAdapter(make(1)), num_cycles=100)


CHECKS = [
    shapes_and_types,
    observations_lie_in_their_space,
    equal_seeds_give_equal_trajectories,
    different_seeds_give_different_trajectories,
    worlds_of_a_batch_differ,
    ends_are_told_apart,
    a_step_is_a_function,
    world_k_of_a_batch_is_the_adapter,
    illegal_actions_are_refused,
    wrong_constructions_are_refused,
    global_chance_is_left_alone,
    passes_pettingzoo,
]
