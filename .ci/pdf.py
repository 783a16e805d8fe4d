"""Print every page of the built site with headless Chromium, and join them: contents first, then the book."""

import html
import io
import shutil
import sys
from pathlib import Path

import yaml
from playwright.sync_api import Page, sync_playwright
from pypdf import PdfReader, PdfWriter

ROOT = Path(__file__).resolve().parents[1]
SITE, TARGET = ROOT / "_build" / "html", ROOT / "_build" / "learning-to-team-up.pdf"
PAPER = {"format": "A4", "margin": {"top": "18mm", "bottom": "18mm", "left": "18mm", "right": "18mm"}}
PLAIN = """
  .bd-sidebar-primary, .bd-sidebar-secondary, .bd-header, .bd-header-article, .prev-next-footer, .bd-footer, #pst-scroll-pixel-helper,
  .headerlink, .skip-link, .pst-async-banner-revealer { display: none !important }
  .bd-container, .bd-container__inner, .bd-main, .bd-content, .bd-article-container, .bd-article { display: block !important;
    box-sizing: border-box !important; width: 100% !important; max-width: 100% !important; margin: 0 !important; padding: 0 !important }
  .bd-article > section { padding: 0 !important }
  pre { white-space: pre-wrap !important; font-size: 6.8pt !important }
  figure, img, .admonition { break-inside: avoid }
  body { font-size: 10pt }
"""
Entry = tuple[int, str, str]  # depth, page (or nothing for a part), title


def entries(node: dict, depth: int = 0) -> list[Entry]:
    """Parts, pages and labs in reading order."""
    own = [(depth, node[key], "") for key in ("root", "file") if key in node]
    own += [(depth, "", node["caption"])] if "caption" in node else []
    below = [child for key in ("parts", "chapters", "sections") for child in node.get(key, [])]
    return own + [entry for child in below for entry in entries(child, depth + ("root" not in node))]


def printed(page: Page, name: str) -> tuple[str, bytes]:
    """Title of a page of the site, and the page on paper: solutions open, formulas set."""
    page.goto((SITE / f"{name}.html").as_uri())
    page.evaluate("async () => { await window.MathJax?.startup?.promise; await document.fonts.ready }")
    page.add_style_tag(content=PLAIN)
    page.evaluate("() => document.querySelectorAll('.bd-article details').forEach(box => { box.open = true })")
    page.evaluate("() => document.querySelectorAll('.toggle-button').forEach(button => button.click())")
    title = page.locator("h1").first.inner_text().strip().removesuffix("#")
    return title, page.pdf(**PAPER, print_background=True)


def contents(page: Page, rows: list[tuple[int, str, int | None]]) -> bytes:
    """The list of contents on paper."""
    lines = "".join(
        f"<tr><td style='padding-left: {1.5 * depth}em'>{html.escape(title)}<td>{number or ''}" for depth, title, number in rows
    )
    page.set_content(
        "<style>body { font: 11pt sans-serif } table { width: 100% } td:last-child { text-align: right }</style>"
        f"<h1>Learning to Team Up</h1><h2>Contents</h2><table>{lines}</table>"
    )
    return page.pdf(**PAPER)


def main() -> None:
    """Write the file."""
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if path is None:
        sys.exit("make pdf needs Chromium; install chromium (Debian, Ubuntu, Fedora) or Google Chrome, then run it again")
    book = entries(yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8")))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(color_scheme="light", viewport={"width": 658, "height": 980})  # A4 less its margins
        sheets = [printed(page, name) if name else (title, b"") for _, name, title in book]
        lengths = [len(PdfReader(io.BytesIO(sheet)).pages) if sheet else 0 for _, sheet in sheets]
        first, listed = 1, b""
        for _ in range(2):  # once to learn how long the list is
            starts = [first + sum(lengths[:k]) for k in range(len(book))]
            rows = [(depth, title, start if name else None) for (depth, name, _), (title, _), start in zip(book, sheets, starts)]
            listed = contents(page, rows)
            first = 1 + len(PdfReader(io.BytesIO(listed)).pages)
        browser.close()
    writer = PdfWriter()
    writer.append(io.BytesIO(listed))
    parents = {}
    for (depth, _, _), (title, sheet), start in zip(book, sheets, starts):
        if sheet:
            writer.append(io.BytesIO(sheet), import_outline=False)
        parents[depth] = writer.add_outline_item(title, min(start, sum(lengths) + first - 1) - 1, parents.get(depth - 1))
    writer.add_metadata({"/Title": "Learning to Team Up"})
    writer.write(TARGET)
    print(f"{TARGET.relative_to(ROOT)}: {len(writer.pages)} pages")


if __name__ == "__main__":
    main()
