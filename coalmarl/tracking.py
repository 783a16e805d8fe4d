"""Radars that share out targets: what a move would bring can be computed before anybody moves.

Some radars watch more targets than there are radars.  At each step a radar points its one beam at
one target; those that look at the same target are a coalition.  What the coalition is worth is how
much its measurement will tell about the target, in nats: with the Gaussian model of a Kalman
filter that number is known before the beam is pointed.  So the worths of all coalitions at all
targets are one table, a split turns it into shares, and `coalmarl.structures` finds out who would
rather look elsewhere.

A radar that does not know the others' noise, or how much a target manoeuvres, can learn both.
What it then believes is again a `RadarNetwork`, so a model answers every question that the world
answers.  `learn_payoffs` and `learn_table` are for comparison: they learn what looking at a target
paid, and no laws.

Letters: ``R`` radars, ``T`` targets, ``k`` a target, ``r`` a radar, ``S`` a coalition of radars.
The plane is a square box with reflecting walls.  A state is ``(x, y, velocity in x, velocity in
y)``; a step takes 1 unit of time.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

BOX = 10.0  # length of a wall
_MOTION = np.array([[1.0, 0, 1, 0], [0, 1, 0, 1], [0, 0, 1, 0], [0, 0, 0, 1]])
_SHAKING = np.kron([[1 / 3, 1 / 2], [1 / 2, 1]], np.eye(2))  # of a unit of white acceleration
_MOST_RADARS = 14  # 2**14 coalitions at each target
_PAIRS = np.triu_indices(5)  # of the five numbers of a situation
_SPREAD = 0.6  # of the frequencies of random features
_GLANCE = 0.03  # standard deviation of a change of velocity, as a radar sees it


@dataclass(frozen=True, eq=False)
class RadarNetwork:
    """Radars, targets and the laws they obey; or what somebody believes these laws to be.

    Attributes
    ----------
    sites : ndarray of float, shape (R, 2)
        Where the radars are.
    ranging : ndarray of float, shape (R, 2)
        The standard deviation of a range at distance ``d`` is ``ranging[r] @ (1, d**2)``.
    bearing : ndarray of float, shape (R,)
        Standard deviation of a bearing, in radians.
    agility : ndarray of float, shape (T,)
        How strongly each target manoeuvres: variance of its change of velocity per step.
    weights : ndarray of float, shape (T,)
        How much we care for each target.

    Raises
    ------
    TypeError, ValueError
        If a part is not of this kind, or noise, agility or weights are not positive.
    """

    sites: Floats
    ranging: Floats
    bearing: Floats
    agility: Floats
    weights: Floats

    def __post_init__(self) -> None:
        radars, targets = len(np.atleast_1d(self.sites)), len(np.atleast_1d(self.agility))
        if not 1 <= radars <= _MOST_RADARS or targets < 1:
            raise ValueError(
                f"expected 1 to {_MOST_RADARS} radars and at least one target, got {radars} and {targets}; "
                "a table has 2**R coalitions per target"
            )
        shapes = {"sites": (radars, 2), "ranging": (radars, 2), "bearing": (radars,), "agility": (targets,), "weights": (targets,)}
        for name, shape in shapes.items():
            array = _finite(getattr(self, name), shape, name)
            if name != "sites" and (array < 0).any() or name in ("bearing", "agility", "weights") and (array == 0).any():
                raise ValueError(f"expected {name} above 0, got {array.min():g}; a noiseless radar would be infinitely informative")
            array.setflags(write=False)
            object.__setattr__(self, name, array)
        if (self.ranging[:, 0] == 0).any():
            raise ValueError("expected ranging noise above 0 at distance 0, got 0; a noiseless radar would be infinitely informative")

    @property
    def radars(self) -> int:
        """Number of radars."""
        return len(self.sites)

    @property
    def targets(self) -> int:
        """Number of targets."""
        return len(self.agility)

    def __repr__(self) -> str:
        return f"RadarNetwork({self.radars} radars, {self.targets} targets)"


@dataclass(frozen=True, eq=False)
class Tracks:
    """What is known about the targets: one Gaussian each.

    Attributes
    ----------
    mean : ndarray of float, shape (T, 4)
        Where each target is thought to be, and how fast.
    covariance : ndarray of float, shape (T, 4, 4)
        How sure that is.

    Raises
    ------
    TypeError, ValueError
        If these are not finite numbers of such shapes, or a covariance is not positive definite.
    """

    mean: Floats
    covariance: Floats

    def __post_init__(self) -> None:
        targets = len(np.atleast_1d(self.mean))
        mean, covariance = _finite(self.mean, (targets, 4), "mean"), _finite(self.covariance, (targets, 4, 4), "covariance")
        least = np.linalg.eigvalsh(covariance).min(axis=1) if targets else np.ones(1)
        if targets < 1 or least.min() <= 0 or not np.allclose(covariance, covariance.swapaxes(1, 2)):
            raise ValueError(
                f"expected symmetric, positive definite covariances of at least one target, got a least eigenvalue of {least.min():g}; "
                "what is known for certain needs no radar: give it a small variance"
            )
        object.__setattr__(self, "mean", mean)
        object.__setattr__(self, "covariance", covariance)


@dataclass(frozen=True, eq=False)
class Looks:
    """What the radars measured in one step, one look each.

    Attributes
    ----------
    target : ndarray of int, shape (R,)
        Where each radar looked.
    position : ndarray of float, shape (R, 2)
        Range and bearing, converted to a point of the plane.
    along : ndarray of float, shape (R, 2)
        The measured line of sight, of length 1.
    distance : ndarray of float, shape (R,)
        How far the target was.  For calibration only, as the errors: we let a radar learn
        afterwards where its target was.
    error : ndarray of float, shape (R, 2)
        Error of range and of bearing.
    glance : ndarray of float, shape (R, 2)
        The target's change of velocity, seen with a little noise.
    """

    target: NDArray[np.int64]
    position: Floats
    along: Floats
    distance: Floats
    error: Floats
    glance: Floats


# --- the world ----------------------------------------------------------------------------------


def draw_network(radars: int, targets: int, *, seed: int | np.random.Generator) -> RadarNetwork:
    """Return radars at random places with different noise, and calm and nervous targets.

    Parameters
    ----------
    radars, targets : int
        How many.
    seed : int or numpy.random.Generator
        Where the chance comes from.

    Returns
    -------
    RadarNetwork
        Half of the targets manoeuvre about 15 times as much as the others; weights are
        between .5 and 2.

    Raises
    ------
    ValueError
        If there are no radars or no targets, or too many radars for a table.

    Examples
    --------
    >>> draw_network(8, 20, seed=0)
    RadarNetwork(8 radars, 20 targets)
    """
    if radars < 1 or targets < 1:
        raise ValueError(f"expected at least one radar and one target, got {radars} and {targets}")
    rng = np.random.default_rng(seed)
    nervous = rng.permutation(np.arange(targets) % 2 == 0)
    return RadarNetwork(
        sites=rng.uniform(0, BOX, (radars, 2)),
        ranging=rng.uniform([0.05, 0.002], [0.15, 0.02], (radars, 2)),
        bearing=rng.uniform(0.01, 0.04, radars),
        agility=np.where(nervous, 0.02, 0.0013) * rng.uniform(0.7, 1.3, targets),
        weights=rng.uniform(0.5, 2, targets),
    )


def draw_targets(targets: int, *, seed: int | np.random.Generator) -> tuple[Floats, Tracks]:
    """Return targets somewhere in the box, and first tracks of them.

    Parameters
    ----------
    targets : int
        How many.
    seed : int or numpy.random.Generator
        Where the chance comes from.

    Returns
    -------
    states : ndarray, shape (T, 4)
        Where they are and how fast.
    tracks : Tracks
        Consistent guesses, with standard deviations of .5 in place and .2 in velocity.

    Raises
    ------
    ValueError
        If there are no targets.

    Examples
    --------
    >>> states, tracks = draw_targets(3, seed=0)
    >>> states.shape, tracks.covariance.shape
    ((3, 4), (3, 4, 4))
    """
    if targets < 1:
        raise ValueError(f"expected at least one target, got {targets}")
    rng, spread = np.random.default_rng(seed), np.array([0.5, 0.5, 0.2, 0.2])
    states = np.hstack([rng.uniform(0, BOX, (targets, 2)), rng.normal(0, 0.2, (targets, 2))])
    return states, Tracks(states + spread * rng.standard_normal(states.shape), np.tile(np.diag(spread**2), (targets, 1, 1)))


def move(network: RadarNetwork, states: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Return the targets one step later, and what changed their velocities.

    Parameters
    ----------
    network : RadarNetwork
        Whose agility drives them.
    states : ndarray, shape (T, 4)
        Where they are and how fast.
    rng : numpy.random.Generator
        Where the chance comes from.

    Returns
    -------
    states : ndarray, shape (T, 4)
    shaken : ndarray, shape (T, 2)
        The change of velocity that is the target's own doing, not a wall's.

    Examples
    --------
    >>> network = draw_network(2, 3, seed=0)
    >>> states, shaken = move(network, np.zeros((3, 4)), np.random.default_rng(0))
    >>> states.shape, shaken.shape
    ((3, 4), (3, 2))
    """
    shaking = np.sqrt(network.agility)[:, None] * rng.standard_normal(states.shape) @ np.linalg.cholesky(_SHAKING).T
    moved = states @ _MOTION.T + shaking
    sign, shift = _fold(moved)
    return moved * sign + shift, shaking[:, 2:]


def predict(network: RadarNetwork, tracks: Tracks) -> Tracks:
    """Return what is known about the targets one step later, before anybody looks.

    Parameters
    ----------
    network : RadarNetwork
        Whose agility is believed.
    tracks : Tracks
        What is known now.

    Returns
    -------
    Tracks

    Examples
    --------
    >>> network = draw_network(2, 3, seed=0)
    >>> before = draw_targets(3, seed=0)[1]
    >>> after = predict(network, before)
    >>> bool((np.trace(after.covariance, axis1=1, axis2=2) > np.trace(before.covariance, axis1=1, axis2=2)).all())
    True
    """
    mean = tracks.mean @ _MOTION.T
    covariance = _MOTION @ tracks.covariance @ _MOTION.T + network.agility[:, None, None] * _SHAKING
    sign, shift = _fold(mean)
    return _trusted(mean * sign + shift, covariance * sign[:, :, None] * sign[:, None, :])


def look(
    network: RadarNetwork, states: Floats, partition: Sequence[int], rng: np.random.Generator, *, shaken: Floats
) -> Looks:
    """Return what the radars measure if each looks at the target of its coalition.

    Parameters
    ----------
    network : RadarNetwork
        Whose noise the measurements have.
    states : ndarray, shape (T, 4)
        Where the targets are.
    partition : sequence of int
        One coalition of radars per target, as a mask.
    rng : numpy.random.Generator
        Where the chance comes from.
    shaken : ndarray, shape (T, 2)
        Changes of velocity, for the glances.

    Returns
    -------
    Looks

    Notes
    -----
    A measured range and bearing become a point.  The filter stays linear, and no bearing has to
    be compared with another one across the cut at 360 degrees.

    Examples
    --------
    >>> network, (states, tracks) = draw_network(2, 3, seed=0), draw_targets(3, seed=0)
    >>> look(network, states, [1, 0, 2], np.random.default_rng(0), shaken=np.zeros((3, 2))).target.tolist()
    [0, 2]
    """
    target = looking_at(network, partition)
    sight = states[target, :2] - network.sites
    distance, angle = np.hypot(*sight.T), np.arctan2(sight[:, 1], sight[:, 0])
    spread = np.stack([_range_sd(network, distance**2), network.bearing], axis=1)
    error = rng.standard_normal((network.radars, 2)) * spread
    turned = angle + error[:, 1]
    along = np.stack([np.cos(turned), np.sin(turned)], axis=1)
    position = network.sites + (distance + error[:, 0])[:, None] * along
    glance = shaken[target] + _GLANCE * rng.standard_normal((network.radars, 2))
    return Looks(target, position, along, distance, error, glance)


def update(network: RadarNetwork, tracks: Tracks, looks: Looks) -> Tracks:
    """Return the tracks after all looks of a step.

    Parameters
    ----------
    network : RadarNetwork
        Whose noise is believed.
    tracks : Tracks
        What was known before: a prediction.
    looks : Looks
        What was measured.

    Returns
    -------
    Tracks

    Notes
    -----
    A Kalman filter in information form: the inverse covariances of independent looks add up,
    in any order.  The noise of a look is an ellipse along the measured line of sight.  Its size
    comes from the prediction: a distant radar's range is too noisy to say how noisy it is.

    Examples
    --------
    >>> network, (states, tracks) = draw_network(2, 3, seed=0), draw_targets(3, seed=0)
    >>> looks = look(network, states, [3, 0, 0], np.random.default_rng(0), shaken=np.zeros((3, 2)))
    >>> surer = np.linalg.det(update(network, tracks, looks).covariance) < np.linalg.det(tracks.covariance)
    >>> surer.tolist()
    [True, False, False]
    """
    sight = tracks.mean[looks.target, :2] - network.sites
    square = (sight**2).sum(axis=1) + _unsure(tracks)[looks.target]
    sharpness = _sharpness(network, looks.along, square)
    information = np.linalg.inv(tracks.covariance)
    vector = np.einsum("kij,kj->ki", information, tracks.mean)
    np.add.at(information[:, :2, :2], looks.target, sharpness)
    np.add.at(vector[:, :2], looks.target, np.einsum("rij,rj->ri", sharpness, looks.position))
    covariance = np.linalg.inv(information)
    covariance = (covariance + covariance.swapaxes(1, 2)) / 2
    return _trusted(np.einsum("kij,kj->ki", covariance, vector), covariance)


# --- worths and shares ----------------------------------------------------------------------------


def information(network: RadarNetwork, tracks: Tracks) -> Floats:
    """Return how sharply each radar would see each target: the inverse covariance of a look.

    Parameters
    ----------
    network : RadarNetwork
        Whose noise is believed.
    tracks : Tracks
        Where the targets are expected, and how surely.

    Returns
    -------
    ndarray, shape (T, R, 2, 2)

    Notes
    -----
    ``u u' / a**2 + t t' / b**2`` with ``u`` the line of sight, ``t`` across it, ``a`` the
    standard deviation of the range, ``b`` that of the bearing times the distance.  The squared
    distance is the expected one, which is more than that of the expected place: a target that
    may be anywhere around the radar is not seen with infinite sharpness.

    Examples
    --------
    >>> network = RadarNetwork([[0, 0]], [[0.5, 0]], [0.1], [0.01], [1])
    >>> tracks = Tracks([[2, 0, 0, 0]], 1e-9 * np.eye(4)[None])
    >>> information(network, tracks)[0, 0].round(6).tolist()
    [[4.0, 0.0], [0.0, 25.0]]
    """
    sight = tracks.mean[:, None, :2] - network.sites
    length = np.hypot(sight[..., 0], sight[..., 1])[..., None]
    along = np.where(length > 0, sight, [1.0, 0.0]) / np.where(length > 0, length, 1.0)
    return _sharpness(network, along, length[..., 0] ** 2 + _unsure(tracks)[:, None])


def coalition_worths(network: RadarNetwork, tracks: Tracks) -> Floats:
    """Return what every coalition of radars would learn about every target.

    Parameters
    ----------
    network : RadarNetwork
        Whose noise and weights are believed.
    tracks : Tracks
        What is known before anybody looks: a prediction.

    Returns
    -------
    ndarray, shape (T, 2**R)
        Half the weight times the drop in log determinant: the mutual information between the
        looks and the target, in nats.  The first column is 0.

    Notes
    -----
    ``w/2 log det(I + P J(S))`` with ``P`` the covariance of the position and ``J(S)`` the sum
    of the radars' information: all coalitions by one product with the matrix of members.  For
    2 x 2 matrices the determinant is ``1 + trace(P J) + det(P) det(J)``.  ``O(T R 2**R)``.

    Examples
    --------
    >>> network, tracks = draw_network(3, 2, seed=0), draw_targets(2, seed=0)[1]
    >>> worths = coalition_worths(network, tracks)
    >>> worths.shape, bool((worths[:, 7] > worths[:, 3]).all())
    ((2, 8), True)
    """
    inside = (np.arange(1 << network.radars)[:, None] >> np.arange(network.radars) & 1).astype(np.float64)
    J, P = (inside @ information(network, tracks).reshape(-1, network.radars, 4)).transpose(2, 0, 1), tracks.covariance[:, :2, :2]
    both = np.einsum("kij,ijks->ks", P, J.reshape(2, 2, network.targets, -1))
    determinant = 1 + both + np.linalg.det(P)[:, None] * (J[0] * J[3] - J[1] * J[2])
    return network.weights[:, None] / 2 * np.log(determinant)


def potentials(worths: ArrayLike) -> Floats:
    """Return the Hart and Mas-Colell potential of each coalition at each place.

    Parameters
    ----------
    worths : array_like of float, shape (..., 2**n)
        Worth of each coalition at each place.

    Returns
    -------
    ndarray, shape (..., 2**n)
        The sum of ``dividend(T) / |T|`` over the ``T`` inside ``S``.

    Raises
    ------
    TypeError, ValueError
        If these are no tables of worths.

    Notes
    -----
    Two passes over the table, one to dividends and one back: ``O(n 2**n)`` per place.

    References
    ----------
    hart1989potential

    Examples
    --------
    >>> potentials([[0, 2, 4, 8]]).tolist()
    [[0.0, 2.0, 4.0, 7.0]]
    """
    table = np.moveaxis(_worth_table(worths), -1, 0).copy()  # coalitions first: the places lie side by side
    n = len(table).bit_length() - 1
    for i in range(n):
        pair = table.reshape(-1, 2, 1 << i, *table.shape[1:])
        pair[:, 1] -= pair[:, 0]
    table /= np.maximum(np.bitwise_count(np.arange(1 << n)), 1).reshape(-1, *[1] * (table.ndim - 1))
    for i in range(n):
        pair = table.reshape(-1, 2, 1 << i, *table.shape[1:])
        pair[:, 1] += pair[:, 0]
    return np.moveaxis(table, 0, -1)


def divide(worths: ArrayLike, split: str) -> Floats:
    """Return what each member gets of each coalition's worth at each place.

    Parameters
    ----------
    worths : array_like of float, shape (K, 2**n)
        Worth of each coalition at each place, such as `coalition_worths`.
    split : str
        "equal", "proportional" to what each would be worth there alone, "marginal" for what
        would be lost without it, "shapley", or "everything": each member is paid the whole.

    Returns
    -------
    ndarray, shape (K, 2**n, n)
        As `coalmarl.structures.nash_deviations` reads it.

    Raises
    ------
    TypeError, ValueError
        If these are no worths, or there is no such split.

    Examples
    --------
    >>> for split in SPLITS:
    ...     print(split, divide([[0, 2, 6, 7]], split)[0, 3].tolist())
    equal [3.5, 3.5]
    proportional [1.75, 5.25]
    marginal [1.0, 5.0]
    shapley [1.5, 5.5]
    everything [7.0, 7.0]
    """
    if not isinstance(split, str) or split not in SPLITS:
        raise ValueError(f"expected a split from {', '.join(SPLITS)}, got {split!r:.60}")
    table = _worth_table(worths)
    n = table.shape[-1].bit_length() - 1
    member = np.arange(1 << n)[:, None] >> np.arange(n) & 1
    return SPLITS[split](table, member.astype(np.float64))


def looking_at(network: RadarNetwork, partition: Iterable[int]) -> NDArray[np.int64]:
    """Return the target of each radar.

    Parameters
    ----------
    network : RadarNetwork
        The radars.
    partition : iterable of int
        One coalition of radars per target, as a mask.

    Returns
    -------
    ndarray of int, shape (R,)

    Raises
    ------
    ValueError
        If a radar looks nowhere or at two targets, or there is not one coalition per target.

    Examples
    --------
    >>> looking_at(draw_network(3, 2, seed=0), [0b101, 0b010]).tolist()
    [0, 1, 0]
    """
    masks = np.array(list(partition), dtype=np.int64)
    pointed = masks[:, None] >> np.arange(network.radars) & 1
    if masks.shape != (network.targets,) or masks.max() >> network.radars or (pointed.sum(axis=0) != 1).any():
        raise ValueError(
            f"expected one coalition per target with each of {network.radars} radars in one of them, got {masks.tolist()}"
        )
    return pointed.argmax(axis=0)


def gathering(network: RadarNetwork, targets: ArrayLike) -> tuple[int, ...]:
    """Return the coalitions if each radar looks at the given target.

    Parameters
    ----------
    network : RadarNetwork
        The radars.
    targets : array_like of int, shape (R,)
        Where each radar looks.

    Returns
    -------
    tuple of int
        One mask per target.

    Raises
    ------
    ValueError
        If there is not one target per radar.

    Examples
    --------
    >>> gathering(draw_network(3, 2, seed=0), [0, 1, 0])
    (5, 2)
    """
    chosen = np.asarray(targets)
    if chosen.shape != (network.radars,) or chosen.dtype.kind not in "iu" or not ((chosen >= 0) & (chosen < network.targets)).all():
        raise ValueError(f"expected a target 0 .. {network.targets - 1} for each of {network.radars} radars, got {targets!r:.60}")
    masks = np.zeros(network.targets, dtype=np.int64)
    np.add.at(masks, chosen, 1 << np.arange(network.radars))
    return tuple(masks.tolist())


# --- learning --------------------------------------------------------------------------------------


def learn_networks(known: RadarNetwork, log: Sequence[Looks], *, prior: float = 3.0) -> tuple[RadarNetwork, ...]:
    """Return what each radar believes about the network after some steps.

    Parameters
    ----------
    known : RadarNetwork
        Sites and weights are read from it; noise and agility are learned.
    log : sequence of Looks
        What was measured, at least 3 steps.
    prior : float
        A target's agility starts from so many glances at the average of all.

    Returns
    -------
    tuple of RadarNetwork
        One per radar.  Each radar learns the law of its own noise and tells the others; what it
        knows of the targets' agility it has seen itself.

    Raises
    ------
    ValueError
        If there are fewer than 3 steps.

    Notes
    -----
    The expected size of a normal error is ``sqrt(2 / pi)`` standard deviations, so the law of
    the range comes from the errors' sizes by weighted least squares on ``(1, d**2)``.

    Examples
    --------
    >>> network, (states, _) = draw_network(2, 3, seed=0), draw_targets(3, seed=0)
    >>> rng = np.random.default_rng(0)
    >>> log = [look(network, states, [1, 2, 0], rng, shaken=np.zeros((3, 2))) for _ in range(200)]
    >>> models = learn_networks(network, log)
    >>> bool((abs(models[0].bearing / network.bearing - 1) < 0.1).all())
    True
    """
    if len(log) < 3:
        raise ValueError(f"expected at least 3 steps to learn from, got {len(log)}")
    distance, error = np.stack([a.distance for a in log]), np.stack([a.error for a in log])
    ranging = np.stack([_range_law(distance[:, r], np.abs(error[:, r, 0])) for r in range(known.radars)])
    bearing = np.sqrt((error[..., 1] ** 2).mean(axis=0))
    target, glance = np.stack([a.target for a in log]), np.stack([a.glance for a in log])
    shaking = np.maximum((glance**2).mean(axis=2) - _GLANCE**2, 1e-6)
    models = []
    for r in range(known.radars):
        seen = np.bincount(target[:, r], minlength=known.targets)
        total = np.bincount(target[:, r], shaking[:, r], known.targets)
        agility = (total + prior * shaking[:, r].mean()) / (seen + prior)
        models.append(replace(known, ranging=ranging, bearing=bearing, agility=agility))
    return tuple(models)


def believed_shares(models: Sequence[RadarNetwork], tracks: Tracks, split: str) -> Floats:
    """Return the shares as each radar's own model has them.

    Parameters
    ----------
    models : sequence of RadarNetwork
        One per radar.
    tracks : Tracks
        What all of them know, after the last looks: each makes its own prediction from it.
    split : str
        As in `divide`.

    Returns
    -------
    ndarray, shape (T, 2**R, R)
        Column ``r`` is what radar ``r`` believes to get, so a radar's moves can be looked up.

    Raises
    ------
    ValueError
        If there is not one model per radar.

    Examples
    --------
    >>> network, tracks = draw_network(3, 4, seed=0), draw_targets(4, seed=0)[1]
    >>> true = divide(coalition_worths(network, predict(network, tracks)), "shapley")
    >>> np.allclose(believed_shares([network] * 3, tracks, "shapley"), true)
    True
    """
    if not models or len(models) != models[0].radars:
        raise ValueError(f"expected one model per radar, got {len(models)}")
    tables = [divide(coalition_worths(own, predict(own, tracks)), split)[..., r] for r, own in enumerate(models)]
    return np.stack(tables, axis=-1)


@dataclass(frozen=True, eq=False)
class FeaturePayoffs:
    """What looking at a target has paid, as a linear function of features of the situation.

    Attributes
    ----------
    centre, scale : ndarray of float, shape (5,)
        Mean and spread of the `situations` it was learned from.
    frequencies : ndarray of float, shape (5, D)
        Of the random Fourier features; ``D`` may be 0.
    coefficients : ndarray of float, shape (R, F)
        Of the constant, the 5 numbers, their 15 products and the Fourier features, per radar.
    """

    centre: Floats
    scale: Floats
    frequencies: Floats
    coefficients: Floats

    def expect(
        self, seen: Callable[[NDArray[np.int64], int], Floats], weights: ArrayLike = 1.0
    ) -> Callable[[NDArray[np.int64], int], Floats]:
        """Return the expected payoffs as `coalmarl.structures.settle` asks for them.

        Parameters
        ----------
        seen : callable
            Of the other players' coalitions and a player, to its `situations` at each place.
        weights : array_like of float, shape (K,)
            What a place multiplies payoffs by.

        Returns
        -------
        callable
            Of the others' coalitions and a player, to its payoff at each place.
        """

        def ask(others: NDArray[np.int64], i: int) -> Floats:
            features = _features((seen(others, i) - self.centre) / self.scale, self.frequencies)
            return np.asarray(weights) * (features @ self.coefficients[i])

        return ask


def situations(network: RadarNetwork, tracks: Tracks) -> Callable[[NDArray[np.int64], int], Floats]:
    """Return what a radar can tell about each target without any law.

    Parameters
    ----------
    network : RadarNetwork
        Sites are read from it.
    tracks : Tracks
        What is known before anybody looks.

    Returns
    -------
    callable
        Of the other radars' coalitions and a radar, to an array of shape ``(T, 5)``: how unsure
        the track is, the radar's distance, how many others look there, how near they are
        together, and the distance of the nearest of them.

    Examples
    --------
    >>> network, tracks = draw_network(2, 3, seed=0), draw_targets(3, seed=0)[1]
    >>> situations(network, tracks)(np.array([2, 0, 0]), 0)[:, 2].tolist()
    [1.0, 0.0, 0.0]
    """
    distance = np.hypot(*(tracks.mean[:, None, :2] - network.sites).transpose(2, 0, 1))
    near, unsure = 1 / (1 + (distance / 3) ** 2), np.linalg.slogdet(tracks.covariance[:, :2, :2])[1] / 2
    radars = np.arange(network.radars)

    def seen(others: NDArray[np.int64], r: int) -> Floats:
        there = others[:, None] >> radars & 1
        nearest = np.where(there > 0, distance, 1.5 * BOX).min(axis=1)
        return np.stack([unsure, distance[:, r], there.sum(axis=1), (there * near).sum(axis=1), nearest], axis=1)

    return seen


def learn_payoffs(
    seen: ArrayLike, paid: ArrayLike, *, fourier: int = 0, ridge: float = 0.1, seed: int | np.random.Generator = 0
) -> FeaturePayoffs:
    """Return payoffs learned by ridge regression, one radar at a time, from what was paid.

    Parameters
    ----------
    seen : array_like of float, shape (m, R, 5)
        The `situations` that the radars chose, step by step.
    paid : array_like of float, shape (m, R)
        What each got for it, per unit of the target's weight.
    fourier : int
        How many random Fourier features there are beside the 5 numbers and their products.
    ridge : float
        Penalty on the squares of the coefficients.
    seed : int or numpy.random.Generator
        Draws the frequencies.

    Returns
    -------
    FeaturePayoffs

    Raises
    ------
    TypeError, ValueError
        If the arrays do not belong together, or hold anything that is not finite.

    Examples
    --------
    >>> seen = np.random.default_rng(0).random((50, 2, 5))
    >>> learn_payoffs(seen, seen[..., 0]).coefficients.shape
    (2, 21)
    """
    steps, radars = np.shape(paid)[:2] if np.ndim(paid) == 2 else (0, 0)
    if steps < 1 or radars < 1:
        raise ValueError(f"expected what was paid with shape (m, R) and m, R >= 1, got {np.shape(paid)}")
    x, y = _finite(seen, (steps, radars, 5), "seen"), _finite(paid, (steps, radars), "paid")
    centre, scale = x.mean(axis=(0, 1)), x.std(axis=(0, 1)) + 1e-6
    frequencies = _SPREAD * np.random.default_rng(seed).standard_normal((5, fourier))
    features = _features((x - centre) / scale, frequencies)
    gram = np.einsum("mrf,mrg->rfg", features, features, optimize=True) + ridge * np.eye(features.shape[-1])
    right = np.einsum("mrf,mr->rf", features, y)
    return FeaturePayoffs(centre, scale, frequencies, np.linalg.solve(gram, right[..., None])[..., 0])


def learn_table(targets: ArrayLike, paid: ArrayLike, count: int, *, step: float = 0.2) -> Floats:
    """Return the payoff of each radar at each target, a running average of what was paid there.

    Parameters
    ----------
    targets : array_like of int, shape (m, R)
        Where the radars looked, step by step.
    paid : array_like of float, shape (m, R)
        What they got for it.
    count : int
        Number of targets.
    step : float
        Share of the newest payoff in the average.

    Returns
    -------
    ndarray, shape (T, R)
        Untried targets are worth the largest payoff so far, so that they are tried.

    Examples
    --------
    >>> learn_table([[0], [1], [0]], [[1.0], [3.0], [2.0]], 3).round(1).tolist()
    [[1.2], [3.0], [3.0]]
    """
    where, got = np.asarray(targets), np.asarray(paid, dtype=np.float64)
    radars, table = np.arange(got.shape[1]), np.full((count, got.shape[1]), np.nan)
    for k, payoff in zip(where, got, strict=True):
        before = table[k, radars]
        table[k, radars] = np.where(np.isnan(before), payoff, before + step * (payoff - before))
    return np.where(np.isnan(table), got.max(), table)


# --- parts -----------------------------------------------------------------------------------------


def _equal(worths: Floats, member: Floats) -> Floats:
    return (worths / np.maximum(member.sum(axis=1), 1))[..., None] * member


def _proportional(worths: Floats, member: Floats) -> Floats:
    alone = worths[..., 1 << np.arange(member.shape[1])][..., None, :] * member
    total = alone.sum(axis=-1, keepdims=True)
    return worths[..., None] * np.divide(alone, total, out=np.zeros_like(alone), where=total != 0)


def _marginal(worths: Floats, member: Floats) -> Floats:
    n = member.shape[1]
    shares = np.zeros((n, *worths.shape))
    for i, own in enumerate(shares):
        without, joined = np.moveaxis(worths.reshape(*worths.shape[:-1], -1, 2, 1 << i), -2, 0)
        own.reshape(*worths.shape[:-1], -1, 2, 1 << i)[..., 1, :] = joined - without
    return np.moveaxis(shares, 0, -1)


def _shapley(worths: Floats, member: Floats) -> Floats:
    return _marginal(potentials(worths), member)


def _everything(worths: Floats, member: Floats) -> Floats:
    return worths[..., None] * member


#: What each member of a coalition may be paid, by the name of the rule.
SPLITS: dict[str, Callable[[Floats, Floats], Floats]] = {
    "equal": _equal,
    "proportional": _proportional,
    "marginal": _marginal,
    "shapley": _shapley,
    "everything": _everything,
}


def _range_sd(network: RadarNetwork, square: Floats) -> Floats:
    """Standard deviation of ranges from squared distances, the radars on the last axis."""
    return network.ranging[:, 0] + network.ranging[:, 1] * square


def _sharpness(network: RadarNetwork, along: Floats, square: Floats) -> Floats:
    """Information of looks along unit vectors: what the range tells, and what the bearing tells."""
    across = np.stack([-along[..., 1], along[..., 0]], axis=-1)
    noise = _range_sd(network, square) ** 2, network.bearing**2 * square
    parts = [u[..., :, None] * u[..., None, :] / s[..., None, None] for u, s in zip((along, across), noise)]
    return parts[0] + parts[1]


def _unsure(tracks: Tracks) -> Floats:
    """Expected squared error of the position."""
    return tracks.covariance[:, 0, 0] + tracks.covariance[:, 1, 1]


def _fold(states: Floats) -> tuple[Floats, Floats]:
    """Sign and shift that bring each state back into the box, as the walls reflect it."""
    times = np.floor(states[:, :2] / BOX)
    sign = np.where(times % 2 == 0, 1.0, -1.0)
    shift = np.where(times % 2 == 0, -times * BOX, (times + 1) * BOX)
    return np.hstack([sign, sign]), np.hstack([shift, np.zeros_like(shift)])


def _range_law(distance: Floats, size: Floats) -> Floats:
    """Standard deviation of the range as ``(1, d**2)`` explains it, from the errors' sizes."""
    design, sd = np.stack([np.ones_like(distance), distance**2], axis=1), np.ones_like(distance)
    for _ in range(3):  # the spread of a size is in proportion to the standard deviation
        law = np.linalg.lstsq(design / sd[:, None], size * np.sqrt(np.pi / 2) / sd, rcond=None)[0]
        law = np.maximum(law, [1e-2, 0.0])
        sd = design @ law
    return law


def _features(z: Floats, frequencies: Floats) -> Floats:
    """A constant, the numbers, their products, and cosines and sines if there are frequencies."""
    parts = [np.ones((*z.shape[:-1], 1)), z, z[..., _PAIRS[0]] * z[..., _PAIRS[1]]]
    if frequencies.shape[1]:
        angle = z @ frequencies
        parts += [f(angle) / np.sqrt(frequencies.shape[1]) for f in (np.cos, np.sin)]
    return np.concatenate(parts, axis=-1)


def _trusted(mean: Floats, covariance: Floats) -> Tracks:
    """Tracks that a filter made, without another look at their eigenvalues."""
    tracks = object.__new__(Tracks)
    object.__setattr__(tracks, "mean", mean)
    object.__setattr__(tracks, "covariance", covariance)
    return tracks


def _worth_table(worths: ArrayLike) -> Floats:
    table = np.asarray(worths)
    last = table.shape[-1] if table.ndim else 0
    if table.dtype.kind not in "biuf" or last < 2 or last & (last - 1):
        raise ValueError(f"expected worths of shape (K, 2**n), got {worths!r:.60} of shape {table.shape}")
    return _finite(table, table.shape, "worths")


def _finite(data: ArrayLike, shape: tuple[int, ...], name: str) -> Floats:
    """A new float array of this shape."""
    try:
        array = np.array(data)
    except ValueError as error:
        raise ValueError(f"expected {name} of shape {shape}, got rows of unequal length: {error}") from None
    if array.dtype.kind not in "biuf":
        raise TypeError(f"expected {name} as real numbers, got {array.dtype} in {data!r:.60}")
    if array.shape != shape:
        raise ValueError(f"expected {name} of shape {shape}, got {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"expected finite {name}, got {array[~np.isfinite(array)][0]}")
    return array.astype(np.float64)
