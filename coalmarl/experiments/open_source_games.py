"""Chapter 11: learners that see how similar they are, with lessons and without."""

from coalmarl.experiments import Experiment, Part, Run
from coalmarl.programs import learn_similarity

NOISES, BENEFITS = (0.1, 0.2, 0.3, 0.4, 0.5), (2, 3, 5, 8)
LONG = ((0.3, 5), (0.4, 8))  # the claim's own setting, and the one that keeps most at round 60


def _similarity_learning(seed: int, run: Run) -> Part:
    """Do lessons make learners cooperate that see how similar they are, and does it last?"""
    found: Part = {}
    for noise in NOISES:
        for benefit in BENEFITS:
            rounds = 480 if (noise, benefit) in LONG else 60
            for start in ("taught", "untaught"):
                history = learn_similarity(benefit=benefit, noise=noise, pretrained=start == "taught", seed=seed, rounds=rounds)
                found[f"{noise} {benefit} {start}"] = {
                    "every_tenth_round": history[::10].mean(axis=1).round(4).tolist(),
                    "above_0.8": float((history[60] > 0.8).mean()),
                }
    return found


EXPERIMENTS = {"similarity_learning": Experiment("11_open_source_games", _similarity_learning, range(10))}
