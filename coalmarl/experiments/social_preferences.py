"""Chapter 10: what agents do to each other after learning under uncertain preferences.

Networks learn by trial and error where the run says; all else is computed on the processor.  Agents are tested with nobody's
payoff but their own in the reward.  Those with a fixed weight on others believe what they always saw, that all have that weight.
"""

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import replace
from functools import partial
from itertools import combinations_with_replacement
from typing import Any

import torch
from torch import Tensor, nn

from coalmarl.envs import BatchedEnv, State, as_generator
from coalmarl.experiments import Experiment, Part, Run
from coalmarl.learners import Player, PPOSettings, mlp, player, ppo, rollout
from coalmarl.preferences import (
    DILEMMA,
    EXACT,
    RECIPROCITY,
    REPUTATION,
    TEAMS,
    ChoosingOne,
    FacingOne,
    PrisonersBuddy,
    Rematching,
    Society,
    WithPreferences,
    answer,
    cooperation,
    draw,
    learn_memory_one,
    prosocial,
    recall_one,
    seated,
    views,
)
from coalmarl.shaping import STRATEGIES

QUIET = (0.0, 0.0)
VARIANTS = {
    "as published": Society(),
    "no noise": Society(noise=QUIET),
    "one noise for both": Society(shared=True),
    "as often told": Society(mutual=False, own_row=True),
    "all or nothing": Society(own=(1.0, 1.0), regard=(1.0, 1.0)),
    "all or nothing, no noise": Society(own=(1.0, 1.0), regard=(1.0, 1.0), noise=QUIET),
    "nobody alone": Society(teams=(2, 2)),
}
GAMMAS = (0.6, 0.7, 0.8, 0.95)
PARTNERS = {
    **STRATEGIES,
    "random": (0.5,) * 5,
    "suspicious TFT": (0.0, 1.0, 0.0, 1.0, 0.0),
    "generous TFT": (1.0, 1.0, 0.3, 1.0, 0.3),
}
FOUR, FIVE = Society(4, loners=0.3), Society(5, loners=0.3)  # one big team, but some are alone
ALPHAS = (0.0, 0.25, 0.5, 0.75, 1.0)


# --- exact returns ------------------------------------------------------------------------------------------------


def _uncertainty(seed: int, run: Run) -> Part:
    """What of the recipe makes policies with exact returns reciprocate? Ablations and discount factors."""
    found: Part = {name: _exact(society, 0.9, seed) for name, society in VARIANTS.items()}
    return found | {f"gamma {gamma}": _exact(Society(), gamma, seed) for gamma in GAMMAS}


def _exact(society: Society, gamma: float, seed: int) -> Part:
    """The policy of a known loner at the end, and how often two of them cooperate, every 10 updates."""
    alone = views(draw(prosocial(0.0), 1, as_generator(0))).double()
    curve, policy = [], torch.empty(0)
    for update, network in enumerate(learn_memory_one(society, replace(EXACT, gamma=gamma), seed=seed), 1):
        if update % 10 == 0:
            policy = network(alone)[0, 0].sigmoid().detach()
            curve.append(round(float(cooperation(policy, policy, gamma)), 3))
    used = cooperation(policy, torch.zeros(5, dtype=torch.float64), gamma)
    return {"policy": _rounded(policy), "self_play": curve, "with_AllD": round(float(used), 3)}


# --- trial and error: two agents ----------------------------------------------------------------------------------


def _reciprocity(seed: int, run: Run) -> Part:
    """Do agents that learn by trial and error under uncertain preferences reciprocate?"""
    return _trained("as published", seed, run.device)


def _certainty(seed: int, run: Run) -> Part:
    """And if everybody sees all preferences as they are?"""
    return _trained("no noise", seed, run.device)


def _trained(variant: str, seed: int, device: str) -> Part:
    """How a pair of agents behaves every 10 updates, and at the end."""
    curve = []
    for report in ppo(WithPreferences(512, society=VARIANTS[variant], device=device), RECIPROCITY, seed=seed):
        if report.update % 10 == 0:
            curve.append(_short_test(_here(report.actor), seed))
    return {"curve": curve, **_long_test(_here(report.actor), seed)}


def _here(actor: nn.Module) -> Player:
    """Play on the processor, wherever the network learns."""
    return player(deepcopy(actor).cpu())


def _prosocial(seed: int, run: Run) -> Part:
    """What do agents do that always weigh the other's payoff alpha times, and who profits?"""
    return {str(alpha): _long_test(_kind(alpha, seed, run.device), seed) for alpha in ALPHAS}


def _kind(alpha: float, seed: int, device: str) -> Player:
    """An agent for the dilemma, trained with a fixed weight on the other's payoff; 0 is selfish."""
    settings = replace(RECIPROCITY, updates=30)
    *_, last = ppo(WithPreferences(512, society=prosocial(alpha), device=device), settings, seed=seed)
    return _believing(last.actor, prosocial(alpha))


def _believing(actor: nn.Module, society: Society) -> Player:
    """A player that always sees the preferences that a society without chance has."""
    shown, me = views(draw(society, 1, as_generator(0)))[0, 0], _here(actor)

    def play(seen: Tensor, generator: torch.Generator) -> Tensor:
        own = shown.expand(*seen.shape[:-1], len(shown))
        return me(torch.cat([seen[..., : -len(shown)], own], dim=-1), generator)

    return play


def _tested(env: BatchedEnv, players: list[Player], seed: int) -> tuple[Tensor, Tensor]:
    """Whether each agent cooperates, and what it is paid, over one episode: (T, B, n) each."""
    played = rollout(env, seated(players), env.horizon, as_generator(1000 + seed))
    return (played.actions == 0).double(), played.rewards.double()


def _short_test(me: Player, seed: int) -> list[float]:
    """Cooperation with itself and with AllD, and after a C and after a D of a random partner."""
    env = WithPreferences(256, society=prosocial(0.0))
    alike, _ = _tested(env, [me, me], seed)
    used, _ = _tested(env, [me, recall_one(PARTNERS["AllD"])], seed)
    free, _ = _tested(env, [me, recall_one(PARTNERS["random"])], seed)
    after, kind = free[1:, :, 0], free[:-1, :, 1] > 0
    return _rounded(torch.stack([alike.mean(), used[..., 0].mean(), after[kind].mean(), after[~kind].mean()]))


def _long_test(me: Player, seed: int) -> Part:
    """What an agent does and is paid beside itself and beside partners that it never met."""
    env = WithPreferences(512, society=prosocial(0.0))
    kind, paid = _tested(env, [me, me], seed)
    found: Part = {"by_round": _rounded(kind.mean((1, 2))), "partners": {"itself": _rounded(paid.mean((0, 1)))}}
    for name, policy in PARTNERS.items():
        kind, paid = _tested(env, [me, recall_one(policy)], seed)
        found["partners"][name] = _rounded(torch.cat([paid.mean((0, 1)), kind[..., :1].mean((0, 1))]))
        if name == "random":
            state = (2 * (1 - kind[:-1, :, 0]) + 1 - kind[:-1, :, 1]).long()
            chosen = [kind[0, :, 0], *(kind[1:, :, 0][state == k] for k in range(4))]
            found["policy"] = [round(float(c.mean()), 3) if len(c) else None for c in chosen]
    doubtful = WithPreferences(512, society=Society(teams=(1, 1), own=(1.0, 1.0), noise=(1.0, 1.0)))
    kind, _ = _tested(doubtful, [me, me], seed)
    used, _ = _tested(doubtful, [me, recall_one(PARTNERS["AllD"])], seed)
    return found | {"in_doubt": _rounded(torch.stack([kind.mean(), used[..., 0].mean()]))}


# --- strategies from elsewhere ------------------------------------------------------------------------------------


def _zoo(seed: int, run: Run) -> Part:
    """How do trained agents fare with the strategies of the Axelrod library, which nobody here wrote?"""
    import axelrod

    *_, last = ppo(WithPreferences(512, device=run.device), RECIPROCITY, seed=seed)
    agents = {"uncertain": _here(last.actor)} | {f"alpha {alpha}": _kind(alpha, seed, run.device) for alpha in (0.0, 0.5, 0.75)}
    found: Part = {"agents": list(agents), "paid": {}}
    given = []
    for strategy in axelrod.strategies:
        if strategy.classifier["long_run_time"]:
            continue
        try:
            paid = _against(strategy, list(agents.values()), seed).mean(1)
        except ValueError:  # made for other payoffs
            continue
        found["paid"][strategy.name] = _rounded(paid[:, 0], 2)
        given.append(paid[:, 1])
    return found | {"strangers_paid": _rounded(torch.stack(given).mean(0))}


def _zoo_rank(seed: int, run: Run) -> Part:
    """What do the strategies of the Axelrod library earn among each other, and which cannot take part?"""
    import axelrod

    game = axelrod.Game(r=2, s=-2, t=4, p=0)
    attributes = {"length": -1, "game": game, "noise": 0}  # -1: nobody knows
    quick = [strategy for strategy in axelrod.strategies if not strategy.classifier["long_run_time"]]
    earned: dict[str, list[float]] = {}
    for k, (a, b) in enumerate(combinations_with_replacement(quick, 2)):
        try:
            match = axelrod.Match((a(), b()), turns=40, game=game, match_attributes=attributes, seed=1000 * seed + k)
            match.play()
        except ValueError:  # made for other payoffs
            continue
        paid = match.final_score_per_turn()
        earned.setdefault(a.name, []).append(paid[0])
        if a is not b:
            earned.setdefault(b.name, []).append(paid[1])
    found: Part = {"earned": {name: round(sum(paid) / len(paid), 3) for name, paid in earned.items()}}
    slow = {strategy.name: "takes long" for strategy in axelrod.strategies if strategy not in quick}
    return found | {"excluded": slow | {s.name: "refuses these payoffs" for s in quick if s.name not in earned}}


def _against(strategy: Any, agents: list[Player], seed: int, copies: int = 4, rounds: int = 40) -> Tensor:
    """Mean payoffs per round of each agent and of the stranger: (agents, copies, 2)."""
    env = WithPreferences(len(agents) * copies, partial(DILEMMA, horizon=rounds), prosocial(0.0))

    def ours(seen: Tensor, generator: torch.Generator) -> Tensor:
        return torch.cat([play(part, generator) for play, part in zip(agents, seen.split(copies))])  # type: ignore[no-untyped-call]

    _, paid = _tested(env, [ours, _strangers(strategy, env.batch_size, seed)], seed)
    return paid.mean(0).unflatten(0, (-1, copies))  # type: ignore[no-untyped-call]


def _strangers(strategy: Any, count: int, seed: int) -> Player:
    """A seat of the dilemma taken by a strategy of the library, one copy for each world, for one episode."""
    import axelrod

    C, D = axelrod.Action.C, axelrod.Action.D
    game = axelrod.Game(r=2, s=-2, t=4, p=0)
    theirs, ours = [strategy() for _ in range(count)], [axelrod.MockPlayer([C]) for _ in range(count)]
    for k, stranger in enumerate(theirs):
        stranger.set_match_attributes(length=-1, game=game, noise=0)
        stranger.set_seed(1000 * seed + k)

    def play(seen: Tensor, generator: torch.Generator) -> Tensor:
        met, own, other = (seen[:, 0, [0, 2]].sum(1) > 0).tolist(), seen[:, 0, 2].tolist(), seen[:, 0, 6].tolist()
        for k in range(count):
            if met[k]:
                mine, yours = (D if x else C for x in (own[k], other[k]))
                theirs[k].update_history(mine, yours)
                ours[k].update_history(yours, mine)
        moves = [stranger.strategy(opponent) for stranger, opponent in zip(theirs, ours)]
        if not set(moves) <= {C, D}:
            raise ValueError(f"expected C or D from {strategy.name}, got {set(moves) - {C, D}}")
        return torch.tensor([[int(move == D)] for move in moves], device=seen.device)

    return play


# --- trial and error: more than two -------------------------------------------------------------------------------


class _Told(WithPreferences):
    """`Rematching` with preferences, and behind what agents see, for the critic, the true weights and everybody's record."""

    def __init__(self, batch_size: int, society: Society, device: str) -> None:
        super().__init__(batch_size, Rematching, society, device=device)
        self.d += 8

    def observe(self, state: State) -> Tensor:
        """Observations; own and partner's true weights on themselves and each other; the mean record."""
        ahead = super().observe(state)[..., 16 : 15 + self.n].argmax(-1) + 1
        partner = (torch.arange(self.n, device=self.device) + ahead) % self.n
        weights = state["weights"]
        own, other = weights.diagonal(dim1=1, dim2=2), weights.gather(2, partner[..., None]).squeeze(2)
        truth = torch.stack([own, other, own.gather(1, partner), other.gather(1, partner)], dim=-1)
        return torch.cat([super().observe(state), truth, state["record"].mean(1, keepdim=True).expand(-1, self.n, -1)], dim=-1)


class _Blind(FacingOne):
    """A policy that does not look at what is there for the critic."""

    def forward(self, seen: Tensor) -> Tensor:
        return super().forward(seen[..., : sum(self.parts)])


class _Judge(nn.Module):
    """A critic that sees the partner's view and the truth as well, as the published one does."""

    def __init__(self, n: int, generator: torch.Generator) -> None:
        super().__init__()
        self.parts = [16, n - 1, 2, 4 * (n - 1), 8]
        self.body = mlp([16 + 2 * (2 + 4) + 8, 64, 64, 1], generator)

    def forward(self, seen: Tensor) -> Tensor:
        game, who, own, others, truth = seen.split(self.parts, dim=-1)  # type: ignore[no-untyped-call]
        mine = torch.cat([own, (who[..., None, :] @ others.unflatten(-1, (-1, 4))).squeeze(-2)], dim=-1)
        partner = (torch.arange(seen.shape[-2], device=seen.device) + who.argmax(-1) + 1) % seen.shape[-2]
        its = mine.gather(-2, partner[..., None].expand_as(mine))
        return self.body(torch.cat([game, mine, its, truth], dim=-1))


def _believed(society: Society) -> Society:
    """What agents are made to believe in the test: that all are alone, or what they always saw."""
    return prosocial(0.0, society.n) if society.chance else society


def _meet(society: Society, settings: PPOSettings, seed: int, device: str) -> Iterator[Player]:
    """The player after each update, in groups of four that are matched anew; all agents use one network."""
    env, generator = _Told(256, society, device), as_generator(seed, device)
    actor, critic = _Blind(env.n, 2, generator), _Judge(env.n, generator)
    for report in ppo(env, settings, seed=generator, actor=actor, critic=critic):
        yield _believing(report.actor, _believed(society))


def _choose(game: Callable[..., BatchedEnv], society: Society, settings: PPOSettings, seed: int, device: str) -> Iterator[Player]:
    """The player after each update, in groups of five that choose each other; all agents use one network."""
    env, generator = WithPreferences(128, game, society, device=device), as_generator(seed, device)
    actor, critic = ChoosingOne(env.n, env.n_actions, generator), ChoosingOne(env.n, 1, generator)
    for report in ppo(env, settings, seed=generator, actor=actor, critic=critic):
        yield _believing(report.actor, _believed(society))


def _reputation(seed: int, run: Run) -> Part:
    """Does a record with others count on first meeting, and how do agents fare in mixed groups?"""
    found: Part = {"mixes": {}}
    for gamma in (0.85, 0.95):
        curve = []
        for update, me in enumerate(_meet(FOUR, replace(REPUTATION, gamma=gamma), seed, run.device), 1):
            if update % 15 == 0:
                curve.append(_record_test(me, seed))
        found[f"gamma {gamma}"] = {"curve": curve}
        found["mixes"][f"uncertain, gamma {gamma}"] = _mixes(me, seed)
    for alpha in (0.0, 0.75):
        *_, me = _meet(prosocial(alpha, 4), replace(REPUTATION, updates=50), seed, run.device)
        found["mixes"][f"alpha {alpha}"] = _mixes(me, seed)
    return found


def _always(action: int) -> Player:
    return lambda seen, generator: torch.full(seen.shape[:2], action, device=seen.device)


def _record_test(me: Player, seed: int) -> list[float]:
    """Cooperation among four, then with an AllC and an AllD: at first meetings, later, and what those two are paid."""
    env = WithPreferences(256, Rematching, prosocial(0.0, 4))
    kind, _ = _tested(env, [me] * 4, seed)
    numbers = [kind.mean()]
    for intruder in (_always(0), _always(1)):
        played = rollout(env, seated([me] * 3 + [intruder]), env.horizon, as_generator(1000 + seed))
        seen, kind = played.observations[2:, :, :3], (played.actions[2:, :, :3] == 0).double()
        facing = torch.stack([seen[:, :, j, 18 - j] for j in range(3)], dim=-1) > 0
        first = seen[..., :2].sum(-1) == 0  # nothing that I last did to my partner
        numbers += [kind[facing & first].mean(), kind[facing & ~first].mean(), played.rewards[..., 3].double().mean()]
    return _rounded(torch.stack(numbers))


def _mixes(me: Player, seed: int) -> Part:
    """Mean payoff per step of the agents, and of the strangers, with 0 to 3 of 4 seats taken by AllD or by TFT."""
    env, found = WithPreferences(256, Rematching, prosocial(0.0, 4)), {}
    for name, stranger in (("AllD", _always(1)), ("TFT", answer())):
        for k in range(4):
            _, paid = _tested(env, [me] * (4 - k) + [stranger] * k, seed)
            theirs = paid[..., 4 - k :].mean() if k else torch.zeros(())
            found[f"{k} {name}"] = _rounded(torch.stack([paid[..., : 4 - k].mean(), theirs.to(paid)]))
    return found


def _teams(seed: int, run: Run) -> Part:
    """Do teams form and last within an episode, under uncertain and under fixed preferences?"""
    curve = []
    for update, me in enumerate(_choose(PrisonersBuddy, FIVE, TEAMS, seed, run.device), 1):
        if update % 10 == 0:
            curve.append(_team_test(me, seed)["in_pairs"][-1])
    env = WithPreferences(1, PrisonersBuddy, prosocial(0.0, 5))
    episode = rollout(env, me, env.horizon, as_generator(seed)).actions[:, 0]
    found: Part = {"uncertain": {"curve": curve, "episode": episode.tolist(), **_team_test(me, seed)}}
    for alpha in (0.0, 0.5):
        *_, me = _choose(PrisonersBuddy, prosocial(alpha, 5), replace(TEAMS, updates=30), seed, run.device)
        found[f"alpha {alpha}"] = _team_test(me, seed)
    return found


def _team_settings(seed: int, run: Run) -> Part:
    """In which settings do teams form late or not at all? After 45 updates."""
    settings = replace(TEAMS, updates=45)
    costly = partial(PrisonersBuddy, vain=-2.0)
    *_, cautious = _choose(costly, FIVE, settings, seed, run.device)
    *_, small = _choose(PrisonersBuddy, Society(5, teams=(1, 5)), settings, seed, run.device)
    return {"vain choices cost 2": _team_test(cautious, seed), "teams as published": _team_test(small, seed)}


def _team_test(me: Player, seed: int) -> Part:
    """Who pairs up, for how long, and what it pays."""
    env = WithPreferences(256, PrisonersBuddy, prosocial(0.0, 5))
    played = rollout(env, me, env.horizon, as_generator(1000 + seed))
    chose = nn.functional.one_hot((torch.arange(5) + played.actions) % 5, 5) * (played.actions > 0)[..., None]
    mutual = (chose * chose.mT).double()
    paid = played.rewards.double().mean(0)
    return {
        "in_pairs": _rounded(mutual.sum((2, 3)).mean(1)),
        "survival": round(float((mutual[1:] * mutual[:-1]).sum() / mutual[:-1].sum().clamp(min=1)), 3),
        "sat_out": round(float((played.actions == 0).double().mean()), 3),
        "buddies": round(float((mutual.sum(0) > 0).double().sum(-1).mean()), 3),
        "paid": _rounded(paid.sort(-1).values.mean(0)),
    }


def _rounded(numbers: Tensor, digits: int = 3) -> list[Any]:
    found: list[Any] = [round(x, digits) for x in numbers.flatten().tolist()]
    return found


EXPERIMENTS = {
    "uncertainty": Experiment("10_social_preferences", _uncertainty, range(20)),
    "reciprocity": Experiment("10_social_preferences", _reciprocity, range(10)),
    "certainty": Experiment("10_social_preferences", _certainty, range(5)),
    "prosocial": Experiment("10_social_preferences", _prosocial, range(5)),
    "zoo": Experiment("10_social_preferences", _zoo, range(20)),
    "zoo_rank": Experiment("10_social_preferences", _zoo_rank, range(1)),
    "reputation": Experiment("10_social_preferences", _reputation, range(10)),
    "teams": Experiment("10_social_preferences", _teams, range(5)),
    "team_settings": Experiment("10_social_preferences", _team_settings, range(3)),
}
