"""The shape of the package and of the tree.

The package is read as syntax trees, so a rule holds for code that no other test runs.
"""

import ast
import graphlib
import inspect
import json
import os
import re
import statistics
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "coalmarl"

# module: (modules of the package it may import, third-party packages it may import, lazily or not)
ROWS = {
    "__init__": ("", ""),
    "coalitions": ("", "numpy"),
    "games": ("coalitions", "numpy joblib tqdm"),
    "solutions": ("coalitions games", "numpy scipy highspy"),
    "estimation": ("coalitions games", "numpy"),
    "structures": ("coalitions games", "numpy"),
    "routing": ("coalitions games", "numpy pyvrp airportsdata"),
    "collectives": ("", "numpy"),
    "beliefs": ("coalitions games", "numpy"),
    "preferences": ("envs learners shaping", "torch"),
    "interpreter": ("", "numpy"),
    "programs": ("interpreter", "numpy"),
    "envs": ("", "torch pettingzoo gymnasium"),
    "learners": ("envs", "torch"),
    "bargaining": ("envs learners", "torch"),
    "allocation": ("envs learners", "torch scipy"),
    "negotiation": ("allocation envs", "torch numpy scipy"),
    "negotiators": ("allocation envs learners negotiation", "torch safetensors"),
    "tracking": ("", "numpy"),
    "teamwork": ("coalitions", "numpy"),
    "credit": ("coalitions games solutions teamwork envs learners", "torch numpy"),
    "shaping": ("envs", "torch"),
    "evaluation": ("", "numpy joblib"),
    "plotting": ("coalitions games solutions", "matplotlib numpy scipy"),
}
ROWS["experiments"] = (" ".join(name for name in ROWS if name != "__init__") + " experiments", "numpy torch joblib tqdm axelrod")
NUMPY_HALF = set(
    "coalitions games solutions estimation structures routing collectives beliefs interpreter programs "
    "tracking teamwork evaluation plotting".split()
)
HEAVY = ("scipy", "highspy", "torch", "pettingzoo", "matplotlib")

TOP_LEVEL = set(
    "book notebooks coalmarl tests benchmarks _config.yml _toc.yml requirements.txt "
    "pyproject.toml Makefile README.md CONTRIBUTING.md LICENSE CITATION.cff .ci .github".split()
)
EXTRA = {  # what else lies at the top, and why it has to
    ".gitignore": "git reads it here",
    "CHANGELOG.md": "who has adopted the course looks for what changed",
    "LICENSE-text": "the text has a licence of its own",
    "binder": "Binder reads it here",
    "requirements.in": "the names behind the lock",
    "requirements-instructor.txt": "nbgrader, for lecturers only, kept out of the lock",
}

LEAK = re.compile(  # groups keep the pattern from matching this very file
    r"/(?:work|root|farm|tmp|home|Users)/[A-Za-z]|[A-Z]:\\Users|/opt/(?:py)pi|\b(?:py)pi\.org|"
    r"(?:python)hosted\.org|registry\.(?:npm|yarnpkg)|deb\.(?:deb)ian|archive\.(?:ubun)tu|"
    r"conda\.(?:ana)conda|static\.(?:crates)"
)

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
Function = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def paths() -> dict[str, Path]:
    """Name and path of every module: "games", or "experiments" and "experiments.blowup" for a folder."""
    files = sorted(PACKAGE.rglob("*.py"))
    return {".".join(p.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): p for p in files}


@cache
def modules() -> dict[str, ast.Module]:
    """Name and syntax tree of every module of the package."""
    return {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in paths().items()}


@cache
def files() -> list[str]:
    """Path of every file that git tracks or would track."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [name for name in listed.split("\0") if name and (ROOT / name).is_file()]


@cache
def texts() -> dict[str, str]:
    """Path and text of every such file that is text."""
    found = {}
    for name in files():
        try:
            found[name] = (ROOT / name).read_text(encoding="utf-8")
        except UnicodeDecodeError:  # an image or a font
            continue
    return found


@cache
def code() -> dict[str, ast.Module]:
    """Path and syntax tree of all code but the tests: a lab's cells count as one file."""
    found = {}
    for name, text in texts().items():
        if name.startswith("notebooks/") and name.endswith(".ipynb"):
            cells = json.loads(text)["cells"]
            text = "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "code")
        elif not name.startswith(("coalmarl/", "benchmarks/", "book/")) or not name.endswith(".py"):
            continue
        found[name] = ast.parse(text)
    return found


def imports(tree: ast.AST) -> set[str]:
    """Full names of everything imported, at the top or inside functions."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = ".".join(filter(None, ("coalmarl" if node.level else "", node.module)))
            names |= {module, *(f"{module}.{alias.name}" for alias in node.names)}
    return names


def inner(tree: ast.AST) -> set[str]:
    """Modules of the package that a module imports; a folder counts as one."""
    return {f.split(".")[1] for f in imports(tree) if f.startswith("coalmarl.")} & set(ROWS)


def calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    """Dotted name and node of every call."""
    return ((ast.unparse(node.func), node) for node in ast.walk(tree) if isinstance(node, ast.Call))


def code_lines(node: ast.Module | Function, text: list[str]) -> int:
    """Lines of a module or of a function's body; docstrings and blanks do not count."""
    dropped: set[int] = set()
    for part in ast.walk(node):
        if isinstance(part, (ast.Module, ast.ClassDef, *FUNCTIONS)) and ast.get_docstring(part):
            dropped |= set(range(part.body[0].lineno, part.body[0].end_lineno + 1))
    lines = range(1, len(text) + 1)
    if isinstance(node, FUNCTIONS):
        lines = range(node.body[0].lineno, node.end_lineno + 1)
    return sum(bool(text[i - 1].strip()) for i in lines if i not in dropped)


def functions(public: bool = False) -> list[tuple[str, Function, bool]]:
    """Name, node and whether it is a method, of every function; or of the public ones only."""

    def below(node: ast.AST, path: str) -> Iterator[tuple[str, Function, bool]]:
        for child in ast.iter_child_nodes(node):
            named = isinstance(child, (ast.ClassDef, *FUNCTIONS))
            if named and public and child.name.startswith("_"):
                continue
            here = f"{path}.{child.name}" if named else path
            if isinstance(child, FUNCTIONS):
                yield here, child, isinstance(node, ast.ClassDef)
            if not (public and isinstance(child, FUNCTIONS)):  # what is nested is nobody's to call
                yield from below(child, here)

    return [found for name, tree in modules().items() for found in below(tree, name)]


def classes(tree: ast.Module) -> list[ast.ClassDef]:
    """Every class of a module."""
    return [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]


def arguments(node: Function, method: bool) -> list[ast.arg]:
    """Every argument of a function, but not self or cls."""
    a = node.args
    everything = [*a.posonlyargs, *a.args, a.vararg, *a.kwonlyargs, a.kwarg]
    static = any(ast.unparse(d) == "staticmethod" for d in node.decorator_list)
    return [arg for arg in everything if arg is not None][1 if method and not static else 0 :]


def docstring_sections(node: Function) -> dict[str, str]:
    """Title and text of each numpydoc section."""
    doc = inspect.cleandoc(ast.get_docstring(node) or "")
    parts = re.split(r"^(\w[\w ]*)\n-{3,}$", doc, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_every_module_imports_only_what_its_row_allows() -> None:
    wrong = []
    for name, tree in modules().items():
        row = name.split(".")[0]
        assert row in ROWS, f"coalmarl/{name}.py has no row in the table of this test"
        own, third = (set(part.split()) for part in ROWS[row])
        roots = {full.split(".")[0] for full in imports(tree)} - {"coalmarl"}
        others = (inner(tree) - own) | (roots - set(sys.stdlib_module_names) - third)
        wrong += [f"{name} imports {other}" for other in sorted(others)]
    assert not wrong


def test_no_row_allows_what_its_module_does_without() -> None:
    idle = []
    for name, tree in modules().items():
        if "experiments" not in name:  # they may use whatever lies below
            roots = {full.split(".")[0] for full in imports(tree)}
            idle += [f"{name} does not import {other}" for other in set(" ".join(ROWS[name]).split()) - inner(tree) - roots]
    assert not idle


def test_the_numpy_half_never_reaches_torch() -> None:
    wrong = []
    for name in NUMPY_HALF & set(modules()):
        tree = modules()[name]
        wrong += [f"{name} imports {full}" for full in imports(tree) if full.startswith("torch")]
        wrong += [f"{name} imports {other}" for other in inner(tree) - NUMPY_HALF]
    assert not wrong


def test_the_table_of_modules_is_true() -> None:
    """Every module has its place in CONTRIBUTING.md, and a chapter's lab uses those of its row."""
    guide = texts()["CONTRIBUTING.md"]
    missing = {name for name in ROWS if name != "__init__" and f"`{name}`" not in guide}
    assert not missing
    for number, word, named in re.findall(r"^\| (\d\d) \| (\w+) \| .* \| (.*) \|$", guide, re.MULTILINE):
        used = inner(code()[f"notebooks/{number}_{word}.ipynb"]) - {"experiments"}
        used = used.union(*(inner(modules()[name]) for name in used))
        assert set(re.findall(r"`(\w+)`", named)) <= used, number


def test_no_import_goes_in_circles() -> None:
    graphlib.TopologicalSorter({name: inner(tree) for name, tree in modules().items() if "." not in name}).prepare()


@pytest.mark.parametrize("name", ["coalmarl", "coalmarl.games"])
def test_import_is_quick_and_light(name: str) -> None:
    program = (
        f"import sys, time; start = time.process_time(); import {name}; "
        "print(time.process_time() - start); "  # what a busy machine cannot stretch
        f"print(*sorted(set(sys.modules) & set({HEAVY!r})))"
    )
    best = float("inf")
    compiled_once = os.environ | {"PYTHONDONTWRITEBYTECODE": ""}  # else each run would compile NumPy again
    for _ in range(3):
        command = [sys.executable, "-c", program]
        run = subprocess.run(command, cwd=ROOT, env=compiled_once, capture_output=True, text=True, check=True)
        seconds, heavy = run.stdout.split("\n")[:2]
        assert heavy == "", f"import {name} also imports {heavy}"
        best = min(best, float(seconds))
        if best < 0.5:
            return
    pytest.fail(f"import {name} takes {best:.2f} s, at most 0.5 s are allowed")


def test_functions_and_modules_are_short() -> None:
    text = {name: path.read_text().splitlines() for name, path in paths().items()}
    found = [(module, function) for module, tree in modules().items() for function in ast.walk(tree) if isinstance(function, FUNCTIONS)]
    bodies = sorted((code_lines(f, text[module]), f"{module}.{f.name}") for module, f in found)
    lengths = [n for n, _ in bodies]
    assert lengths[-1] <= 45, bodies[-3:]
    assert lengths[int(0.9 * (len(lengths) - 1))] <= 25, bodies[-len(bodies) // 10 :]
    assert statistics.median(lengths) <= 9, f"median body {statistics.median(lengths)} lines"
    per_module = {name: code_lines(tree, text[name]) for name, tree in modules().items()}
    assert max(per_module.values()) <= 450, per_module
    taught = {name: lines for name, lines in per_module.items() if not name.startswith("experiments")}
    assert sum(taught.values()) <= 6000, per_module  # some 300 lines for each chapter, and what they share


def test_nine_of_ten_functions_take_at_most_five_arguments() -> None:
    many = [name for name, node, method in functions() if len(arguments(node, method)) > 5]
    assert len(many) <= 0.1 * len(functions()), many


def test_every_public_name_has_a_docstring() -> None:
    named = [(name, tree) for name, tree in modules().items()]
    named += [(name, node) for name, node, _ in functions(public=True)]
    for name, tree in modules().items():
        named += [(f"{name}.{c.name}", c) for c in classes(tree) if not c.name.startswith("_")]
    assert not [name for name, node in named if not ast.get_docstring(node)]


def test_what_docstrings_refer_to_exists() -> None:
    known, wrong = set(modules()), []
    for tree in modules().values():
        for node in ast.walk(tree):
            known |= {str(getattr(node, field)) for field in ("id", "attr", "arg", "name") if hasattr(node, field)}
    for name, tree in modules().items():
        for node in ast.walk(tree):
            if isinstance(node, (ast.Module, ast.ClassDef, *FUNCTIONS)):
                single = re.findall(r"(?<!`)`([\w.]+)`(?!`)", ast.get_docstring(node) or "")
                wrong += [f"{name} refers to {word}" for word in single if word.split(".")[-1] not in known]
    assert not wrong


def test_every_public_function_is_annotated() -> None:
    dunders = [(n, f, m) for n, f, m in functions() if m and f.name.startswith("__")]
    bare = []
    for name, node, method in [*functions(public=True), *dunders]:
        bare += [f"{name}({arg.arg})" for arg in arguments(node, method) if arg.annotation is None]
        bare += [f"{name} -> ?"] if node.returns is None else []
    assert not bare


def test_docstrings_have_the_sections_that_apply() -> None:
    wrong = []
    for name, node, method in functions(public=True):
        sections, body = docstring_sections(node), list(ast.walk(node))
        entries = re.findall(
            r"^([\w*, ]+?)(?: : .*)?$", sections.get("Parameters", ""), re.MULTILINE
        )
        described = {word.strip(" *") for entry in entries for word in entry.split(",")}
        missing = [f"parameter {a.arg}" for a in arguments(node, method) if a.arg not in described]
        is_property = any("property" in ast.unparse(d) for d in node.decorator_list)
        returns = node.returns is not None and ast.unparse(node.returns) != "None"
        if returns and not is_property and not {"Returns", "Yields"} & set(sections):
            missing.append("Returns or Yields")
        if any(isinstance(n, ast.Raise) for n in body) and "Raises" not in sections:
            missing.append("Raises")
        if not method and ">>> " not in sections.get("Examples", ""):
            missing.append("Examples with >>>")
        wrong += [f"{name}: {item}" for item in missing]
    assert not wrong


def test_public_names_and_all_agree() -> None:
    for name, tree in modules().items():
        assigned = [node for node in tree.body if isinstance(node, ast.Assign)]
        tops = {ast.unparse(node.targets[0]): node.value for node in assigned}
        if "__all__" not in tops:
            continue
        listed = ast.literal_eval(tops["__all__"])
        defined = {node.name for node in tree.body if isinstance(node, (ast.ClassDef, *FUNCTIONS))}
        assert len(listed) == len(set(listed)), f"{name}.__all__ names something twice"
        assert {d for d in defined if not d.startswith("_")} <= set(listed), name
        known = defined | set(tops) | {full.split(".")[-1] for full in imports(tree)}
        assert set(listed) <= known, f"{name}.__all__ names {set(listed) - known}"


def test_nothing_touches_global_random_state() -> None:
    own = "default_rng|Generator|SeedSequence|BitGenerator|PCG64"
    banned = re.compile(
        rf"(np|numpy)\.random\.(?!({own})\b)\w+$|random\.\w+$|"
        r"torch\.(manual_seed|seed|set_rng_state|random\.manual_seed|cuda\.manual_seed\w*)$"
    )
    wrong = []
    for file, tree in code().items():
        wrong += [
            f"{file}:{node.lineno} {name}" for name, node in calls(tree) if banned.match(name)
        ]
        drawn = {f for f in imports(tree) if re.match(rf"numpy\.random\.(?!({own})\b)|random\b", f)}
        wrong += [f"{file} imports {name}" for name in sorted(drawn)]
    assert not wrong


def test_nothing_runs_code_from_data() -> None:
    unsafe = {"pickle", "cloudpickle", "dill", "shelve", "marshal"}
    wrong = []
    for file, tree in code().items():
        wrong += [f"{file} imports {f}" for f in imports(tree) if f.split(".")[0] in unsafe]
        for name, node in calls(tree):
            keywords = {k.arg: ast.unparse(k.value) for k in node.keywords}
            bad = name == "torch.load" and keywords.get("weights_only") != "True"
            bad |= keywords.get("allow_pickle") == "True"
            bad |= name in ("eval", "exec") and file != "coalmarl/programs.py"
            wrong += [f"{file}:{node.lineno} {name}"] if bad else []
    assert not wrong


def test_no_default_argument_is_mutable() -> None:
    literal = (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp)
    made = re.compile(r"(list|dict|set|bytearray|(np|numpy|torch)\.\w+)\(")
    wrong = []
    for name, node, _ in functions():
        defaults = [d for d in (*node.args.defaults, *node.args.kw_defaults) if d is not None]
        wrong += [name for d in defaults if isinstance(d, literal) or made.match(ast.unparse(d))]
    assert not wrong


def test_dataclasses_are_frozen_and_every_field_is_read_and_documented() -> None:
    readers = re.compile(r"(coalmarl|notebooks|tests|book)/.*\.(py|ipynb|md)$")
    text = "\n".join(text for name, text in texts().items() if readers.match(name))
    wrong = []
    for node in (c for tree in modules().values() for c in classes(tree)):
        marks = [ast.unparse(d) for d in node.decorator_list if "dataclass" in ast.unparse(d)]
        if marks:
            wrong += [] if "frozen=True" in marks[0] else [f"{node.name} is not frozen"]
            fields = [ast.unparse(f.target) for f in node.body if isinstance(f, ast.AnnAssign)]
            unread = [f for f in fields if not re.search(rf"\.{f}\b(?!\()", text)]
            wrong += [f"{node.name}.{field} is never read" for field in unread]
        if (marks or "NamedTuple" in map(ast.unparse, node.bases)) and not node.name.startswith("_"):
            fields = [ast.unparse(f.target) for f in node.body if isinstance(f, ast.AnnAssign)]
            entries = re.findall(r"^ *([\w, ]+?) : ", ast.get_docstring(node) or "", re.MULTILINE)
            bare = set(fields) - {word for entry in entries for word in entry.split(", ")}
            wrong += [f"{node.name}.{field} is not documented" for field in bare]
    assert not wrong


def test_no_file_names_a_machine_path_or_a_package_registry() -> None:
    found = {name: match.group() for name, text in texts().items() if (match := LEAK.search(text))}
    assert not found


def test_requirements_are_one_clean_lock() -> None:
    def names(lines: list[str]) -> set[str]:
        return {re.split(r"[^\w.-]", line)[0].lower().replace("_", "-") for line in lines}

    lines = [line for line in (ROOT / "requirements.txt").read_text().splitlines() if line.strip()]
    pins = [line for line in lines if not line.lstrip().startswith("#")]
    assert not [p for p in pins if not re.fullmatch(r"[\w.-]+(\[[\w,-]+\])?==[\w.]+( ; .+)?", p)]
    assert not [line for line in lines if re.search(r"\+cpu|nvidia|https?://|^-", line)]
    asked = (ROOT / "requirements.in").read_text().splitlines()
    missing = names([line for line in asked if line and not line.startswith("#")]) - names(pins)
    assert not missing, f"named in requirements.in, not locked: {missing}"
    assert "jupyter-book==1.0.4.post1" in lines


def test_the_top_level_holds_only_what_the_design_names() -> None:
    strange = {name.split("/")[0] for name in files()} - TOP_LEVEL - set(EXTRA)
    assert not strange, "put it in a folder, or give its reason in this test"
