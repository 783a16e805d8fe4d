"""Write the page of claims from what the labs printed: ``python book/ledger.py``.

The sentences below are ours; every number and every verdict on the page is read from the
stored outputs of the labs, and nothing is typed.  The same labs give the same page.
"""

import json
from collections import Counter
from pathlib import Path

from coalmarl.evaluation import VERDICTS, Claim, read_claims

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "book" / "claims.md"

CLAIMS = {
    "C00": "Learning in games and adaptive networks: the classics behave as their theorems say.",
    "C01": "Shapley's axioms pin down one division; fair and core-stable are different things.",
    "C02": "The nucleolus serves the worst-off coalition first, then the next.",
    "C03": "Past some 20 players nobody can fill the table of worths.",
    "C04": "Finding the best coalition structure is harder still.",
    "C05": "Sampling escapes $2^n$ at a price.",
    "C06": "Rewards that are aligned and sensitive to one's own act beat a shared reward.",
    "C07": "Partners of unknown type are worth probing: look-ahead over beliefs beats a myopic choice.",
    "C08": "Bayesian agents see through static and irrational partners, and use it.",
    "C09": "Agents can learn fair shares without ever computing $v$.",
    "C10": "Transformer negotiators scale to more than 1,000 agents.",
    "C11": "Learned coordination fits the partners it was trained with, and not new ones.",
    "C12": "A model gives counterfactuals, so Nash-stability can be certified.",
    "C13": "Radars that choose targets reach a Nash-stable partition.",
    "C14": "Two or three radars on a target see more than one.",
    "C15": "The pattern of model, transferable utility and stability check reaches beyond radar.",
    "C16": "One shared reward with credit heuristics can hold a team in the wrong coalition.",
    "C17": "Nucleolus credit converges, and splits the grand coalition into stable sub-teams.",
    "C18": "Where counterfactual worths are needed, a model beats none.",
    "C19": "Selfish learners end in mutual defection.",
    "C20": "Shaping the opponent's learning step brings reciprocity.",
    "C21": "Hard-wired kindness cooperates, and is exploited.",
    "C22": "Training under random, uncertain preferences brings direct reciprocity.",
    "C23": "Training under uncertain preferences brings indirect reciprocity and reputation.",
    "C24": "Training under uncertain preferences brings teams that form and last within an episode.",
    "C25": "Policies trained under uncertain preferences carry over to partners nobody trained with.",
    "C26": "Agents that read each other's source can cooperate by proof.",
    "C27": "Simulation with a small chance of blind cooperation grounds the recursion.",
    "C28": "Learning agents can put open-source game theory into practice.",
    "C29": "A stranger's program need not break the host.",
    "C30": "Learning an approximation of $v$ pushes the number of agents up.",
}

MEANING = {
    "reproduced": "every bar is met",
    "partly": "some bars are met, or all of them under a condition that the lab names",
    "not at our scale": "we did not find it with the means of a laptop",
    "corrected": "the claim as commonly told is wrong, and the lab shows what holds",
}

Row = tuple[Claim, str]  # a claim and the lab that measured it


def measured() -> tuple[list[Row], dict[str, dict[str, str]]]:
    """Every row of every lab's table of claims, and the verdicts by claim and lab."""
    rows: list[Row] = []
    verdicts: dict[str, dict[str, str]] = {}
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        outputs = [output for cell in cells for output in cell.get("outputs", [])]
        claims, ruled = read_claims("\n".join("".join(output.get("text", "")) for output in outputs))
        rows += [(claim, path.stem) for claim in claims]
        for id, verdict in ruled.items():
            verdicts.setdefault(id, {})[path.stem] = verdict
    return rows, verdicts


def title(stem: str) -> str:
    """The heading of a chapter's page."""
    return (ROOT / "book" / f"{stem}.md").read_text(encoding="utf-8").split("\n", 1)[0].removeprefix("# ")


def interval(claim: Claim) -> str:
    """The interval as it was printed."""
    return "" if claim.interval is None else "{:g} to {:g}".format(*claim.interval)


def section(id: str, rows: list[Row], verdicts: dict[str, str]) -> str:
    """One claim: its sentence, its verdict by lab, its numbers."""
    lines = [f"({id.lower()})=", f"### {id}", "", CLAIMS[id], ""]
    for stem, verdict in verdicts.items():
        lines += [f"**{verdict.capitalize()}** in the [lab](../notebooks/{stem}.ipynb) of [{title(stem)}]({stem}.md).", ""]
    lines += ["| measured | value | 95 % interval | seeds | bar | met |", "|---|--:|--:|--:|--:|:--|"]
    for claim, _ in rows:
        cells = claim.what, claim.value, interval(claim), claim.seeds or "", claim.bar, "yes" if claim.met else "no"
        lines.append("| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)


def page() -> str:
    """The whole page."""
    rows, verdicts = measured()
    counted = Counter(verdict for ruled in verdicts.values() for verdict in ruled.values())
    lines = [
        "# The ledger of claims",
        "",
        "The field makes claims; the labs measure them.",
        "Each claim below stands with its numbers, the bars that were set before it was measured, and a verdict.",
        "A script copies all of it from the stored outputs of the labs, and a test fails if page and labs differ.",
        "",
        "| verdict | means | claims |",
        "|---|---|--:|",
        *(f"| {verdict} | {MEANING[verdict]} | {counted[verdict]} |" for verdict in VERDICTS),
        "",
        "A bar that is not met stays in the table.",
        "Where there is no interval, the number is exact, comes from a single computation, or is an extreme or a pooled figure of the seeds.",
        "",
        "| claim | verdict |",
        "|---|---|",
    ]
    for id in sorted(verdicts):
        lines.append(f"| [{id}](#{id.lower()}) {CLAIMS[id]} | {', '.join(dict.fromkeys(verdicts[id].values()))} |")
    lines += ["", "## Claim by claim"]
    for id in sorted(verdicts):
        lines += ["", section(id, [row for row in rows if row[0].id == id], verdicts[id])]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE.relative_to(ROOT))
