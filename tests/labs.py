"""Reading labs and pages for the checks: cells, outputs, prose, and the numbers in them."""

import ast
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted((ROOT / "book").glob("*.md"))

FENCE = re.compile(r"\s*(?P<mark>`{3,}|~{3,}|:{3,})(?:\{(?P<name>[\w:+-]+)\})?(?P<rest>.*)$")
MATH = re.compile(r"\$\$.+?\$\$|\$[^$\n]+\$", re.DOTALL)
INVISIBLE = re.compile(  # front matter; option, target and comment lines
    r"\A---\n(?:.*\n)*?---\n|^\s*:[\w-]+:.*$|^\([\w-]+\)=\s*$|^%.*$", re.MULTILINE
)
NOT_PROSE = {"code", "code-block", "code-cell", "math", "raw", "bibliography", "toctree"}


@dataclass(frozen=True)
class Cell:
    """One cell of a notebook."""

    raw: dict[str, Any]

    @property
    def is_code(self) -> bool:
        return self.raw["cell_type"] == "code"

    @property
    def source(self) -> str:
        return "".join(self.raw["source"])

    @property
    def tags(self) -> set[str]:
        return set(self.raw["metadata"].get("tags", []))

    @property
    def apart(self) -> bool:
        """Whether the cell belongs to an exercise and so is not counted."""
        return bool(self.tags & {"exercise", "solution"})

    @property
    def lines(self) -> list[str]:
        return [line for line in self.source.splitlines() if line.strip()]

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.source)

    @property
    def outputs(self) -> list[dict[str, Any]]:
        return self.raw.get("outputs", [])

    @property
    def printed(self) -> str:
        """The text the cell printed."""
        return "".join("".join(o["text"]) for o in self.outputs if o["output_type"] == "stream")

    @property
    def shown(self) -> str:
        """The text the cell printed or displayed, without what stands in for a picture."""
        shown = [o["data"] for o in self.outputs if "data" in o and "image/png" not in o["data"]]
        texts = (t for data in shown for kind, t in data.items() if not kind.startswith("image/"))
        return "\n".join([self.printed, *("".join(t) for t in texts if isinstance(t, (str, list)))])

    @property
    def figures(self) -> int:
        kinds = [kind for o in self.outputs for kind in o.get("data", {})]
        return sum(kind.startswith("image/") for kind in kinds)


@dataclass(frozen=True)
class Lab:
    """A notebook as the checks see it."""

    path: Path

    @cached_property
    def data(self) -> dict[str, Any]:
        return json.loads(self.path.read_text(encoding="utf-8"))

    @cached_property
    def cells(self) -> list[Cell]:
        return [Cell(raw) for raw in self.data["cells"]]

    @property
    def core(self) -> list[Cell]:
        return [cell for cell in self.cells if not cell.apart]

    @property
    def code(self) -> list[Cell]:
        return [cell for cell in self.cells if cell.is_code]

    @property
    def text(self) -> list[Cell]:
        return [cell for cell in self.cells if not cell.is_code]


LABS = [Lab(path) for path in sorted((ROOT / "notebooks").glob("*.ipynb"))]


def in_blocks(text: str) -> Iterator[tuple[list[str], str]]:
    """Each line that is no fence, with the names of the blocks around it ("code" if unnamed)."""
    blocks: list[tuple[str, str]] = []
    for line in text.splitlines():
        fence = FENCE.match(line)
        inside_code = bool(blocks) and blocks[-1][1] == "code"
        if fence and blocks and not fence["name"] and not fence["rest"].strip():
            if fence["mark"].startswith(blocks[-1][0]):
                blocks.pop()
                continue
        if fence and not inside_code:
            blocks.append((fence["mark"], fence["name"] or "code"))
        else:
            yield [name for _, name in blocks], line


def prose(text: str, *, without: tuple[str, ...] = (), keep_math: bool = False) -> str:
    """The words of a Markdown text; code, formulas, link targets and markup taken out.

    >>> prose("See [the lab](x.md): `v(S)` is $2^n$.").split()
    ['See', 'the', 'lab:', '_', 'is', '_', '.']
    """
    hidden = NOT_PROSE | set(without)
    kept = "\n".join(line for names, line in in_blocks(text) if not hidden & set(names))
    kept = INVISIBLE.sub("", kept)
    kept = re.sub(r"(?:\{[\w:+-]+\})?`+[^`]+`+", " _ ", kept)
    kept = kept if keep_math else MATH.sub(" _ ", kept)
    kept = re.sub(r"!?\[([^\]]*)\]\([^)]*\)(?:\{[^}]*\})?", r"\1", kept)
    return re.sub(r"https?://\S+|<[^>\n]+>", " ", kept)


def word_count(text: str, **options: Any) -> int:
    """Words of prose, each formula and each piece of code counted as one."""
    return sum(bool(re.search(r"\w", word)) for word in prose(text, **options).split())


@dataclass(frozen=True)
class Number:
    """A number as written: its value, digits after the point (none for a fraction), digits."""

    value: Fraction
    places: int | None
    digits: int
    written: str


WRITTEN = re.compile(
    r"(?<![\w.])(?:(?P<whole>\d+) )?(?P<top>\d+)/(?P<bottom>[1-9]\d*)(?![\w/]|\.\d)|"
    r"(?<![\w.])(?P<decimal>\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d*\.\d+|\d+)(?!\w|\.\d)"
)
VULGAR = {"½": " 1/2", "⅓": " 1/3", "⅔": " 2/3", "¼": " 1/4", "¾": " 3/4", "⅙": " 1/6"}


def numbers(text: str) -> list[Number]:
    """Every number in a text; versions, subscripts and digits inside words are none.

    >>> [str(n.value) for n in numbers(r"13,572 and 421/2145, .5, 33 1/3, 33⅓ and $33\\tfrac13$.")]
    ['13572', '421/2145', '1/2', '100/3', '100/3', '100/3']
    >>> numbers("version 0.1.0 of C01 in the 1960s, $x_{12}$")
    []
    """
    text = re.sub(r"\\[dt]?frac\s*\{?(\d+?)\}?\s*\{?(\d+)\}?", r" \1/\2", text)
    text = re.sub(r"(?<=\d)(?:\{,\}|\\,|[\u2009\u202f_])(?=\d{3})", ",", text)
    text = re.sub(r"_(?:\{[^}]*\}|\w)", " ", text)  # subscripts
    for sign, plain in VULGAR.items():
        text = text.replace(sign, plain)
    found = []
    for match in WRITTEN.finditer(text):
        if match["decimal"]:
            plain = match["decimal"].replace(",", "")
            places = len(plain.partition(".")[2])
            digits = len(plain.replace(".", "").lstrip("0"))
            found.append(Number(Fraction(plain), places, digits, match[0]))
        else:
            whole, top, bottom = (match[part] or "0" for part in ("whole", "top", "bottom"))
            value = int(whole) + Fraction(int(top), int(bottom))
            digits = max(len(part.lstrip("0")) for part in (whole, top, bottom))
            found.append(Number(value, None, digits, match[0]))
    return found


def backed(number: Number, sources: list[Number]) -> bool:
    """Whether a number stands in the sources, or is a rounding of one that does.

    >>> shown = numbers("[33.33 66.67] of 100")
    >>> [n.written for n in numbers("33⅓, 66.7, 67, 100, 1,000") if backed(n, shown)]
    ['33 1/3', '66.7', '100']
    """
    for source in sources:
        if number.value == source.value:
            return True
        if number.places is None:  # 33 1/3 is printed as 33.33
            places = source.places or 0
            if places >= 2 and abs(number.value - source.value) <= Fraction(1, 2 * 10**places):
                return True
        elif number.places or number.digits >= 3:  # a two-digit integer must stand there as it is
            finer = source.places is None or source.places > number.places
            if finer and abs(number.value - source.value) <= Fraction(1, 2 * 10**number.places):
                return True
    return False
