"""Figures: they show what they are given, and refuse what they cannot show."""

import matplotlib
import numpy as np
import pytest

matplotlib.use("agg")
import matplotlib.pyplot as plt

from coalmarl import plotting
from coalmarl.games import TUGame, bankruptcy, glove
from coalmarl.solutions import excess

V = bankruptcy(200, [100, 200, 300])


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def contrast(colour: str, background: str) -> float:
    """The contrast ratio of WCAG 2."""

    def luminance(c: str) -> float:
        rgb = np.array(matplotlib.colors.to_rgb(c))
        linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    low, high = sorted([luminance(colour), luminance(background)])
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("page", ["white", "#14181e"])
def test_text_reads_on_both_pages(page):
    assert contrast(plotting.INK, page) > 3.9


def test_six_players_have_six_looks():
    looks = zip(plotting.COLOURS, plotting.MARKERS, map(str, plotting.LINES), strict=True)
    assert all(len(set(look)) == 6 for look in zip(*looks, strict=True))


def test_backgrounds_are_transparent_and_settings_are_left_alone():
    before = dict(matplotlib.rcParams)
    ax = plotting.new_axes(title="a", xlabel="b", ylabel="c")
    assert ax.figure.get_facecolor()[3] == 0 and ax.get_facecolor()[3] == 0
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize(
    "v, area",
    [
        (V, 0.75),  # the pair {2, 3} cuts off a triangle of half the height
        (glove([0], [1, 2]), 0.0),
        (TUGame([0, 0, 0, 0, 0, 0, 0, 1]), 1.0),
        (TUGame([0, 0, 0, 1, 0, 1, 1, 1]), 0.0),
    ],
)
def test_core_polygon_has_the_share_of_the_triangle_that_no_pair_cuts_off(v, area):
    alone, surplus = v.values[[1, 2, 4]], v.values[7] - v.values[[1, 2, 4]].sum()
    most = (v.values[7] - v.values[[6, 5, 3]] - alone) / surplus
    x, y = plotting._core_polygon(most)[:, :2].T
    shoelace = abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))
    assert shoelace == pytest.approx(area)


def test_the_triangle_puts_every_allocation_where_it_belongs():
    ax = plotting.core_triangle(V, {"all to 3": [0, 0, 200], "equal": [200 / 3] * 3})
    top, middle = [line.get_xydata()[0] for line in ax.lines]
    assert top == pytest.approx([0.5, 0.75**0.5]) and middle == pytest.approx([0.5, 0.75**0.5 / 3])


def test_the_lattice_names_each_coalition_with_its_excess():
    x = [50, 50, 100]
    texts = [text.get_text().replace("−", "-") for text in plotting.excess_lattice(V, x).texts]
    assert [float(text.split("\n")[1]) for text in texts] == excess(V, x).tolist()
    assert texts[5].startswith("{1, 3}")


def test_labels_of_lines_that_meet_keep_apart():
    ax = plotting.player_lines([0, 1], [[0, 10], [5, 5.1]])
    heights = [text.xy[1] for text in ax.texts]
    assert heights[0] == 5 and heights[1] - heights[0] >= 0.6 - 1e-9


@pytest.mark.parametrize("log", ["", "y", "xy"])
def test_curves_are_named_at_their_ends_and_bands_hold_the_mean(log):
    runs = np.array([[1.0, 2, 4], [3, 2, 4.2], [2, 5, 3.8]])
    ax = plotting.curves([1, 10, 100], {"one": [4, 4, 4.01], "three runs": runs}, log=log)
    assert ax.lines[1].get_ydata().tolist() == pytest.approx(runs.mean(axis=0).tolist())
    (band,) = ax.collections
    inside = band.get_paths()[0].vertices[:, 1]
    reach = 4.303 * runs.std(axis=0, ddof=1) / 3**0.5  # Student's quantile with two degrees of freedom
    assert inside.max() == pytest.approx((runs.mean(axis=0) + reach).max(), rel=1e-4)
    assert (ax.get_xscale(), ax.get_yscale()) == tuple("log" if a in log else "linear" for a in "xy")
    low, high = ax.transData.transform([text.xy for text in ax.texts])[:, 1]
    assert abs(high - low) > 8  # pixels


@pytest.mark.parametrize(
    "draw, message",
    [
        (lambda: plotting.core_triangle(glove([0], [1])), "3 players"),
        (lambda: plotting.core_triangle(TUGame([0, 1, 1, 2, 1, 2, 2, 3])), "surplus"),
        (lambda: plotting.core_triangle(V, {"short": [1, 2]}), "3 numbers in allocation 'short'"),
        (lambda: plotting.core_triangle(V, {str(k): [1, 2, 3] for k in range(7)}), "at most 6"),
        (lambda: plotting.excess_lattice(glove([0, 1, 2], [3, 4, 5]), [0] * 6), "at most 5"),
        (lambda: plotting.excess_lattice(V, [1, 2]), "3 players"),
        (lambda: plotting.player_lines([1], np.zeros((1, 7))), "at most 6"),
        (lambda: plotting.player_lines([1, 2], [[1, 2]]), "2 values"),
        (lambda: plotting.player_lines([], np.zeros((0, 2))), "at least one"),
        (lambda: plotting.curves([1, 2], {"short": [1]}), "2 numbers in curve 'short'"),
        (lambda: plotting.curves([1], {str(k): [1] for k in range(7)}), "at most 6"),
        (lambda: plotting.curves([1], {}), "at least one curve"),
        (lambda: plotting.compare_allocations({"a": [1]}, ["x", "y"]), "2 numbers"),
        (lambda: plotting.compare_allocations({}, ["x"]), "none"),
    ],
)
def test_what_cannot_be_shown_is_refused_before_anything_is_drawn(draw, message):
    with pytest.raises(ValueError, match=f"expected.*{message}"):
        draw()
    assert not plt.get_fignums()
