"""Open-source game theory: agents that decide after they have read each other.

Two players choose between C, to cooperate, and D, to defect, and each knows how the other
will choose.  There are three ways to know.

Prove.  A modal agent is a sentence about what can be proved: FairBot cooperates if there is
a proof that its opponent will.  `modal_outcome` decides such sentences exactly, for proofs of
any length.  What it says need not hold for programs that look for short proofs only.

Run.  A `Grounded` agent asks what its opponent would do, but now and then moves without
asking, so that two of them come to an end.  Submitted programs do the same with
``simulate``, and `run_tournament` plays them in the bounded interpreter.

Compare.  A similarity-based agent sees one noisy number: how far apart the two policies are.

Payoffs come as ``(R, S, T, P)``: if both cooperate, only I do, only they do, nobody does.
Letters: ``a`` and ``b`` agents, ``f`` a sentence, ``p`` and ``q`` chances to cooperate.
"""

import ast
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from html import escape
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coalmarl.interpreter import Forfeit, Outcome, as_generator, parse_program, run_program

__all__ = [
    "EXAMPLES",
    "I_COOPERATE",
    "MODAL_AGENTS",
    "PAYOFFS",
    "THEY_COOPERATE",
    "TRUE",
    "Formula",
    "Grounded",
    "Outcome",
    "Tournament",
    "best_deviation",
    "clique_bot",
    "grounded_move",
    "learn_similarity",
    "main",
    "modal_outcome",
    "modal_tournament",
    "modal_trace",
    "move_table",
    "normalised",
    "provable",
    "read_programs",
    "replicate",
    "run_program",
    "run_tournament",
    "strict_equilibria",
    "they_cooperate_with",
    "threshold_chances",
]

Array = NDArray[np.float64]
Seed = int | np.random.Generator
Payoffs = tuple[float, float, float, float]

PAYOFFS = (2.0, 0.0, 3.0, 1.0)


# --- prove: modal agents --------------------------------------------------------------------

_PARTS = {"true": 0, "I cooperate": 0, "they cooperate": 0, "they cooperate with": 1, "not": 1, "and": 2, "provable": 1}


@dataclass(frozen=True)
class Formula:
    """A sentence about two agents' moves; `~`, `&` and `>>` (implies) make longer ones.

    Attributes
    ----------
    kind : str
        "true", "I cooperate", "they cooperate", "they cooperate with", "not", "and" or
        "provable".
    parts : tuple of Formula
        What it is made of; for "they cooperate with", the agent whom they meet.
    """

    kind: str
    parts: tuple["Formula", ...] = ()

    def __post_init__(self) -> None:
        if _PARTS.get(self.kind) != len(self.parts):
            raise ValueError(f"expected one of {_PARTS} with that many parts, got {self.kind!r} with {len(self.parts)}")

    def __invert__(self) -> "Formula":
        return Formula("not", (self,))

    def __and__(self, other: "Formula") -> "Formula":
        return Formula("and", (self, other))

    def __rshift__(self, other: "Formula") -> "Formula":
        return ~(self & ~other)


Statement = tuple[Formula, Formula, Formula]  # a sentence, who says it, and about which opponent

TRUE = Formula("true")
I_COOPERATE = Formula("I cooperate")
THEY_COOPERATE = Formula("they cooperate")


def they_cooperate_with(agent: str | Formula) -> Formula:
    """Return the sentence "my opponent cooperates with this agent".

    Parameters
    ----------
    agent : str or Formula
        A name in `MODAL_AGENTS`, or an agent of your own.

    Returns
    -------
    Formula

    Raises
    ------
    TypeError, ValueError
        If this is no agent.

    Examples
    --------
    >>> provable(they_cooperate_with("FairBot")) == MODAL_AGENTS["JustBot"]
    True
    """
    return Formula("they cooperate with", (_agent(agent),))


def provable(sentence: Formula, *, level: int = 0) -> Formula:
    """Return the sentence "there is a proof that ...".

    Parameters
    ----------
    sentence : Formula
        What is to be proved.
    level : int
        From 0, for a proof from the axioms, up to 100.  At level 1 a proof may also use that
        the axioms do not contradict each other, at level 2 that with this they still do not.

    Returns
    -------
    Formula

    Raises
    ------
    ValueError
        If the level is none of these.

    Examples
    --------
    >>> consistent = ~provable(~TRUE)
    >>> provable(THEY_COOPERATE, level=1) == provable(consistent >> THEY_COOPERATE)
    True
    """
    if level not in range(101):
        raise ValueError(f"expected a level in 0 .. 100, got {level!r}")
    contradiction = ~TRUE
    for _ in range(level):
        contradiction = provable(contradiction)
    return Formula("provable", (~contradiction >> sentence if level else sentence,))


def modal_trace(a: str | Formula, b: str | Formula) -> list[tuple[str, str]]:
    """Return the moves of two modal agents in world after world, until they stay.

    Parameters
    ----------
    a, b : str or Formula
        Names in `MODAL_AGENTS`, or agents of your own.

    Returns
    -------
    list of (str, str)
        The moves in worlds 0, 1, 2, ...; the last ones hold in all worlds after.

    Raises
    ------
    TypeError, ValueError
        If one is no agent.

    Notes
    -----
    World ``n`` sees the worlds before it, and there "provable" means true in all of those: in
    world 0 everything is.  So as the worlds go by a provable sentence may cease to be one, but
    never becomes one again; in a world where none ceases, nothing changes any more.  This
    takes at most one world for each provable sentence that the two agents can mean.

    References
    ----------
    boolos1993logic, barasz2014robust

    Examples
    --------
    >>> modal_trace("FairBot", "DefectBot"), modal_trace("FairBot", "FairBot")
    ([('C', 'D'), ('D', 'D')], [('C', 'C')])
    """
    me, them = _agent(a), _agent(b)
    proofs, refuted, trace = _proofs(me, them), set[Statement](), []
    while True:
        moves = [_holds((me, me, them), refuted), _holds((them, them, me), refuted)]
        trace.append(("C" if moves[0] else "D", "C" if moves[1] else "D"))
        fallen = {s for s in proofs - refuted if not all(_holds(part, refuted) for part in _meaning(s))}
        if not fallen:
            return trace
        refuted |= fallen


def modal_outcome(a: str | Formula, b: str | Formula) -> tuple[str, str]:
    """Return the moves of two modal agents, each against the other.

    Parameters
    ----------
    a, b : str or Formula
        Names in `MODAL_AGENTS`, or agents of your own.

    Returns
    -------
    (str, str)
        The move of ``a``, "C" or "D", and the move of ``b``.

    Raises
    ------
    TypeError, ValueError
        If one is no agent.

    References
    ----------
    barasz2014robust, critch2022cooperative

    Examples
    --------
    >>> modal_outcome("PrudentBot", "CooperateBot"), modal_outcome("CUPOD", "CUPOD")
    (('D', 'C'), ('D', 'D'))
    """
    return modal_trace(a, b)[-1]


def _agent(agent: object) -> Formula:
    """The agent of that name, or the agent itself."""
    if isinstance(agent, str):
        if agent not in MODAL_AGENTS:
            raise ValueError(f"expected one of {', '.join(MODAL_AGENTS)}, got {agent!r:.60}")
        return MODAL_AGENTS[agent]
    if not isinstance(agent, Formula):
        raise TypeError(f"expected a Formula or a name, got {agent!r:.60} of type {type(agent).__name__}")
    if _looks_at_a_move(agent):
        raise ValueError("expected every move inside provable(...), got one outside: an agent cannot wait for moves")
    return agent


def _looks_at_a_move(f: Formula) -> bool:
    if f.kind == "provable":
        return False
    return "cooperate" in f.kind or any(map(_looks_at_a_move, f.parts))


def _meaning(statement: Statement) -> list[Statement]:
    """The statements that a statement is made of: a move is the sentence that the mover is."""
    f, me, them = statement
    match f.kind:
        case "I cooperate":
            return [(me, me, them)]
        case "they cooperate":
            return [(them, them, me)]
        case "they cooperate with":
            return [(them, them, f.parts[0])]
    return [(part, me, them) for part in f.parts]


def _proofs(me: Formula, them: Formula) -> set[Statement]:
    """Every statement about a proof that bears on the two agents' moves."""
    todo, found = [(me, me, them), (them, them, me)], set[Statement]()
    while todo:
        statement = todo.pop()
        if statement not in found:
            found.add(statement)
            todo += _meaning(statement)
    return {s for s in found if s[0].kind == "provable"}


def _holds(statement: Statement, refuted: set[Statement]) -> bool:
    """Whether a statement is true in the world where exactly these proofs have ceased to be."""
    kind = statement[0].kind
    if kind == "provable":
        return statement not in refuted
    parts = [_holds(part, refuted) for part in _meaning(statement)]
    return not parts[0] if kind == "not" else all(parts)


MODAL_AGENTS = {"CooperateBot": TRUE, "DefectBot": ~TRUE}
MODAL_AGENTS |= {
    "FairBot": provable(THEY_COOPERATE),
    "PrudentBot": provable(THEY_COOPERATE) & provable(~they_cooperate_with("DefectBot"), level=1),
    "JustBot": provable(they_cooperate_with(provable(THEY_COOPERATE))),
    "TrollBot": provable(they_cooperate_with("DefectBot")),
    "CUPOD": ~provable(~THEY_COOPERATE),
    "DUPOC": provable(THEY_COOPERATE),
    "CIMCIC": provable(I_COOPERATE >> THEY_COOPERATE),
    "DIMCID": ~provable(I_COOPERATE >> ~THEY_COOPERATE),
    "WaitFairBot": provable(THEY_COOPERATE, level=1),
}


def modal_tournament(agents: Mapping[str, str | Formula] | None = None) -> dict[tuple[str, str], str]:
    """Return the moves of every agent against every agent, itself included.

    Parameters
    ----------
    agents : mapping of str to (str or Formula), optional
        Agents by name, all of `MODAL_AGENTS` by default.

    Returns
    -------
    dict
        From two names to the first one's move and the second one's, as in "CD".

    Raises
    ------
    TypeError, ValueError
        If one is no agent.

    Examples
    --------
    >>> print(move_table(modal_tournament({"CB": "CooperateBot", "PB": "PrudentBot"})))
           1  2
    1 CB  CC CD
    2 PB  DC CC
    """
    agents = MODAL_AGENTS if agents is None else agents
    return {(a, b): "".join(modal_outcome(agents[a], agents[b])) for a in agents for b in agents}


def move_table(moves: Mapping[tuple[str, str], str]) -> str:
    """Return a table of moves as text: a row per player, a column per opponent.

    Parameters
    ----------
    moves : mapping of (str, str) to str
        What the row's player does against the column's, for all pairs, as `modal_tournament`
        gives it.

    Returns
    -------
    str
        Columns are numbered like the rows.

    Examples
    --------
    >>> print(move_table({("TitForTat", "TitForTat"): "CC"}))
                  1
    1 TitForTat  CC
    """
    names = list(dict.fromkeys(row for row, _ in moves))
    shown = [f"{k} {_plain(name)}" for k, name in enumerate(names, 1)]
    width = max(map(len, shown), default=0)
    rows = [["", *map(str, range(1, len(names) + 1))]]
    rows += [[label, *(moves[row, column] for column in names)] for label, row in zip(shown, names)]
    cell = max((len(text) for row in rows for text in row[1:]), default=1)
    return "\n".join(f"{row[0]:{width}} " + "".join(f" {text:>{cell}}" for text in row[1:]) for row in rows)


def _plain(name: str) -> str:
    """A name for one cell of a table: short, and nothing in it that steers a terminal."""
    return "".join(c if c.isprintable() else "?" for c in name)[:24]


# --- read and run: programs that compare or ask ---------------------------------------------


def normalised(source: str) -> str:
    """Return a program without its comments and layout.

    Parameters
    ----------
    source : str
        A program of the language of `coalmarl.interpreter`.

    Returns
    -------
    str
        The same program as Python itself would print it.

    Raises
    ------
    coalmarl.interpreter.Forfeit
        If it is no such program.

    Examples
    --------
    >>> print(normalised("def play(me,  opponent): return ( 'C' )  # always"))
    def play(me, opponent):
        return 'C'
    """
    return "\n".join(ast.unparse(f) for f in parse_program(source).values())


def clique_bot(me: str, opponent: str, *, read: Callable[[str], str] = normalised) -> str:
    """Return the move of CliqueBot, which cooperates with its own copies.

    Parameters
    ----------
    me, opponent : str
        The two programs.
    read : callable
        What of a text counts: `normalised`, or ``str`` for every character.

    Returns
    -------
    str
        "C" or "D".

    References
    ----------
    tennenholtz2004program

    Examples
    --------
    >>> copy = EXAMPLES["CliqueBot"] + "# a comment"
    >>> clique_bot(EXAMPLES["CliqueBot"], copy), clique_bot(EXAMPLES["CliqueBot"], copy, read=str)
    ('C', 'D')
    """
    try:
        return "C" if read(me) == read(opponent) else "D"
    except Forfeit:  # who is no program is no copy
        return "D"


@dataclass(frozen=True)
class Grounded:
    """An agent that asks what its opponent would do, but sometimes moves without asking.

    Attributes
    ----------
    epsilon : float
        Chance that it does not ask, in (0, 1].
    base : str
        Its move when it does not ask.
    reply : str
        Its moves to an opponent that would play C, and to one that would play D.  "CD" makes
        it the ε-grounded FairBot.
    """

    epsilon: float
    base: str = "C"
    reply: str = "CD"

    def __post_init__(self) -> None:
        if not 0 < self.epsilon <= 1:
            raise ValueError(f"expected epsilon in (0, 1], got {self.epsilon}: who always asks never ends")
        if self.base not in ("C", "D") or self.reply not in ("CC", "CD", "DC", "DD"):
            raise ValueError(f"expected moves such as 'C' and 'CD', got {self.base!r} and {self.reply!r}")


def grounded_move(me: Grounded, them: Grounded, *, seed: Seed) -> tuple[str, int]:
    """Draw one move of a grounded agent against another.

    Parameters
    ----------
    me, them : Grounded
        The agent and its opponent.
    seed : int or numpy.random.Generator
        Where the chance comes from.

    Returns
    -------
    move : str
        "C" or "D".
    calls : int
        How many agents were called, this one included: ``1 / epsilon`` on average if they
        share it.

    Raises
    ------
    TypeError, ValueError
        If the seed is none.

    References
    ----------
    oesterheld2019robust

    Examples
    --------
    >>> fair = Grounded(0.1)
    >>> grounded_move(fair, fair, seed=0)
    ('C', 3)
    """
    rng = as_generator(seed)
    asked, other, calls = me, them, 1
    while rng.random() >= asked.epsilon:  # a loop: a recursion would run out of stack
        asked, other, calls = other, asked, calls + 1
    move = asked.base
    for _ in range(calls - 1):  # and back, each one replying to the one it asked
        asked, other = other, asked
        move = asked.reply["CD".index(move)]
    return move, calls


def best_deviation(epsilon: float, payoffs: Payoffs = PAYOFFS) -> tuple[float, float]:
    """Return how a program best exploits the ε-grounded FairBot.

    Parameters
    ----------
    epsilon : float
        Of the FairBot, in (0, 1].
    payoffs : (float, float, float, float)
        ``(R, S, T, P)``.

    Returns
    -------
    chance : float
        With which the best program cooperates: 1 if FairBot against FairBot is an equilibrium.
    payoff : float
        What it earns.

    Raises
    ------
    ValueError
        If epsilon is out of range.

    Notes
    -----
    Against a program that cooperates with chance ``x``, FairBot cooperates with chance
    ``epsilon + (1 - epsilon) x``, and the two draws are independent.  So the payoff is a
    quadratic in ``x``; the best of its ends and its summit is taken, the highest ``x`` if
    several are best.

    References
    ----------
    oesterheld2019robust

    Examples
    --------
    >>> best_deviation(0.5), best_deviation(0.6)
    ((1.0, 2.0), (0.0, 2.2))
    """
    if not 0 < epsilon <= 1:
        raise ValueError(f"expected epsilon in (0, 1], got {epsilon}")
    R, S, T, P = payoffs
    k = R - S - T + P
    bend, slope = k * (1 - epsilon), S - P + (T - P) * (1 - epsilon) + k * epsilon
    summit = -slope / (2 * bend) if bend < 0 else 1.0
    best = 1.0, R
    for x in (float(np.clip(summit, 0, 1)), 0.0):
        payoff = P + (T - P) * epsilon + slope * x + bend * x * x
        if payoff > best[1] + 1e-12 * max(map(abs, payoffs)):
            best = x, payoff
    return best


# --- compare: agents that see how similar they are ------------------------------------------


def threshold_chances(thresholds: ArrayLike, *, noise: float) -> Array:
    """Return how often agents cooperate that do so with those who are similar enough.

    Parameters
    ----------
    thresholds : array_like, shape (m,)
        Each agent cooperates if the difference it sees is at most its threshold.
    noise : float
        It sees the difference of the two thresholds plus a uniform draw from ``[0, noise]``.

    Returns
    -------
    ndarray, shape (m, m)
        Chance that the row's agent cooperates with the column's.

    Raises
    ------
    ValueError
        If the noise is not positive.

    Notes
    -----
    A cooperator pays ``c`` for the other to get ``b``: payoffs ``b * chances.T - c * chances``.
    A common threshold in ``(0, noise]`` is then a Nash equilibrium if and only if ``b >= 2 c``:
    who lowers it by a little saves ``c`` twice as often as the other's ``b`` is lost.

    References
    ----------
    oesterheld2023similarity

    Examples
    --------
    >>> threshold_chances([0.2, 0.4], noise=0.5).tolist()
    [[0.4, 0.0], [0.4, 0.8]]
    """
    if not noise > 0:
        raise ValueError(f"expected a positive noise, got {noise}")
    levels = np.asarray(thresholds, dtype=np.float64)
    gap = np.abs(levels[:, None] - levels)
    return np.clip((levels[:, None] - gap) / noise, 0, 1)


def strict_equilibria(payoffs: ArrayLike) -> list[int]:
    """Return the choices that are better against themselves than any other choice is.

    Parameters
    ----------
    payoffs : array_like, shape (m, m)
        Of the row's choice against the column's.

    Returns
    -------
    list of int

    Examples
    --------
    >>> strict_equilibria([[2, 0], [3, 1]])
    [1]
    """
    table = np.array(payoffs, dtype=np.float64)
    own = table.diagonal().copy()
    np.fill_diagonal(table, -np.inf)
    return np.flatnonzero(own > table.max(0, initial=-np.inf)).tolist()


def replicate(payoffs: ArrayLike, shares: ArrayLike, *, rate: float = 0.1, steps: int = 4000) -> Array:
    """Return the shares of a population in which success breeds.

    Parameters
    ----------
    payoffs : array_like, shape (m, m)
        Of the row's choice against the column's.
    shares : array_like, shape (..., m)
        Who starts with which choice, one population per row.
    rate : float
        How fast shares follow payoffs.
    steps : int
        How many times they do.

    Returns
    -------
    ndarray, shape (..., m)

    Raises
    ------
    ValueError
        If a share is negative, or a population has none above 0.

    Notes
    -----
    Each step multiplies a share by ``exp(rate * payoff)`` and makes them sum to 1 again.

    Examples
    --------
    >>> replicate([[2, 0], [3, 1]], [0.9, 0.1]).round(3).tolist()
    [0.0, 1.0]
    """
    table, x = np.asarray(payoffs, dtype=np.float64), np.asarray(shares, dtype=np.float64)
    if not ((x >= 0).all() and (x.sum(-1) > 0).all()):
        raise ValueError(f"expected shares of at least 0, some above, got {x.tolist()!r:.60}")
    for _ in range(steps):
        fitness = x @ table.T
        x = x * np.exp(rate * (fitness - fitness.max(-1, keepdims=True)))
        x /= x.sum(-1, keepdims=True)
    return x


def learn_similarity(
    *, benefit: float, noise: float, pretrained: bool, seed: Seed, rounds: int = 60
) -> Array:
    """Return how much 64 pairs of learners cooperate that see how far apart they are.

    Parameters
    ----------
    benefit : float
        What a cooperator gives to the other, at a cost of 1.
    noise : float
        They see the difference of the policies plus a uniform draw from ``[0, noise]``.
    pretrained : bool
        Whether they have first learnt to cooperate with copies and not with random policies.
    seed : int or numpy.random.Generator
        Where the starts come from.
    rounds : int
        How often each of the two answers the other.

    Returns
    -------
    ndarray, shape (rounds + 1, 64)
        Chance to cooperate, averaged over the two of a pair, at the start and after each round.

    Raises
    ------
    TypeError, ValueError
        If the seed is none.

    Notes
    -----
    A policy is the chance to cooperate at 25 observations from 0 to 0.5, linear between them
    and flat beyond; the difference of two policies is the mean over these.  Logits start
    normal.  Lessons are 300 steps of Adam, at rate 0.05, on the payoff against a copy plus the
    payoff against a random policy.  In a round one learner and then the other takes 20 such
    steps against the other, who stands still.  The noise is 12 midpoints.  Half a second for
    60 rounds.

    Do not take the last round for the end: what the lessons taught is lost little by little.

    References
    ----------
    oesterheld2023similarity

    Examples
    --------
    >>> history = learn_similarity(benefit=5, noise=0.3, pretrained=True, seed=0, rounds=0)
    >>> history.shape, bool(history.mean() > 0.6)
    ((1, 64), True)
    """
    rng = as_generator(seed)
    world = _Similarity(benefit, noise)
    logits = rng.normal(size=(128, len(_KNOTS)))
    if pretrained:
        logits = _climb(lambda p: world.lesson(p, _chance(2 * rng.normal(size=p.shape))), logits, 300)
    one, two = logits[:64], logits[64:]
    history = [world.cooperation(_chance(one), _chance(two))]
    for _ in range(rounds):
        one = _climb(partial(world.gradient, q=_chance(two)), one, 20)
        two = _climb(partial(world.gradient, q=_chance(one)), two, 20)
        history.append(world.cooperation(_chance(one), _chance(two)))
    return np.array(history)


_KNOTS = np.linspace(0, 0.5, 25)
_STEP = _KNOTS[1]


@dataclass(frozen=True)
class _Similarity:
    """Pairs of policies, one row per pair, that see their difference plus noise."""

    benefit: float
    noise: float

    def response(self, p: Array, q: Array) -> tuple[Array, Array, Array]:
        """Chance that p cooperates with q, and its slopes in p and in their difference."""
        gap = np.abs(p - q).mean(1, keepdims=True)
        seen = np.minimum(gap + self.noise * (np.arange(12) + 0.5) / 12, _KNOTS[-1])
        hats = np.maximum(0, 1 - np.abs(seen[:, :, None] - _KNOTS) / _STEP).mean(1)
        left = np.minimum((seen / _STEP).astype(int), len(_KNOTS) - 2)
        slopes = np.take_along_axis(np.diff(p) / _STEP, left, 1) * (seen < _KNOTS[-1])
        return (hats * p).sum(1), hats, slopes.mean(1)

    def gradient(self, p: Array, q: Array) -> Array:
        """Slope in p of its payoff against q."""
        _, hats, mine = self.response(p, q)
        theirs = self.response(q, p)[2]
        return (self.benefit * theirs - mine)[:, None] * np.sign(p - q) / p.shape[1] - hats

    def cooperation(self, p: Array, q: Array) -> Array:
        """Chance that one of the two cooperates, whichever is asked."""
        return (self.response(p, q)[0] + self.response(q, p)[0]) / 2

    def lesson(self, p: Array, stranger: Array) -> Array:
        """Slope in p of its payoff against a copy, who changes as it does, and a stranger."""
        return (self.benefit - 1) * self.response(p, p)[1] + self.gradient(p, stranger)


def _chance(logits: Array) -> Array:
    return 1 / (1 + np.exp(-logits))


def _climb(gradient: Callable[[Array], Array], logits: Array, steps: int) -> Array:
    """Adam on the logits, upwards."""
    first = second = np.zeros_like(logits)
    for t in range(1, steps + 1):
        p = _chance(logits)
        slope = gradient(p) * p * (1 - p)
        first, second = 0.9 * first + 0.1 * slope, 0.999 * second + 0.001 * slope**2
        size = np.sqrt(second / (1 - 0.999**t)) + 1e-8
        logits = logits + 0.05 * first / (1 - 0.9**t) / size
    return logits


# --- tournaments of submitted programs ------------------------------------------------------

EXAMPLES = {
    "CooperateBot": """def play(me, opponent):
    return "C"
""",
    "DefectBot": """def play(me, opponent):
    return "D"
""",
    "CliqueBot": """def play(me, opponent):
    return "C" if opponent == me else "D"
""",
    "FairBot": """def play(me, opponent):
    if random() < 0.1:
        return "C"
    return simulate(opponent, me)
""",
    "ProbeBot": """def play(me, opponent):
    nice = "def play(me, opponent): return 'C'"
    return simulate(opponent, nice)
""",
}


@dataclass(frozen=True)
class Tournament:
    """What happened when programs met; `table` shows it.

    Attributes
    ----------
    moves : dict
        From two names to the first program's move against the second, "-" for a forfeit.
    scores : dict
        Mean payoff of each program, the best first.
    forfeits : dict
        From two names to the reason of the first program's forfeit against the second.
    """

    moves: dict[tuple[str, str], str]
    scores: dict[str, float]
    forfeits: dict[tuple[str, str], str]

    def table(self) -> str:
        """Return as text the moves, the scores and each program's first forfeit.

        Returns
        -------
        str
        """
        notes = ["  mean", *(f"{score:6.2f}" for score in self.scores.values())]
        lines = [f"{row}{note}" for row, note in zip(move_table(self.moves).splitlines(), notes)]
        for name in self.scores:
            reasons = [reason for (row, _), reason in self.forfeits.items() if row == name]
            if reasons:
                lines.append(f"{_plain(name)} forfeits {len(reasons)} of {len(notes) - 1}: {reasons[0]}")
        return "\n".join(lines)

    def page(self) -> str:
        """Return the same as an HTML document that stands on its own, every forfeit listed.

        Returns
        -------
        str
            Names and reasons come from strangers and are escaped.
        """
        names = [escape(_plain(name)) for name in self.scores]
        columns = "".join(f"<th scope=col>{k}" for k in range(1, len(names) + 1))
        rows = "".join(
            f"<tr><th scope=row>{k} {name}" + "".join(f"<td>{self.moves[a, b]}" for b in self.scores) + f"<td>{self.scores[a]:.2f}\n"
            for k, (a, name) in enumerate(zip(self.scores, names), 1)
        )
        reasons = "".join(
            f"<li>{escape(_plain(a))} against {escape(_plain(b))}: {escape(reason)}\n" for (a, b), reason in self.forfeits.items()
        )
        return _PAGE.format(columns=columns, rows=rows, reasons=reasons or "<li>none\n")


_PAGE = """<!doctype html>
<html lang=en><meta charset=utf-8><title>Tournament of programs</title>
<style>body {{ font: 1rem sans-serif; margin: 2rem }} td, th {{ padding: .2em .6em; text-align: left }}</style>
<h1>Tournament of programs</h1>
<p>The move of the row's program against the column's; "-" is a forfeit. Last column: mean payoff.</p>
<table><tr><th>{columns}<th scope=col>mean
{rows}</table>
<h2>Forfeits</h2>
<ul>
{reasons}</ul>
"""


def run_tournament(
    programs: Mapping[str, str | bytes],
    *,
    fuel: int = 100_000,
    seed: Seed = 0,
    payoffs: Payoffs = PAYOFFS,
) -> Tournament:
    """Let every program meet every program, a copy of itself included.

    Parameters
    ----------
    programs : mapping of str to (str or bytes)
        Programs by name; whatever is no program forfeits.
    fuel : int
        What a program may burn in one meeting.
    seed : int or numpy.random.Generator
        Where ``random()`` comes from; each meeting has draws of its own.
    payoffs : (float, float, float, float)
        ``(R, S, T, P)``.  A forfeit counts as D for the other and earns the least of these.

    Returns
    -------
    Tournament

    Raises
    ------
    TypeError, ValueError
        If ``fuel`` or ``seed`` is wrong, or there is no program.

    Notes
    -----
    One run of the interpreter for each ordered pair, so the worst case is a fraction of a
    second times the square of the number of programs.

    Examples
    --------
    >>> programs = {name: EXAMPLES[name] for name in ("CooperateBot", "DefectBot", "CliqueBot")}
    >>> print(run_tournament(programs | {"Virus": "import os"}).table())
                    1 2 3 4  mean
    1 CliqueBot     C D D D  1.75
    2 DefectBot     D D D D  1.50
    3 CooperateBot  C C C C  0.50
    4 Virus         - - - -  0.00
    Virus forfeits 4 of 4: line 1: Import at the top level, where only plain functions stand
    """
    if not programs:
        raise ValueError("expected at least one program, got none")
    pairs = [(a, b) for a in programs for b in programs]
    draws = as_generator(seed).spawn(len(pairs))
    ends = {
        (a, b): run_program(programs[a], programs[b], fuel=fuel, seed=draw)
        for (a, b), draw in zip(pairs, draws)
    }
    earned = {(a, b): _payoff(ends[a, b], ends[b, a], payoffs) for a, b in pairs}
    mean = {a: sum(earned[a, b] for b in programs) / len(programs) for a in programs}
    scores = dict(sorted(mean.items(), key=lambda entry: -entry[1]))
    moves = {(a, b): ends[a, b].action or "-" for a in scores for b in scores}
    return Tournament(moves, scores, {pair: end.forfeit for pair, end in ends.items() if end.forfeit})


def _payoff(mine: Outcome, theirs: Outcome, payoffs: Payoffs) -> float:
    if mine.action is None:
        return min(payoffs)
    return payoffs["CC CD DC DD".split().index(mine.action + (theirs.action or "D"))]


def read_programs(folder: str | Path) -> dict[str, bytes]:
    """Return the programs in a folder, by file name.

    Parameters
    ----------
    folder : str or Path
        Holds files that end in ``.py``; links and whatever is no file are passed over.

    Returns
    -------
    dict of str to bytes
        As much of each file as shows whether it is too long for a program.

    Raises
    ------
    ValueError
        If there is no such folder.

    Examples
    --------
    >>> read_programs("no such place")
    Traceback (most recent call last):
    ValueError: expected a folder of programs, got 'no such place'
    """
    if not Path(folder).is_dir():
        raise ValueError(f"expected a folder of programs, got {str(folder)!r}")
    found = {}
    for path in sorted(Path(folder).glob("*.py")):
        if path.is_file() and not path.is_symlink():
            with path.open("rb") as file:
                found[path.stem] = file.read(100_000)
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Play a tournament on the command line: ``python -m coalmarl.programs FOLDER [PAGE.html]``.

    Parameters
    ----------
    arguments : sequence of str, optional
        The folder of programs and, if wanted, the file that gets the page.

    Raises
    ------
    SystemExit
        If there is no such folder or no program in it.

    Examples
    --------
    >>> main([])
    Traceback (most recent call last):
    SystemExit: python -m coalmarl.programs FOLDER [PAGE.html]
    """
    asked = sys.argv[1:] if arguments is None else list(arguments)
    if len(asked) not in (1, 2):
        raise SystemExit("python -m coalmarl.programs FOLDER [PAGE.html]")
    try:
        tournament = run_tournament(read_programs(asked[0]))
    except ValueError as problem:
        raise SystemExit(str(problem)) from None
    print(tournament.table())
    if len(asked) == 2:
        Path(asked[1]).write_text(tournament.page(), encoding="utf-8")


if __name__ == "__main__":
    main()
