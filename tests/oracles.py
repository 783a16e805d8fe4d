"""Slow and obviously right: each concept straight from its definition, on plain arrays.

Nothing here imports the package, so a shared mistake is unlikely. ``values`` is always the table by bit mask.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import permutations
from math import factorial

import numpy as np
from scipy.optimize import linprog

TIGHT = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}


def players_of(values):
    return len(values).bit_length() - 1


def scale_of(values):
    return max(1.0, float(np.max(np.abs(values))))


def members(mask, n):
    return [i for i in range(n) if mask >> i & 1]


def indicator(masks, n):
    """0/1 rows, one per mask."""
    return np.array([[mask >> i & 1 for i in range(n)] for mask in masks], dtype=float).reshape(-1, n)


def excesses(values, x):
    return np.asarray(values, dtype=float) - indicator(range(len(values)), len(x)) @ np.asarray(x, dtype=float)


def proper(values):
    """All coalitions but the empty and the grand one."""
    return range(1, len(values) - 1)


def singletons(values):
    return np.array([values[1 << i] for i in range(players_of(values))], dtype=float)


# --- values -----------------------------------------------------------------------------------------------------


def shapley_by_orders(values):
    """The average marginal contribution over all n! arrival orders."""
    n = players_of(values)
    total = np.zeros(n)
    for order in permutations(range(n)):
        mask = 0
        for i in order:
            total[i] += values[mask | 1 << i] - values[mask]
            mask |= 1 << i
    return total / factorial(n)


def semivalue(values, weight):
    """sum over S without i of weight(|S|) * (v(S + i) - v(S)), in the arithmetic of ``values`` and ``weight``."""
    n = players_of(values)
    return [
        sum(
            (weight(mask.bit_count()) * (values[mask | 1 << i] - values[mask]) for mask in range(1 << n) if not mask >> i & 1),
            start=0 * weight(0),
        )
        for i in range(n)
    ]


def shapley_by_definition(values):
    n = players_of(values)
    return semivalue(values, lambda s: Fraction(factorial(s) * factorial(n - s - 1), factorial(n)))


def banzhaf_by_definition(values):
    n = players_of(values)
    return semivalue(values, lambda s: Fraction(1, 2 ** (n - 1)))


def owen_by_orders(values, unions):
    """The Shapley average over the orders in which every union arrives in one block."""
    n = players_of(values)
    total, count = np.zeros(n), 0
    for order in permutations(range(n)):
        block = [next(k for k, union in enumerate(unions) if i in union) for i in order]
        if sum(a != b for a, b in zip(block, block[1:])) == len(unions) - 1:
            count += 1
            mask = 0
            for i in order:
                total[i] += values[mask | 1 << i] - values[mask]
                mask |= 1 << i
    return total / count


def graph_restricted(values, edges):
    """Myerson's game: a coalition is worth the sum over its connected parts."""
    n = players_of(values)
    links = [0] * n
    for i, j in edges:
        links[i] |= 1 << j
        links[j] |= 1 << i
    restricted = np.zeros(1 << n)
    for mask in range(1, 1 << n):
        left = mask
        while left:
            part, grown = 0, left & -left
            while grown != part:
                part = grown
                for i in members(part, n):
                    grown |= links[i] & mask
            restricted[mask] += values[part]
            left &= ~part
    return restricted


def dividends_by_inclusion_exclusion(values):
    size = len(values)
    return [
        sum((-1) ** ((mask ^ sub).bit_count()) * values[sub] for sub in range(size) if sub & mask == sub) for mask in range(size)
    ]


# --- predicates -------------------------------------------------------------------------------------------------


def monotone(values):
    return all(values[s] <= values[t] for t in range(len(values)) for s in range(len(values)) if s & t == s)


def superadditive(values):
    return all(
        values[s] + values[t] <= values[s | t] for s in range(len(values)) for t in range(len(values)) if s & t == 0
    )


def convex(values):
    return all(
        values[s] + values[t] <= values[s | t] + values[s & t] for s in range(len(values)) for t in range(len(values))
    )


def essential(values):
    return values[-1] > sum(values[1 << i] for i in range(players_of(values)))


def zero_monotonic(values):
    """v(S + i) >= v(S) + v(i): enough for the prenucleolus to be individually rational."""
    n = players_of(values)
    return all(
        values[s | 1 << i] >= values[s] + values[1 << i] for s in range(len(values)) for i in range(n) if not s >> i & 1
    )


# --- linear programmes ------------------------------------------------------------------------------------------


def solve_lp(cost, **parts):
    result = linprog(cost, method="highs", options=TIGHT, **parts)
    if result.status != 0:
        raise ArithmeticError(f"linear programme: {result.message}")
    return result


def least_core_lp(values, lower=None):
    """(epsilon, x): minimise the largest excess over the proper coalitions, subject to x(N) = v(N) and x >= lower."""
    n = players_of(values)
    masks = list(proper(values))
    rows = np.hstack([-indicator(masks, n), -np.ones((len(masks), 1))])
    bounds = [(None, None)] * n if lower is None else [(low, None) for low in lower]
    result = solve_lp(
        np.r_[np.zeros(n), 1.0],
        A_ub=rows,
        b_ub=-np.asarray(values, dtype=float)[masks],
        A_eq=np.r_[np.ones(n), 0.0][None],
        b_eq=[values[-1]],
        bounds=[*bounds, (None, None)],
    )
    return result.x[-1], result.x[:n]


def largest_balanced_worth(values):
    """max sum lambda_S v(S) over the balanced weights on proper coalitions; the core is empty iff it exceeds v(N)."""
    masks = list(proper(values))
    rows = indicator(masks, players_of(values)).T
    return -solve_lp(-np.asarray(values, dtype=float)[masks], A_eq=rows, b_eq=np.ones(len(rows))).fun


def balanced_with_positive_weights(masks, free, n):
    """Are there lambda_S > 0 on ``masks`` and mu_i >= 0 on the players ``free`` that add up to 1 for every player?"""
    columns = np.vstack([indicator(masks, n), np.eye(n)[list(free)]]).T
    count = len(masks)
    rows = np.hstack([-np.eye(count), np.zeros((count, len(free))), np.ones((count, 1))])
    result = linprog(
        np.r_[np.zeros(columns.shape[1]), -1.0],
        A_ub=rows,
        b_ub=np.zeros(count),
        A_eq=np.hstack([columns, np.zeros((n, 1))]),
        b_eq=np.ones(n),
        bounds=[(0, None)] * columns.shape[1] + [(None, 1)],
    )
    return result.status == 0 and -result.fun > 1e-9


def kohlberg(values, x, *, individual, tol=1e-7):
    """Kohlberg's criterion, level by level over every distinct excess, without any early stop."""
    n, scale = players_of(values), scale_of(values)
    if abs(np.sum(x) - values[-1]) > tol * scale:
        return False
    slack = np.asarray(x) - singletons(values)
    if individual and slack.min() < -tol * scale:
        return False
    free = np.flatnonzero(slack <= tol * scale) if individual else []
    gaps = excesses(values, x)
    order = sorted(proper(values), key=lambda mask: -gaps[mask])
    for k, mask in enumerate(order):
        last_of_level = k + 1 == len(order) or gaps[mask] - gaps[order[k + 1]] > tol * scale
        if last_of_level and not balanced_with_positive_weights(order[: k + 1], free, n):
            return False
    return True


# --- the nucleolus as a sequence of linear programmes -----------------------------------------------------------


def lexicographic(values, lower=None, *, tol=1e-8, fix_what_one_optimum_shows=False):
    """Minimise the largest excess, fix the coalitions that are tight at *every* optimum, go on with the rest.

    Whether a coalition is tight at every optimum is decided by its own linear programme (its least excess over
    the optimal face), unless an optimum already seen shows it slack. ``lower`` is -inf for the prenucleolus,
    v(i) for the nucleolus. The last argument is the classic mistake, kept for the table of wrong solvers.
    """
    n, scale = players_of(values), scale_of(values)
    worth = np.asarray(values, dtype=float) / scale
    bounds = [(None, None) if lower is None else (lower[i] / scale, None) for i in range(n)]
    fixed, settled = {len(worth) - 1: 0.0}, set()  # independent equalities, and everything decided
    while len(fixed) < n:
        free = [mask for mask in proper(worth) if mask not in settled]
        equal = indicator(fixed, n), np.array([worth[mask] - gap for mask, gap in fixed.items()])
        rows, right = indicator(free, n), worth[free]
        first = solve_lp(
            np.r_[np.zeros(n), 1.0],
            A_ub=np.hstack([-rows, -np.ones((len(free), 1))]),
            b_ub=-right,
            A_eq=np.hstack([equal[0], np.zeros((len(fixed), 1))]),
            b_eq=equal[1],
            bounds=[*bounds, (None, None)],
        )
        level, tight = first.x[-1], rows @ first.x[:n] <= right - first.x[-1] + tol
        if not fix_what_one_optimum_shows:
            face = {"A_ub": -rows, "b_ub": level + 1e-9 - right, "A_eq": equal[0], "b_eq": equal[1], "bounds": bounds}
            for k in range(len(free)):
                if tight[k]:
                    far = solve_lp(-rows[k], **face).x
                    tight &= rows @ far <= right - level + tol
        for mask in [mask for mask, always in zip(free, tight) if always]:
            if np.linalg.matrix_rank(indicator([*fixed, mask], n)) > len(fixed):
                fixed[mask] = level
        settled |= {mask for mask, always in zip(free, tight) if always}
    target = np.array([worth[mask] - gap for mask, gap in fixed.items()])
    return scale * np.linalg.lstsq(indicator(fixed, n), target, rcond=None)[0]


def nucleolus(values):
    return lexicographic(values, singletons(values))


def prenucleolus(values):
    return lexicographic(values)
