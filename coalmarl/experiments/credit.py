"""Chapter 08: every credit at its own best settings, in tables and on a small grid; worths learned with and without a model."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from itertools import product
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from coalmarl import credit, teamwork
from coalmarl.collectives import factoredness, learnability
from coalmarl.experiments import Experiment, Part, Run
from coalmarl.learners import QSettings, epsilon_greedy, mlp
from coalmarl.teamwork import Numbers, Task, Vector

CREDITS = {"team": credit.team_credit, "difference": credit.difference_credit, "Shapley": credit.shapley_credit, "nucleolus": credit.nucleolus_credit}
METHODS = ("team", "VDN", "COMA", "equal split", "Shapley", "nucleolus", "difference")
RATES = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)  # of a table; beyond 1 a learner overshoots
SLOW_RATES = (0.0001, 0.0003, 0.001, *RATES)  # in a task of one step a slow table only scales what it has summed
EPSILONS = (0.03, 0.1, 0.3, 1.0)  # first share of random actions; the last is .05, or the first if that is less
ACTOR_RATES = (0.01, 0.1, 1.0, 10.0, 100.0)  # COMA has one more setting
LEARNING_RATES = (1e-3, 3e-3, 1e-2, 3e-2)  # of a network that learns values
COMA_LEARNING_RATES = (3e-4, 1e-3, 3e-3, 1e-2)  # of its actor and its critic


# --- one step: the specialist, and the hunts in which all are alike ---------------------------------------------


def _specialist(seed: int, run: Run) -> Part:
    """Which credit gets one specialist and three others to share out the work, each tuned alike?"""
    found: Part = {}
    for small in (0.15, 0.05):
        task, epsilons = teamwork.specialist(4, small), (0.001, 0.003, 0.01, *EPSILONS)
        results = found[f"small {small:g}"] = _compared(task, list(product(SLOW_RATES, epsilons)), seed)
        for method in ("Shapley", "nucleolus", "difference"):  # without a simulator, at the same setting
            share, _ = _shares(task, f"{method}, learned worths", [results[method]["setting"]] * 60, 3 * seed + 2)
            results[f"{method}, learned worths"] = {"share": share.round(5).tolist()}
    return found


def _hunts(seed: int, run: Run) -> Part:
    """Where all hunters are alike, which credit gets them to spread over the prey, each tuned alike?"""
    kinds: dict[str, dict[str, Any]] = {"two or more": {}, "exactly two": {"exactly": True}, "two or more, penalty": {"penalty": 0.3}}
    return {name: _compared(teamwork.hunt(4, **kind), list(product(SLOW_RATES, EPSILONS)), seed) for name, kind in kinds.items()}


def _compared(task: Task, settings: list[tuple[float, ...]], seed: int) -> Part:
    """For each method: every setting at 40 runs, the good ones at 200 fresh runs, and 60 more with the one that is left."""
    found: Part = {"optimum": float(task.rewards.max())}
    for method in METHODS:
        tried = [(*setting, rate) for setting in settings for rate in ACTOR_RATES] if method == "COMA" else settings
        first = _tried(task, method, tried, 40, 3 * seed)
        lead = max(runs.mean() for runs in first.values()) - 0.03
        second = _tried(task, method, [setting for setting in tried if first[setting].mean() >= lead], 200, 3 * seed + 1)
        best = _middle({setting: float(runs.mean()) for setting, runs in second.items()}, tried)
        share, joint = _shares(task, method, [best] * 60, 3 * seed + 2)
        found[method] = {
            "tried": [[*setting, round(float(runs.mean()), 4)] for setting, runs in first.items()],
            "again": [[*setting, round(float(runs.mean()), 4), round(float(runs.std() / len(runs) ** 0.5), 5)] for setting, runs in second.items()],
            "setting": list(best),
            "share": share.round(5).tolist(),
            **_stability(task, method, joint),
        }
    return found


def _tried(task: Task, method: str, settings: list[tuple[float, ...]], runs: int, seed: int) -> dict[tuple[float, ...], Vector]:
    """Shares of the optimum in so many runs of each setting."""
    shares, _ = _shares(task, method, [setting for setting in settings for _ in range(runs)], seed)
    return dict(zip(settings, shares.reshape(-1, runs)))


def _middle(means: dict[Any, float], tried: Sequence[Any]) -> Any:
    """Of the settings within .002 of the best, one with most such neighbours on the grid: the middle of a plateau, not its cliff."""
    axes = [sorted(set(axis)) for axis in zip(*tried)]
    place = {setting: np.array([axis.index(x) for axis, x in zip(axes, setting)]) for setting in means}
    good = [s for s in means if means[s] >= max(means.values()) - 0.002]
    return max(good, key=lambda s: (sum(np.abs(place[s] - place[t]).max() <= 1 for t in good), means[s]))


def _shares(task: Task, method: str, setting: Sequence[Sequence[float]], seed: int) -> tuple[Vector, Numbers]:
    """Share of the optimum that each run's greedy joint action earns after 3000 steps, and that action."""
    settings = [QSettings(3000, rate=rate, epsilon=(epsilon, min(epsilon, 0.05))) for rate, epsilon, *_ in setting]
    joint = credit.greedy_joint(task, _learned(task, method, settings, [row[-1] for row in setting], seed))
    return teamwork.policy_values(task, joint, 0.0)[:, 0] / task.rewards.max(), joint[:, 0]


def _learned(task: Task, method: str, settings: Sequence[QSettings], actor: Sequence[float], seed: int) -> Tensor:
    """Values or logits, by run; the actor's rates are COMA's."""
    if method == "COMA":
        return credit.coma(task, settings, actor_rate=actor, seed=seed)
    if method.endswith("learned worths"):
        pay = credit.learned_payments(task, CREDITS[method.split(",")[0]], len(settings))
        return credit.q_from_credit(task, pay, settings, seed=seed)
    known = None if method == "VDN" else credit.known_payments(task, _table(task, method))
    return credit.q_from_credit(task, known, settings, seed=seed)


def _table(task: Task, method: str) -> Vector:
    """What each agent is paid, by state and joint action; for COMA its advantage under even policies."""
    if method == "COMA":
        moves = task.rewards.reshape(-1, *[task.actions] * task.agents)
        ahead = [moves - moves.mean(axis=task.agents - i, keepdims=True) for i in range(task.agents)]
        return np.stack(ahead, axis=-1).reshape(task.split.shape)
    return task.split if method == "equal split" else CREDITS[method](task.games())


def _stability(task: Task, method: str, joint: Numbers) -> Part:
    """In how many runs nobody is paid more elsewhere, and no coalition could earn more than its members are paid."""
    if method not in ("equal split", "Shapley", "nucleolus"):
        return {}
    paid, worths = _table(task, method)[0], teamwork.coalition_values(task, 0.0)[0]
    members = np.arange(len(worths))[:, None] >> np.arange(task.agents) & 1
    place = task.actions ** np.arange(task.agents)
    own = joint[:, None] // place % task.actions
    nash = np.ones(len(joint), dtype=bool)
    for i, u in product(range(task.agents), range(task.actions)):
        nash &= paid[joint + (u - own[:, i]) * place[i], i] <= paid[joint, i] + 1e-9
    core = (worths <= paid[joint] @ members.T + 1e-9).all(axis=1)
    return {"nash_stable": int(nash.sum()), "core_stable": int(core.sum())}


# --- two subtasks, over and over --------------------------------------------------------------------------------


def _shared_out(seed: int, run: Run) -> Part:
    """In a task of two sites that goes on for ever, what does it cost to be paid one's share of the reward?"""
    found: Part = {}
    for penalty in (0.0, 4.0, 10.0):
        task = teamwork.subtasks(penalty)
        best = teamwork.coalition_values(task, 0.9)[:, -1].mean()
        for method in METHODS:
            tried = list(product(RATES, (1e-3, *ACTOR_RATES[:3])) if method == "COMA" else product(RATES[1:], (0.0,)))
            values, _ = _long_run(task, method, [setting for setting in tried for _ in range(16)], 2 * seed)
            grid = dict(zip(tried, values.reshape(-1, 16).mean(axis=1) / best))
            setting = _middle(grid, tried)
            values, q = _long_run(task, method, [setting] * 32, 2 * seed + 1)
            entry: Part = {"tried": [[*s, round(float(share), 4)] for s, share in grid.items()], "share": (values / best).round(4).tolist()}
            entry |= {"setting": list(setting)} | ({} if method == "VDN" else _measures(task, _table(task, method)))
            found[f"penalty {penalty:g} {method}"] = entry | (_gauge(task, q) if method == "VDN" else {})
    return found


def _long_run(task: Task, method: str, setting: Sequence[Sequence[float]], seed: int) -> tuple[Vector, Tensor]:
    """What the greedy policies of each run earn, mean over the states, after 10 000 steps; and the values."""
    settings = [QSettings(10_000, rate=rate, gamma=0.9, epsilon=(1.0, 0.05), anneal=0.6) for rate, _ in setting]
    q = _learned(task, method, settings, [actor for _, actor in setting], seed)
    return teamwork.policy_values(task, credit.greedy_joint(task, q), 0.9).mean(axis=1), q


def _measures(task: Task, table: Vector) -> Part:
    """Factoredness and learnability, mean over the agents; the states are situations."""
    moves = [(teamwork.own_moves(task, table[..., i], i), teamwork.own_moves(task, task.rewards, i)) for i in range(task.agents)]
    agree = [factoredness(own, whole, tol=1e-9) for own, whole in moves]
    return {"factoredness": float(np.mean(agree)), "learnability": float(np.mean([learnability(own) for own, _ in moves]))}


def _gauge(task: Task, q: Tensor) -> Part:
    """Worst excess, mean over states, of VDN's split of the true value: as learned, and moved to the nucleolus."""
    worths, held = teamwork.coalition_values(task, 0.9), q.amax(-1).numpy()
    moved = held + credit.nucleolus_offsets(q.numpy(), worths)
    rules = {"nucleolus": credit.nucleolus_credit, "Shapley": credit.shapley_credit}
    exact = {name: float(credit.worst_excess(worths, rule(worths)).mean()) for name, rule in rules.items()}
    exact["equal"] = float(credit.worst_excess(worths, np.repeat(worths[:, -1:] / task.agents, task.agents, axis=1)).mean())
    splits = {"vdn": held, "moved": moved}
    learned = {name: credit.worst_excess(worths, x.swapaxes(1, 2)).mean(axis=-1).round(4).tolist() for name, x in splits.items()}
    ratio = (moved[:, 0] / moved[:, 1:].mean(axis=1)).mean(axis=-1)
    return {"worst_excess": exact | learned, "strong_to_weak": ratio.round(4).tolist()}


def _coalition_worths(seed: int, run: Run) -> Part:
    """From the same steps, how well are the worths of coalitions learned with a model, without one, and with replay?"""
    task = teamwork.subtasks(4.0)
    worths = teamwork.coalition_values(task, 0.9)
    found: Part = {}
    for part, steps in product((0.0, 0.7), (1000, 3000, 30_000)):
        seen = credit.explore(task, steps, seed=seed, part=part)
        guesses = {"model": teamwork.coalition_values(credit.counted_model(task, seen), 0.9)}
        for name, passes, rates in (("once", 1, (0.1, 0.3, 0.5, 0.7, 0.9, 1.0)), ("replay", 10, (0.1, 0.3, 0.9))):
            for rate in rates:
                guesses[f"{name} {rate:g}"] = credit.q_of_coalitions(task, seen, gamma=0.9, rate=rate, passes=passes)
        for name, guess in guesses.items():
            error = np.abs(guess - worths)[:, 1:].mean() / worths[:, 1:].mean()
            excess = float(credit.worst_excess(worths, credit.nucleolus_credit(guess)).mean())
            found[f"part {part:g}, {steps} steps, {name}"] = {"error": round(float(error), 4), "worst_excess": round(excess, 3)}
    return found


# --- a grid: many steps, moving hunters, networks ---------------------------------------------------------------


class _Grid:
    """Four predators on a torus of 5 by 5 cells; a prey is caught from its cell or next to it, and reappears anywhere.

    The first prey takes the specialist and another, and pays 1; three more take anybody but the specialist, and pay `small`.
    """

    moves = torch.tensor([[0, 0], [0, 1], [0, -1], [1, 0], [-1, 0]])
    coalitions = torch.arange(16)[:, None] >> torch.arange(4) & 1

    def __init__(self, worlds: int, small: float, generator: torch.Generator) -> None:
        self.small, self.generator = small, generator
        self.places = torch.randint(5, (worlds, 8, 2), generator=generator)  # predators, then prey

    def observe(self) -> Tensor:
        """Where all others are from each predator, and who it is: (worlds, 4, 20)."""
        away = (self.places[:, None] - self.places[:, :4, None] + 2) % 5 - 2
        identity = torch.eye(4).expand(len(away), 4, 4)
        return torch.cat([away.flatten(2) / 2, identity], dim=-1)

    def step(self, actions: Tensor) -> Tensor:
        """Move, catch, and return what each coalition would have caught without the others: (worlds, 16)."""
        self.places[:, :4] = (self.places[:, :4] + self.moves[actions]) % 5
        away = (self.places[:, None, 4:] - self.places[:, :4, None] + 2) % 5 - 2
        near = (away.abs().sum(-1) <= 1)[:, None] & (self.coalitions[..., None] == 1)  # (worlds, 16, 4, prey)
        caught = near[:, :, 1:].any(2)
        caught[..., 0] &= near[:, :, 0, 0]
        anew = torch.randint(5, (len(caught), 4, 2), generator=self.generator)
        self.places[:, 4:] = torch.where(caught[:, -1, :, None], anew, self.places[:, 4:])
        return (caught * torch.tensor([1.0, self.small, self.small, self.small])).sum(-1)


def _grid(seed: int, run: Run) -> Part:
    """On a grid with one specialist, does any credit catch more per step, at each learning rate?"""
    found: Part = {}
    for method in ("team", "VDN", "COMA", "Shapley", "nucleolus", "difference"):
        for rate in COMA_LEARNING_RATES if method == "COMA" else LEARNING_RATES:
            generator = torch.Generator().manual_seed(seed)
            train = _coma_on_grid if method == "COMA" else _q_on_grid
            network = train(_Grid(16, 0.15, generator), method, rate, generator)
            found[f"{method} {rate:g}"] = _caught(network, 0.15, generator)
    return found


@torch.no_grad()
def _caught(network: Callable[[Tensor], Tensor], small: float, generator: torch.Generator) -> Part:
    """What greedy predators earn per step, and from whom, over 200 steps of 64 worlds."""
    world, total = _Grid(64, small, generator), torch.zeros(2)
    for _ in range(200):
        paid = world.step(network(world.observe()).argmax(-1))
        total += torch.stack([paid[:, -1].sum(), paid[:, 14].sum()])  # coalition 14: all but the specialist
    everything, little = (total / (200 * 64)).tolist()
    return {"reward": round(everything, 4), "small_catches": round(little / small, 4)}


def _q_on_grid(world: _Grid, method: str, rate: float, generator: torch.Generator, steps: int = 1000) -> nn.Module:
    """Deep Q-learning from a buffer of the last 400 steps; all predators share the network."""
    network = mlp([20, 64, 64, 5], generator, between=nn.ReLU)
    old, optimiser = deepcopy(network), torch.optim.Adam(network.parameters(), lr=rate)
    buffer: list[tuple[Tensor, ...]] = []
    seen = world.observe()
    for t in range(steps):
        with torch.no_grad():
            actions = epsilon_greedy(network(seen), max(0.05, 1 - 1.9 * t / steps), generator)
        worths = world.step(actions).numpy().astype(np.float64)
        pay = CREDITS["team" if method == "VDN" else method](worths)
        then = world.observe()
        buffer = [*buffer[-399:], (seen, actions, torch.from_numpy(pay).float(), then)]
        seen = then
        some = [buffer[k] for k in torch.randint(len(buffer), (4,), generator=generator).tolist()]
        before, did, paid, after = (torch.cat(column) for column in zip(*some))
        values = network(before).gather(-1, did[..., None]).squeeze(-1)
        with torch.no_grad():
            follows = 0.9 * old(after).amax(-1)
        error = paid[:, 0] + (follows - values).sum(-1) if method == "VDN" else paid + follows - values
        _descend(optimiser, (error**2).mean())
        if t % 100 == 99:
            old.load_state_dict(network.state_dict())
    return network


def _coma_on_grid(world: _Grid, method: str, rate: float, generator: torch.Generator, steps: int = 1000) -> nn.Module:
    """COMA, on policy: a critic that sees the others' actions, and its counterfactual advantage for the actor."""
    actor, critic = mlp([20, 64, 64, 5], generator, between=nn.ReLU, last=0.01), mlp([35, 64, 64, 5], generator, between=nn.ReLU)
    old = deepcopy(critic)
    slow, quick = (torch.optim.Adam(network.parameters(), lr=rate) for network in (actor, critic))
    last: tuple[Tensor, Tensor, Tensor] | None = None
    for t in range(steps):
        seen, epsilon = world.observe(), max(0.02, 0.5 - 0.96 * t / steps)
        policies = (1 - epsilon) * actor(seen).softmax(-1) + epsilon / 5
        actions = torch.multinomial(policies.detach().flatten(0, 1), 1, generator=generator).view(-1, 4)
        others = torch.stack([nn.functional.one_hot(actions[:, [j for j in range(4) if j != i]], 5).flatten(1) for i in range(4)], dim=1)
        inputs, chosen = torch.cat([seen, others], dim=-1), actions[..., None]
        if last is not None:
            with torch.no_grad():
                target = last[2] + 0.9 * old(inputs).gather(-1, chosen)
            _descend(quick, ((critic(last[0]).gather(-1, last[1]) - target) ** 2).mean())
        with torch.no_grad():
            values = critic(inputs)
            better = values.gather(-1, chosen) - (policies * values).sum(-1, keepdim=True)
        _descend(slow, -(better * policies.gather(-1, chosen).log()).mean())
        last = (inputs, chosen, world.step(actions)[:, -1, None, None])
        if t % 100 == 99:
            old.load_state_dict(critic.state_dict())
    return actor


def _descend(optimiser: torch.optim.Optimizer, loss: Tensor) -> None:
    optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimiser.step()


EXPERIMENTS = {
    "specialist": Experiment("08_credit", _specialist, range(1)),
    "hunts": Experiment("08_credit", _hunts, range(1)),
    "shared_out": Experiment("08_credit", _shared_out, range(1)),
    "coalition_worths": Experiment("08_credit", _coalition_worths, range(5)),
    "grid": Experiment("08_credit", _grid, range(5)),
}
