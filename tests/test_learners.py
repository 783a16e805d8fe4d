"""Learners: every formula against a slow one, small games solved, the same bits from the same seed."""

import math
from collections import deque
from itertools import pairwise, product

import numpy as np
import pytest
import torch
from torch import nn

from coalmarl import learners
from coalmarl.envs import RUSP_IPD, RepeatedMatrixGame, Step, as_generator
from coalmarl.estimation import sample_shapley
from coalmarl.learners import (
    PPOSettings,
    QSettings,
    Rollout,
    action_values,
    build,
    epsilon_greedy,
    fit_worth,
    gae,
    minimise,
    mlp,
    player,
    ppo,
    q_learning,
    q_update,
    rollout,
    sample,
    surrogate,
)

BANDIT = [[0.1, 0.9, 0.5]]
QUICK = {"updates": 25, "rate": (2e-2, 2e-2), "hidden": (16,)}


def last_of(reports):
    return deque(reports, maxlen=1)[0]


def chances(actor, env):
    """Probabilities of all actions at the start of an episode, for each agent."""
    return actor(env.observe(env.start(as_generator(0))))[0].softmax(-1).detach()


# --- advantages, gradients, losses ------------------------------------------------------------------------------


def random_rollout(T, B, n, seed):
    g = as_generator(seed)
    ends = torch.rand(T, B, generator=g)
    some = torch.zeros(T, B, n, 1)
    rewards = torch.randn(T, B, n, generator=g, dtype=torch.float64)
    return Rollout(some, some[..., 0].long(), rewards, ends < 0.15, (ends > 0.15) & (ends < 0.35), some, {}), g


@pytest.mark.parametrize("T, B, n", [(1, 1, 1), (7, 5, 1), (20, 3, 4)])
@pytest.mark.parametrize("gamma, lam", [(0.9, 0.8), (1.0, 1.0), (0.5, 0.0), (0.0, 1.0)])
def test_gae_equals_a_double_loop(T, B, n, gamma, lam):
    played, g = random_rollout(T, B, n, T)
    values, after = torch.randn(2, T, B, n, generator=g, dtype=torch.float64)
    found = gae(played, values, after, PPOSettings(updates=1, gamma=gamma, lam=lam, reward_scale=0.5))
    for t, world, agent in product(range(T), range(B), range(n)):
        expected, weight = 0.0, 1.0
        for later in range(t, T):
            at = (later, world, agent)
            over, cut = bool(played.terminated[at[:2]]), bool(played.truncated[at[:2]])
            follows = 0.0 if over else gamma * after[at]
            expected += weight * (0.5 * played.rewards[at] + follows - values[at])
            weight *= gamma * lam
            if over or cut:
                break
        assert float(found[t, world, agent]) == pytest.approx(float(expected), abs=1e-12)


def test_the_policy_gradient_equals_finite_differences_on_a_bandit():
    """At the old policy the surrogate's slope is the slope of the expected reward."""
    worth = torch.tensor([0.3, -1.0, 2.0], dtype=torch.float64)
    theta = torch.tensor([0.2, -0.4, 0.7], dtype=torch.float64, requires_grad=True)

    def expected_reward(theta):
        return theta.softmax(0) @ worth

    log_probs = theta.log_softmax(0)
    old = log_probs.detach()
    weights = old.exp()  # each arm as often as the policy pulls it
    advantages = worth - weights @ worth
    (found,) = torch.autograd.grad((weights * surrogate(log_probs, old, advantages, 0.2)).sum(), theta)
    with torch.no_grad():
        slopes = [(expected_reward(theta + h) - expected_reward(theta - h)) / 2e-6 for h in 1e-6 * torch.eye(3).double()]
    torch.testing.assert_close(found, torch.stack(slopes), rtol=0, atol=1e-9)


def test_the_loss_of_ppo_has_the_same_gradient():
    """With actions as often as the policy takes them: through actor, normalisation, mask and sign."""
    worth = torch.tensor([1.0, 2.0, 4.0])
    actor = nn.Linear(1, 3)
    with torch.no_grad():
        actor.weight.zero_()
        actor.bias.copy_(torch.tensor([2.0, 1.0, 1.0]).log())  # probabilities 1/2, 1/4, 1/4
    actions = torch.tensor([[0], [0], [1], [2], [2], [2]])
    learns = torch.tensor([[1.0], [1.0], [1.0], [1.0], [0.0], [0.0]])  # the past's two do not count
    log_probs = actor(torch.zeros(6, 1, 1)).log_softmax(-1).detach().gather(-1, actions[..., None]).squeeze(-1)
    batch = learners._Batch(torch.zeros(6, 1, 1), actions, log_probs, worth[actions], torch.zeros(6, 1), learns)
    networks = learners._Networks(actor, nn.Linear(1, 1))
    loss, entropy = learners._loss(networks, batch, 0.2, 0.0)
    (found,) = torch.autograd.grad(loss, actor.bias)
    p = torch.tensor([0.5, 0.25, 0.25])
    spread = ((p @ worth**2) - (p @ worth) ** 2).sqrt()
    torch.testing.assert_close(found, -p * (worth - p @ worth) / spread, rtol=1e-5, atol=1e-6)
    assert float(entropy) == pytest.approx(-float((p * p.log()).sum()), abs=1e-6)
    bonus = learners._loss(networks, batch, 0.2, 0.5)[0]
    assert float((loss - bonus).detach()) == pytest.approx(0.5 * float(entropy), abs=1e-6)


def test_the_surrogate_believes_losses_but_not_gains_beyond_the_clip():
    ratio = torch.tensor([0.5, 0.9, 1.1, 2.0]).log()
    up, down = (surrogate(ratio, torch.zeros(4), torch.full((4,), sign), 0.2) for sign in (1.0, -1.0))
    torch.testing.assert_close(up, torch.tensor([0.5, 0.9, 1.1, 1.2]))
    torch.testing.assert_close(down, torch.tensor([-0.8, -0.9, -1.1, -2.0]))


# --- small games solved -----------------------------------------------------------------------------------------


def test_ppo_solves_a_bandit():
    env = RepeatedMatrixGame(64, BANDIT)
    report = last_of(ppo(env, PPOSettings(**QUICK), seed=0))
    assert chances(report.actor, env)[0, 1] > 0.95
    assert report.update == 25 and 0.8 < report.reward <= 0.9


def test_ppo_solves_a_dilemma_and_an_assurance_game():
    dilemma = RepeatedMatrixGame(64, RUSP_IPD, horizon=1)
    assert (chances(last_of(ppo(dilemma, PPOSettings(**QUICK), seed=1)).actor, dilemma)[:, 1] > 0.95).all()
    hunt = RepeatedMatrixGame(64, [[4.0, 0.0], [1.0, 1.0]], horizon=1)
    assert (chances(last_of(ppo(hunt, PPOSettings(**QUICK), seed=2)).actor, hunt)[:, 0] > 0.95).all()


def test_ppo_uses_its_memory():
    """Matching what the other did last pays; nothing else does."""

    class Echo(RepeatedMatrixGame):
        def step(self, state, actions):
            after, _, *ends = super().step(state, actions)
            last = state["trace"][..., 2:].argmax(-1)  # what the other did
            return Step(after, (actions == last).float(), *ends)

    report = last_of(ppo(Echo(64), PPOSettings(updates=30, gamma=0.0, rate=(1e-2, 1e-2)), seed=0))
    assert report.reward > 0.95


@pytest.mark.parametrize("stop, expected", [(0.0, 5.0), (1.0, 1.0), (0.5, 1 / (1 - 0.8 * 0.5))])
def test_values_look_through_truncation_but_not_through_termination(stop, expected):
    """One each step, for ever worth 1 / (1 - gamma) = 5: a horizon of 2 does not change that."""
    env = RepeatedMatrixGame(64, [[1.0]], horizon=2, stop=stop)
    settings = PPOSettings(updates=100, gamma=0.8, rate=(2e-2, 1e-3), hidden=(8,), steps=4, epochs=4)
    report = last_of(ppo(env, settings, seed=0))
    value = report.critic(env.observe(env.start(as_generator(0)))).detach().mean()
    assert float(value) == pytest.approx(expected, rel=0.06)


def test_tables_solve_a_bandit_and_a_dilemma():
    q = q_learning(RepeatedMatrixGame(50, BANDIT), QSettings(steps=600), seed=0)
    assert q.shape == (50, 1, 1, 3)
    torch.testing.assert_close(q[:, 0, 0], torch.tensor(BANDIT).expand(50, 3), rtol=0, atol=0.06)
    q = q_learning(RepeatedMatrixGame(50), QSettings(steps=600), seed=0)
    assert (q.argmax(-1) == 1).all()


def test_tables_reach_the_fixed_point_of_bellman():
    """Two states, what one did last; staying at 1 pays 1, all else 0."""

    class Stay(RepeatedMatrixGame):
        def step(self, state, actions):
            after, _, *ends = super().step(state, actions)
            return Step(after, (actions * state["trace"][..., 1].long()).float(), *ends)

    settings = QSettings(steps=1500, states=2, rate=0.2, gamma=0.5, epsilon=(1.0, 1.0))
    stays = {"payoffs": [[0.0, 0.0]], "horizon": 1_000_000}
    q = q_learning(Stay(20, **stays), settings, seed=0, index=lambda seen: seen[..., 1].long())
    torch.testing.assert_close(q.mean(0)[0], torch.tensor([[0.5, 1.0], [0.5, 2.0]]), rtol=0, atol=0.02)


@pytest.mark.parametrize("stop, expected", [(0.0, 2.0), (1.0, 1.0)])
def test_tables_look_through_truncation_but_not_through_termination(stop, expected):
    env = RepeatedMatrixGame(3, [[1.0]], horizon=1, stop=stop)
    q = q_learning(env, QSettings(steps=100, gamma=0.5, rate=0.5), seed=0)
    torch.testing.assert_close(q, torch.full_like(q, expected))


def test_the_bonus_for_entropy_keeps_a_policy_open_while_it_lasts():
    env = RepeatedMatrixGame(32, BANDIT)
    kept, spent = (last_of(ppo(env, PPOSettings(**QUICK, entropy=(3.0, end)), seed=0)).entropy for end in (3.0, 0.0))
    assert kept > 0.9 * math.log(3) and spent < 0.6 * math.log(3)


def test_episodes_go_on_from_one_update_to_the_next():
    ages = []

    class Watched(RepeatedMatrixGame):
        def step(self, state, actions):
            ages.append(int(state["age"][0]))
            return super().step(state, actions)

    last_of(ppo(Watched(2, horizon=5), PPOSettings(updates=4, steps=2), seed=0))
    assert ages == [0, 1, 2, 3, 4, 0, 1, 2]


# --- tables in detail -------------------------------------------------------------------------------------------


def test_one_table_per_agent_and_seed():
    g = as_generator(0)
    q = torch.randn(4, 3, 5, 2, generator=g)
    states, actions = (torch.randint(k, (4, 3), generator=g) for k in (5, 2))
    targets, before = torch.randn(4, 3, generator=g), q.clone()
    values = action_values(q, states)
    q_update(q, states, actions, targets, 0.25)
    for s, i in product(range(4), range(3)):
        k, a = int(states[s, i]), int(actions[s, i])
        assert torch.equal(values[s, i], before[s, i, k])
        expected = before[s, i, k, a] + 0.25 * (targets[s, i] - before[s, i, k, a])
        assert float(q[s, i, k, a]) == pytest.approx(float(expected), abs=1e-6)
        before[s, i, k, a] = q[s, i, k, a]
    assert torch.equal(q, before), "nothing else has moved"


def test_epsilon_greedy_frequencies():
    values = torch.tensor([1.0, 3.0, 3.0, 0.0]).expand(40_000, 4)
    drawn = epsilon_greedy(values, 0.2, as_generator(0))
    shares = torch.bincount(drawn, minlength=4) / len(drawn)
    torch.testing.assert_close(shares, torch.tensor([0.05, 0.45, 0.45, 0.05]), rtol=0, atol=0.01)
    assert not epsilon_greedy(torch.eye(4), 0.0, as_generator(0)).sub(torch.arange(4)).any()


def test_exploration_falls_as_the_settings_say():
    """All arms pay alike, so a random action is seen where the table says otherwise."""
    seen = []

    class Watched(RepeatedMatrixGame):
        def step(self, state, actions):
            seen.append(float((actions == 0).float().mean()))
            return super().step(state, actions)

    q_learning(Watched(2000, [[1.0, 0.0]]), QSettings(steps=100, rate=1.0, epsilon=(0.8, 0.2), anneal=0.5), seed=0)
    for t, epsilon in ((1, 0.788), (25, 0.5), (50, 0.2), (99, 0.2)):
        assert seen[t] == pytest.approx(1 - epsilon / 2, abs=0.06 if t == 1 else 0.04)


# --- playing ----------------------------------------------------------------------------------------------------


def test_rollouts_are_time_major_and_keep_the_last_sight_of_an_episode():
    env = RepeatedMatrixGame(3, horizon=2)
    moves = iter(torch.tensor([[0, 1], [1, 1], [0, 0], [1, 0]])[:, None].expand(4, 3, 2))
    played = rollout(env, lambda seen, generator: next(moves), 4, as_generator(0))
    assert played.observations.shape == (4, 3, 2, 4) and played.actions.shape == played.rewards.shape == (4, 3, 2)
    assert played.truncated.tolist() == [[False] * 3, [True] * 3] * 2 and not played.terminated.any()
    assert played.rewards[:, 0].tolist() == [[-2, 4], [0, 0], [2, 2], [4, -2]]
    assert not played.observations[2].any(), "a new episode begins"
    assert played.next_observations[1, 0, 0].tolist() == [0, 1, 0, 1], "the end of the old one was seen"
    assert torch.equal(played.next_observations[0], played.observations[1])
    assert not played.state["age"].any()


def test_rollouts_go_on_where_the_last_one_stopped():
    env, one = RepeatedMatrixGame(2, horizon=5), as_generator(0)
    whole = rollout(env, player(mlp([4, 2], as_generator(1))), 6, one)
    two = as_generator(0)
    first = rollout(env, player(mlp([4, 2], as_generator(1))), 2, two)
    rest = rollout(env, player(mlp([4, 2], as_generator(1))), 4, two, first.state)
    assert torch.equal(whole.actions, torch.cat([first.actions, rest.actions]))


def test_samples_follow_the_logits():
    p = torch.tensor([0.1, 0.6, 0.3])
    drawn = sample(p.log().expand(200, 200, 3), as_generator(0))
    assert drawn.shape == (200, 200)
    torch.testing.assert_close(torch.bincount(drawn.flatten()) / 40_000, p, rtol=0, atol=0.01)


def test_rewards_that_are_not_finite_are_refused():
    class Breaks(RepeatedMatrixGame):
        def step(self, state, actions):
            after, rewards, *ends = super().step(state, actions)
            rewards[1, 0] = math.nan if int(state["age"][0]) == 2 else 0
            return Step(after, rewards, *ends)

    with pytest.raises(ValueError, match="got nan at step 2 for agent 0 of world 1"):
        rollout(Breaks(3), player(mlp([4, 2], as_generator(0))), 5, as_generator(0))
    with pytest.raises(ValueError, match="got nan at step 2"):
        last_of(ppo(Breaks(3), PPOSettings(updates=3), seed=0))
    with pytest.raises(FloatingPointError, match="step 2: a reward"):
        q_learning(Breaks(3), QSettings(steps=9), seed=0)


# --- past policies ----------------------------------------------------------------------------------------------


class Always(nn.Module):
    """Plays one action, whatever it sees."""

    def __init__(self, action, n_actions=3):
        super().__init__()
        self.logits = nn.Parameter(50.0 * torch.eye(n_actions)[action])

    def forward(self, seen):
        return self.logits.expand(*seen.shape[:-1], -1)


@pytest.mark.parametrize("worlds", [1, 5, 6])
def test_seats_of_the_past_are_played_by_the_past(worlds):
    """The present plays 0, two old policies 1 and 2, each in its part of the worlds."""
    past = torch.rand(worlds, 4, generator=as_generator(2)) < 0.5
    play = learners._mixed(Always(0), [Always(1), Always(2)], past)
    actions = play(torch.zeros(worlds, 4, 1), as_generator(0))
    first = -(-worlds // 2)
    assert torch.equal(actions[:first], 1 * past[:first]) and torch.equal(actions[first:], 2 * past[first:])


def test_what_the_past_did_teaches_nothing():
    """With every seat held by the past the actor gets no gradient, only the entropy's none."""
    env = RepeatedMatrixGame(8, BANDIT)
    settings = PPOSettings(updates=3, past_share=1.0, entropy=(0.0, 0.0))
    actor = mlp([env.d, 8, 3], as_generator(5))
    before = [p.clone() for p in actor.parameters()]
    last_of(ppo(env, settings, seed=0, actor=actor))
    assert all(torch.equal(a, b) for a, b in zip(before, actor.parameters()))


def test_who_learns_stays_with_its_seat():
    """Time and worlds become one dimension, for the mask as for the data."""
    env, generator = RepeatedMatrixGame(3), as_generator(0)
    networks = learners._Networks(mlp([4, 2], generator), mlp([4, 1], generator))
    played = rollout(env, player(networks.actor), 5, generator)
    learns = torch.tensor([[True, False], [True, True], [False, True]])
    batch = learners._prepare(played, networks, learns, PPOSettings(updates=1, steps=5))
    assert all(torch.equal(row, learns.float()) for row in batch.learns.view(5, 3, 2))
    assert torch.equal(batch.actions.view(5, 3, 2), played.actions)
    values, after = (networks.critic(x).squeeze(-1) for x in (played.observations, played.next_observations))
    torch.testing.assert_close(batch.advantages.view(5, 3, 2), gae(played, values, after, PPOSettings(updates=1)))
    torch.testing.assert_close(batch.returns.view(5, 3, 2), batch.advantages.view(5, 3, 2) + values)


def test_the_pool_keeps_the_latest_snapshots(monkeypatch):
    seen = []
    mixed = learners._mixed
    monkeypatch.setattr(learners, "_mixed", lambda actor, rivals, past: seen.append(rivals) or mixed(actor, rivals, past))
    reports = ppo(RepeatedMatrixGame(8), PPOSettings(updates=8, past_every=2, past_kept=3, past_share=0.5), seed=0)
    weights = [next(reports.actor.parameters()).clone() for reports in reports]
    assert [len(rivals) for rivals in seen] == [1, 1, 2, 2, 3, 3, 3, 3]
    kept = [next(rival.parameters()) for rival in seen[-1]]
    assert all(any(torch.equal(w, k) for k in kept) for w in (weights[1], weights[3], weights[5]))
    assert len({id(r) for r in seen[-1]}) == 3


# --- the same bits, and nobody else's chance --------------------------------------------------------------------


def everything_learned(seed):
    env = RepeatedMatrixGame(16, stop=0.1)
    settings = PPOSettings(updates=4, minibatches=3, past_share=0.3, past_every=1)
    report = last_of(ppo(env, settings, seed=seed))
    members = np.array(list(product([False, True], repeat=4)))
    return [
        *report.actor.parameters(),
        *report.critic.parameters(),
        q_learning(env, QSettings(steps=50), seed=seed),
        torch.tensor(fit_worth(members, members.sum(axis=1), seed=seed, epochs=5)(members)),
        torch.tensor(report[3:]),
    ]


def test_same_seed_same_bits():
    one, same, other = everything_learned(3), everything_learned(3), everything_learned(4)
    assert all(torch.equal(a, b) for a, b in zip(one, same))
    assert not any(torch.equal(a, b) for a, b in zip(one, other) if a.any())
    generators = [last_of(ppo(RepeatedMatrixGame(4), PPOSettings(updates=2), seed=seed)) for seed in (7, as_generator(7))]
    assert generators[0].loss == generators[1].loss


def test_global_chance_is_left_alone():
    kept, also = torch.get_rng_state(), np.random.get_state()[1].copy()
    everything_learned(0)
    build(lambda: nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2), nn.Linear(2, 1)), as_generator(0))
    assert torch.equal(kept, torch.get_rng_state()) and np.array_equal(also, np.random.get_state()[1])


def test_networks_start_as_they_say():
    network = mlp([6, 5, 4, 3], as_generator(0), last=0.01)
    linear = [layer for layer in network if isinstance(layer, nn.Linear)]
    assert [type(layer) for layer in network] == [nn.Linear, nn.Tanh] * 2 + [nn.Linear]
    assert [(layer.in_features, layer.out_features) for layer in linear] == list(pairwise([6, 5, 4, 3]))
    for layer, size in zip(linear, (math.sqrt(2), math.sqrt(2), 0.01)):
        torch.testing.assert_close(layer.weight @ layer.weight.T, size**2 * torch.eye(layer.out_features))
        assert not layer.bias.any()


def test_an_epoch_shows_every_situation_once(monkeypatch):
    parts, loss = [], learners._loss
    monkeypatch.setattr(learners, "_loss", lambda networks, batch, *rest: parts.append(batch) or loss(networks, batch, *rest))
    arms = torch.arange(7.0)[None]  # returns that tell the situations apart
    last_of(ppo(RepeatedMatrixGame(5, arms), PPOSettings(updates=1, steps=4, epochs=2, minibatches=3), seed=0))
    assert [len(part.actions) for part in parts] == [7, 7, 6] * 2
    first, second = (torch.cat([part.returns for part in epoch]).flatten() for epoch in (parts[:3], parts[3:]))
    assert not torch.equal(first, second) and torch.equal(first.sort().values, second.sort().values)


def test_a_critic_may_look_at_all_agents_of_a_world():
    """Data comes in whole worlds, also in minibatches."""

    class Joint(nn.Module):
        def __init__(self):
            super().__init__()
            self.read = nn.Linear(8, 1)

        def forward(self, seen):
            worlds, n, d = seen.shape
            return self.read(seen.view(worlds, 1, n * d).expand(worlds, n, n * d))

    critic = build(Joint, as_generator(0))
    report = last_of(ppo(RepeatedMatrixGame(8), PPOSettings(updates=2, minibatches=5), seed=0, critic=critic))
    assert report.critic is critic


# --- what goes wrong, goes wrong aloud --------------------------------------------------------------------------


class Explodes(nn.Module):
    """Fine until it has been asked so often with gradients; then not a number."""

    def __init__(self, outputs, after):
        super().__init__()
        self.layer, self.left = nn.Linear(4, outputs), after

    def forward(self, seen):
        self.left -= torch.is_grad_enabled()
        return self.layer(seen) * (1.0 if self.left >= 0 else math.nan)


@pytest.mark.parametrize("part", ["actor", "critic"])
def test_divergence_names_the_update_and_spoils_no_weight(part):
    """One call checks the shape, then two epochs an update: the seventh call is in update 3."""
    network = Explodes(2 if part == "actor" else 1, after=6)
    with pytest.raises(FloatingPointError, match="update 3: the loss is nan"):
        last_of(ppo(RepeatedMatrixGame(4), PPOSettings(updates=9, epochs=2), seed=0, **{part: network}))
    assert all(p.isfinite().all() for p in network.parameters())


def test_what_goes_wrong_in_play_names_the_update():
    class Tires(Always):
        def forward(self, seen):
            if self.weary == 9:
                raise RuntimeError("tired")
            self.weary += 1
            return super().forward(seen)

    actor = Tires(0, n_actions=2)
    actor.weary = -1  # one call checks the shape, each update takes four steps, one look back and one epoch
    with pytest.raises(RuntimeError, match="tired") as caught:
        last_of(ppo(RepeatedMatrixGame(4), PPOSettings(updates=9, steps=4, epochs=1), seed=0, actor=actor))
    assert caught.value.__notes__ == ["in update 2 of ppo"]


def test_rewards_too_large_to_learn_from():
    with pytest.raises(FloatingPointError, match="update 1: the loss is"):
        last_of(ppo(RepeatedMatrixGame(4, [[3e38, 3e38], [3e38, -3e38]]), PPOSettings(updates=2), seed=0))
    with pytest.raises(FloatingPointError, match="step .*not finite"):
        q_learning(RepeatedMatrixGame(4, [[3e38]], horizon=99), QSettings(steps=99, rate=1.0, gamma=1.0), seed=0)


@pytest.mark.parametrize(
    "settings",
    [
        {"updates": 0},
        {"updates": -1},
        {"steps": 0},
        {"epochs": 0},
        {"minibatches": 0},
        {"past_every": 0},
        {"past_kept": 0},
        {"gamma": 1.1},
        {"gamma": -0.1},
        {"lam": math.nan},
        {"past_share": 2.0},
        {"rate": (0.0, 1e-3)},
        {"rate": (math.inf, 1e-3)},
        {"clip": 0.0},
        {"max_norm": -1.0},
        {"reward_scale": 0.0},
        {"entropy": (-0.1, 0.0)},
    ],
)
def test_bad_settings_are_refused(settings):
    with pytest.raises(ValueError, match="expected"):
        PPOSettings(**{"updates": 1, **settings})


@pytest.mark.parametrize("settings", [{"steps": 0}, {"states": 0}, {"rate": 2.0}, {"gamma": -1.0}, {"epsilon": (1.0, 1.5)}])
def test_bad_tables_are_refused(settings):
    with pytest.raises(ValueError, match="expected"):
        QSettings(**{"steps": 1, **settings})


def test_counts_must_be_whole():
    with pytest.raises(TypeError, match="number of updates"):
        PPOSettings(updates=1.5)


@pytest.mark.parametrize("seed", ["0", 1.0, None, np.random.default_rng(0)])
def test_unknown_seeds_are_refused_before_any_step(seed):
    class Untouched(RepeatedMatrixGame):
        def start(self, generator):
            raise AssertionError("a step was taken")

    env = Untouched(2)
    for learn in (lambda: ppo(env, PPOSettings(updates=1), seed=seed), lambda: q_learning(env, QSettings(steps=1), seed=seed)):
        with pytest.raises(TypeError, match="seed"):
            learn()


def test_networks_of_the_wrong_shape_are_refused_before_any_step():
    env = RepeatedMatrixGame(4)
    with pytest.raises(ValueError, match=r"into \(4, 2, 2\), got \(4, 2, 3\)"):
        ppo(env, PPOSettings(updates=1), seed=0, actor=mlp([4, 3], as_generator(0)))
    with pytest.raises(ValueError, match=r"into \(4, 2, 1\), got \(4, 2, 2\)"):
        ppo(env, PPOSettings(updates=1), seed=0, critic=mlp([4, 2], as_generator(0)))


# --- a learned worth --------------------------------------------------------------------------------------------


def all_coalitions(n):
    return (np.arange(1 << n)[:, None] >> np.arange(n) & 1).astype(bool)


def test_a_learned_worth_serves_the_estimators():
    """Trained on half the coalitions of a smooth game, its Shapley value is near the game's."""
    n, T = 8, all_coalitions(8)
    weights = np.arange(1.0, n + 1)
    worths = np.sqrt(T @ weights)
    half = np.random.default_rng(0).permutation(len(T))[:128]
    v = fit_worth(T[half], worths[half], seed=0, epochs=300)
    kept = T.copy()
    found = v(T)
    assert found.shape == (256,) and found.dtype == np.float64 and found[0] == 0.0
    assert np.array_equal(T, kept)
    rest = np.setdiff1d(np.arange(256), half)
    assert np.sqrt(np.mean((found - worths)[rest] ** 2)) < 0.25 * worths.std()
    exact = sample_shapley(lambda S: np.sqrt(S @ weights), n, budget=4000, method="antithetic", seed=0).values
    learned = sample_shapley(v, n, budget=4000, method="antithetic", seed=0).values
    np.testing.assert_allclose(learned, exact, atol=0.05 * exact.sum())


def test_scale_and_shift_of_the_worths_hardly_matter():
    T = all_coalitions(6)
    worths = T.sum(axis=1) ** 1.5
    plain, large = fit_worth(T, worths, seed=0, epochs=30)(T), fit_worth(T, 1e40 * worths, seed=0, epochs=30)(T)
    np.testing.assert_allclose(large, 1e40 * plain, rtol=1e-3)


def test_members_are_shown_as_plus_and_minus_one():
    found = learners._indicators(np.array([[True, False, True]]), 3, torch.device("cpu"))
    assert found.tolist() == [[1.0, -1.0, 1.0]]


def test_worths_that_are_all_nothing():
    T = all_coalitions(3)
    assert np.abs(fit_worth(T, np.zeros(8), seed=0, epochs=2)(T)).max() < 1e-290


def test_minimise_stops_at_a_loss_that_is_not_finite():
    line = mlp([1, 1], as_generator(0))
    with pytest.raises(FloatingPointError, match="update 0: the loss is nan"):
        minimise(line, lambda: line(torch.ones(1)).sum() * math.nan, 3)


def test_a_worth_that_diverges_names_the_epoch(monkeypatch):
    monkeypatch.setattr(learners, "mlp", lambda sizes, generator, between: Explodes(1, after=9))
    with pytest.raises(FloatingPointError, match="epoch 9: the loss is nan"):
        fit_worth(all_coalitions(4), np.arange(16.0), seed=0)


@pytest.mark.parametrize(
    "members, worths, shown",
    [
        (np.eye(3, dtype=bool), [1.0, 2.0], r"\(2,\) for 3"),
        (np.zeros((0, 3), dtype=bool), [], r"\(0,\) for 0"),
        (np.eye(3), [1.0, 2.0, 3.0], "boolean array"),
        (np.ones(3, dtype=bool), [1.0], "boolean array"),
        (np.zeros((2, 0), dtype=bool), [1.0, 1.0], "boolean array"),
        (np.eye(2, dtype=bool), [1.0, math.nan], "finite worths"),
        (np.eye(2, dtype=bool), [1.0, math.inf], "finite worths"),
        (np.eye(2, dtype=bool), [1e200, -1e200], "finite worths"),
    ],
)
def test_bad_examples_are_refused(members, worths, shown):
    with pytest.raises(ValueError, match=shown):
        fit_worth(members, worths, seed=0)


def test_a_learned_worth_refuses_other_players():
    v = fit_worth(np.eye(3, dtype=bool), [1.0, 2.0, 3.0], seed=0, epochs=1)
    with pytest.raises(ValueError, match="each of 3 players"):
        v(np.eye(4, dtype=bool))
