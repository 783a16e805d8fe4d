"""Chapter 05: bargaining without v, claims of a thousand, and negotiators of every kind."""

from collections.abc import Callable
from copy import deepcopy
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from coalmarl import allocation, bargaining, credit, negotiation, negotiators, routing
from coalmarl.envs import as_generator
from coalmarl.evaluation import Claim, bootstrap_interval
from coalmarl.experiments import Experiment, Part, Run
from coalmarl.learners import build
from coalmarl.negotiation import Market, Outcome

SEEDS = range(5)
RULE = negotiation.Rule(demand=(0.9, 0.4))  # the best of a grid on other worlds
LOW_BALL = negotiation.Rule(offer=0.1, demand=(0.0, 0.0))
TOUGH = negotiation.Rule(offer=0.1, demand=(1.0, 1.0))
SHOWN = (  # what the lab compares
    *("coin: low-ball", "coin: random", "coin: equal split", "coin: selfish", "coin: imitator"),
    *("naming: per head", "naming: bargaining, 64 messages", "naming: imitator", "naming: tuned", "naming, Shapley: imitator"),
)
COIN_RULES = {"accept anything": negotiation.Rule(demand=(0.0, 0.0)), "low-ball": LOW_BALL, "tough": TOUGH, "random": negotiation.random_policy}
AIRPORTS = (
    "LHR CDG AMS FRA MAD BCN MUC FCO LGW DUB ZRH CPH OSL ARN VIE BRU LIS MAN ORY DUS MXP HAM STR CGN BER PRG BUD WAW GVA NCE "
    "LYS MRS TLS BOD NTE BRS BHX EDI GLA NCL LTN STN EIN LUX NUE HAJ LEJ GOT AAL BLL TRN VCE BLQ NAP PSA VLC AGP BIO OPO SVQ"
).split()
WEIGHTS = Path("notebooks/artefacts/05_gain_sharing")
SIZES = {32: 16, 1000: 2, 5000: 1}  # carriers in a world, and worlds
BARS = (2.0, 1.0, 0.0, -1.0)


def _store(name: str, seed: int, network: torch.nn.Module) -> None:
    """Keep the weights beside the artefact, which names the commit."""
    WEIGHTS.mkdir(parents=True, exist_ok=True)
    experiment = "allocation" if name == "claimer" else "negotiators"
    about = {"command": f"python -m coalmarl.experiments {experiment} --seeds {seed}", "seed": str(seed)}
    negotiators.save_weights(WEIGHTS / f"{name}_{seed}.safetensors", network, about)


def _bits(numbers: Any) -> list[float]:
    return [round(float(x), 5) for x in numbers]


def pick(results: dict[int, Part], *keys: str) -> NDArray[np.float64]:
    """Return one number, or one list of numbers, of every part of a stored run.

    Parameters
    ----------
    results : dict
        As `coalmarl.experiments.read_artefact` returns them.
    *keys : str
        Where it stands in a part.

    Returns
    -------
    ndarray
        Its first axis are the parts.

    Examples
    --------
    >>> pick({0: {"a": {"b": 1.0}}, 1: {"a": {"b": 3.0}}}, "a", "b")
    array([1., 3.])
    """
    return np.array([reduce(getitem, keys, part) for part in results.values()])


def measured_claims(deals: dict[int, Part], crowds: dict[int, Part], long: dict[int, Part]) -> list[Claim]:
    """Return what three stored runs say about claims C09 and C10.

    Parameters
    ----------
    deals, crowds, long : dict
        Results of the runs "bargaining", "allocation" and "negotiators".

    Returns
    -------
    list of Claim

    Raises
    ------
    ValueError
        If one of them is empty.

    Examples
    --------
    >>> measured_claims({}, {}, {})
    Traceback (most recent call last):
    ...
    ValueError: expected the results of three runs, got 0, 0 and 0 parts
    """
    if not (deals and crowds and long):
        raise ValueError(f"expected the results of three runs, got {len(deals)}, {len(crowds)} and {len(long)} parts")

    def gain(kind: str, n: str = "1000", column: int = 0) -> NDArray[np.float64]:
        return pick(long, n, kind)[:, column]

    def learned(key: str, other: str) -> NDArray[np.float64]:
        return pick(deals, "learned", key) - pick(deals, other, key)

    local, bot, selfish = pick(crowds, "local", "1000"), "grand, equal split", "coin: selfish"
    rows = [
        ("C09", "best per head, above the equal-split bot", learned("accuracy", bot), ">= 0.02"),
        ("C09", "gap per head, below the bot's", -learned("gap", bot), "> 0"),
        ("C09", "ask, distance from the equilibrium's", abs(learned("ask_grand", "exact equilibrium")), "<= 0.02"),
        ("C09", "welfare, share of v(N)", pick(deals, "learned", "welfare"), ">= 0.98"),
        ("C09", "worths asked while negotiating", pick(deals, "queries", "negotiating"), "= 0"),
        ("C10", "allocation at 1,000: R2", local[:, 0], ">= 0.95"),
        ("C10", "allocation: blocking neighbourhoods", local[:, 2], "<= 0.01"),
        ("C10", "softmax at 1,000: R2", pick(crowds, "softmax", "1000")[:, 0], "<= 0.9"),
        ("C10", "sum over all pairs at 1,000: R2", pick(crowds, "sum", "1000")[:, 0], "<= 0.9"),
        ("C10", "selfish: lost from 32 to 5,000", gain(selfish, "32") - gain(selfish, "5000"), "<= 0.03"),
        ("C10", "selfish: gain above random", gain(selfish) - gain("coin: random"), ">= 0.08"),
        ("C10", "selfish: unfairness", gain(selfish, column=2), "<= 0.12"),
        ("C10", "low-ball: unfairness", gain("coin: low-ball", column=2), ">= 0.35"),
        ("C10", "imitator: gain above the rule", gain("coin: imitator") - gain("coin: equal split"), ">= 0.03"),
        ("C10", "imitator: unfairness", gain("coin: imitator", column=2), "<= 0.06"),
        ("C10", "imitator, naming, at 5,000", gain("naming: imitator", "5000"), ">= 0.93"),
    ]
    return [Claim(claim, what, float(x.mean()), bar, len(x), bootstrap_interval(x)) for claim, what, x, bar in rows]


def airport_carriers(seed: int) -> tuple[NDArray[np.float64], Tensor]:
    """Return sixty airports of western Europe, and a carrier at each.

    Parameters
    ----------
    seed : int
        Draws what each carrier drives.

    Returns
    -------
    places : ndarray, shape (60, 2)
        Degrees north and east.
    carriers : Tensor, shape (1, 60, 3, 2)
        On a flat map, for `coalmarl.negotiation.make_market`.

    Examples
    --------
    >>> airport_carriers(0)[1].shape
    torch.Size([1, 60, 3, 2])
    """
    _, places = routing.airports(AIRPORTS)
    flat = 0.08 * np.stack([0.64 * places[:, 1], places[:, 0]], axis=1)  # 0.64: cosine of 50 degrees
    depots = torch.tensor(flat)[None, :, None]
    lanes = depots + 0.25 * torch.randn(1, 60, 2, 2, generator=as_generator(seed), dtype=torch.float64)
    return places, torch.cat([depots, lanes], dim=2)


# --- three carriers ----------------------------------------------------------------------------------------------


def _shapley3(v: Tensor) -> Tensor:
    """Shapley values (B, 3) of games of three in which nobody gains alone."""
    pairs = v[:, [6, 5, 3]]  # without player 0, 1, 2
    return v[:, 7:] / 3 + pairs.sum(1, keepdim=True) / 6 - pairs / 2


def _r2(x: Tensor, truth: Tensor) -> float:
    return 1 - float(((x - truth) ** 2).sum() / ((truth - truth.mean(-1, keepdim=True).mean()) ** 2).sum())


class Dividers(bargaining.EqualSplitters):
    """Players who know what everybody is due, propose that to all three, and accept everything.

    Parameters
    ----------
    due : Tensor, shape (B, 3)
        Parts of each game's v(N), by the Shapley value or another rule.  Whoever works them out
        has to know the worths.

    Raises
    ------
    ValueError
        If a part is negative, or the shape is another.

    Examples
    --------
    >>> players = Dividers(torch.tensor([[3.0, 1.0, 0.0], [0.0, 0.0, 0.0]]))
    >>> players.propose(torch.tensor([0, 0]), as_generator(0)).shares[:, 0]
    tensor([0.7500, 0.3333])
    """

    def __init__(self, due: Tensor) -> None:
        if due.ndim != 2 or due.shape[1] != 3 or not bool((due >= -1e-9).all()):
            raise ValueError(f"expected parts of shape (B, 3), none negative, got {tuple(due.shape)}, the least {float(due.min())}")
        total = due.sum(1, keepdim=True)
        self.shares = torch.where(total > 0, due / total, 1 / 3).clamp(min=0)

    def propose(self, proposer: Tensor, generator: torch.Generator) -> bargaining.Offer:
        """Offer what is due.

        Parameters
        ----------
        proposer : Tensor of int64, shape (B,)
        generator : torch.Generator
            Not needed.

        Returns
        -------
        Offer
        """
        return bargaining.Offer(torch.full_like(proposer, 7), self.shares)


def play(players: bargaining.Bargainer, v: Tensor, *, seed: int) -> dict[str, float]:
    """Measure bargainers: their first proposals, and what 20 negotiations of each game bring.

    Parameters
    ----------
    players : Bargainer
    v : Tensor, shape (B, 8)
        What the coalitions are really worth.
    seed : int

    Returns
    -------
    dict of str to float
        How often a proposal is the best coalition per head ("accuracy"), how much less it gains
        per head ("gap"), the mean "ask_grand" for the grand coalition, "rounds", "welfare" as
        a share of v(N), how well Shapley values explain what is paid ("shapley_r2",
        "shapley_mae"), and how often an agreement leaves a pair less than it gains by itself
        ("blocked").

    Examples
    --------
    >>> v = bargaining.routing_values(bargaining.draw_deliveries(50, seed=0))
    >>> play(bargaining.EqualSplitters(), v, seed=0)["rounds"]
    1.0
    """
    gains, best, per_head = v[:, 7] > 0, bargaining.per_capita_best(v), v / bargaining.SIZES.clamp(min=1)
    offers = [players.propose(torch.full((len(v),), i), as_generator(seed)) for i in range(3)]
    chosen, shares = torch.stack([o.coalition for o in offers], 1), torch.stack([o.shares[:, i] for i, o in enumerate(offers)], 1)
    top, got = per_head.gather(1, best), per_head.gather(1, chosen)
    able = gains[:, None] & (top > 0)
    ends = [bargaining.negotiate(players, len(v), seed=as_generator(1000 * seed + k)) for k in range(20)]
    money = [end.shares * v.gather(1, end.coalition[:, None]) for end in ends]
    paid = torch.stack([m * 0.95 ** (end.rounds[:, None] - 1) for m, end in zip(money, ends)]).mean(0)
    fair = _shapley3(v)
    return {
        "accuracy": float((chosen == best)[able].double().mean()),
        "gap": float(((top - got) / top)[able].mean()),
        "ask_grand": float(shares[able & (chosen == 7)].mean()),
        "rounds": float(torch.stack([end.rounds[gains].double() for end in ends]).mean()),
        "welfare": float(torch.stack([v.gather(1, end.coalition[:, None]).sum() for end in ends]).mean() / v[:, 7].sum()),
        "shapley_r2": _r2(paid, fair),
        "shapley_mae": float((paid - fair).abs().mean()),
        "blocked": float(torch.stack([_a_pair_leaves(v, m)[gains].double().mean() for m in money]).mean()),
    }


def _a_pair_leaves(v: Tensor, paid: Tensor) -> Tensor:
    """Whether two players would have more by themselves, (B,)."""
    return (v > paid @ bargaining.MEMBERS.double().T + 1e-9)[:, [3, 5, 6]].any(1)


def _bargaining(seed: int, run: Run) -> Part:
    """How near do bargainers who never see v come to the equilibrium of those who know it?"""
    days = bargaining.draw_deliveries(8000, seed=10 + seed)
    generator, oracle = as_generator(20 + seed), bargaining.Oracle(days)
    teams = torch.tensor(bargaining.TEAMS)[torch.randint(4, (len(days),), generator=generator)]
    values = bargaining.fit_values(days, teams, oracle(teams), seed=generator, updates=2000)
    shown = oracle.calls
    waiting = bargaining.fit_waiting(values, days, oracle, seed=generator, updates=1500)
    fresh = bargaining.draw_deliveries(2000, seed=30 + seed)
    asked = bargaining.Oracle(fresh)
    learned = bargaining.learned_bargainers(values, waiting, fresh)
    ends = bargaining.negotiate(learned, len(fresh), seed=seed)
    during = asked.calls
    asked(ends.coalition)
    paid = asked.calls
    v = torch.zeros(len(fresh), 8, dtype=torch.float64)
    for S in bargaining.TEAMS:  # what players who know v have to ask for
        v[:, S] = asked(torch.full((len(fresh),), S))
    exact = bargaining.stationary_equilibrium(v)
    players: dict[str, bargaining.Bargainer] = {
        "random": bargaining.RandomBargainers(),
        "grand, equal split": bargaining.EqualSplitters(),
        "grand, Shapley": Dividers(_shapley3(v)),
        "grand, nucleolus": Dividers(torch.from_numpy(credit.nucleolus_credit(v.numpy()))),
        "learned": learned,
        "exact equilibrium": bargaining.Believers(v[:, None].expand(-1, 3, 8), exact.waiting),
    }
    played = {name: {k: round(x, 5) for k, x in play(player, v, seed=seed).items()} for name, player in players.items()}
    return played | {
        "queries": {
            "shown in training": shown,
            "paid in training": oracle.calls - shown,
            "negotiating": during,
            "paid": paid,
            "known, per game": (asked.calls - paid) / len(fresh),
        },
        "equal_r2": round(_r2(v[:, 7:].expand(-1, 3) / 3, _shapley3(v)), 5),
        "converged": round(float((exact.residual < 0.01).double().mean()), 5),
    }


# --- a thousand ---------------------------------------------------------------------------------------------------


def _allocation(seed: int, run: Run) -> Part:
    """Which way to pool what an agent sees still gives Shapley values at a hundred times the size?"""
    games = {10: allocation.draw_lanes(100, 10, seed=40 + seed), 100: allocation.draw_lanes(10, 100, seed=50 + seed)}
    games |= {1000: allocation.draw_lanes(5, 1000, seed=60 + seed)}
    dense = allocation.draw_lanes(2, 1000, seed=70 + seed, side=1.0)
    result: Part = {"equal split": {}, "sampled": {}}
    fair = {n: allocation.lane_shapley(lanes) for n, lanes in games.items()}
    for n, lanes in games.items():
        equal = fair[n].mean(1, keepdim=True).expand_as(fair[n])
        result["equal split"][str(n)] = _bits([_r2n(equal, fair[n]), allocation.local_blocking(lanes, equal).mean()])
    for pool in allocation.POOLS:
        claimer = allocation.fit_claims(pool, seed=seed, updates=700, device=run.device)
        result[pool] = {"queries": claimer.queries, "dense": _bits(_claims(claimer, dense, allocation.lane_shapley(dense)))}
        result[pool] |= {str(n): _bits(_claims(claimer, lanes, fair[n])) for n, lanes in games.items()}
        if pool == "local":
            _store("claimer", seed, claimer)
    one, generator = allocation.Lanes(*(x[:1] for x in games[1000])), as_generator(80 + seed)
    savings, total = allocation.lane_savings(one), torch.zeros(1, 1000, dtype=torch.float64)
    for k in range(1, 257):
        total += allocation.arrival_gains(savings, generator)
        if k in (1, 4, 16, 64, 256):
            result["sampled"][str(1000 * k)] = round(_r2n(total / k, fair[1000][:1]), 5)
    return result


def _r2n(x: Tensor, truth: Tensor) -> float:
    """Within each game, so that an equal split explains nothing."""
    return 1 - float(((x - truth) ** 2).sum() / ((truth - truth.mean(1, keepdim=True)) ** 2).sum())


@torch.no_grad()
def _claims(claimer: allocation.Claimer, lanes: allocation.Lanes, fair: Tensor) -> tuple[float, float, float]:
    """R2 of shares and of raw claims, and blocking neighbourhoods."""
    raw = torch.cat([claimer(allocation.Lanes(*(x[g : g + 1] for x in lanes))) for g in range(len(fair))]).double()
    shares = raw * fair.sum(1, keepdim=True) / raw.sum(1, keepdim=True)
    return _r2n(shares, fair), _r2n(raw, fair), float(allocation.local_blocking(lanes, shares).mean())


# --- negotiators --------------------------------------------------------------------------------------------------


def _row(market: Market, outcome: Outcome, bound: float, fairness: float) -> list[float]:
    """The `Measures`, then who could leave if gains are split as here, and who if leavers may split as they like."""
    paid = outcome.payoffs(market)
    leave = [negotiation.blocked(market, paid, fairness=f).double().mean() for f in (fairness, None)]
    return _bits([*negotiation.measure(market, outcome, bound), *leave])


@torch.no_grad()
def _compare(market: Market, seed: int, trained: dict[str, Any]) -> dict[str, list[float]]:
    """All rules and all learners on the same worlds."""
    coin: dict[str, negotiation.Policy] = {
        "equal split": RULE,
        "low-ball": LOW_BALL,
        "tough": TOUGH,
        "random": negotiation.random_policy,
        "selfish": trained["selfish"],
        "imitator": negotiators.gated(trained["imitator"]),
        "imitator, Shapley": negotiators.gated(trained["imitator"], fairness=1.0),
    }
    named: dict[str, tuple[Callable[[Market], Tensor], tuple[float, ...]]] = {
        "per head": (negotiation.per_head, ()),
        "bargaining, 8 messages": (negotiation.bargained_scores(8), ()),
        "bargaining, 64 messages": (negotiation.bargained_scores(64), ()),
        "imitator": (trained["imitator"], BARS),
        "tuned": (trained["tuned"], BARS),
    }
    bound, rows = negotiation.packing_bound(market), {}
    for name, policy in coin.items():
        fairness = 1.0 if "Shapley" in name else 0.0
        rows[f"coin: {name}"] = _row(market, negotiation.coin_protocol(market, policy, seed=seed), bound, fairness)
    for name, (score, bars) in named.items():
        for fairness, label in ((0.0, "naming"), (1.0, "naming, Shapley")):
            outcome = negotiation.naming_protocol(market, score, fairness=fairness, bars=bars)
            rows[f"{label}: {name}"] = _row(market, outcome, bound, fairness)
    return rows


def _negotiators(seed: int, run: Run) -> Part:
    """What do carriers gain that learned selfishly, by imitation, and selfishly afterwards; and who would leave?"""
    selfish = negotiators.learn_selfishly(seed=100 + seed, updates=250, device=run.device)
    imitator = negotiators.imitate(seed=200 + seed, updates=300, graphs=16, device=run.device)
    tuned, decay = deepcopy(imitator), []
    fresh = {n: negotiation.draw_carriers(worlds, n, seed=1000 * seed + n, device=run.device) for n, worlds in SIZES.items()}
    for stage in range(3):
        negotiators.tune_selfishly(tuned, seed=300 + 10 * seed + stage, updates=25, noise=(0.3, 0.3), device=run.device)
        decay.append(_naming_surplus(negotiation.make_market(fresh[1000]), tuned))
    for name, network in (("selfish", selfish), ("imitator", imitator), ("tuned", tuned)):
        _store(name, seed, network)
    trained = {"selfish": selfish, "imitator": imitator, "tuned": tuned}
    rows: Part = {str(n): _compare(negotiation.make_market(carriers), seed, trained) for n, carriers in fresh.items()}
    believed = negotiation.make_market(fresh[1000], savings=negotiators.fit_savings(seed=400 + seed, device=run.device))
    truth = negotiation.make_market(fresh[1000])
    bound = negotiation.packing_bound(truth)
    with torch.no_grad():
        guessed = {
            "coin: equal split": negotiation.coin_protocol(believed, RULE, seed=seed),
            "coin: imitator": negotiation.coin_protocol(believed, negotiators.gated(imitator), seed=seed),
            "naming: imitator": negotiation.naming_protocol(believed, imitator, bars=BARS),
        }
    rows["estimated"] = {name: round(negotiation.measure(believed, outcome, bound).surplus, 5) for name, outcome in guessed.items()}
    rows["estimate_r2"] = round(_r2(believed.v, believed.worth), 5)
    return rows | {"decay": decay, "queries": truth.queries}


@torch.no_grad()
def _naming_surplus(market: Market, scorer: negotiators.Scorer) -> float:
    outcome = negotiation.naming_protocol(market, scorer, bars=BARS)
    return round(negotiation.measure(market, outcome, negotiation.packing_bound(market)).surplus, 5)


# --- with strangers -----------------------------------------------------------------------------------------------


def stored(kind: str, seed: int) -> torch.nn.Module:
    """Return a negotiator with the weights that the experiment ``negotiators`` stored.

    Parameters
    ----------
    kind : {"selfish", "imitator", "tuned"}
    seed : int

    Returns
    -------
    torch.nn.Module

    Examples
    --------
    >>> stored("imitator", 99)
    Traceback (most recent call last):
    ...
    ValueError: expected weights in notebooks/artefacts/05_gain_sharing/imitator_99.safetensors, got no such file
    """
    network = build(negotiators.Haggler if kind == "selfish" else negotiators.Scorer, as_generator(0))
    negotiators.load_weights(WEIGHTS / f"{kind}_{seed}.safetensors", network)
    return network


def _cross_play(part: int, run: Run) -> Part:
    """What does each negotiator earn among strangers, trained apart from it or not trained at all?"""
    market = negotiation.make_market(negotiation.draw_carriers(1, 500, seed=5000 + part))
    fair = negotiation.packing_bound(market) / market.carriers
    others = {"low-ball": LOW_BALL, "equal split": RULE, "tough": TOUGH}
    result: Part = {}
    for kind in ("imitator", "selfish"):
        learned = {f"{kind} {seed}": stored(kind, seed) for seed in SEEDS}
        policies = {name: negotiators.gated(net) if kind == "imitator" else net for name, net in learned.items()} | others
        table = torch.zeros(len(policies), len(policies), dtype=torch.float64)
        kinds = torch.randperm(500, generator=as_generator(part)) % 2
        for i, one in enumerate(policies.values()):
            for j, two in enumerate(policies.values()):
                if i <= j:
                    outcome = negotiation.coin_protocol(market, negotiation.mixed([one, two], kinds), seed=part)
                    paid = outcome.payoffs(market)
                    table[i, j], table[j, i] = (paid.mean(),) * 2 if i == j else (paid[kinds == 0].mean(), paid[kinds == 1].mean())
        result[kind] = {"names": [*policies], "pay": [_bits(row) for row in table / fair]}
    return result


EXPERIMENTS = {
    "bargaining": Experiment("05_gain_sharing", _bargaining, SEEDS),
    "allocation": Experiment("05_gain_sharing", _allocation, SEEDS),
    "negotiators": Experiment("05_gain_sharing", _negotiators, SEEDS),
    "cross_play": Experiment("05_gain_sharing", _cross_play, SEEDS),
}
