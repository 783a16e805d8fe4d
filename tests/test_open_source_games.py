"""Programs that read each other: modal agents by definition, simulation by exact chances, strangers by malice."""

import random
import re
import subprocess
import sys
import threading
import tracemalloc
import warnings
from dataclasses import FrozenInstanceError
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import Phase, assume, given, settings
from hypothesis import strategies as st

import hostile_programs
from clock import timed
from coalmarl import interpreter, programs
from coalmarl.interpreter import Forfeit, parse_program
from coalmarl.programs import (
    EXAMPLES,
    I_COOPERATE,
    MODAL_AGENTS,
    THEY_COOPERATE,
    TRUE,
    Formula,
    Grounded,
    Outcome,
    best_deviation,
    clique_bot,
    grounded_move,
    learn_similarity,
    modal_outcome,
    modal_tournament,
    modal_trace,
    move_table,
    normalised,
    provable,
    read_programs,
    replicate,
    run_program,
    run_tournament,
    strict_equilibria,
    they_cooperate_with,
    threshold_chances,
)
from hostile_programs import HOSTILE, play

ROOT = Path(__file__).resolve().parents[1]

# --- modal agents -----------------------------------------------------------------------------------------------

TABLE = """
             CooperateBot DefectBot FairBot PrudentBot JustBot TrollBot CUPOD CIMCIC DIMCID
CooperateBot           CC        CD      CC         CD      CC       CC    CC     CC     CD
DefectBot              DC        DD      DD         DD      DD       DD    DD     DD     DD
FairBot                CC        DD      CC         CC      CC       DD    DC     CC     DD
PrudentBot             DC        DD      CC         CC      CC       DD    DC     CC     DD
JustBot                CC        DD      CC         CC      CC       DD    DC     CC     DD
TrollBot               CC        DD      DD         DD      DD       DD    DC     DD     DD
CUPOD                  CC        DD      CD         CD      CD       CD    DD     CD     DD
CIMCIC                 CC        DD      CC         CC      CC       DD    DC     CC     DD
DIMCID                 DC        DD      DD         DD      DD       DD    DD     DD     DD
WaitFairBot            CC        DD      CC         DD      CC       DD    CC     CC     DD
"""
NAIVE = provable(THEY_COOPERATE) & provable(~they_cooperate_with("DefectBot"))


def cells():
    header, *rows = (line.split() for line in TABLE.strip().splitlines())
    return [(row[0], column, move) for row in rows for column, move in zip(header, row[1:])]


def box_depth(f):
    """How many proofs of proofs a sentence speaks of, an agent it names included."""
    return (f.kind == "provable") + max(map(box_depth, f.parts), default=0)


def moves_by_definition(a, b, worlds):
    """Both moves in each world of a linear frame: provable means true in every world before."""

    @cache
    def moves(mover, other, n):
        return holds(mover, mover, other, n)

    @cache
    def holds(f, me, them, n):
        return {
            "true": lambda: True,
            "I cooperate": lambda: moves(me, them, n),
            "they cooperate": lambda: moves(them, me, n),
            "they cooperate with": lambda: moves(them, f.parts[0], n),
            "not": lambda: not holds(f.parts[0], me, them, n),
            "and": lambda: holds(f.parts[0], me, them, n) and holds(f.parts[1], me, them, n),
            "provable": lambda: all(holds(f.parts[0], me, them, m) for m in range(n)),
        }[f.kind]()

    return ["DC"[moves(a, b, n)] + "DC"[moves(b, a, n)] for n in range(worlds)]


INSIDE = st.recursive(
    st.sampled_from([TRUE, I_COOPERATE, THEY_COOPERATE, *map(they_cooperate_with, ["DefectBot", "FairBot", "PrudentBot", "CUPOD"])]),
    lambda f: st.one_of(
        f.map(lambda p: ~p), f.map(provable), st.builds(Formula.__and__, f, f), st.builds(Formula.__rshift__, f, f)
    ),
    max_leaves=5,
)
AGENTS = st.recursive(
    st.one_of(INSIDE.map(provable), st.sampled_from(list(MODAL_AGENTS.values()))),
    lambda f: st.one_of(f.map(lambda p: ~p), st.builds(Formula.__and__, f, f)),
    max_leaves=3,
)


@pytest.mark.parametrize(("row", "column", "moves"), cells())
def test_every_cell_of_the_table(row, column, moves):
    assert "".join(modal_outcome(row, column)) == moves
    assert "".join(modal_outcome(column, row)) == moves[::-1]


def test_the_table_is_whole():
    assert len(cells()) == 81 + 9
    assert modal_outcome("WaitFairBot", "WaitFairBot") == ("C", "C")


def test_prudence_needs_the_stronger_proof_system():
    assert modal_outcome("PrudentBot", "PrudentBot") == modal_outcome("PrudentBot", "FairBot") == ("C", "C")
    assert modal_outcome(NAIVE, NAIVE) == modal_outcome(NAIVE, "FairBot") == ("D", "D")


def test_dupoc_is_fairbot_whoever_asks():
    for name in MODAL_AGENTS:
        assert modal_outcome("DUPOC", name) == modal_outcome("FairBot", name)
        assert modal_outcome(name, "DUPOC") == modal_outcome(name, "FairBot")


@settings(max_examples=200)
@given(AGENTS, AGENTS)
def test_traces_are_those_of_the_definition_and_stay(a, b):
    trace = ["".join(moves) for moves in modal_trace(a, b)]
    assume(len(trace) < 12)
    by_definition = moves_by_definition(a, b, 16)
    assert trace == by_definition[: len(trace)]
    assert set(by_definition[len(trace) :]) <= {trace[-1]}


@given(AGENTS, INSIDE)
def test_loeb(opponent, p):
    """A proof that a proof of p would make p true is as good as a proof of p."""
    plain, loeb = provable(p), provable(provable(p) >> p)
    assert modal_outcome(plain & ~loeb, opponent)[0] == modal_outcome(~plain & loeb, opponent)[0] == "D"


def test_no_proof_of_consistency():
    """Goedel's second theorem, as an agent: it would cooperate if consistency were provable."""
    assert modal_outcome(provable(~provable(~TRUE)), "CooperateBot") == ("D", "C")


@pytest.mark.parametrize("level", [0, 1, 2, 5, 20])
def test_a_trace_is_as_long_as_it_has_to_be(level):
    patient = provable(THEY_COOPERATE, level=level)
    assert modal_outcome(patient, patient) == ("C", "C")
    assert len(modal_trace(patient, "DefectBot")) == level + 2
    assert modal_trace(patient, "DefectBot")[level] == ("C", "D")  # gives up only when it can
    assert modal_outcome(patient, "DefectBot") == ("D", "D")


def test_a_tournament_of_ten_takes_a_moment():
    ten = {name: MODAL_AGENTS[name] for name in list(MODAL_AGENTS)[:10]}
    moves, seconds = timed(modal_tournament, ten)
    assert seconds < 0.1
    assert len(moves) == 100 and modal_tournament() | moves == modal_tournament()


def test_agents_that_are_none_are_refused():
    with pytest.raises(ValueError, match="expected one of CooperateBot, DefectBot, FairBot.*got 'MagicBot'"):
        modal_outcome("MagicBot", "FairBot")
    with pytest.raises(TypeError, match="expected a Formula or a name, got 7"):
        modal_outcome(7, "FairBot")
    for loose in (THEY_COOPERATE, ~I_COOPERATE, provable(TRUE) & they_cooperate_with("FairBot")):
        with pytest.raises(ValueError, match="inside provable"):
            modal_outcome("FairBot", loose)
        with pytest.raises(ValueError, match="inside provable"):
            they_cooperate_with(loose)
    for level in (-1, 101, 0.5, None):
        with pytest.raises(ValueError, match="expected a level"):
            provable(TRUE, level=level)
    for wrong in (("or", (TRUE, TRUE)), ("not", ()), ("true", (TRUE,))):
        with pytest.raises(ValueError, match="that many parts"):
            Formula(*wrong)


def test_table_of_moves():
    assert move_table({}) == " "
    shown = move_table({(a, b): "C" for a in ("x\x1b[2J\n", "y" * 99) for b in ("x\x1b[2J\n", "y" * 99)})
    assert shown.isascii() and len(shown.splitlines()) == 3 and "\x1b" not in shown and "y" * 25 not in shown


# --- reading and asking -----------------------------------------------------------------------------------------


def test_clique_bot_forgives_layout_but_not_a_name():
    clique = EXAMPLES["CliqueBot"]
    laid_out = clique.replace("(me, opponent)", "( me,opponent )") + "\n\n# the same\n"
    renamed = clique.replace("opponent", "other")
    assert clique_bot(clique, clique, read=str) == clique_bot(clique, laid_out) == "C"
    assert clique_bot(clique, laid_out, read=str) == clique_bot(clique, renamed) == "D"
    assert clique_bot(clique, "import os") == clique_bot("import os", clique) == "D"
    assert run_program(clique, clique).action == "C" and run_program(clique, renamed).action == "D"
    assert normalised(normalised(laid_out)) == normalised(laid_out) == normalised(clique)


@pytest.mark.parametrize("wrap", ["(1 if 1 else {})", "-{}", "[{}]", "f({})", "me[{}]", "(1 and {})", "(1 < {})"])
def test_the_deepest_program_allowed_can_be_printed(wrap):
    text = "1"
    for _ in range(200):
        deeper = wrap.format(text)
        try:
            normalised(play(f"return {deeper}"))
        except Forfeit as reason:
            assert re.search("deeper|tokens", str(reason))
            return
        text = deeper
    pytest.fail("no limit met")


@pytest.mark.parametrize("epsilon", [0.01, 0.05, 0.1, 0.3])
def test_grounded_fairbot(epsilon):
    fair, defect, rng = Grounded(epsilon), Grounded(1, "D"), np.random.default_rng(0)
    games = 40_000 if epsilon == 0.01 else 20_000
    decisions = [grounded_move(fair, fair, seed=rng) for _ in range(games)]
    assert {move for move, _ in decisions} == {"C"}
    assert np.mean([calls for _, calls in decisions]) == pytest.approx(1 / epsilon, rel=0.05)
    against = [grounded_move(fair, defect, seed=rng)[0] == "C" for _ in range(20_000)]
    assert np.mean(against) == pytest.approx(epsilon, abs=0.01)


GROUNDED = st.builds(
    Grounded, st.floats(0.05, 1), st.sampled_from("CD"), st.sampled_from(["CC", "CD", "DC", "DD"])
)


@given(GROUNDED, GROUNDED)
def test_grounded_chances_are_what_the_draws_converge_to(me, them):
    def chance(mover, other, depth):
        """With a defection after so many calls."""
        if depth == 0:
            return 0.0
        theirs = chance(other, mover, depth - 1)
        asks = theirs * (mover.reply[0] == "C") + (1 - theirs) * (mover.reply[1] == "C")
        return mover.epsilon * (mover.base == "C") + (1 - mover.epsilon) * asks

    rng = np.random.default_rng(1)
    drawn = np.mean([grounded_move(me, them, seed=rng)[0] == "C" for _ in range(400)])
    assert drawn == pytest.approx(chance(me, them, 400), abs=0.13)  # five standard errors


def test_a_coin_that_is_hardly_ever_heads_needs_no_stack():
    assert grounded_move(Grounded(1e-5), Grounded(1e-5), seed=3)[1] > sys.getrecursionlimit()


def payoff_by_cases(x, epsilon, payoffs):
    """Of a program that cooperates with chance x, against the grounded FairBot, over the four cases."""
    y = epsilon + (1 - epsilon) * x
    chances = x * y, x * (1 - y), (1 - x) * y, (1 - x) * (1 - y)
    return sum(chance * payoff for chance, payoff in zip(chances, payoffs))


@given(st.floats(0.01, 1), st.tuples(*[st.integers(-5, 9).map(float)] * 4))
def test_the_best_deviation_is_the_best_on_a_fine_grid(epsilon, payoffs):
    x, payoff = best_deviation(epsilon, payoffs)
    assert payoff == pytest.approx(payoff_by_cases(x, epsilon, payoffs), abs=1e-9)
    grid = [payoff_by_cases(k / 500, epsilon, payoffs) for k in range(501)]
    assert max(grid) - 1e-9 <= payoff <= max(grid) + 1e-3


def test_fairbot_is_an_equilibrium_up_to_a_half_but_not_in_every_dilemma():
    for epsilon in np.linspace(0.01, 1, 100):
        assert (best_deviation(epsilon)[0] == 1) == (epsilon <= 0.5)
        assert (best_deviation(epsilon, (3, 0, 5, 1))[0] == 1) == (epsilon <= 1 / 3)
    always_defect = payoff_by_cases(0, 0.4, (3, 0, 5, 1))
    assert always_defect < 3 < best_deviation(0.4, (3, 0, 5, 1))[1]  # who defects now and then gains


def test_grounded_agents_that_are_none_are_refused():
    for epsilon in (0, -0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match=r"epsilon in \(0, 1\]"):
            Grounded(epsilon)
        with pytest.raises(ValueError, match=r"epsilon in \(0, 1\]"):
            best_deviation(epsilon)
    for moves in ({"base": "X"}, {"reply": "C"}):
        with pytest.raises(ValueError, match="expected moves"):
            Grounded(0.5, **moves)


# --- similarity -------------------------------------------------------------------------------------------------


def test_threshold_chances_are_those_of_drawn_noise():
    levels, noise = [0.0, 0.2, 0.5, 0.9], 0.6
    draws = (np.arange(100_000) + 0.5) / 100_000 * noise
    expected = [[np.mean(abs(a - b) + draws <= a) for b in levels] for a in levels]
    np.testing.assert_allclose(threshold_chances(levels, noise=noise), expected, atol=2e-5)
    with pytest.raises(ValueError, match="positive noise"):
        threshold_chances(levels, noise=0)


@pytest.mark.parametrize("noise", [0.3, 1.0])
def test_common_thresholds_are_equilibria_from_a_benefit_of_two(noise):
    levels = np.linspace(0, 1.2, 241)
    chances = threshold_chances(levels, noise=noise)
    inside = (levels > 0) & (levels <= noise)
    for benefit, everywhere in ((1.9, False), (2.0, True), (2.1, True), (5.0, True)):
        payoffs = benefit * chances.T - chances
        nash = payoffs.diagonal() >= payoffs.max(0) - 1e-12
        assert nash[0] and nash[inside].all() == everywhere
        assert not nash[(levels > noise + 0.01) & (levels <= 2 * noise)].any()  # cooperation for nothing


def test_strict_equilibria_on_the_grid():
    chances = threshold_chances(np.linspace(0, 1, 21), noise=1)
    counts = [len(strict_equilibria(b * chances.T - chances)) for b in (1.5, 2, 2.5, 3, 5, 10)]
    assert counts == [1, 1, 20, 20, 20, 20]
    assert strict_equilibria([[7]]) == [0] and strict_equilibria([[1, 0], [1, 1]]) == [1]


def test_success_breeds():
    rng = np.random.default_rng(0)
    payoffs, start = rng.normal(size=(4, 4)), rng.dirichlet(np.ones(4), (2, 3))
    one = replicate(payoffs, start, steps=1, rate=0.3)
    for k in np.ndindex(2, 3):
        grown = start[k] * np.exp(0.3 * payoffs @ start[k])
        np.testing.assert_allclose(one[k], grown / grown.sum(), rtol=1e-12)
    np.testing.assert_allclose(replicate(payoffs, start).sum(-1), 1)
    assert replicate([[1e6, 0], [0, 0]], [0.5, 0.5]).tolist() == [1, 0]  # no overflow
    for nobody in ([0, 0], [[0.5, 0.5], [0, 0]], [1.5, -0.5], [np.nan, 1]):
        with pytest.raises(ValueError, match="expected shares of at least 0, some above"):
            replicate(np.eye(2), nobody)


def test_random_starts_hardly_find_the_cooperative_equilibria():
    chances = threshold_chances(np.linspace(0, 1, 21), noise=1)
    starts = np.random.default_rng(0).dirichlet(np.ones(21), 200)
    found = []
    for benefit in (1.5, 2.5, 5, 10):
        x = replicate(benefit * chances.T - chances, starts)
        found.append(np.einsum("ki,ij,kj->k", x, chances, x))
    assert np.mean(found, axis=1) == pytest.approx([0.05, 0.25, 0.52, 0.61], abs=0.03)
    assert np.mean(np.array(found) > 0.9) < 0.02


@pytest.mark.parametrize("noise", [0.05, 0.3, 0.7])
def test_gradients_of_the_learners(noise):
    rng = np.random.default_rng(0)
    world = programs._Similarity(4.0, noise)
    p, q = rng.uniform(0.1, 0.9, (2, 5, 25))

    def payoff(p, q):
        return 4.0 * world.response(q, p)[0] - world.response(p, q)[0]

    def slope(f):
        steps = 1e-6 * np.eye(25)
        return np.array([(f(p + step) - f(p - step)) / 2e-6 for step in steps]).T

    np.testing.assert_allclose(world.gradient(p, q), slope(lambda p: payoff(p, q)), atol=1e-7)
    np.testing.assert_allclose(world.lesson(p, q), slope(lambda p: payoff(p, p) + payoff(p, q)), atol=1e-7)


def test_policies_respond_as_their_definition_says():
    rng = np.random.default_rng(0)
    p, q = rng.uniform(0, 1, (2, 4, 25))
    chance = programs._Similarity(3.0, 0.4).response(p, q)[0]
    seen = np.abs(p - q).mean(1)[:, None] + 0.4 * (np.arange(12) + 0.5) / 12
    expected = [np.interp(x, np.linspace(0, 0.5, 25), row).mean() for x, row in zip(seen, p)]
    np.testing.assert_allclose(chance, expected, rtol=1e-12)


def test_lessons_help_for_a_while():
    lucky, taught = (learn_similarity(benefit=5, noise=0.3, pretrained=p, seed=0) for p in (False, True))
    assert lucky.shape == taught.shape == (61, 64)
    assert taught[-1].mean() - lucky[-1].mean() >= 0.3 and lucky[-1].mean() < 0.2
    assert taught[60].mean() < taught[10].mean() - 0.2  # it does not last


@pytest.mark.long
@pytest.mark.parametrize("seed", range(5))
def test_what_the_lessons_taught_is_lost(seed):
    taught = learn_similarity(benefit=5, noise=0.3, pretrained=True, seed=seed, rounds=480).mean(1)
    assert taught[60] > 0.45 and taught[480] < 0.25


# --- the interpreter: what it can do ----------------------------------------------------------------------------

EXPRESSIONS = [  # what Python makes of them stands beside them
    ("1 + 2 * 3", 1 + 2 * 3),
    ("(1 + 2) * 3 - 4", (1 + 2) * 3 - 4),
    ("7 // -2 + 7 % -2", 7 // -2 + 7 % -2),
    ("7 / 2", 7 / 2),
    ("-7.5 % 2", -7.5 % 2),
    ("- - 3 + + 4", --3 + +4),
    ("True + True", True + True),
    ("'a' + 'bc'", "a" + "bc"),
    ("'ab' 'c'", "abc"),
    ("[1, 'b'] + [None]", [1, "b"] + [None]),
    ("'abc'[1] + 'abc'[-1]", "abc"[1] + "abc"[-1]),
    ("'abcdef'[1:-1:2]", "abcdef"[1:-1:2]),
    ("'abcdef'[::-1]", "abcdef"[::-1]),
    ("[1, 2, 3][5:]", [1, 2, 3][5:]),
    ("[1, 2, 3][:2]", [1, 2, 3][:2]),
    ("'b' in 'abc' and 2 not in [1]", "b" in "abc" and 2 not in [1]),
    ("0 or '' or 'x'", 0 or "" or "x"),
    ("1 and 0 and 2", 1 and 0 and 2),
    ("0 or [] or 0.0", 0 or [] or 0.0),
    ("not [] and not ''", not [] and not ""),
    ("1 < 2 < 3 != 4 >= 4 > 3 <= 3", 1 < 2 < 3 != 4 >= 4 > 3 <= 3),
    ("1 < 0 < no_such_name", False),
    ("0 and no_such_name", 0),
    ("1 if 1 else no_such_name", 1),
    ("'b' > 'a' and [1, 2] < [1, 3]", True),
    ("1 == 1.0 and 'a' != 1", True),
    ("range(3)", list(range(3))),
    ("range(5, 1, -2)", list(range(5, 1, -2))),
    ("len('abc') + len([1, 2]) + len(range(9))", 14),
    ("max([3, 1]) + min(4, 2) + abs(-5)", 10),
    ("max('hello')", "o"),
    ("1e999 > 1.5e308", True),
    ("None == None", True),
]


@pytest.mark.parametrize(("text", "value"), EXPRESSIONS)
def test_expressions_mean_what_they_mean_in_python(text, value):
    machine = interpreter._Machine(10_000, np.random.default_rng(0))
    machine.functions = parse_program(f"def value(): return {text}")
    found = machine.run(machine.call(machine.functions["value"], []))
    assert found == value and type(found) is type(value)


STATEMENTS = {  # programs that print nothing else in Python: each returns "C" if it went as it should
    "assign": ["x = y = 2", "x += 1", "y -= x", "return 'C' if [x, y] == [3, -1] else 'D'"],
    "own text": ["return 'C' if 'own text' in me else 'D'  # own text"],
    "text first": ["'A text that says what this does.'", "return 'C'"],
    "if": ["if 0: return 'D'", "elif '': return 'D'", "else: return 'C'"],
    "while": ["n = 0", "while n < 5:", "    n += 1", "    if n == 3: break", "else: return 'D'", "return 'C' if n == 3 else 'D'"],
    "while else": ["n = 0", "while n < 5: n += 1", "else: return 'C'", "return 'D'"],
    "for": ["t = ''", "for c in 'abc':", "    if c == 'b': continue", "    t += c", "return 'C' if t == 'ac' else 'D'"],
    "for else": ["for x in []: return 'D'", "else:", "    pass", "return 'C'"],
    "nested loops": ["n = 0", "for i in range(3):", "    for j in range(9):", "        if j == 2: break", "        n += 1",
                     "return 'C' if n == 6 else 'D'"],
    "return from loops": ["for i in range(3):", "    while 1:", "        if i == 0: return 'C'", "return 'D'"],
    "break in an else": ["for i in range(3):", "    for j in []: pass", "    else: break", "return 'C' if i == 0 else 'D'"],
    "loop variable stays": ["for i in range(3): pass", "return 'C' if i == 2 else 'D'"],
    "lists do not change": ["xs = [1]", "ys = xs", "ys += [2]", "return 'C' if xs == [1] else 'D'"],
    "opponent": ["return 'C' if opponent == 'their text' else 'D'"],
    "simulate": ["return simulate('def play(me, opponent): return opponent', 'C')"],
    "who is who": ["t = 'def play(me, opponent): return \"C\" if opponent == \"x\" and me != opponent else \"D\"'",
                   "return simulate(t, 'x')"],
    "chance": ["xs = [random(), random()]", "return 'C' if 0 <= xs[0] < 1 and xs[0] != xs[1] else 'D'"],
}  # fmt: skip


@pytest.mark.parametrize("name", STATEMENTS)
def test_statements(name):
    outcome = run_program(play(*STATEMENTS[name]), "their text")
    assert outcome.action == "C" and outcome.forfeit is None


def test_functions_have_their_own_variables():
    functions = "def f(x):\n    y = x + 1\n    return g(y) + y\ndef g(x):\n    y = 10 * x\n    return y\ndef none(): pass\n"
    program = functions + play("x = y = 5", "z = f(1)", "return 'C' if [x, y, z, none()] == [5, 5, 22, None] else 'D'")
    assert run_program(program, "").action == "C"


def test_a_simulated_program_sees_its_own_functions_only():
    inner = "def play(me, opponent): return other()"
    outer = "def other(): return 'C'\n" + play(f"return simulate({inner!r}, me)")
    assert run_program(outer, "").forfeit.startswith("in a simulation, line 1: there is no function other")
    outer = "def simulate(a, b): return 'C'\n" + play("return simulate(me, me)")
    assert run_program(outer, "").action == "C"  # a function of one's own comes first, as in Python


def test_after_a_simulation_a_program_is_itself_again():
    other = "def f(): return 'D'\ndef play(x, y): return f()"
    program = "def f(): return 'C'\n" + play("x = 1", f"y = simulate({other!r}, me)", "return f() if x == 1 and y == 'D' else 'D'")
    assert run_program(program, "").action == "C"


def test_lines_of_forfeits_are_where_they_happen():
    split = play("x = 1", "y = (simulate(opponent, me)", "     + 1)", "return x")
    assert run_program(split, EXAMPLES["DefectBot"]).forfeit.startswith("line 3: TypeError")
    assert run_program(play("return 1 // 0"), "").forfeit == "line 2: ZeroDivisionError: integer division or modulo by zero"


@pytest.mark.parametrize("opponent", [b"\xff", None, 7, "\ud800", "", "x" * 10**6, b"\xc3" * 10**6, [[]], bytearray(9)])
def test_a_broken_opponent_harms_only_those_who_simulate_it(opponent):
    assert run_program(EXAMPLES["CooperateBot"], opponent).action == "C"
    assert run_program(EXAMPLES["CliqueBot"], opponent).action == "D"
    outcome = run_program(EXAMPLES["ProbeBot"], opponent)
    assert outcome.action is None and outcome.forfeit.startswith("in a simulation, ")


def test_text_is_read_as_utf_8_with_or_without_a_mark():
    program = play("return 'C' if 'é' in me else 'D'")
    for source in (program, program.encode(), b"\xef\xbb\xbf" + program.encode(), program.replace("\n", "\r\n").encode()):
        assert run_program(source, "é").action == "C"
    assert run_program(play("return opponent[0]"), b"\xef\xbb\xbfCD").action == "C"


def test_grounded_fairbot_as_a_program():
    fair, defect = EXAMPLES["FairBot"], EXAMPLES["DefectBot"]
    assert all(run_program(fair, fair, seed=seed).action == "C" for seed in range(200))
    against = [run_program(fair, defect, seed=seed).action == "C" for seed in range(2000)]
    assert np.mean(against) == pytest.approx(0.1, abs=0.03)
    patient = fair.replace("0.1", "0.01")
    assert all(run_program(patient, patient, seed=seed).action == "C" for seed in range(20))
    assert run_program(EXAMPLES["ProbeBot"], EXAMPLES["ProbeBot"]).action == "C"


def test_the_same_seed_gives_the_same_outcome_and_another_another():
    program = play("n = 0", "while random() < 0.9: n += 1", "return 'C' if n % 2 else 'D'")
    first = [run_program(program, "", seed=seed) for seed in range(30)]
    assert first == [run_program(program, "", seed=seed) for seed in range(30)]
    assert first == [run_program(program, "", seed=np.random.default_rng(seed)) for seed in range(30)]
    assert len({outcome.fuel_used for outcome in first}) > 5


def test_fuel_is_enough_or_not():
    full = run_program(EXAMPLES["ProbeBot"], EXAMPLES["FairBot"])
    assert run_program(EXAMPLES["ProbeBot"], EXAMPLES["FairBot"], fuel=full.fuel_used) == full
    for fuel in range(1, full.fuel_used, 7):
        outcome = run_program(EXAMPLES["ProbeBot"], EXAMPLES["FairBot"], fuel=fuel)
        assert outcome.action is None and outcome.fuel_used == fuel and "out of fuel" in outcome.forfeit


def test_prices_are_those_of_the_documentation():
    def used(*lines):
        program = play(*lines)
        return run_program(program, "y" * 160).fuel_used - 2 * len(program) - len(program) // 16

    assert used("return 'C'") == 2  # two nodes; the text's reading and parsing are taken off above
    assert used("x = 1", "return 'C'") == 4
    assert used("opponent + opponent", "return 'C'") == 2 + 4 + 10 + 10 + 20  # read twice, and made
    assert used("opponent == opponent", "return 'C'") == 2 + 4 + 10 + 10
    assert used("len(opponent) + len(opponent)", "return 'C'") == 2 + 6  # a length costs nothing
    assert used("opponent[0] + opponent[1]", "return 'C'") == 2 + 8  # an item costs what it is
    assert used("opponent[:32]", "return 'C'") == 2 + 5 + 2
    assert used("range(50)", "return 'C'") == 2 + 3 + 50
    assert used("[opponent, opponent, 1]", "return 'C'") == 2 + 5 + 3 + 20
    assert used("for x in opponent: pass", "return 'C'") == 2 + 2 + 160
    once, twice = (used(*[f"simulate({EXAMPLES['DefectBot']!r}, me)"] * k, "return 'C'") for k in (1, 2))
    length = len(EXAMPLES["DefectBot"])
    assert (once, twice) == (2 + 6 + length // 16 + 2 * length, once + 6 + length // 16)  # parsed once


def test_an_opponents_text_is_cut():
    for text in ("x" * 10**6, b"x" * 10**6, "x" * 10_001):
        assert run_program(play("return 'C' if len(opponent) == 10001 else 'D'"), text).action == "C"


@pytest.mark.parametrize("fuel", [0, -1, 1.5, "9", None, True])
@pytest.mark.parametrize("source", ["", EXAMPLES["CooperateBot"]])
def test_wrong_fuel_is_the_hosts_mistake(fuel, source):
    with pytest.raises((TypeError, ValueError), match="expected fuel"):
        run_program(source, "", fuel=fuel)


@pytest.mark.parametrize("seed", [-1, 1.5, "9", None, True, [1]])
def test_wrong_seeds_are_the_hosts_mistake(seed):
    with pytest.raises((TypeError, ValueError), match="expected seed"):
        run_program("", "", seed=seed)
    with pytest.raises((TypeError, ValueError), match="expected seed"):
        run_tournament(EXAMPLES, seed=seed)


def test_outcomes_are_frozen():
    with pytest.raises(FrozenInstanceError):
        run_program("", "").action = "C"


# --- the interpreter: what it cannot do -------------------------------------------------------------------------

SPIED = []
SPYING = False


def spy(event, details):
    if SPYING and event != "compile" and (event, *details[:1]) != ("open", ""):  # what ast.parse does
        SPIED.append(event)


sys.addaudithook(spy)


def watched_run(*texts, **options):
    """Run a program, and fail if anything but parsing reaches outside."""
    global SPYING
    SPIED.clear()
    SPYING = True
    try:
        outcome = run_program(*texts, **options)
    finally:
        SPYING = False
    assert not SPIED, f"{SPIED} by {texts}"
    return outcome


def check(outcome, fuel):
    assert type(outcome) is Outcome and type(outcome.fuel_used) is int and 0 <= outcome.fuel_used <= fuel
    if outcome.forfeit is None:
        assert outcome.action in ("C", "D") and type(outcome.action) is str
    else:
        assert outcome.action is None and type(outcome.forfeit) is str
        assert 0 < len(outcome.forfeit) <= 200 and outcome.forfeit.isascii() and outcome.forfeit.isprintable()


def test_the_spy_sees_what_python_would_do():
    global SPYING
    SPIED.clear()
    SPYING = True
    try:
        subprocess.run([sys.executable, "-c", ""], check=True)
        Path(__file__).read_text(encoding="utf-8")
    finally:
        SPYING = False
    assert {"subprocess.Popen", "open"} <= set(SPIED)


REASONS = {
    "out of fuel": "out of fuel",
    "too deep": "nested evaluations",
    "too big": "(more|longer) than",
    "not in the language": "not in the language|cannot read|top level|only a name|by its name|parameters|invalid syntax",
    "no such name": "there is no function|has no value here",
    "deep syntax": "more than 500 tokens|nested deeper|cannot read",
    "broken text": "",
    "wrong moves": "",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_programs_forfeit_in_time(name):
    outcome, seconds = timed(watched_run, HOSTILE[name], HOSTILE[name])
    assert seconds < 1
    check(outcome, 100_000)
    assert outcome.action is None and re.search(REASONS[name.split(":")[0]], outcome.forfeit), outcome
    assert outcome == run_program(HOSTILE[name], HOSTILE[name])


def test_hostile_programs_come_in_every_kind():
    assert len(HOSTILE) >= 200 and len({str(source) for source in HOSTILE.values()}) == len(HOSTILE)


@pytest.mark.parametrize("name", HOSTILE)
def test_who_simulates_a_hostile_program_forfeits_or_not_but_in_time(name):
    for example in EXAMPLES.values():
        outcome, seconds = timed(watched_run, example, HOSTILE[name])
        assert seconds < 1
        check(outcome, 100_000)
    check(watched_run(HOSTILE[name], EXAMPLES["FairBot"]), 100_000)


HEAVY = [
    *("hoarding lists in frames", "hoarding texts in frames", "parsing ever new texts", "making lists", "joining lists"),
    *("endless recursion", "simulating each other", "doubling a text", "minus signs", "a picture", "elif"),
]


@pytest.mark.parametrize("name", HEAVY)
@pytest.mark.parametrize("fuel", [100_000, 300_000])
def test_memory_stays_bounded(name, fuel):
    (source,) = (text for full, text in HOSTILE.items() if full.endswith(f": {name}"))
    tracemalloc.start()
    assert run_program(source, source, fuel=fuel).action is None
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 250 * fuel


def test_no_program_exhausts_a_small_stack():
    """All of them in a thread with an eighth of the usual stack; a crash would kill the whole process."""
    program = (
        "import sys, threading; sys.path[:0] = sys.argv[1:]\n"
        "from hostile_programs import HOSTILE\n"
        "from coalmarl.interpreter import run_program\n"
        "run = lambda: [run_program(s, s).forfeit for s in HOSTILE.values()].count(None)\n"
        "threading.stack_size(1 << 20)\n"
        "thread = threading.Thread(target=lambda: print(run()))\n"
        "thread.start(); thread.join()\n"
    )
    command = [sys.executable, "-W", "error", "-c", program, str(ROOT), str(ROOT / "tests")]
    found = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert (found.returncode, found.stdout, found.stderr) == (0, "0\n", "")


def test_depth_does_not_depend_on_the_hosts_stack():
    source = hostile_programs.TOO_DEEP["simulating each other"]

    def deeper(n):
        return run_program(source, source) if n == 0 else deeper(n - 1)

    assert deeper(0) == deeper(400)


def test_warnings_are_neither_shown_nor_errors():
    program = play(r"x = '\d'", "return 'C' if 1and 1 else 'D'")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert run_program(program, "").action == "C"
    assert not caught
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert run_program(program, "").action == "C"


def test_programs_in_several_threads_do_not_meet():
    fair = EXAMPLES["FairBot"]
    expected = [run_program(fair, fair, seed=seed) for seed in range(8)]
    found = [None] * 8

    def work(seed):
        found[seed] = run_program(fair, fair, seed=seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == expected


def test_nothing_of_the_host_changes():
    before = sys.getrecursionlimit(), sys.getswitchinterval(), list(warnings.filters), set(sys.modules), random.getstate()
    for source in HOSTILE.values():
        run_program(source, source, fuel=2000)
    after = sys.getrecursionlimit(), sys.getswitchinterval(), list(warnings.filters), set(sys.modules), random.getstate()
    assert before == after


# --- fuzzing ----------------------------------------------------------------------------------------------------

TAME = {  # "e" stands for an expression, "b" for a block one level further in
    "atom": "me opponent x x i xs 0 1 2 3 -1 7 0.5 'C' 'D' '' 'play' True None [] [1,2] 9999 99999999 random() f(x) len(me)".split(),
    "expression": [
        *(f"e {op} e" for op in "+ - * / // % and or == != < <= > >= in".split()),
        *("e not in e", "e if e else e", "-e", "not e", "(e)", "[e, e]", "e[e]", "e[e:e]", "e[:e]", "f(e)", "max(e, e)"),
        *("min(e)", "abs(e)", "len(e)", "range(e)", "simulate(e, e)", "simulate(opponent, me)", "play(e, e)", "random()"),
    ],
    "line": ["x = e", "xs = e", "i = x = e", "x += e", "x -= e", "e", "pass", "break", "continue", "return e", "return 'D'", "'text'"],
    "block": ["if e:b", "if e:belse:b", "while e:b", "for i in e:b", "for x in me:b", "while e:belse:b"],
    "head": ["", "", "'A text.'\n", "def f(x): return x\n", "def f(x):\n    x = x + 1\n    return f(x)\n", "def f(x): return random()\n"],
}
WILD = {
    "atom": "__import__('os') ().__class__ f'{me!r:>99}' f\"{x}\" b'C' 1j ... open __builtins__ {} () {1:2} (yield) 'é' print f "
    "℘ рlay globals() exec('1') 0xfffffffffffffffffffffffffffffffffffffff simulate '\\ud800' '\\0' r'a' u'C' self nan".split(),
    "expression": "e**e e<<e e&e ~e e.upper() e.__class__ f'{e}' (*e,) e(e) f(x=e) [e][0](e) lambda:e (x:=e) {e:e} e@e".split()
    + ["e is e", "[x for x in e]", "lambda x: e", "await e", "e e", "(e", "e]", "open(e)", "getattr(e, e)", "'%s' % e"],
    "line": "import os|from os import *|global x|del x|raise e|assert e|x: int = e|x[0] = e|x.y = e|a, b = e|x **= e|# e|\\".split("|"),
    "block": ["try:bexcept:b", "with e:b", "def g(x):b", "class C:b", "match e:b", "async for x in e:b", "for x.y in e:b", "lambda:b"],
    "head": ["x = 1\n", "@f\n", "import os\n", "def f(x, y=[]): return x\n", "def f(*x): return x\n", "class C: pass\n", "\f\t"],
}
SCRAPS = [b"(", b"'", b"\\", b"\r", b"\0", b"\n", b"    ", b"#", b"__", b'"""', b"f'", b"\xff", b"\xc3\xa9", b"9" * 300, b"-" * 300]


class Writer:
    """Writes programs of the language; with chance ``wild`` a piece is from outside it."""

    def __init__(self, rng, wild):
        self.rng, self.wild = rng, wild

    def pick(self, kind):
        return self.rng.choice((WILD if self.rng.random() < self.wild else TAME)[kind])

    def expression(self, depth):
        if depth == 0 or self.rng.random() < 0.3:
            return self.pick("atom")
        return re.sub(r"\be\b", lambda _: self.expression(depth - 1), self.pick("expression"))

    def block(self, depth, margin):
        lines = [self.pick("block" if depth and self.rng.random() < 0.4 else "line") for _ in range(self.rng.randint(1, 3))]
        inner = [re.sub(r":b", lambda _: ":\n" + self.block(depth - 1, margin + "    ") + margin, line) for line in lines]
        filled = [re.sub(r"\be\b", lambda _: self.expression(2), line) for line in inner]
        return "".join(f"{margin}{line.rstrip()}\n" for line in filled)

    def program(self):
        return self.pick("head") + "def play(me, opponent):\n    x = xs = i = 0\n" + self.block(self.rng.randint(0, 2), "    ") + "    return 'C'\n"

    def bytes(self):
        """A program with a few bytes of it changed."""
        data = bytearray(self.program().encode("utf-8", "surrogatepass"))
        for _ in range(self.rng.randint(1, 4)):
            at = self.rng.randrange(len(data))
            data[at : at + self.rng.randint(0, 3)] = self.rng.choice([*SCRAPS, self.rng.randbytes(2)])
        return bytes(data)


@st.composite
def fuzzed_programs(draw):
    """Half of the programs keep to the language, the others leave it here and there or have bytes changed."""
    writer = Writer(draw(st.randoms(use_true_random=True)), draw(st.sampled_from([0, 0, 0, 0.05])))
    return writer.bytes() if draw(st.integers(0, 3)) == 0 else writer.program()


QUIET = [Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink]  # to explain, hypothesis would trace our calls


def test_the_command_line_prints_the_table_and_writes_a_page(tmp_path, capsys):
    for name, text in programs.EXAMPLES.items():
        (tmp_path / f"{name}.py").write_text(text)
    (tmp_path / "<script>alert(1)<script>.py").write_text("import os")
    programs.main([str(tmp_path), str(tmp_path / "results.html")])
    found = run_tournament(read_programs(tmp_path))
    page = (tmp_path / "results.html").read_text()
    assert capsys.readouterr().out == found.table() + "\n" and page == found.page()
    assert "<script" not in page and "&lt;script&gt;alert(1)" in page
    assert page.count("<td>") == 6 * 7 and page.count("<li>") == len(found.forfeits)
    assert "FairBot" in page and f"<td>{found.scores['FairBot']:.2f}" in page


@pytest.mark.parametrize("arguments", [[], ["a", "b", "c"], ["no such folder"]])
def test_the_command_line_says_what_it_needs(arguments):
    with pytest.raises(SystemExit, match="FOLDER|folder"):
        programs.main(arguments)


def fuzz(count):
    @settings(max_examples=count, phases=QUIET)
    @given(fuzzed_programs(), fuzzed_programs(), st.sampled_from([1, 60, 500, 3000, 3000]))
    def search(one, two, fuel):
        outcome, seconds = timed(watched_run, one, two, fuel=fuel)
        assert seconds < 1
        check(outcome, fuel)
        ended[outcome.forfeit is None] += 1
        assert outcome == run_program(one, two, fuel=fuel)

    ended = [0, 0]
    search()
    return ended


def test_2000_fuzzed_programs():
    forfeits, moves = fuzz(2000)
    assert forfeits > 500 and moves > 100  # neither all nonsense nor all good


@pytest.mark.long
def test_100000_fuzzed_programs():
    forfeits, moves = fuzz(100_000)
    assert forfeits + moves >= 100_000


@settings(max_examples=500, phases=QUIET)
@given(st.binary(max_size=200), st.text(max_size=200))
def test_raw_bytes_and_raw_text(data, text):
    check(watched_run(data, text, fuel=500), 500)
    check(watched_run(text, data, fuel=500), 500)


# --- tournaments ------------------------------------------------------------------------------------------------


def test_a_tournament_by_hand():
    names = ["CooperateBot", "DefectBot", "CliqueBot"]
    found = run_tournament({name: EXAMPLES[name] for name in names} | {"Virus": b"\xff"})
    assert found.scores == {"CliqueBot": 1.75, "DefectBot": 1.5, "CooperateBot": 0.5, "Virus": 0.0}
    assert list(found.scores) == ["CliqueBot", "DefectBot", "CooperateBot", "Virus"]
    assert {pair for pair, move in found.moves.items() if move == "-"} == set(found.forfeits)
    assert set(found.forfeits) == {("Virus", name) for name in found.scores}
    assert found.moves["CliqueBot", "CliqueBot"] == "C" and found.moves["CooperateBot", "DefectBot"] == "C"
    assert run_tournament({"a": EXAMPLES["CooperateBot"]}, payoffs=(5, 0, 9, 1)).scores == {"a": 5}
    with pytest.raises(ValueError, match="at least one program"):
        run_tournament({})


def test_meetings_have_draws_of_their_own():
    coin = {name: play("return 'C' if random() < 0.5 else 'D'") for name in "abcdef"}
    found = run_tournament(coin)
    assert 6 < sum(move == "C" for move in found.moves.values()) < 30
    assert found == run_tournament(coin) and found.moves != run_tournament(coin, seed=1).moves


def test_a_tournament_of_hostile_programs():
    chosen = dict(list(HOSTILE.items())[::20])
    table = run_tournament({**EXAMPLES, **chosen}, fuel=2000).table()
    assert all(line.isprintable() for line in table.splitlines()) and "forfeits" in table


def test_programs_are_read_from_a_folder(tmp_path):
    (tmp_path / "fair.py").write_text(EXAMPLES["FairBot"], encoding="utf-8")
    (tmp_path / "odd.py").write_bytes(b"\xff\x00")
    (tmp_path / "huge.py").write_bytes(b"#" * 10**6)
    (tmp_path / "notes.txt").write_text("no program", encoding="utf-8")
    (tmp_path / "folder.py").mkdir()
    try:
        (tmp_path / "link.py").symlink_to(tmp_path / "notes.txt")
    except OSError:  # a system without links
        pass
    found = read_programs(tmp_path)
    assert list(found) == ["fair", "huge", "odd"] and len(found["huge"]) < 10**6
    result = run_tournament(found)
    assert result.moves["fair", "fair"] == "C" and "longer than 10,000" in result.forfeits["huge", "fair"]
    with pytest.raises(ValueError, match="expected a folder"):
        read_programs(tmp_path / "none")


def test_all_pairs_of_examples_play():
    for one, two in product(EXAMPLES.values(), repeat=2):
        check(run_program(one, two), 100_000)
        assert run_program(one, two).forfeit is None
