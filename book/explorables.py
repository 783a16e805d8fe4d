"""Export the data behind the figures to play with: ``python book/explorables.py`` (about a minute)."""

import json
from pathlib import Path

import torch
from torch import Tensor

from coalmarl.preferences import cooperation, learn_table

OUT = Path(__file__).parent / "_static" / "phase.js"
LEVELS = torch.linspace(0.05, 0.95, 10, dtype=torch.float64)


def known_loners(certain: Tensor, loners: Tensor) -> tuple[Tensor, Tensor]:
    """How often agents that know they are alone help each other, and their five habits: means of the last 500 updates."""
    habits = learn_table(certain, loners)[-500:, ..., 0, :]
    return cooperation(habits, habits).mean(dim=0), habits.mean(dim=0)


def main() -> None:
    """Write the file."""
    helped, habits = known_loners(*torch.meshgrid(LEVELS, LEVELS, indexing="ij"))
    data = {"levels": LEVELS.tolist(), "helped": helped.tolist(), "habits": habits.tolist()}
    rounded = json.loads(json.dumps(data), parse_float=lambda x: round(float(x), 3))
    OUT.write_text(f"// Written by book/explorables.py\nwindow.PHASE = {json.dumps(rounded)}\n", encoding="utf-8")
    print(OUT.relative_to(OUT.parents[2]))


if __name__ == "__main__":
    main()
