"""The built site, looked at with a browser: nothing leaves it, nothing is broken, everything can be read.

The tests read ``_build/html`` (``make book``) and drive an installed Chromium. Without a built site, or
without a Chromium, they are skipped and say so.
"""

import functools
import http.server
import re
import runpy
import shutil
import threading
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
import torch
import yaml
from playwright.sync_api import Browser, Page, Playwright, Route, sync_playwright

from coalmarl.games import TUGame
from coalmarl.solutions import core_is_empty, nucleolus, shapley

ROOT = Path(__file__).parents[1]
HTML = ROOT / "_build" / "html"
EXPLORABLES = runpy.run_path(str(ROOT / "book" / "explorables.py"))
TITLE = yaml.safe_load((ROOT / "_config.yml").read_text())["title"]
CHROMIUMS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = "--no-sandbox --disable-gpu --disable-background-networking --disable-component-update --disable-sync --no-first-run"
CHAPTER = "book/01_characteristic_functions"
# What a page shows when a directive, a role or a formula was not understood.
LEFTOVERS = re.compile(
    r":::|```|\{[a-z:+-]+\}`|^:[a-z-]+:(?: |$)|\$[^$\n]+\$|\\[a-z]+\{|\[\?+\]|Unknown (?:directive|role|interpreted|target)", re.MULTILINE
)


def toc_pages(entry: dict) -> list[str]:
    """All documents below one entry of ``_toc.yml``, in reading order."""
    below = [part for key in ("parts", "chapters", "sections") for part in entry.get(key, [])]
    own = [entry[key] for key in ("root", "file") if key in entry]
    return own + [page for part in below for page in toc_pages(part)]


PAGES = toc_pages(yaml.safe_load((ROOT / "_toc.yml").read_text()))


class Links(HTMLParser):
    """The anchors of one page (`ids`) and what its links, scripts, styles and images name (`targets`)."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.targets: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id" and value:
                self.ids.add(value)
            if name in ("href", "src") and value:
                self.targets.append(value)


@functools.cache
def links(file: Path) -> Links:
    """The parsed page, once."""
    return Links(file.read_text())


@pytest.fixture(scope="module")
def html() -> Path:
    """The built site."""
    if not (HTML / "index.html").exists():
        pytest.skip("there is no built site: run `make book` first")
    return HTML


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A headless Chromium of this machine."""
    path = next(filter(None, map(shutil.which, CHROMIUMS)), None)
    if path is None:
        pytest.skip(f"no Chromium on this machine (looked for {', '.join(CHROMIUMS)}): the site is not checked")
    with sync_playwright() as playwright:
        chromium = launch(playwright, path)
        yield chromium
        chromium.close()


def launch(playwright: Playwright, path: str) -> Browser:
    """Start the browser that lies at `path`."""
    return playwright.chromium.launch(executable_path=path, args=FLAGS.split())


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    """A file server that keeps its log to itself."""

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def address(html: Path) -> Iterator[str]:
    """The site, served on a free port of this machine."""
    handler = functools.partial(QuietHandler, directory=html)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


class Visit:
    """One page in the browser, with all it asked for and complained about."""

    def __init__(self, browser: Browser, address: str) -> None:
        self.page: Page = browser.new_page(viewport={"width": 1280, "height": 900}, color_scheme="light")
        self.address = address
        self.outside: list[str] = []
        self.complaints: list[str] = []
        self.page.route("**/*", self.gate)
        self.page.on("console", lambda message: message.type == "error" and self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("requestfailed", lambda request: self.complaints.append(f"failed: {request.url}"))
        self.page.on("response", lambda answer: answer.ok or self.complaints.append(f"{answer.status}: {answer.url}"))

    def gate(self, route: Route) -> None:
        """Let requests to the site pass; write down and stop all others."""
        if route.request.url.startswith((self.address, "file:", "data:", "blob:")):
            route.continue_()
        else:
            self.outside.append(route.request.url)
            route.abort()

    def go(self, path: str) -> "Visit":
        """Open a page and wait until it is typeset."""
        self.docname = path.removesuffix(".html")
        self.page.goto(path if "://" in path else self.address + path)
        self.page.evaluate("async () => { await window.MathJax?.startup?.promise?.catch(() => {}); await document.fonts.ready }")
        return self


@pytest.fixture(scope="module", params=PAGES)
def visit(request: pytest.FixtureRequest, browser: Browser, address: str) -> Iterator[Visit]:
    """Each page of the book in turn."""
    visit = Visit(browser, address).go(request.param + ".html")
    yield visit
    visit.page.close()


@pytest.fixture
def fresh(browser: Browser, address: str) -> Iterator[Visit]:
    """A browser page that has not been anywhere."""
    visit = Visit(browser, address)
    yield visit
    visit.page.close()


def test_nothing_leaves_the_site_and_nothing_fails(visit: Visit) -> None:
    assert visit.outside == []
    assert visit.complaints == []


def test_the_page_has_one_heading_and_its_title(visit: Visit) -> None:
    headings = visit.page.locator("h1:visible").all_inner_texts()
    assert len(headings) == 1
    heading = headings[0].removesuffix("#").strip()
    assert visit.page.title() == f"{heading} \N{EM DASH} {TITLE}"


def test_maths_is_typeset(visit: Visit) -> None:
    source = next(ROOT.glob(visit.docname + ".*")).read_text()
    formulas = visit.page.locator(".math")
    typeset = visit.page.locator(".math mjx-container")
    assert typeset.count() == formulas.count()
    assert formulas.count() > 0 or not re.search(r"\$[^$\n]+\$|\{math\}", re.sub(r"`[^`\n]*`|\"data\".*", "", source))
    wrong = visit.page.locator("mjx-container :is([data-mml-node=merror], [fill=red], merror, [mathcolor=red])")
    assert wrong.count() == 0, wrong.first.evaluate("node => node.closest('.math').outerHTML.slice(0, 400)")


def test_no_markup_is_left_over(visit: Visit) -> None:
    text = visit.page.evaluate(
        """() => {
          const copy = document.querySelector('.bd-article').cloneNode(true)
          copy.querySelectorAll('pre, code, script, mjx-container').forEach(node => node.remove())
          return copy.textContent
        }"""
    )
    assert LEFTOVERS.findall(text) == []
    assert visit.page.locator(".problematic, .system-message").count() == 0


def test_images_are_shown_and_described(visit: Visit) -> None:
    images = visit.page.evaluate(
        """() => [...document.images].map(image => ({
          source: image.getAttribute('src'), alt: image.alt.trim(), loaded: image.complete && image.naturalWidth > 0 }))"""
    )
    assert images, "not even the logo"
    assert [image for image in images if not image["loaded"]] == []
    # without a description the converter writes the file's name
    assert [image for image in images if not image["alt"] or re.search(r"\.(png|svg|gif|webp)$", image["alt"])] == []


def test_our_fonts_are_used(visit: Visit) -> None:
    loaded = visit.page.evaluate("() => [...document.fonts].filter(font => font.status == 'loaded').map(font => font.family)")
    assert {"Inter", "Source Serif 4"} <= {family.strip('"') for family in loaded}


# Every visible piece of text with less than the wanted contrast to what is painted behind it.
FAINT = """wanted => {
  const parse = colour => { const c = colour.match(/[\\d.]+/g).map(Number); return c.length < 4 ? [...c, 1] : c }
  const over = ([r, g, b, a], below) => [r, g, b].map((c, i) => a * c + (1 - a) * below[i])
  const ground = node => {
    if (!node) return [255, 255, 255]
    const paint = parse(getComputedStyle(node).backgroundColor)
    return paint[3] == 1 ? paint.slice(0, 3) : over(paint, ground(node.parentElement))
  }
  const light = colour => colour.map(c => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0)
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
  const faint = []
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement
    if (!walker.currentNode.data.trim() || node.closest('svg, script, style, noscript, mjx-assistive-mml')) continue
    if (!node.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue
    const below = ground(node)
    const [a, b] = [light(over(parse(getComputedStyle(node).color), below)), light(below)].sort((x, y) => y - x)
    const contrast = (a + 0.05) / (b + 0.05)
    if (contrast < wanted) faint.push(`${contrast.toFixed(2)} ${node.tagName}.${node.className}: ${walker.currentNode.data.trim().slice(0, 40)}`)
  }
  return faint
}"""


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_and_links_can_be_read(visit: Visit, theme: str) -> None:
    visit.page.add_style_tag(content="* { transition: none !important }")
    visit.page.evaluate("theme => { document.documentElement.dataset.theme = theme }", theme)
    ground = visit.page.evaluate("() => getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", ground)[:3])) > 384) == (theme == "light")
    assert visit.page.evaluate(FAINT, 4.5) == []


# What axe-core (tests/axe, with its licence) finds, short: its name and the first element.
AXE = """async () => (await axe.run(document)).violations
  .filter(found => ["serious", "critical"].includes(found.impact) || found.id == "heading-order")
  .map(found => `${found.id}: ${found.nodes[0].html.slice(0, 200)}`)"""


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_assistive_technology_finds_its_way(visit: Visit, theme: str) -> None:
    visit.page.add_style_tag(content="* { transition: none !important }")
    visit.page.evaluate("theme => { document.documentElement.dataset.theme = theme }", theme)
    visit.page.add_script_tag(path=ROOT / "tests" / "axe" / "axe.min.js")
    assert visit.page.evaluate(AXE) == []


def test_figures_have_one_number_in_both_themes(visit: Visit) -> None:
    captions = []
    for theme in ("light", "dark"):
        visit.page.evaluate("theme => { document.documentElement.dataset.theme = theme }", theme)
        captions.append(visit.page.locator("figcaption:visible").all_inner_texts())
    # a pair is an only-dark image followed by an only-light figure; two figures would count twice
    assert captions[0] == captions[1]


@pytest.mark.parametrize("width", [360, 1280])
def test_the_page_never_scrolls_sideways(visit: Visit, width: int) -> None:
    visit.page.set_viewport_size({"width": width, "height": 800})
    assert visit.page.evaluate("() => document.documentElement.scrollWidth") <= width


def test_no_line_begins_with_the_mark_after_a_formula(visit: Visit) -> None:
    visit.page.set_viewport_size({"width": 360, "height": 800})
    torn = visit.page.locator("span.math").evaluate_all(
        """formulas => formulas.filter(formula => {
          if (!/^[.,;:)]/.test(formula.nextSibling?.data ?? '') || !formula.checkVisibility()) return false
          const mark = document.createRange()
          mark.setStart(formula.nextSibling, 0)
          mark.setEnd(formula.nextSibling, 1)
          return mark.getBoundingClientRect().left < formula.getBoundingClientRect().right - 2
        }).map(formula => formula.parentElement.closest('p, li, td, section').textContent)"""
    )
    assert torn == []


def test_solutions_open_on_a_click(fresh: Visit) -> None:
    for docname in PAGES:
        page = fresh.go(docname + ".html").page
        assert page.locator(".solution:not(.dropdown), .tag_solution:not(:has(details)) .cell_input").count() == 0
        for box in page.locator(".solution").all():
            body = box.locator("#solution-content")
            assert body.is_hidden()
            box.locator(".toggle-button").click()
            assert body.is_visible()
        for box in page.locator(".tag_solution").all():
            body = box.locator(".cell_input")
            assert body.is_hidden()
            box.locator("summary").click()
            assert body.is_visible()
    assert fresh.go(CHAPTER + ".html").page.locator(".solution").count() > 0


STOP = """() => {
    const here = document.activeElement, ring = here.matches("nav summary") ? here.firstElementChild : here;
    const { outlineStyle, outlineWidth, boxShadow, stroke } = getComputedStyle(ring), box = ring.getBoundingClientRect();
    const ringed = outlineStyle != "none" && outlineWidth != "0px" || boxShadow != "none" || stroke != "none";
    return here == document.body ? null : [here.outerHTML.slice(0, 80), ringed && box.width > 1 && box.height > 1];
}"""


def test_the_keyboard_reaches_everything_and_shows_where_it_is(visit: Visit) -> None:
    page = visit.page
    page.reload()
    page.evaluate("() => { window.reached = new Set(); document.addEventListener('focusin', event => reached.add(event.target)); }")
    stops = []
    while not stops or stops[-1] is not None:
        page.keyboard.press("Tab")
        stops.append(page.evaluate(STOP))
        assert len(stops) < 2000
    assert "Skip to main content" in stops[0][0]
    assert [stop for stop, ringed in stops[:-1] if not ringed] == []
    missed = """() => [...document.querySelectorAll(".bd-article :is(a[href], button, summary, input)")].filter(
        node => node.checkVisibility({ visibilityProperty: true }) && !reached.has(node)).map(node => node.outerHTML.slice(0, 80))"""
    assert page.evaluate(missed) == []


def test_the_theme_button_works(fresh: Visit) -> None:
    page = fresh.go(CHAPTER + ".html").page
    seen = set()
    for _ in range(3):  # it goes round light, dark and what the system prefers
        page.locator(".theme-switch-button:visible").click()
        seen.add(page.evaluate("() => document.documentElement.dataset.theme"))
    assert seen == {"light", "dark"}


@pytest.mark.parametrize("place", ["served", "from the disk"])
def test_search_finds_the_chapter(fresh: Visit, html: Path, place: str) -> None:
    start = "search.html" if place == "served" else (html / "search.html").as_uri()
    page = fresh.go(start + "?q=nucleolus").page
    page.wait_for_function("() => document.querySelector('.search-summary')?.textContent.includes('finished')")
    found = page.locator("#search-results ul.search a").evaluate_all("nodes => nodes.map(node => node.href)")
    assert any(CHAPTER in link for link in found)
    assert fresh.outside == []


def test_the_root_leads_to_the_first_page(fresh: Visit) -> None:
    fresh.page.goto(fresh.address)
    fresh.page.wait_for_url(f"**/{PAGES[0]}.html")


def test_links_lead_somewhere(html: Path) -> None:
    broken = []
    for docname in PAGES:
        here = html / f"{docname}.html"
        for target in links(here).targets:
            url = urlsplit(target)
            if url.scheme or url.netloc or target == "#":
                continue
            there = (here.parent / unquote(url.path)).resolve() if url.path else here
            if not there.exists() or (url.fragment and unquote(url.fragment) not in links(there).ids):
                broken.append(f"{docname}: {target}")
    assert broken == []


def test_labs_open_on_binder_and_nowhere_else(html: Path) -> None:
    for docname in [page for page in PAGES if (ROOT / f"{page}.ipynb").exists()]:
        targets = links(html / f"{docname}.html").targets
        launch = [target for target in targets if "urlpath=" in target or "colab" in target]
        assert len(launch) == 1 and launch[0].startswith("https://mybinder.org/v2/")
        assert launch[0].endswith(f"urlpath=lab/tree/{docname}.ipynb")


def test_the_triangle_computes_what_the_package_computes(fresh: Visit) -> None:
    page = fresh.go(CHAPTER + ".html").page
    pairs = np.random.default_rng(0).integers(0, 31, (300, 3)) / 2
    asked = "pairs => pairs.map(pairs => ['shapley', 'nucleolus', 'coreIsEmpty'].map(name => explorables[name]({ total: 12, pairs })))"
    for (v12, v13, v23), (fair, calm, empty) in zip(pairs, page.evaluate(asked, pairs.tolist()), strict=True):
        v = TUGame([0, 0, 0, v12, 0, v13, v23, 12])
        assert np.allclose(fair, shapley(v)) and np.allclose(calm, nucleolus(v), atol=1e-6) and empty == core_is_empty(v)


def test_the_triangle_follows_the_keyboard(fresh: Visit) -> None:
    page = fresh.go(CHAPTER + ".html").page
    words, sliders, handle = (page.locator(f"figure.explorable {part}") for part in (".words", "input", ".mine"))
    assert "not empty. Shapley value (disc): 5.5, 4 and 2.5. Nucleolus (diamond): 6.75, 3.75 and 1.5." in words.inner_text()
    sliders.nth(2).focus()
    for _ in range(18):
        page.keyboard.press("ArrowRight")
    v = TUGame([0, 0, 0, 9, 0, 6, 12, 12])
    wanted = "Shapley value (disc): {:g}, {:g} and {:g}. Nucleolus (diamond): {:g}, {:g} and {:g}.".format(*shapley(v), *nucleolus(v))
    assert "core is empty. " + wanted in words.inner_text()
    handle.focus()
    for _ in range(9):
        page.keyboard.press("ArrowUp")
    assert "Your split: 1.75, 1.75 and 8.5; {1, 2} and {2, 3} would rather leave." in words.inner_text()
    assert handle.get_attribute("aria-valuetext") == "1.75, 1.75 and 8.5"


def test_the_phase_diagram_shows_what_the_model_learned(fresh: Visit) -> None:
    page = fresh.go("book/10_social_preferences.html").page
    phase = page.evaluate("PHASE")
    levels = torch.tensor(phase["levels"], dtype=torch.float64)
    some = torch.tensor([[1, 8], [5, 5], [8, 1]])  # three squares of the map, learned again
    helped, habits = EXPLORABLES["known_loners"](levels[some[:, 0]], levels[some[:, 1]])
    for (i, j), share, habit in zip(some.tolist(), helped, habits, strict=True):
        assert abs(phase["helped"][i][j] - float(share)) < 0.02
        assert np.allclose(phase["habits"][i][j], habit, atol=0.02)
    words, sliders = page.locator("figure.explorable .words"), page.locator("figure.explorable input")
    sliders.nth(0).focus()
    for _ in range(9):
        page.keyboard.press("ArrowRight")
    assert words.inner_text().startswith(f"They help each other in {round(100 * phase['helped'][9][5])} % of the rounds.")
