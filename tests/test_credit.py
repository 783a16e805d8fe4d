"""Credit: the batched nucleolus against the solver, every credit against its definition, learners against exact values."""

import math
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from clock import timed
from coalmarl import credit, solutions, teamwork
from coalmarl.coalitions import coalition_sums
from coalmarl.experiments import read_artefact
from coalmarl.experiments.credit import METHODS
from coalmarl.games import TUGame, bankruptcy
from coalmarl.learners import QSettings

CREDITS = [credit.team_credit, credit.difference_credit, credit.shapley_credit, credit.nucleolus_credit]
EFFICIENT = [credit.shapley_credit, credit.nucleolus_credit]
STORED = Path(__file__).resolve().parents[1] / "notebooks" / "artefacts" / "08_credit"


def random_games(n, count, seed=0):
    """Half of them with few different worths, so that many excesses tie."""
    rng = np.random.default_rng(seed)
    games = rng.normal(size=(count, 2**n))
    games[::2] = rng.integers(0, 3, size=games[::2].shape)
    games[:, 0] = 0
    return games


def by_solver(games):
    return np.array([solutions.prenucleolus(TUGame(game)) for game in games])


def reward_of(task, acts, state=0):
    return task.rewards[state, sum(int(a) * task.actions**i for i, a in enumerate(acts))]


# --- minimal balanced collections and the nucleolus -------------------------------------------------------------


@pytest.mark.parametrize(("n", "count"), [(2, 1), (3, 5), (4, 41), (5, 1291)])
def test_minimal_balanced_collections_are_balanced_minimal_and_all_there(n, count):
    collections = credit.minimal_balanced_collections(n)
    assert len({frozenset(weights) for weights in collections}) == len(collections) == count
    for weights in collections:
        rows = np.array([[S >> i & 1 for i in range(n)] for S in weights], dtype=float)
        np.testing.assert_allclose(np.array(list(weights.values())) @ rows, 1, atol=1e-9)
        assert min(weights.values()) > 0
        assert np.linalg.matrix_rank(rows) == len(weights), "weights are not unique, so some part is balanced too"


def test_the_collections_of_three_players_by_hand():
    found = {frozenset(weights) for weights in credit.minimal_balanced_collections(3)}
    expected = [{1, 2, 4}, {1, 6}, {2, 5}, {4, 3}, {3, 5, 6}]
    assert found == set(map(frozenset, expected))


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_batched_nucleolus_equals_the_solver(n):
    games = random_games(n, 1000)
    np.testing.assert_allclose(credit.nucleolus_credit(games), by_solver(games), rtol=0, atol=1e-9)


def test_batched_nucleolus_settles_fifty_thousand_games_a_second():
    games = random_games(4, 50_000)
    credit.nucleolus_credit(games)  # works out the levels
    assert timed(credit.nucleolus_credit, games)[1] < 1


def test_batched_nucleolus_passes_kohlberg():
    for game, x in zip(random_games(4, 40, seed=1), credit.nucleolus_credit(random_games(4, 40, seed=1))):
        assert solutions.kohlberg_certificate(TUGame(game), x, prenucleolus=True).holds


@given(st.integers(0, 10**6), st.sampled_from([1e-3, 1e6]))
def test_batched_nucleolus_is_covariant(seed, scale):
    rng = np.random.default_rng(seed)
    game, x = random_games(4, 2, seed), rng.normal(size=4)
    moved = scale * game + coalition_sums(x)
    expected = scale * credit.nucleolus_credit(game) + x
    np.testing.assert_allclose(credit.nucleolus_credit(moved), expected, rtol=0, atol=1e-9 * max(1, scale))


def test_nucleolus_of_the_talmud_and_of_more_players_than_the_table_holds():
    for estate, division in {100: [100 / 3] * 3, 200: [50, 75, 75], 300: [50, 100, 150]}.items():
        np.testing.assert_allclose(credit.nucleolus_credit(bankruptcy(estate, [100, 200, 300]).values), division)
    games = random_games(5, 6).reshape(3, 2, 32)
    games[2] = games[0]
    np.testing.assert_allclose(credit.nucleolus_credit(games).reshape(-1, 5), by_solver(games.reshape(-1, 32)), atol=1e-9)


# --- credits ----------------------------------------------------------------------------------------------------


def test_credits_equal_their_definitions():
    games = random_games(4, 20)
    for game, team, difference, shapley in zip(games, *(rule(games) for rule in CREDITS[:3])):
        np.testing.assert_array_equal(team, game[-1])
        np.testing.assert_allclose(difference, [game[15] - game[15 - (1 << i)] for i in range(4)])
        np.testing.assert_allclose(shapley, solutions.shapley(TUGame(game)), atol=1e-12)


@pytest.mark.parametrize("rule", EFFICIENT)
def test_efficient_credits_sum_to_the_reward(rule):
    games = random_games(4, 50)
    np.testing.assert_allclose(rule(games).sum(axis=1), games[:, -1], atol=1e-9)


def test_where_the_core_is_not_empty_nucleolus_credit_is_at_most_the_marginal_contribution():
    games = random_games(4, 400)
    games[:, -1] += 2  # enough for many a core
    stable = np.array([not solutions.core_is_empty(TUGame(game)) for game in games])
    above = credit.nucleolus_credit(games) - credit.difference_credit(games)
    assert 50 < stable.sum() < 390
    assert above[stable].max() < 1e-9
    assert above[~stable].max() > 0.1  # the hypothesis is needed


def test_a_redundant_agent_is_paid_nothing_by_the_nucleolus_and_something_by_shapley():
    crowd = teamwork.specialist(4, 0.15).games()[0, 1 + 3 + 9 + 27]  # all four at the big site
    np.testing.assert_allclose(credit.nucleolus_credit(crowd), [1, 0, 0, 0], atol=1e-9)
    np.testing.assert_allclose(credit.shapley_credit(crowd), [3 / 4, 1 / 12, 1 / 12, 1 / 12])


@pytest.mark.parametrize("exactly", [False, True])
def test_shapley_and_nucleolus_are_the_same_for_agents_who_are_alike(exactly):
    games = teamwork.hunt(4, exactly=exactly, penalty=0.3).games()
    np.testing.assert_allclose(credit.nucleolus_credit(games), credit.shapley_credit(games), atol=1e-9)


@pytest.mark.parametrize("rule", CREDITS)
def test_credits_keep_the_shape_of_a_batch_also_of_an_empty_one(rule):
    for shape in [(), (0,), (2, 0), (2, 3)]:
        for n in (1, 3, 5):
            assert rule(np.zeros((*shape, 2**n))).shape == (*shape, n)


@pytest.mark.parametrize("rule", CREDITS)
@pytest.mark.parametrize("worths", [1.0, [0.0, 1, 2], np.zeros((2, 12)), [[0.0]], []])
def test_credits_refuse_tables_that_are_no_games(rule, worths):
    with pytest.raises(ValueError, match="expected games of shape"):
        rule(worths)


@pytest.mark.parametrize("rule", [*CREDITS, credit.worst_excess_play])
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_credits_refuse_worths_that_are_not_finite(rule, bad):
    with pytest.raises(ValueError, match="finite worths"):
        rule([0.0, 1.0, bad, 2.0])


# --- tasks ------------------------------------------------------------------------------------------------------


def test_credit_games_are_rewards_of_those_who_act():
    task = teamwork.subtasks(4.0)
    for state, acts in [(0, (1, 1, 2, 0)), (5, (2, 1, 1, 2)), (8, (1, 2, 2, 2))]:
        joint = sum(a * 3**i for i, a in enumerate(acts))
        for S in range(16):
            alone = [a if S >> i & 1 else 0 for i, a in enumerate(acts)]
            assert task.games()[state, joint, S] == reward_of(task, alone, state)


def test_the_specialist_task_by_hand():
    task = teamwork.specialist(4, 0.15)
    for acts, expected in {(1, 1, 2, 2): 1.3, (1, 2, 2, 2): 0.45, (2, 1, 1, 1): 0, (1, 1, 1, 1): 1, (0, 2, 0, 1): 0.15}.items():
        assert reward_of(task, acts) == pytest.approx(expected)


def test_hunts_by_hand():
    for kind, pair, three, lone in [({}, 1, 1, 0), ({"exactly": True}, 1, 0, 0), ({"penalty": 0.3}, 1, 1, -0.3)]:
        task = teamwork.hunt(4, **kind)
        assert [reward_of(task, acts) for acts in [(1, 1, 0, 0), (1, 1, 0, 1), (0, 1, 0, 0)]] == [pair, three, lone]


def test_subtasks_by_hand():
    task = teamwork.subtasks(4.0)
    asks_2_and_3 = 3 * (2 - 1) + (3 - 1)
    assert reward_of(task, (1, 2, 2, 2), asks_2_and_3) == 4 * 2 + 4 * 3
    assert reward_of(task, (0, 1, 2, 2), asks_2_and_3) == -4 - 4
    both, none, first = (sum(a * 3**i for i, a in enumerate(acts)) for acts in [(1, 2, 2, 2), (0, 0, 0, 0), (1, 2, 2, 0)])
    np.testing.assert_allclose(task.transitions[asks_2_and_3, both], 1 / 9)
    np.testing.assert_allclose(task.transitions[asks_2_and_3, none], np.eye(9)[asks_2_and_3])
    np.testing.assert_allclose(task.transitions[asks_2_and_3, first], [0, 0, 1 / 3] * 3)
    np.testing.assert_allclose(task.transitions.sum(axis=-1), 1)


@pytest.mark.parametrize("i", [0, 1, 3])
def test_own_moves_change_one_agent_only(i):
    task, acts = teamwork.subtasks(4.0), teamwork.joint_actions(4, 3)
    own = teamwork.own_moves(task, np.tile(acts[:, i], (2, 1)), i)
    assert own.shape == (2, 3, 27) and (own == np.arange(3)[:, None]).all()
    others = teamwork.own_moves(task, np.arange(81) - acts[:, i] * 3**i, i)
    assert (others == np.arange(81)[acts[:, i] == 0]).all()


def test_equal_split_hands_out_the_reward_where_somebody_came():
    for task in (teamwork.specialist(4), teamwork.hunt(3, penalty=0.3), teamwork.subtasks(4.0)):
        np.testing.assert_allclose(task.split.sum(axis=-1), task.rewards, atol=1e-12)


def test_coalition_values_are_optimal_for_the_coalition():
    task, gamma = teamwork.subtasks(4.0), 0.9
    worths = teamwork.coalition_values(task, gamma)
    assert worths[:, 0].tolist() == [0.0] * 9
    rng, alone = np.random.default_rng(0), teamwork.without_others(4, 3)
    for S in (1, 6, 15):
        outcomes = teamwork.policy_values(task, alone[rng.integers(81, size=(200, 9)), S], gamma)
        assert (outcomes <= worths[:, S] + 1e-6).all()
        backup = task.rewards[:, alone[:, S]] + gamma * task.transitions[:, alone[:, S]] @ worths[:, S]
        best = alone[backup.argmax(axis=1), S]
        np.testing.assert_allclose(teamwork.policy_values(task, best, gamma), worths[:, S], atol=1e-6)


def test_tasks_refuse_tables_that_do_not_fit():
    good = teamwork.specialist(2)
    with pytest.raises(ValueError, match="transitions"):
        teamwork.Task(2, 3, good.rewards, np.ones((1, 9)), good.split)
    with pytest.raises(ValueError, match="rewards as finite"):
        teamwork.Task(2, 3, good.rewards * math.nan, good.transitions, good.split)
    with pytest.raises(ValueError, match="probabilities"):
        teamwork.Task(2, 3, good.rewards, good.transitions / 2, good.split)
    with pytest.raises(ValueError, match="stays idle"):
        teamwork.Task(2, 3, good.rewards + 1, good.transitions, good.split)
    with pytest.raises(ValueError, match="gamma"):
        teamwork.coalition_values(good, 1.0)


# --- learners ---------------------------------------------------------------------------------------------------


def test_counterfactual_advantage_equals_its_definition():
    rng = torch.Generator().manual_seed(0)
    q, policies = torch.randn(5, 27, generator=rng), torch.rand(5, 3, 3, generator=rng).softmax(-1)
    actions = torch.randint(3, (5, 3), generator=rng)
    found = credit.counterfactual_advantage(q, policies, actions)
    for b in range(5):
        acts = actions[b].tolist()
        for i in range(3):
            mean = sum(policies[b, i, u] * q[b, sum((u if j == i else a) * 3**j for j, a in enumerate(acts))] for u in range(3))
            own = q[b, sum(a * 3**j for j, a in enumerate(acts))]
            assert float(found[b, i]) == pytest.approx(float(own - mean), abs=1e-6)


def test_counterfactual_advantage_refuses_bad_input():
    q, policies, actions = torch.zeros(2, 9), torch.full((2, 2, 3), 1 / 3), torch.zeros(2, 2, dtype=torch.long)
    for bad in ([math.nan, 0], [math.inf, 0], [-math.inf, 0], [math.inf, -math.inf]):
        q[1, :2] = torch.tensor(bad)
        with pytest.raises(ValueError, match="finite values of joint actions"):
            credit.counterfactual_advantage(q, policies, actions)
    q[1] = 0
    with pytest.raises(ValueError, match="expected values"):
        credit.counterfactual_advantage(q[:, :8], policies, actions)
    assert credit.counterfactual_advantage(q[:0], policies[:0], actions[:0]).shape == (0, 2)


def test_a_lone_agent_learns_exact_values_whatever_the_credit():
    task = teamwork.subtasks(4.0, strengths=(3,))
    best = teamwork.coalition_values(task, 0.5)[:, 1]
    settings = QSettings(steps=3000, states=9, rate=0.2, gamma=0.5, epsilon=(1.0, 0.3))
    for pay in (None, credit.known_payments(task, credit.nucleolus_credit(task.games()))):
        q = credit.q_from_credit(task, pay, [settings] * 2, seed=0)
        found = teamwork.policy_values(task, credit.greedy_joint(task, q), 0.5)
        np.testing.assert_allclose(found, np.broadcast_to(best, (2, 9)), rtol=0.02)


def test_vdn_spreads_one_error_over_all():
    task = teamwork.specialist(3, 0.2, noise=0.0)
    q = credit.q_from_credit(task, None, [QSettings(steps=4000, rate=0.5, epsilon=(0.3, 0.0))] * 8, seed=0)
    assert (q.amax(-1).sum(1) - 1.2).abs().max() < 1e-6


@pytest.mark.parametrize("pay", ["nucleolus", "vdn"])
def test_learning_repeats_itself_with_a_seed(pay):
    task, settings = teamwork.specialist(3), QSettings(steps=50)
    payments = credit.known_payments(task, credit.nucleolus_credit(task.games())) if pay == "nucleolus" else None
    runs = [credit.q_from_credit(task, payments, [settings] * 3, seed=seed) for seed in (0, 0, 1)]
    assert torch.equal(runs[0], runs[1]) and not torch.equal(runs[0], runs[2])
    assert not torch.equal(runs[0][0], runs[0][1])


def test_each_run_has_settings_of_its_own():
    task, slow, still = teamwork.specialist(3), QSettings(steps=50), QSettings(steps=50, rate=0.0)
    for learn in (lambda both: credit.q_from_credit(task, None, both, seed=0), lambda both: credit.coma(task, both, actor_rate=1.0, seed=0)):
        runs = [learn(both) for both in ([slow, slow], [slow, still])]
        assert torch.equal(runs[0][0], runs[1][0]) and bool((runs[1][1] == 0).all())
        for wrong in ([], [slow, QSettings(steps=51)]):
            with pytest.raises(ValueError, match="settings for each run"):
                learn(wrong)


def test_coma_learns_two_agents_to_agree():
    task = teamwork.hunt(2, (1.0,), noise=0.0)
    logits = credit.coma(task, [QSettings(steps=1500)] * 16, actor_rate=0.5, seed=0)
    assert credit.greedy_joint(task, logits).ravel().tolist() == [3] * 16


def test_specialist_task_nucleolus_credit_splits_the_team_and_equal_split_does_not():
    task, settings = teamwork.specialist(4, 0.15), QSettings(steps=3000)
    shares = {}
    for name, table in {"nucleolus": credit.nucleolus_credit(task.games()), "equal": task.split}.items():
        q = credit.q_from_credit(task, credit.known_payments(task, table), [settings] * 60, seed=0)
        shares[name] = teamwork.policy_values(task, credit.greedy_joint(task, q), 0.0) / task.rewards.max()
    assert shares["nucleolus"].mean() >= 0.99 and (shares["nucleolus"] > 0.9999).mean() >= 0.95
    assert shares["equal"].mean() <= 0.8


def test_learned_payments_come_to_equal_known_ones():
    task = teamwork.specialist(3, 0.2, noise=0.0)
    learned = credit.learned_payments(task, credit.nucleolus_credit, 2)
    known = credit.known_payments(task, credit.nucleolus_credit(task.games()))
    rewards, state = torch.from_numpy(task.rewards[0]), torch.zeros(2, dtype=torch.long)
    for again in range(2):
        for number in range(27):
            joint = torch.full((2,), number)
            paid = learned(state, joint, rewards[joint])
            if again:
                np.testing.assert_allclose(paid, known(state, joint, rewards[joint]), atol=1e-9)


def test_a_learned_game_is_worth_nothing_empty_whatever_noise_was_seen():
    met = []
    pay = credit.learned_payments(teamwork.specialist(3), lambda games: met.append(games.copy()) or games[:, :3], 1)
    for joint in (0, 4):
        pay(torch.tensor([0]), torch.tensor([joint]), torch.tensor([0.5]))
    assert [game[0, 0] for game in met] == [0, 0] and met[1][0, 3] == 0.5


def test_learning_refuses_payments_that_are_not_finite():
    task = teamwork.specialist(3)
    with pytest.raises(ValueError, match="finite payments"):
        credit.known_payments(task, np.full_like(task.split, math.inf))
    with pytest.raises(ValueError, match="shape"):
        credit.known_payments(task, task.split[..., :2])
    with pytest.raises(FloatingPointError, match="not finite"):
        credit.q_from_credit(task, lambda *_: torch.full((1, 3), math.nan), [QSettings(steps=3)], seed=0)
    with pytest.raises(FloatingPointError, match="lower actor_rate"):
        credit.coma(replace(task, rewards=1e300 * task.rewards), [QSettings(steps=30)], actor_rate=1e30, seed=0)


@pytest.mark.parametrize("rate", [0, -1, math.inf, math.nan, [0.5, math.nan]])
def test_policies_climb_at_a_finite_rate(rate):
    with pytest.raises(ValueError, match="expected actor_rate"):
        credit.coma(teamwork.specialist(3), [QSettings(steps=3)] * 2, actor_rate=rate, seed=0)


# --- the gauge, the operator, the counter-examples --------------------------------------------------------------


def test_offsets_sum_to_nothing_and_make_the_values_the_nucleolus():
    rng = np.random.default_rng(0)
    q, worths = rng.normal(size=(5, 4, 3, 2)), np.abs(rng.normal(size=(3, 16)))
    offsets = credit.nucleolus_offsets(q, worths)
    np.testing.assert_allclose(offsets.sum(axis=1), 0, atol=1e-12)
    held = q.max(axis=-1)
    for run in range(5):
        for z in range(3):
            game = TUGame([0.0, *worths[z, 1:-1], held[run, :, z].sum()])
            np.testing.assert_allclose(held[run, :, z] + offsets[run, :, z], solutions.prenucleolus(game), atol=1e-9)


def test_worst_excess_is_the_largest_after_an_equal_correction():
    games = random_games(4, 30)
    x = np.random.default_rng(1).normal(size=(30, 4))
    for game, paid, found in zip(games, x, credit.worst_excess(games, x)):
        whole = paid + (game[-1] - paid.sum()) / 4
        assert found == pytest.approx(solutions.excess(TUGame(game), whole)[1:-1].max())
    least = [solutions.least_core(TUGame(game)).epsilon for game in games]
    np.testing.assert_allclose(credit.worst_excess(games, credit.nucleolus_credit(games)), least, atol=1e-9)


def test_offsets_refuse_bad_values():
    with pytest.raises(ValueError, match="finite values of shape"):
        credit.nucleolus_offsets(np.full((4, 3, 2), math.nan), np.zeros((3, 16)))
    with pytest.raises(ValueError, match="got shape"):
        credit.nucleolus_offsets(np.zeros((3, 3, 2)), np.zeros((3, 16)))


def test_lowering_the_worst_excess_alone_finds_the_least_core_and_not_the_nucleolus():
    game = bankruptcy(300, [100, 200, 300])
    x = credit.worst_excess_play(game.values)
    worst = solutions.excess(game, x)[1:-1].max()
    assert worst == pytest.approx(solutions.least_core(game).epsilon, abs=3.0)
    assert np.abs(x - [50, 100, 150]).max() > 20
    with pytest.raises(ValueError, match="at least 2 steps"):
        credit.worst_excess_play(game.values, steps=1)


@pytest.mark.parametrize("n", [3, 4])
def test_the_operator_contracts_where_coalitions_share_the_successor(n):
    rng, gamma = np.random.default_rng(0), 0.9
    for _ in range(20):
        rewards, shared = rng.normal(size=(12, 2**n)), np.repeat(rng.integers(12, size=(12, 1)), 2**n, axis=1)
        x, y = rng.normal(size=(2, 12, n))
        apart = credit.credit_backup(rewards, shared, x, gamma) - credit.credit_backup(rewards, shared, y, gamma)
        assert np.abs(apart).max() <= (gamma + 1e-9) * np.abs(x - y).max()


def iterate(steps, step=1.0, gamma=0.95):
    """Largest change of each of the last two iterations, and change over both."""
    history = [np.zeros((3, 3))]
    for _ in range(steps):
        there = credit.credit_backup(credit.CYCLE_REWARDS, credit.CYCLE_SUCCESSORS, history[-1], gamma)
        history = [*history[-2:], (1 - step) * history[-1] + step * there]
    return np.abs(history[-1] - history[-2]).max(), np.abs(history[-1] - history[-3]).max()


def test_the_counter_example_cycles_and_a_small_step_or_discount_cures_it():
    change, over_two = iterate(2000)
    assert change > 1 and over_two < 1e-9
    assert iterate(2000, step=0.5)[0] < 1e-9
    assert iterate(2000, gamma=0.9)[0] < 1e-9


# --- worths from experience -------------------------------------------------------------------------------------


def test_a_counted_model_holds_the_frequencies():
    task = teamwork.specialist(2, noise=0.0)
    seen = credit.Experience(np.array([0, 0, 0]), np.array([4, 4, 2]), np.array([1.0, 2.0, 5.0]), np.array([0, 0, 0]))
    model = credit.counted_model(task, seen)
    assert model.rewards[0].tolist() == [0, 0, 5, 0, 1.5, 0, 0, 0, 0]
    assert model.transitions.ravel().tolist() == [1.0] * 9


def test_model_and_replay_agree_and_approach_the_truth():
    task, gamma = teamwork.subtasks(4.0, strengths=(2, 1)), 0.5
    truth = teamwork.coalition_values(task, gamma)
    seen = credit.explore(task, 6000, seed=0, part=0.5)
    counted = teamwork.coalition_values(credit.counted_model(task, seen), gamma)
    once, often = (credit.q_of_coalitions(task, seen, gamma=gamma, rate=0.1, passes=k) for k in (1, 15))
    off = [np.abs(found - truth).max() for found in (counted, once, often)]
    assert off[0] < 1 and off[1] > 2 * off[0]
    assert np.abs(often - counted).max() < 1.5
    with pytest.raises(ValueError, match="at least one pass"):
        credit.q_of_coalitions(task, seen, gamma=gamma, rate=0.02, passes=0)


def test_exploring_a_part_leaves_the_others_idle():
    task = teamwork.specialist(4)
    acts = [teamwork.joint_actions(4, 3)[credit.explore(task, 4000, seed=0, part=part).joint] for part in (0.0, 1.0)]
    assert [round(float((a == 0).mean()), 1) for a in acts] == [0.3, 0.7]


# --- stored runs ------------------------------------------------------------------------------------------------


def comparisons():
    for name in ("specialist", "hunts"):
        for kind, methods in read_artefact(STORED / f"{name}.json")["results"][0].items():
            yield f"{name}, {kind}", {method: methods[method] for method in METHODS}


@pytest.mark.parametrize(("kind", "methods"), [pytest.param(*pair, id=pair[0]) for pair in comparisons()])
def test_stored_methods_were_tuned_over_one_grid_and_report_sixty_other_runs(kind, methods):
    grids = {name: sorted({tuple(row[:2]) for row in entry["tried"]}) for name, entry in methods.items()}
    assert set(map(tuple, grids.values())) == {tuple(grids["nucleolus"])}
    assert len({row[2] for row in methods["COMA"]["tried"]}) == 5
    assert all(len(entry["share"]) == 60 for entry in methods.values())


@pytest.mark.parametrize(("kind", "methods"), [pytest.param(*pair, id=pair[0]) for pair in comparisons()])
def test_stored_settings_lie_inside_the_grid_or_where_its_edge_is_flat(kind, methods):
    for name, entry in methods.items():
        axes = [sorted(set(axis)) for axis in list(zip(*entry["tried"]))[:-1]]
        again = {tuple(row[:-2]): row[-2:] for row in entry["again"]}
        best = tuple(entry["setting"])
        for k, values in enumerate(axes):
            inward = {values[0]: values[1], values[-1]: values[-2]}.get(best[k])
            if inward is None or (best[k] == 1 and k < 2):  # neither a rate nor a probability goes beyond 1
                continue
            neighbour = again.get((*best[:k], inward, *best[k + 1 :]))
            assert neighbour, f"{name}: {best} is at the edge, and better than where {inward} is"
            (mean, error), (other, blur) = again[best], neighbour
            assert abs(mean - other) <= 1.96 * math.hypot(error, blur) + 0.002, f"{name}: the edge at {best} is not flat"


def test_stored_grids_report_five_seeds():
    runs = read_artefact(STORED / "grid.json")["results"]
    assert len(runs) == 5
    for name, method in product(["team", "VDN", "COMA", "Shapley", "nucleolus", "difference"], runs.values()):
        assert sum(key.startswith(name) for key in method) == 4
