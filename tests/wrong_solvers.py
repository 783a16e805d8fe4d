"""Solvers that are wrong in the ways people are wrong. Every one must be caught by the checks.

Each takes a game and returns an allocation; none uses the package's solvers.
"""

import numpy as np
from scipy.optimize import minimize

import oracles


def alone(v):
    return oracles.singletons(v.values)


# --- instead of the Shapley value -------------------------------------------------------------------------------


def raw_banzhaf(v):
    return np.array(oracles.banzhaf_by_definition(v.values), dtype=float)


def normalised_banzhaf(v):
    """Banzhaf, stretched until it adds up."""
    raw = raw_banzhaf(v)
    return raw * v.values[-1] / raw.sum() if abs(raw.sum()) > 1e-12 else equal_split(v)


def equal_split(v):
    return np.full(v.n, v.values[-1] / v.n)


def centre_of_imputations(v):
    """Everybody's own worth, and an equal share of the rest."""
    return alone(v) + (v.values[-1] - alone(v).sum()) / v.n


def proportional_to_last_contributions(v):
    """In proportion to what each player adds to all the others."""
    last = np.array([v.values[-1] - v.values[len(v.values) - 1 ^ 1 << i] for i in range(v.n)])
    return v.values[-1] * last / last.sum() if abs(last.sum()) > 1e-12 else equal_split(v)


def one_arrival_order(v):
    return np.array([v.values[(2 << i) - 1] - v.values[(1 << i) - 1] for i in range(v.n)])


def players_reversed(v):
    return oracles.shapley_by_orders(v.values)[::-1]


WRONG_SHAPLEY = [
    raw_banzhaf,
    normalised_banzhaf,
    equal_split,
    centre_of_imputations,
    proportional_to_last_contributions,
    one_arrival_order,
    players_reversed,
]

# --- instead of the nucleolus -----------------------------------------------------------------------------------


def any_least_core_vertex(v):
    """One linear programme and stop: the worst excess is right, the rest is where the simplex method halts."""
    return oracles.least_core_lp(v.values, alone(v))[1]


def epsilon_clamped(v):
    """The empty and the grand coalition counted among the excesses, so that epsilon never goes below 0."""
    masks = range(len(v.values))
    rows = np.hstack([-oracles.indicator(masks, v.n), -np.ones((len(masks), 1))])
    return oracles.solve_lp(
        np.r_[np.zeros(v.n), 1.0],
        A_ub=rows,
        b_ub=-v.values,
        A_eq=np.r_[np.ones(v.n), 0.0][None],
        b_eq=[v.values[-1]],
        bounds=[(None, None)] * (v.n + 1),
    ).x[:-1]


def norm_plus_epsilon(v):
    """Both aims in one objective: the length of x plus the worst excess."""
    rows = oracles.indicator(oracles.proper(v.values), v.n)
    return minimize(
        lambda z: np.sqrt(z[:-1] @ z[:-1] + 1e-12) + z[-1],
        np.r_[equal_split(v), np.abs(v.values).max()],
        constraints=[
            {"type": "eq", "fun": lambda z: z[:-1].sum() - v.values[-1]},
            {"type": "ineq", "fun": lambda z: rows @ z[:-1] + z[-1] - v.values[1:-1]},
        ],
        method="SLSQP",
    ).x[:-1]


def shapley_value(v):
    return oracles.shapley_by_orders(v.values)


def payoffs_not_negative(v):
    """Individual rationality misread as x_i >= 0."""
    return oracles.lexicographic(v.values, np.zeros(v.n))


def fixes_what_one_optimum_shows(v):
    """The classic mistake: settle every coalition that happens to be tight at the optimum found."""
    return oracles.lexicographic(v.values, alone(v), fix_what_one_optimum_shows=True)


def forgets_individual_rationality(v):
    return oracles.lexicographic(v.values)


WRONG_NUCLEOLUS = [
    any_least_core_vertex,
    epsilon_clamped,
    norm_plus_epsilon,
    shapley_value,
    payoffs_not_negative,
    fixes_what_one_optimum_shows,
    forgets_individual_rationality,
]
