"""The page of claims: copied from the labs, complete, and linked both ways."""

import re
import runpy
from pathlib import Path

import pytest

from coalmarl.evaluation import read_claims
from labs import LABS, ROOT, Lab

LEDGER = runpy.run_path(str(ROOT / "book" / "ledger.py"))
each_lab = pytest.mark.parametrize("lab", LABS, ids=lambda lab: lab.path.stem)


def claimed(lab: Lab) -> list[str]:
    """Ids of the claims that a lab measures."""
    return list(read_claims("\n".join(cell.printed for cell in lab.code))[1])


def test_the_page_says_what_the_labs_printed() -> None:
    page = (ROOT / "book" / "claims.md").read_text(encoding="utf-8")
    assert page == LEDGER["page"](), "python book/ledger.py writes it again"


@each_lab
def test_every_lab_measures_claims_and_links_to_the_ledger_and_back(lab: Lab) -> None:
    ids, stem = claimed(lab), lab.path.stem
    page, ledger = ((ROOT / "book" / f"{name}.md").read_text(encoding="utf-8") for name in (stem, "claims"))
    assert ids and set(ids) <= set(LEDGER["CLAIMS"])
    assert any("(../book/claims.md)" in cell.source for cell in lab.text)
    assert f"(../notebooks/{stem}.ipynb)" in ledger and f"({stem}.md)" in ledger
    assert set(re.findall(r"\{ref\}`(C\d\d) <c\d\d>`", page)) >= set(ids)


def test_a_change_of_one_digit_would_show(monkeypatch: pytest.MonkeyPatch) -> None:
    """A printed 0.9 that becomes 0.8 changes the page, so that the first test must fail."""
    read = Path.read_text

    def changed(path: Path, *args: str, **kwargs: str) -> str:
        return re.sub(r"(C\d\d  .*? 0\.)\d", r"\g<1>123", read(path, *args, **kwargs), count=1)

    before = LEDGER["page"]()
    monkeypatch.setattr(Path, "read_text", changed)
    try:
        assert LEDGER["page"]() != before
    except ValueError as error:  # the row's verdict no longer follows from its number
        assert "follows from its numbers" in str(error)
