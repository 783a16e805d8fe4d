"""Uncertain social preferences: the sampler, its worlds, the exact models, and what emerges."""

from collections import Counter
from dataclasses import replace
from functools import partial
from itertools import islice, permutations, product
from math import factorial, prod
from pathlib import Path
from time import process_time

import numpy as np
import pytest
import torch

import coalmarl.experiments.social_preferences as long_runs
import env_checks
from coalmarl.envs import RUSP_IPD, ParallelAdapter, RepeatedMatrixGame, as_generator
from coalmarl.experiments import Run, read_artefact
from coalmarl.learners import player, ppo, rollout
from coalmarl.preferences import (
    RECIPROCITY,
    ChoosingOne,
    ExactSettings,
    FacingOne,
    PrisonersBuddy,
    Rematching,
    Society,
    WithPreferences,
    answer,
    cooperation,
    draw,
    learn_memory_one,
    learn_table,
    normalise,
    prosocial,
    recall_one,
    seated,
    signal_chances,
    team_sizes,
    views,
)
from coalmarl.shaping import STRATEGIES, IteratedGame, sample_play

SELFISH = prosocial(0.0)
WORLDS = {
    "alone": partial(WithPreferences, society=SELFISH),
    "literal": partial(WithPreferences, society=Society(mutual=False, own_row=True)),
    "buddies": partial(WithPreferences, game=PrisonersBuddy, society=Society(5, loners=0.3)),
    "strangers": partial(WithPreferences, game=Rematching, society=Society(4, teams=(1, 4))),
    "six strangers": partial(Rematching, n=6, horizon=5),
    "three buddies": partial(PrisonersBuddy, n=3, vain=-2.0),
}


def policy(name):
    return torch.tensor(STRATEGIES[name], dtype=torch.float64)


@pytest.mark.parametrize("make", WORLDS.values(), ids=WORLDS)
@pytest.mark.parametrize("check", env_checks.CHECKS, ids=lambda check: check.__name__)
def test_strict_checks(check, make):
    check(make)


# --- the sampler ------------------------------------------------------------------------------------------------

# What the released sampler gives: P(W12 = 0), E W12, E W11, P(W12 > W11), mean |W12 - W21| where positive.
TABULATED = {
    (2, 1, 2): (0.50, 0.248, 0.752, 0.245, 0.183),
    (3, 1, 3): (0.55, 0.169, 0.667, 0.223, 0.128),
    (5, 1, 5): (0.63, 0.108, 0.571, 0.188, 0.092),
    (5, 2, 3): (0.60, 0.151, 0.399, 0.200, 0.128),
}


@pytest.mark.parametrize(("n", "least", "greatest"), TABULATED)
def test_the_sampler_has_the_statistics_of_the_released_one(n, least, greatest):
    W = draw(Society(n, teams=(least, greatest)), 60_000, as_generator(1)).weights
    both, one = W[:, 0, 1], W[:, 0, 0]
    apart = (both - W[:, 1, 0]).abs()[both > 0]
    found = [(both == 0).double().mean(), both.mean(), one.mean(), (both > one).double().mean(), apart.mean()]
    assert torch.stack([x.double() for x in found]).tolist() == pytest.approx(TABULATED[n, least, greatest], abs=0.012)


@pytest.mark.parametrize(("n", "least", "greatest"), TABULATED)
def test_teams_are_cut_and_filled_at_random(n, least, greatest):
    """The chance that agents 1 and 2 are together, by counting all cuts and all orders."""
    cuts = [sizes for sizes in product(range(least, greatest + 1), repeat=n)]
    cuts = {tuple(sorted(c[:k])) for c in cuts for k in range(1, n + 1) if sum(c[:k]) == n}
    assert set(team_sizes(n, least, greatest)) == cuts
    chance = np.mean([sum(s * (s - 1) for s in sizes) / (n * (n - 1)) for sizes in cuts])
    regards = draw(Society(n, teams=(least, greatest)), 40_000, as_generator(2)).regards
    for i, j in permutations(range(n), 2):
        assert float((regards[:, i, j] > 0).double().mean()) == pytest.approx(chance, abs=0.012)


def test_kindness_pays_by_itself_in_three_of_eight_episodes():
    """C costs 2 and gives the partner 4, so it pays one whose regard for the partner is above half that for itself."""
    T = draw(Society(), 100_000, as_generator(3)).regards
    one, two = T[:, 0, 1] > T[:, 0, 0] / 2, T[:, 1, 0] > T[:, 1, 1] / 2
    assert float(one.double().mean()) == pytest.approx(3 / 8, abs=0.006)
    assert float((one & two).double().mean()) == pytest.approx(1 / 3, abs=0.006)


def test_rows_add_up_and_regards_are_mutual():
    drawn = draw(Society(5, teams=(1, 5)), 2000, as_generator(4))
    assert torch.allclose(drawn.weights.sum(-1), torch.ones(2000, 5))
    assert torch.equal(drawn.regards, drawn.regards.mT)
    alone = (drawn.regards > 0).sum(-1) == 1
    assert bool(alone.any()) and bool((drawn.weights.diagonal(dim1=1, dim2=2)[alone] == 1).all())
    together = drawn.regards > 0
    assert bool(((together.float() @ together.float() > 0) == together).all()), "a team is whom one is together with"


def test_a_loner_without_any_luck_still_has_weights(monkeypatch):
    monkeypatch.setattr(torch, "rand", lambda *shape, **_: torch.zeros(*shape))
    assert torch.equal(draw(Society(3, teams=(1, 1)), 4, as_generator(0)).weights, torch.eye(3).expand(4, 3, 3))


def test_noise_is_what_it_says():
    drawn = draw(Society(3, teams=(1, 3), noise=(0.5, 1.0)), 20_000, as_generator(5))
    z = (drawn.seen - drawn.regards[:, None]) / drawn.noise
    assert float(z.mean()) == pytest.approx(0, abs=0.01) and float(z.std()) == pytest.approx(1, abs=0.01)
    assert float(drawn.noise.min()) >= 0.5 and float(drawn.noise.max()) <= 1 and float(drawn.noise.mean()) == pytest.approx(0.75, abs=0.01)
    spread = torch.corrcoef(z.flatten(1).T) - torch.eye(27)
    assert float(spread.abs().max()) < 0.05, "some errors go together"
    levels = torch.corrcoef(drawn.noise.flatten(1).T) - torch.eye(27)
    assert float(levels.abs().max()) < 0.05, "some noise levels go together"


def test_variants_for_ablation():
    g = as_generator(6)
    shared = draw(Society(shared=True), 500, g)
    seen = shared.seen.expand(500, 2, 2, 2)
    assert torch.equal(seen[:, 0], seen[:, 1]) and bool((shared.noise > 0).all())
    assert torch.equal(views(shared)[:, 0, 2:4], torch.stack([shared.seen[:, 0, 0, 1], shared.noise[:, 0, 0, 1]], -1))
    literal = draw(Society(mutual=False, own_row=True), 500, g)
    assert not torch.equal(literal.regards, literal.regards.mT) and bool((views(literal)[..., 4:] == 0).all())
    assert bool((views(literal)[..., :4] != 0).all())
    hard = draw(Society(regard=(1.0, 1.0), own=(1.0, 1.0)), 500, g)
    assert set(hard.regards.unique().tolist()) == {0.0, 1.0} and set(hard.weights.unique().tolist()) == {0.0, 0.5, 1.0}
    hostile = draw(Society(teams=(2, 2), regard=(-1.0, 0.0)), 500, g)
    assert bool((hostile.weights[:, 0, 1] < 0).all())
    assert torch.allclose(hostile.weights.abs().sum(-1), torch.ones(500, 2))
    quiet = draw(Society(noise=(0.0, 0.0)), 500, g)
    assert torch.equal(quiet.seen[:, 0], quiet.regards)


def test_loners_instead_of_a_partition():
    T = draw(Society(5, loners=0.3), 40_000, as_generator(7)).regards
    alone = (T > 0).sum(-1) == 1
    assert float((T[:, 0, 1] > 0).double().mean()) == pytest.approx(0.49, abs=0.01)
    assert float(alone.double().mean()) == pytest.approx(0.3 + 0.7 * 0.3**4, abs=0.01)


@pytest.mark.parametrize("n", [2, 3, 5])
def test_views_show_the_own_row_and_others_regards_for_themselves(n):
    drawn = draw(Society(n, teams=(1, n)), 7, as_generator(8))
    shown = views(drawn)
    for b, i in product(range(7), range(n)):
        expected = [drawn.seen[b, i, i, i], drawn.noise[b, i, i, i]]
        for j in ((i + k) % n for k in range(1, n)):
            expected += [x[b, i, row, j] for row in (i, j) for x in (drawn.seen, drawn.noise)]
        assert shown[b, i].tolist() == torch.stack(expected).tolist()


def test_prosocial_agents_count_others_alpha_times():
    drawn = draw(prosocial(0.5, 3), 4, as_generator(9))
    assert torch.allclose(drawn.weights, torch.tensor([[2.0, 1, 1], [1, 2, 1], [1, 1, 2]]) / 4)
    assert torch.equal(draw(SELFISH, 4, as_generator(9)).weights, torch.eye(2).expand(4, 2, 2))


@pytest.mark.parametrize(
    ("society", "chance"),
    [(Society(), True), (SELFISH, False), (prosocial(0.5, 3), False), (Society(3, loners=1.0, own=(1, 1), noise=(0, 0)), False)]
    + [(Society(own=(1, 1), noise=(0, 0)), True), (Society(teams=(2, 2), own=(1, 1), noise=(0, 0)), True)]
    + [(Society(4, teams=(2, 2), own=(1, 1), regard=(1, 1), noise=(0, 0)), True)],
)
def test_a_society_knows_whether_it_is_drawn_by_chance(society, chance):
    a, b = (draw(society, 50, as_generator(seed)) for seed in (0, 1))
    assert society.chance == chance == (not all(map(torch.equal, a, b)))


# --- worlds -----------------------------------------------------------------------------------------------------


def test_rewards_are_mixed_and_preferences_last_an_episode():
    env, g = WithPreferences(6), as_generator(10)
    plain, state = RepeatedMatrixGame(6, memory=(1.0, 0.2)), env.start(g)
    first = {name: state[name].clone() for name in ("weights", "views")}
    other = plain.start(g)
    for _ in range(env.horizon):
        actions = env_checks.random_actions(env, g)
        step, paid = env.step(state, actions), plain.step(other, actions)
        for b, i in product(range(6), range(2)):
            mixed = sum(float(state["weights"][b, i, j] * paid.rewards[b, j]) for j in range(2))
            assert float(step.rewards[b, i]) == pytest.approx(mixed, abs=1e-5)
        state, other = step.state, paid.state
        assert all(torch.equal(first[name], state[name]) for name in first)
        assert torch.equal(env.observe(state), torch.cat([plain.observe(other), first["views"]], -1))


def buddies(choices, vain):
    """Payoffs of Prisoner's Buddy by its rules: choices are agents, or None."""
    paid = [0.0] * len(choices)
    for i, j in enumerate(choices):
        if j is not None:
            paid[i] += 2 if choices[j] == i else vain
            paid[j] += 0 if choices[j] == i else 1
    return paid


@pytest.mark.parametrize(("n", "vain"), [(3, -1.0), (5, -2.0), (4, 0.5)])
def test_buddies_are_paid_by_the_rules(n, vain):
    env, g = PrisonersBuddy(40, n=n, vain=vain), as_generator(11)
    state = env.start(g)
    trace = np.zeros((40, n, n))
    for _ in range(5):
        actions = env_checks.random_actions(env, g)
        step = env.step(state, actions)
        chosen = [[(i + a) % n if a else None for i, a in enumerate(row)] for row in actions.tolist()]
        assert step.rewards.tolist() == [buddies(row, vain) for row in chosen]
        trace *= 0.8
        for b, i in product(range(40), range(n)):
            trace[b, i, chosen[b][i]] += 0.2 * (chosen[b][i] is not None)
        seen = env.observe(step.state).unflatten(-1, (n - 1, 7)).numpy()
        for b, i, k in product(range(40), range(n), range(n - 1)):
            j, pick = (i + k + 1) % n, chosen[b]
            pair = pick[i] == j and pick[j] == i
            taken = pick[j] is not None and pick[j] != i and pick[pick[j]] == j
            popular = sum(p == j for p in pick) / (n - 1)
            expected = [pick[i] == j, pick[j] == i, trace[b, i, j], trace[b, j, i], pair, taken, popular]
            assert seen[b, i, k].tolist() == pytest.approx([*map(float, expected)], abs=1e-6)
        state = step.state


@pytest.mark.parametrize("n", [2, 4, 6])
def test_everybody_has_a_partner_and_all_matchings_are_equally_likely(n):
    partner = Rematching(4000, n=n, horizon=3).start(as_generator(12))["partner"]
    assert partner.shape == (4000, 4, n)
    assert torch.equal(partner.gather(-1, partner), torch.arange(n).expand_as(partner)), "partners are each other's"
    assert not bool((partner == torch.arange(n)).any())
    matchings = prod(range(1, n, 2))
    counts = Counter(map(tuple, partner.flatten(0, 1).tolist()))
    assert len(counts) == matchings == factorial(n) // (2 ** (n // 2) * factorial(n // 2))
    assert all(count / 16_000 == pytest.approx(1 / matchings, abs=0.012) for count in counts.values())


def test_reputations_are_kept_by_the_book():
    """Against a plain account: what each last did to each and to anybody, and traces of it."""
    env, g, n = Rematching(3, n=4), as_generator(13), 4
    state, faded = env.start(g), lambda old, a: [0.8 * x + 0.2 * (k == a) for k, x in enumerate(old)]
    book = [{} for _ in range(3)]
    for _ in range(env.horizon):
        seen, partner = env.observe(state), state["partner"][:, int(state["age"][0])].tolist()
        for b, i in product(range(3), range(n)):
            j = partner[b][i]
            blank = [0.0] * 4
            expected = [book[b].get(key, blank) for key in ((i, j), (j, i), (j,), (i,))]
            who = [float((i + k) % n == j) for k in range(1, n)]
            assert seen[b, i].tolist() == pytest.approx([*sum(expected, []), *who], abs=1e-6)
        actions = env_checks.random_actions(env, g)
        step = env.step(state, actions)
        for b, i in product(range(3), range(n)):
            j, a = partner[b][i], int(actions[b, i])
            assert float(step.rewards[b, i]) == RUSP_IPD[a][int(actions[b, j])]
            for key in ((i, j), (i,)):
                old = book[b].get(key, [0.0] * 4)
                book[b][key] = [float(a == 0), float(a == 1), *faded(old[2:], a)]
        state = step.state
    assert bool(step.truncated.all())


def test_who_answers_does_to_each_what_it_did():
    env, g = Rematching(60, horizon=12), as_generator(14)
    play = seated([answer(), answer(first=1), recall_fair, recall_fair])
    state, last = env.start(g), {}
    for t in range(12):
        seen, partner = env.observe(state), state["partner"][:, t].tolist()
        actions = play(seen, g)
        for b, i in product(range(60), (0, 1)):
            assert int(actions[b, i]) == last.get((b, partner[b][i], i), i)
        last |= {(b, i, partner[b][i]): int(actions[b, i]) for b, i in product(range(60), range(4))}
        state = env.step(state, actions).state


def recall_fair(seen, generator):
    return torch.randint(2, seen.shape[:2], generator=generator)


@pytest.mark.parametrize("name", STRATEGIES)
def test_who_recalls_one_round_plays_its_policy(name):
    env, g = WithPreferences(300), as_generator(15)
    play = seated([recall_one(STRATEGIES[name]), recall_fair])
    played = rollout(env, play, env.horizon, g)
    own, other = played.actions.unbind(-1)
    assert bool(((own[0] == 0) == (STRATEGIES[name][0] == 1)).all())
    state = 1 + 2 * own[:-1] + other[:-1]
    assert torch.equal(own[1:] == 0, torch.tensor(STRATEGIES[name])[state] == 1)


def test_partners_must_play_by_the_rules():
    env, g = WithPreferences(2), as_generator(16)
    state, tft = env.start(g), recall_one(STRATEGIES["TFT"])
    seen = env.observe(state)
    cheat = seated([tft, lambda seen, _: torch.full(seen.shape[:2], 2)])
    with pytest.raises(ValueError, match="got 2 from agent 1 of world 0"):
        env.step(state, cheat(seen, g))
    with pytest.raises(TypeError, match="int64"):
        env.step(state, seated([tft, lambda seen, _: torch.rand(seen.shape[:2])])(seen, g))
    with pytest.raises(ValueError, match="a player for each of 2 agents, got 1"):
        seated([tft])(seen, g)


# --- networks ---------------------------------------------------------------------------------------------------


def test_choosing_treats_all_others_alike():
    g, n = as_generator(17), 5
    actor, critic = ChoosingOne(n, n, g), ChoosingOne(n, 1, g)
    seen = torch.randn(6, n, 28 + 18, generator=g)
    game, own, others = seen[..., :28].unflatten(-1, (4, 7)), seen[..., 28:30], seen[..., 30:].unflatten(-1, (4, 4))
    order = [2, 0, 3, 1]
    turned = torch.cat([game[:, :, order].flatten(2), own, others[:, :, order].flatten(2)], -1)
    logits, again = actor(seen), actor(turned)
    assert torch.allclose(again[..., 1:], logits[..., 1:][..., order], atol=1e-6)
    assert torch.allclose(again[..., 0], logits[..., 0], atol=1e-6) and torch.allclose(critic(turned), critic(seen), atol=1e-6)
    assert float(logits.detach().std()) > 0


def test_facing_one_sees_only_the_regards_of_its_partner():
    g = as_generator(18)
    network = FacingOne(4, 2, g)
    seen = torch.randn(8, 4, 19 + 14, generator=g)
    seen[..., 16:19] = torch.tensor([0.0, 1.0, 0.0])
    logits = network(seen)
    for where, matters in ((slice(21, 25), False), (slice(25, 29), True), (slice(29, 33), False), (slice(19, 21), True)):
        changed = seen.clone()
        changed[..., where] += 1
        assert torch.equal(network(changed), logits) != matters


# --- exact models -----------------------------------------------------------------------------------------------


def test_cooperation_equals_simulation():
    pairs = torch.rand(5, 2, 5, generator=as_generator(19), dtype=torch.float64)
    exact = cooperation(pairs[:, 0], pairs[:, 1], gamma=0.8)
    _, outcomes = sample_play(pairs, 4000, 60, as_generator(20))
    fading = 0.2 * 0.8 ** torch.arange(60, dtype=torch.float64)[:, None]
    simulated = ((outcomes < 2).double().mean(-1) * fading).sum(0)
    assert exact.tolist() == pytest.approx(simulated.tolist(), abs=0.02)


def test_cooperation_of_known_pairs():
    known = {("TFT", "TFT"): 1, ("AllD", "TFT"): 0, ("WSLS", "AllD"): 1 / 1.9}
    assert [float(cooperation(policy(a), policy(b))) for a, b in known] == pytest.approx([*known.values()])


def test_a_world_pays_what_the_exact_model_says():
    """Mean payoffs of stopping games in the batched world against the linear solve."""
    gtft = (1.0, 1.0, 0.3, 1.0, 0.3)
    game = partial(RepeatedMatrixGame, memory=(1.0, 0.2), horizon=60)
    env = WithPreferences(2000, game, SELFISH)
    played = rollout(env, seated([recall_one(gtft), recall_one([0.5] * 5)]), 60, as_generator(21))
    fading = 0.1 * 0.9 ** torch.arange(60)[:, None]
    mean = (played.rewards.mean(1) * fading).sum(0)
    exact = 0.1 * IteratedGame(RUSP_IPD, 0.9).returns([gtft, [0.5] * 5])
    assert mean.tolist() == pytest.approx(exact.tolist(), abs=0.04)


def test_signals_are_chances_and_sure_ones_are_right():
    certain = torch.tensor([0.0, 0.3, 1.0], dtype=torch.float64)
    chances = signal_chances(certain, 0.8)
    assert torch.allclose(chances.sum(-1), torch.ones(3, 2, dtype=torch.float64)) and bool((chances >= 0).all())
    assert bool((chances[:, 0, 1] == 0).all() and (chances[:, 1, 0] == 0).all())
    assert chances[1, 0].tolist() == pytest.approx([0.3, 0, 0.56, 0.14])


def test_the_table_climbs_its_own_expected_weighted_payoff():
    """One update against numbers: a difference quotient in one agent's table, the partner's held at one half."""
    certain, loners, accuracy, eps = 0.3, 0.6, 0.7, 1e-5
    settings = ExactSettings(updates=1, rate=1.0, gamma=0.8, tremble=0.1)
    after = learn_table(torch.tensor(certain), torch.tensor(loners), settings, accuracy=accuracy)[0]
    chances = signal_chances(torch.tensor(certain, dtype=torch.float64), accuracy)
    game, half = IteratedGame(RUSP_IPD, 0.8), torch.full((4, 5), 0.5, dtype=torch.float64)

    def expected(logits):
        total = 0.0
        own = 0.9 * logits.sigmoid() + 0.05
        for world, (weight, mine) in enumerate(((loners, 1.0), (1 - loners, 0.5))):
            for s, o in product(range(4), range(4)):
                returns = game.returns(torch.stack([own[s], half[o]]))
                total += weight * float(chances[world, s] * chances[world, o] * (mine * returns[0] + (1 - mine) * returns[1])) * 0.2
        return total

    for cell in ((0, 0), (2, 1), (3, 4), (1, 2)):
        up, down = torch.zeros(2, 4, 5, dtype=torch.float64)
        up[cell], down[cell] = eps, -eps
        slope = (expected(up) - expected(down)) / (2 * eps)
        assert float(torch.logit(after)[cell]) == pytest.approx(slope, rel=1e-4, abs=1e-9)


def test_cells_of_a_phase_diagram_do_not_disturb_each_other():
    certain, loners = torch.tensor([[0.2], [0.9]]), torch.tensor([[0.3, 0.7, 0.5]])
    settings = ExactSettings(updates=20, rate=20.0)
    path = learn_table(certain, loners, settings)
    assert path.shape == (20, 2, 3, 4, 5)
    assert torch.allclose(path[:, 1, 2], learn_table(certain[1, 0], loners[0, 2], settings), atol=1e-12)


def certain_selfish(network):
    me = views(draw(SELFISH, 1, as_generator(0))).double()
    return network(me)[0, 0].sigmoid().detach()


def test_uncertainty_makes_even_the_known_selfish_cooperate():
    short = ExactSettings(updates=150)
    *_, network = learn_memory_one(Society(), short, seed=0)
    p = certain_selfish(network)
    assert float(cooperation(p, p)) > 0.9 and float(p[1] + p[3] - p[2] - p[4]) / 2 > 0.3
    assert float(cooperation(p, policy("AllD"))) < 0.9
    *_, network = learn_memory_one(Society(noise=(0.0, 0.0)), short, seed=0)
    p = certain_selfish(network)
    assert float(cooperation(p, p)) < 0.05


def test_exact_learning_repeats_itself_and_can_be_stopped():
    few = ExactSettings(updates=5, pairs=8)
    a, b = ([certain_selfish(net) for net in learn_memory_one(Society(), few, seed=seed)] for seed in (3, 3))
    assert len(a) == 5 and all(map(torch.equal, a, b)) and not torch.equal(a[0], a[4])
    (first,) = islice(learn_memory_one(Society(), few, seed=3), 1)
    assert torch.equal(certain_selfish(first), a[0])


# --- what emerges by trial and error ----------------------------------------------------------------------------


def test_a_few_updates_of_ppo_run_in_every_world():
    g = as_generator(22)
    for make, networks in ((WORLDS["buddies"], ChoosingOne), (WORLDS["strangers"], FacingOne)):
        env = make(4)
        actor, critic = networks(env.n, env.n_actions, g), networks(env.n, 1, g)
        *_, last = ppo(env, replace(RECIPROCITY, updates=2), seed=0, actor=actor, critic=critic)
        assert np.isfinite(last.loss)


@pytest.mark.long
def test_ppo_finds_reciprocity():
    *_, last = ppo(WithPreferences(512), RECIPROCITY, seed=0)
    env, g, me = WithPreferences(256, society=SELFISH), as_generator(1), player(last.actor)
    kind = (rollout(env, me, 16, g).actions == 0).double().mean()
    used = (rollout(env, seated([me, recall_one(STRATEGIES["AllD"])]), 16, g).actions[..., 0] == 0).double().mean()
    assert float(kind) > 0.9 and float(used) < 0.2


@pytest.mark.long
def test_a_batch_is_a_hundred_times_faster_than_a_loop():
    """World and policy together, in agent-steps per second of the processor."""
    actor, g = next(iter(ppo(WithPreferences(4), RECIPROCITY, seed=0))).actor, as_generator(2)
    env, world = WithPreferences(512), ParallelAdapter(WithPreferences(1))
    begun = process_time()
    rollout(env, player(actor), 160, g)
    batch = 512 * 160 / (process_time() - begun)
    seen, _ = world.reset(seed=0)
    begun = process_time()
    for _ in range(160):
        rows = torch.stack([torch.from_numpy(seen[a]) for a in world.agents])[None]
        actions = player(actor)(rows, g)[0].tolist()
        seen, *_ = world.step(dict(zip(world.agents, actions)))
        if not world.agents:
            seen, _ = world.reset()
    assert batch > 100 * 160 / (process_time() - begun)


# --- the measures of the long runs -------------------------------------------------------------------------------


def test_pairs_are_measured_right():
    tft = recall_one(STRATEGIES["TFT"])
    assert long_runs._short_test(tft, 0) == [1.0, pytest.approx(1 / 16, abs=1e-3), 1.0, 0.0]
    found = long_runs._long_test(tft, 0)
    assert found["partners"]["AllD"] == [pytest.approx(-2 / 16, abs=1e-3), pytest.approx(4 / 16, abs=1e-3), pytest.approx(1 / 16, abs=1e-3)]
    assert found["partners"]["itself"] == [2.0, 2.0] and found["policy"] == [1.0, 1.0, 0.0, 1.0, 0.0]


def test_records_are_measured_right():
    """Who helps those that last helped anybody tells records apart at once; who answers does so only later."""
    by_record, by_answer = (lambda seen, _: (1 - seen[..., 8]).long()), answer()
    for play, first_with_d in ((by_record, 0.0), (by_answer, 1.0)):
        _, with_c, later_c, paid_c, with_d, later_d, paid_d = long_runs._record_test(play, 0)
        assert (with_d, later_d) == (first_with_d, 0.0) and paid_d >= 0
        assert play is by_record or (with_c, later_c, paid_c) == (1.0, 1.0, 2.0)
    assert long_runs._mixes(by_answer, 0)["3 TFT"] == [2.0, 2.0]


def test_teams_are_measured_right():
    """Agents 1 and 2 choose each other, 3 and 4 also, 5 chooses 1 in vain."""
    moves = torch.tensor([1, 4, 1, 4, 1])
    found = long_runs._team_test(lambda seen, _: moves.expand(seen.shape[:2]).clone(), 0)
    assert found["in_pairs"] == [4.0] * 16 and found["survival"] == 1 and found["sat_out"] == 0
    assert found["buddies"] == 0.8 and found["paid"] == [-1.0, 2.0, 2.0, 2.0, 3.0]


def test_only_the_critic_is_told_the_truth():
    env, g = long_runs._Told(6, long_runs.FOUR, "cpu"), as_generator(24)
    actor, critic, state = long_runs._Blind(4, 2, g), long_runs._Judge(4, g), env.start(g)
    for _ in range(3):
        state = env.step(state, env_checks.random_actions(env, g)).state
    seen, partner, W = env.observe(state), state["partner"][:, 3].tolist(), state["weights"]
    for b, i in product(range(6), range(4)):
        j = partner[b][i]
        truth = torch.stack([W[b, i, i], W[b, i, j], W[b, j, j], W[b, j, i], *state["record"][b].mean(0)])
        assert torch.allclose(seen[b, i, env.d - 8 :], truth)
    plain = WithPreferences(6, Rematching, long_runs.FOUR)
    assert torch.equal(seen[..., : plain.d], plain.observe(state)) and torch.equal(actor(seen), actor(seen[..., : plain.d]))
    other = seen.clone()
    other[..., env.d - 8 :] += 1
    assert torch.equal(actor(other), actor(seen)) and not torch.equal(critic(other), critic(seen))
    other = seen.clone()
    other[:, 0, 19:21] += 1  # what agent 1 sees of its regard for itself
    moved = (critic(other) != critic(seen)).squeeze(-1).tolist()
    assert moved == [[i == 0 or partner[b][i] == 0 for i in range(4)] for b in range(6)]


TRAINED = ("reciprocity", "certainty", "prosocial", "reputation", "teams", "team_settings")


@pytest.mark.parametrize("name", TRAINED)
def test_networks_learn_where_the_run_says(name):
    with pytest.raises(ValueError, match="device"):
        long_runs.EXPERIMENTS[name].measure(0, Run(device="abacus"))


def test_a_player_is_a_copy_on_the_processor():
    g = as_generator(25)
    actor, seen = FacingOne(4, 2, g), torch.randn(2, 4, 33, generator=g)
    play = long_runs._here(actor)
    before = play(seen, as_generator(0))
    with torch.no_grad():
        actor.body[-1].bias.copy_(torch.tensor([-50.0, 50.0]))
    assert torch.equal(play(seen, as_generator(0)), before) and bool((player(actor)(seen, g) == 1).all())


def test_enough_seeds_are_stored():
    folder = Path(__file__).parents[1] / "notebooks" / "artefacts" / "10_social_preferences"
    for name, least in (("uncertainty", 20), ("reciprocity", 10), ("zoo", 10), ("reputation", 5), ("teams", 5), ("prosocial", 5)):
        found = read_artefact(folder / f"{name}.json")["results"]
        assert list(found) == list(range(len(found))) and len(found) >= least, "no run dropped"


def test_who_has_fixed_preferences_believes_them():
    env, g = WithPreferences(3), as_generator(23)
    looked = []

    class Looks(torch.nn.Module):
        def forward(self, seen):
            looked.append(seen)
            return torch.zeros(*seen.shape[:-1], 2)

    seen = env.observe(env.start(g))
    long_runs._believing(Looks(), prosocial(0.25))(seen, g)
    assert torch.equal(looked[0][..., :8], seen[..., :8]) and looked[0][2, 1, 8:].tolist() == [1, 0, 0.25, 0, 1, 0]


@pytest.mark.long
def test_the_library_of_strategies_plays_by_our_payoffs():
    axelrod = pytest.importorskip("axelrod")
    tft, all_d = recall_one(STRATEGIES["TFT"]), recall_one(STRATEGIES["AllD"])
    paid = long_runs._against(axelrod.TitForTat, [tft, all_d], 0)
    assert paid.shape == (2, 4, 2)
    assert paid[0].tolist() == [[2.0, 2.0]] * 4 and paid[1].tolist() == [[pytest.approx(0.1), pytest.approx(-0.05)]] * 4


# --- what is refused --------------------------------------------------------------------------------------------

REFUSED = {
    "nobody to care for": (lambda: Society(n=1), ValueError, "2 agents or more, got 1"),
    "n no integer": (lambda: Society(n=2.0), TypeError, "number of agents as an integer"),
    "no such teams": (lambda: Society(5, teams=(2, 2)), ValueError, "add up to 5 agents, got sizes from 2 to 2"),
    "teams too large": (lambda: Society(3, teams=(4, 4)), ValueError, "add up to 3"),
    "teams of none": (lambda: Society(3, teams=(0, 3)), ValueError, "a least size of at least 1"),
    "loners": (lambda: Society(3, loners=1.5), ValueError, "between 0 and 1, got 1.5"),
    "noise below 0": (lambda: Society(noise=(-0.1, 1.0)), ValueError, "no number below 0 in own and noise"),
    "noise without end": (lambda: Society(noise=(0.0, float("inf"))), ValueError, "for noise a finite range"),
    "noise not a number": (lambda: Society(noise=(0.0, float("nan"))), ValueError, "for noise a finite range"),
    "range upside down": (lambda: Society(regard=(1.0, 0.0)), ValueError, "for regard a finite range"),
    "no regard for oneself": (lambda: Society(own=(0.0, 0.0)), ValueError, "some regard for oneself"),
    "a row of zeros": (lambda: normalise(torch.tensor([[1.0, 0.0], [0.0, 0.0]])), ValueError, "one that is not 0"),
    "a row not finite": (lambda: normalise(torch.tensor([[1.0, float("nan")], [0.0, 1.0]])), ValueError, "finite regards"),
    "an empty batch": (lambda: draw(Society(), 0, as_generator(0)), ValueError, "batch size of at least 1"),
    "another n": (lambda: WithPreferences(1, society=Society(3)), ValueError, "a society of 2 agents, as in the world, got one of 3"),
    "pairs only": (lambda: learn_memory_one(Society(3), seed=0), ValueError, "of 2 agents, got one of 3"),
    "a bad seed": (lambda: learn_memory_one(Society(), seed=-1), ValueError, "a seed"),
    "no updates": (lambda: ExactSettings(updates=0), ValueError, "number of updates"),
    "tremble": (lambda: ExactSettings(tremble=1.5), ValueError, r"a tremble in \[0, 1\]"),
    "rate": (lambda: ExactSettings(rate=0.0), ValueError, "a rate above 0"),
    "certain": (lambda: signal_chances(torch.tensor(1.5), 0.5), ValueError, "probabilities"),
    "accuracy": (lambda: learn_table(torch.tensor(0.5), torch.tensor(0.5), accuracy=2.0), ValueError, "probabilities"),
    "loners of a table": (lambda: learn_table(torch.tensor(0.5), torch.tensor(-0.5)), ValueError, "probabilities"),
    "a policy of four": (lambda: recall_one([1.0] * 4), ValueError, "five probabilities"),
    "no probabilities": (lambda: recall_one([2.0] * 5), ValueError, "five probabilities"),
    "an odd number": (lambda: Rematching(1, n=5), ValueError, "an even number of agents"),
    "two buddies": (lambda: PrisonersBuddy(1, n=2), ValueError, "3 agents or more"),
    "a bad device": (lambda: WithPreferences(1, device="abacus"), ValueError, "device"),
    "vain": (lambda: PrisonersBuddy(1, vain=float("nan")), ValueError, "finite payoff"),
}


@pytest.mark.parametrize(("wrong", "error", "message"), REFUSED.values(), ids=REFUSED)
def test_bad_input_is_refused(wrong, error, message):
    with pytest.raises(error, match=message):
        wrong()


def test_global_chance_is_left_alone():
    kept = torch.get_rng_state()
    draw(Society(), 4, as_generator(0))
    next(learn_memory_one(Society(), ExactSettings(updates=1, pairs=4), seed=0))
    assert torch.equal(kept, torch.get_rng_state())
