"""The contract of a chapter: what every lab and every theory page owes its reader.

Cells tagged `exercise` or `solution` are not counted. An exercise is a Markdown cell tagged
`exercise` that ends in a stub, a hidden code cell tagged `solution`, and a code cell tagged
`exercise` that checks it.
"""

import ast
import json
import re
from pathlib import Path

import nbformat
import pytest

from benchmarks.labs import CAPS, seconds_of
from labs import LABS, MATH, PAGES, ROOT, Cell, Lab, backed, numbers, prose, word_count

# Numbers that prose may quote although no cell shows them: lab, number, reason.
QUOTED: dict[str, dict[str, str]] = {}

THEORY = [page for page in PAGES if re.match(r"\d\d_", page.name)]
each_lab = pytest.mark.parametrize("lab", LABS, ids=[lab.path.stem for lab in LABS])
each_theory_page = pytest.mark.parametrize("page", THEORY, ids=[page.stem for page in THEORY])

AMERICAN = re.compile(
    r"\b(?:behaviors?|behavioral|colors?|colored|colorful|favors?|favored|favorable|favorite|"
    r"honors?|labors?|neighbors?|neighborhoods?|neighboring|rumors?|centers?|centered|meters?|"
    r"analyz\w+|catalog|defense|offense|fulfill|gray|artifacts?|math|modeling|modeled|labeling|"
    r"labeled|traveling|traveled|canceled|signaling|signaled|"
    r"(?:minim|maxim|optim|general|normal|organ|recogn|real|emphas|special|categor|random|"
    r"factor|initial|visual|formal|character|stabil|author|summar|util|penal|standard)iz\w+)\b",
    re.IGNORECASE,
)
UNVOICED = re.compile(
    r"\bsimply\b|\bclearly\b|\bnote that\b|\bit is important to\b|\bdelv\w+|\bpowerful\b|"
    r"\bin this chapter we will\b|\w!",
    re.IGNORECASE,
)
DIRECTIVE = re.compile(  # what JupyterLab and code hosts would show as raw text
    r"^:{3,}|^`{3,}\{|\{[\w:+-]+\}`|^\([\w-]+\)=\s*$|^%\s|^---\n|\$\$\s*\(\w|\[\^\w+\]",
    re.MULTILINE,
)
MESSY_CODE = re.compile(
    r";\s*$|\bpip install\b|\bget_ipython\b|https?:|"
    r"^\s*(?:from|import) (?:sys|os|requests|urllib|httpx?|socket|subprocess|warnings)\b",
    re.MULTILINE,
)
ABSOLUTE = re.compile(r"(?<![\w./<\\])/(?:[A-Za-z][\w.-]*/)+[\w.-]|\b[A-Z]:\\\\?\w")
PREDICT = re.compile(r"^> \*\*Predict\.\*\* \S", re.MULTILINE)
SEED = re.compile(r"(?:default_rng\(|\bseed\s*=\s*|\bSEED\s*=\s*)(\d+)")
IGNORED = re.compile(r"#\s*NBVAL_IGNORE_OUTPUT")
SWITCHED_OFF = re.compile(r"NBVAL_SKIP|RAISES_EXCEPTION|nbval-skip|raises-exception")


def definitions(cell: Cell) -> list[ast.stmt]:
    """The functions and classes of a cell, the nested ones too."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return [node for node in ast.walk(cell.tree) if isinstance(node, kinds)]


def defined_lines(cell: Cell) -> int:
    """How many lines of a cell lie inside a definition."""
    spans = [range(node.lineno, node.end_lineno + 1) for node in definitions(cell)]
    rows = enumerate(cell.source.splitlines(), 1)
    return sum(bool(row.strip()) and any(i in span for span in spans) for i, row in rows)


def calls_at_the_top(cell: Cell) -> set[str]:
    """Names called while the cell runs, not those inside functions it defines."""
    inside = {id(node) for function in definitions(cell) for node in ast.walk(function)}
    nodes = [node for node in ast.walk(cell.tree) if isinstance(node, ast.Call)]
    return {ast.unparse(node.func) for node in nodes if id(node) not in inside}


def asserts(cell: Cell) -> bool:
    """Whether a cell checks something by itself."""
    testing = any("assert_" in name for name in calls_at_the_top(cell))
    return testing or any(isinstance(node, ast.Assert) for node in ast.walk(cell.tree))


@each_lab
def test_size_is_within_the_hard_limits(lab: Lab) -> None:
    core, code = lab.core, [cell for cell in lab.core if cell.is_code]
    lines = sum(not line.lstrip().startswith("#") for cell in code for line in cell.lines)
    unspoken = sum(a.is_code and b.is_code for a, b in zip(core, core[1:], strict=False))
    measured = {
        "cells": (len(core), 50),
        "code cells": (len(code), 26),
        "words": (sum(word_count(cell.source) for cell in core if not cell.is_code), 3000),
        "code lines": (lines, 190),
        "lines of the longest cell": (max(len(cell.lines) for cell in code), 25),
        "definitions": (sum(len(definitions(cell)) for cell in code), 5),
        "share of lines in definitions": (sum(map(defined_lines, code)) / lines, 0.4),
        "figures": (sum(cell.figures for cell in core), 10),
        "share of code cells right after another": (unspoken / len(code), 0.3),
    }
    assert not {name: pair for name, pair in measured.items() if pair[0] > pair[1]}


@each_lab
def test_predictions_come_before_a_run_and_are_answered_after_it(lab: Lab) -> None:
    asked = [cell for cell in lab.core if PREDICT.search(cell.source)]
    assert len(asked) >= 4, f"{len(asked)} cells with `> **Predict.** ...`"
    assert all(re.search(r"\?|Write down", cell.source) for cell in asked), "ask something"
    kinds = "".join("c" if c.is_code else "p" if c in asked else "t" for c in lab.core)
    assert re.fullmatch(r"[ct]*(pt*c+(?=[tp])[ct]*)+", kinds), (
        f"after each prediction (p) a run (c), then text (t): {kinds}"
    )


@each_lab
def test_every_exercise_has_a_stub_a_hidden_solution_and_a_check(lab: Lab) -> None:
    apart = [cell for cell in lab.cells if cell.apart]
    kinds = ""
    for cell in apart:
        if not cell.is_code:
            stub = "exercise" in cell.tags and "```python" in cell.source
            kinds += "T" if stub else "t"
        elif "solution" in cell.tags:
            assert cell.tags & {"hide-cell", "hide-input"}, f"not hidden: {cell.source[:60]}"
            kinds += "S"
        else:
            assert asserts(cell), f"checks nothing: {cell.source[:60]}"
            kinds += "C"
    assert re.fullmatch(r"(?:t*Tt*St*C+t*){3,}", kinds), f"T stub, S solution, C check: {kinds}"


@each_lab
def test_the_first_code_cell_holds_the_imports_and_there_is_one_seed(lab: Lab) -> None:
    first, *rest = lab.code
    kinds = (ast.Import, ast.ImportFrom)
    assert any(isinstance(node, kinds) for node in first.tree.body) and len(first.lines) <= 8
    late = [cell.source for cell in rest if any(isinstance(n, kinds) for n in ast.walk(cell.tree))]
    assert not late, "imports belong into the first code cell"
    assert "import *" not in first.source
    seeds = {seed for cell in lab.code for seed in SEED.findall(cell.source)}
    assert len(seeds) == 1, f"expected one literal seed in the lab, got {sorted(seeds)}"


@each_lab
def test_code_is_clean(lab: Lab) -> None:
    assert all(cell.source.strip() for cell in lab.cells), "a cell is empty"
    assert all(cell.tree for cell in lab.code)  # a magic is a SyntaxError
    messy = [m.group() for c in lab.code if (m := MESSY_CODE.search(c.source))]
    messy += [m.group() for c in lab.code if (m := ABSOLUTE.search(c.source + c.shown))]
    assert not messy


@each_lab
def test_outputs_are_stored_complete_and_fit_to_be_compared(lab: Lab) -> None:
    counts = [cell.raw["execution_count"] for cell in lab.code]
    assert counts == list(range(1, len(counts) + 1)), "run all cells from a fresh kernel"
    outputs = [output for cell in lab.code for output in cell.outputs]
    assert not [o for o in outputs if o["output_type"] == "error" or o.get("name") == "stderr"]
    assert not re.search(r"\b0x[0-9a-f]{6,}", "".join(cell.shown for cell in lab.code))
    lost = [c.source for c in lab.code if "print" in calls_at_the_top(c) and not c.printed]
    lost += [c.source for c in lab.code if "plt.show" in calls_at_the_top(c) and not c.figures]
    assert not lost, "prints or draws, but nothing is stored"
    markers = [c.source + " ".join(c.tags) for c in lab.code]
    assert not [m for m in markers if SWITCHED_OFF.search(m)]
    assert sum("nbval-ignore-output" in m or bool(IGNORED.search(m)) for m in markers) <= 2
    assert lab.path.stat().st_size <= 2_000_000
    assert len(json.dumps(outputs)) <= 300_000, f"{len(json.dumps(outputs))} bytes of outputs"


@each_lab
def test_every_figure_is_described_and_backed_by_text(lab: Lab) -> None:
    drawn = [cell for cell in lab.code if cell.figures]
    assert all(cell.figures == 1 for cell in drawn), "one figure per cell: one description each"
    kinds = {kind for cell in drawn for o in cell.outputs for kind in o.get("data", {})}
    assert kinds <= {"image/png", "text/plain"}, kinds
    images = [cell.raw["metadata"].get("mystnb", {}).get("image", {}) for cell in drawn]
    described = [image.get("alt", "") for image in images]
    assert all(len(alt.split()) >= 6 for alt in described), described
    assert len(set(described)) == len(described), "two figures share a description"
    assert all(set(image) <= {"alt", "classes", "width"} for image in images), images
    unbacked = [c.source for c in drawn if not c.printed.strip() and not asserts(c)]
    assert not unbacked, "pictures are not compared: print or assert what the figure shows"


@each_lab
def test_markdown_is_plain_and_the_sections_are_there(lab: Lab) -> None:
    assert lab.cells[0].source.startswith("# ") and not lab.cells[0].is_code
    raw = [m.group() for c in lab.text if (m := DIRECTIVE.search(c.source))]
    assert not raw, "keep MyST for the book's pages"
    lines = "\n".join(cell.source for cell in lab.text).splitlines()
    headings = " / ".join(line for line in lines if line.startswith("#"))
    for title in ("where it breaks", "claims", "exercises", "what to remember"):
        assert title in headings.lower(), f"no section {title!r} among {headings}"


@each_lab
def test_metadata_is_only_what_a_reader_needs(lab: Lab) -> None:
    nbformat.validate(nbformat.from_dict(lab.data))
    assert set(lab.data["metadata"]) <= {"kernelspec", "language_info"}
    assert lab.data["metadata"]["kernelspec"]["name"] == "python3"
    keys = {key for cell in lab.cells for key in cell.raw["metadata"]}
    assert keys <= {"tags", "mystnb", "jupyter"}, f"clear the cells' metadata: {sorted(keys)}"


@each_lab
def test_numbers_in_prose_are_shown_by_a_cell(lab: Lab) -> None:
    allowed = QUOTED.get(lab.path.stem, {})
    shown = "\n".join(cell.source + "\n" + cell.shown for cell in lab.code)
    base = numbers(shown) + numbers(shown.replace(",", ", "))  # [1,200] is a list or a thousand
    own = [numbers(displayed(cell.source)) for cell in lab.text]
    unbacked, seen = [], set()
    for i, cell in enumerate(lab.text):
        sources = base + [number for other in own[:i] + own[i + 1 :] for number in other]
        found = [number for number in numbers(quotable(cell.source)) if number.digits >= 2]
        seen |= {number.written for number in found}
        unbacked += [number.written for number in found if not backed(number, sources)]
    assert not set(unbacked) - set(allowed)
    assert set(allowed) <= seen, f"no longer quoted: {set(allowed) - seen}"


def displayed(text: str) -> str:
    """The tables and formulas of a Markdown cell."""
    rows = [line for line in text.splitlines() if line.lstrip().startswith("|")]
    return "\n".join(rows + MATH.findall(text))


def quotable(text: str) -> str:
    """Prose and formulas without years, run times and the numbers of sections and pages."""
    text = re.sub(r"^\s*\d+[.)] ", "", prose(text, keep_math=True), flags=re.MULTILINE)
    named = r"chapters?|sections?|exercises?|figures?|tables?|theorems?|pages?|pp?\.|vol\.|no\."
    text = re.sub(rf"\b(?:{named})\s*\d[\d.–-]*(?:\s+and\s+\d+)?", " ", text, flags=re.IGNORECASE)
    text = re.sub(r"(?i)\b(?:run|reading) time:.*", " ", text)
    return re.sub(r"(?<![\d,.])(?:1[5-9]|20)\d\d(?:[–-]\d\d(?:\d\d)?)?(?![\d,]|\.\d)", " ", text)


def test_every_lab_and_page_is_in_the_contents_and_exists() -> None:
    contents = (ROOT / "_toc.yml").read_text(encoding="utf-8")
    named = re.findall(r"^\s*(?:- )?(?:file|root): (\S+)$", contents, re.MULTILINE)
    paths = [*PAGES, *(lab.path for lab in LABS)]
    assert sorted(named) == sorted(str(path.relative_to(ROOT).with_suffix("")) for path in paths)


@each_lab
def test_lab_and_theory_page_link_to_each_other_and_share_no_paragraph(lab: Lab) -> None:
    stem = lab.path.stem
    page = (ROOT / "book" / f"{stem}.md").read_text(encoding="utf-8")
    text = "\n\n".join(cell.source for cell in lab.text)
    assert f"book/{stem}" in text and f"notebooks/{stem}" in page
    shared = shingles(text) & shingles(page)
    assert not shared, [" ".join(words) for words in sorted(shared)[:3]]


def shingles(text: str) -> set[tuple[str, ...]]:
    """Every run of twelve words."""
    words = re.findall(r"[a-z]+", prose(text).lower())
    return {tuple(words[i : i + 12]) for i in range(len(words) - 11)}


@each_theory_page
def test_theory_page_keeps_its_contract(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    words = word_count(text, without=("solution",))
    assert 1500 <= words <= 2500, f"{words} words, hidden solutions not counted"
    assert "After this chapter you can" in text
    sections = {
        title.strip().lower(): body
        for title, body in re.findall(r"^##+ (.+)\n((?:(?!##).*\n?)*)", text, re.MULTILINE)
    }
    for title in ("mistakes", "where it breaks", "exercises", "further reading"):
        assert any(title in heading for heading in sections), f"no section {title!r}"
    mistakes = next(body for heading, body in sections.items() if "mistakes" in heading)
    entries = re.split(r"^(?:[-*] |\d+\. )?\*\*", mistakes, flags=re.MULTILINE)[1:]
    assert len(entries) >= 3 and all("symptom" in entry.lower() for entry in entries), entries
    exercises = set(re.findall(r"\{exercise\}[^\n]*\n(?::(?!label).*\n)*:label: (\S+)", text))
    solved = set(re.findall(r"\{solution\} (\S+)\n(?::(?!class).*\n)*:class: .*\bdropdown\b", text))
    assert len(exercises) >= 2 and exercises == solved, (exercises, solved)


@pytest.mark.parametrize("path", [*PAGES, *(lab.path for lab in LABS)], ids=lambda path: path.name)
def test_voice_and_spelling(path: Path) -> None:
    is_lab = path.suffix == ".ipynb"
    texts = [c.source for c in Lab(path).text] if is_lab else [path.read_text(encoding="utf-8")]
    found = [m.group() for t in texts for m in AMERICAN.finditer(prose(t))]
    found += [m.group() for t in texts for m in UNVOICED.finditer(prose(t))]
    assert not found


@pytest.mark.long
@each_lab
def test_lab_stays_within_its_time(lab: Lab) -> None:
    seconds = seconds_of(lab.path)
    assert 0.5 < seconds < CAPS[int(lab.path.stem[:2])], f"{seconds:.1f} s of CPU time"
