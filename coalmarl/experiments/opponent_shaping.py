"""Chapter 09: the rates at which shaping cooperates, and Advantage Alignment on many pairs."""

import torch
from torch import Tensor

from coalmarl import shaping
from coalmarl.envs import LOLA_IPD, as_generator
from coalmarl.experiments import Experiment, Part, Run
from coalmarl.shaping import Alignment, IteratedGame, Steps

GAME = IteratedGame(LOLA_IPD, gamma=0.96)
ALPHAS = tuple(round(10 ** (k / 2), 4) for k in range(-3, 2))
ETAS = tuple(round(10 ** (k / 4), 4) for k in range(-6, 7))
BETAS = (0.0, 0.3, 1.0, 3.0)


def _shaping_rates(seed: int, run: Run) -> Part:
    """At which rates do pairs learn to cooperate? Share above -1.1 among 16 pairs, by alpha and eta."""
    alpha = torch.tensor(ALPHAS, dtype=torch.float64).view(-1, 1, 1, 1, 1)
    eta = torch.tensor(ETAS, dtype=torch.float64).view(1, -1, 1, 1, 1)
    found: Part = {"alphas": ALPHAS, "etas": ETAS}
    for name, rule in (("lookahead", shaping.lookahead), ("lola", shaping.lola)):
        theta = _start(16, seed).expand(len(ALPHAS), len(ETAS), 16, 2, 5)
        for done, more in ((100, 100), (1000, 900)):
            theta = shaping.learn(GAME, _steady(rule), theta, Steps(more, alpha, eta))[-1]
            value = (1 - GAME.gamma) * GAME(theta).mean(-1)
            found[f"{name} {done}"] = _rounded((value > -1.1).double().mean(-1))
    return found


def _alignment(seed: int, run: Run) -> Part:
    """What do pairs learn from sampled play by Advantage Alignment? The policies of 16 pairs for each beta."""
    found: Part = {}
    for beta in BETAS:
        path = shaping.advantage_alignment(GAME, _start(16, seed), Alignment(beta=beta), seed=seed)
        found[str(beta)] = _rounded(path[-1].sigmoid())
    return found


def _start(pairs: int, seed: int) -> Tensor:
    return torch.randn(pairs, 2, 5, generator=as_generator(seed), dtype=torch.float64)


def _steady(rule: shaping.Rule) -> shaping.Rule:
    """The rule with its direction rounded: some of these pairs amplify a processor's last digit a millionfold."""

    def rounded(game: shaping.Game, theta: Tensor, eta: float | Tensor) -> Tensor:
        return rule(game, theta, eta).round(decimals=6)

    return rounded


def _rounded(numbers: Tensor) -> list[object]:
    """Nested lists with five decimals."""
    found: list[object] = numbers.round(decimals=5).tolist()
    return found


EXPERIMENTS = {
    "alignment": Experiment("09_opponent_shaping", _alignment, range(6)),
    "shaping_rates": Experiment("09_opponent_shaping", _shaping_rates, range(5)),
}
