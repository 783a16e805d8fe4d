"""Coalitions as bit masks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coalmarl.coalitions import (
    as_mask,
    as_partition,
    bell_number,
    check_player,
    check_table_fits,
    coalition_sums,
    disjoint_pairs,
    grand_coalition,
    members,
    membership,
    partitions,
    sizes,
    subsets,
)
from strategies import payoffs, subset_sums

PLAYERS = st.integers(1, 10).flatmap(lambda n: st.tuples(st.just(n), st.sets(st.integers(0, n - 1))))


@given(PLAYERS)
def test_mask_and_members_are_inverse(case):
    n, S = case
    mask = as_mask(S, n)
    assert mask == sum(2**i for i in S) and members(mask) == tuple(sorted(S))
    assert as_mask(mask, n) == as_mask(np.int64(mask), n) == as_mask(np.array(sorted(S), dtype=int), n) == mask
    assert type(as_mask(np.uint16(mask), n)) is int
    assert members(np.int64(mask)) == members(mask)


@given(PLAYERS)
def test_membership_rows(case):
    n, S = case
    row = membership([as_mask(S, n), 0, grand_coalition(n)], n)
    assert row.dtype == bool and row.shape == (3, n)
    assert np.flatnonzero(row[0]).tolist() == sorted(S) and not row[1].any() and row[2].all()


@pytest.mark.parametrize("n", range(12))
def test_sizes_and_grand_coalition(n):
    assert grand_coalition(n) == 2**n - 1
    assert sizes(n).tolist() == [mask.bit_count() for mask in range(2**n)]


@given(st.integers(1, 8).flatmap(payoffs))
def test_coalition_sums(x):
    np.testing.assert_allclose(coalition_sums(x), subset_sums(x), rtol=0, atol=1e-10)
    assert coalition_sums(x.tolist())[-1] == pytest.approx(x.sum(), abs=1e-10)


@pytest.mark.parametrize("bad", [True, np.True_, "01", b"01", 1.0, None, [0, True], ["0"], [0.0], [[0]], [None], np.array([0.0])])
def test_what_is_no_coalition_is_refused(bad):
    with pytest.raises(TypeError, match="expected"):
        as_mask(bad, 3)


@pytest.mark.parametrize("bad, shown", [(8, "8"), (-1, "-1"), ([3], "3"), ([-1], "-1"), ([0, 1, 0], "0"), ([1, np.int64(1)], "1")])
def test_what_is_out_of_range_or_named_twice_is_refused(bad, shown):
    with pytest.raises(ValueError, match=f"got.*{shown}"):
        as_mask(bad, 3)


def test_check_player():
    assert check_player(2, 3) == check_player(np.uint8(2), 3) == 2
    for bad, error in ((3, ValueError), (-1, ValueError), (True, TypeError), (1.0, TypeError), ("1", TypeError)):
        with pytest.raises(error):
            check_player(bad, 3)


def test_tables_that_do_not_fit():
    check_table_fits(1)
    check_table_fits(16, tables=6)
    for bad, error in ((0, ValueError), (-3, ValueError), (60, ValueError), (10_000, ValueError), (2.0, TypeError), (True, TypeError)):
        with pytest.raises(error, match=str(bad).replace(".", r"\.")):
            check_table_fits(bad)
    with pytest.raises(ValueError, match=r"60.*GiB.*[Uu]se"):
        check_table_fits(60)


@given(PLAYERS)
def test_subsets(case):
    n, S = case
    mask = as_mask(S, n)
    assert subsets(mask).tolist() == [T for T in range(mask + 1) if T & mask == T]


@pytest.mark.parametrize("n", range(6))
def test_disjoint_pairs(n):
    S, T = disjoint_pairs(n)
    assert sorted(zip(S.tolist(), T.tolist())) == [(a, b) for a in range(2**n) for b in range(2**n) if a & b == 0]
    digits = [[k // 3**i % 3 for i in range(n)] for k in range(3**n)]
    assert S.tolist() == [sum(2**i for i in range(n) if d[i] == 1) for d in digits]
    assert T.tolist() == [sum(2**i for i in range(n) if d[i] == 2) for d in digits]


@pytest.mark.parametrize("n", range(8))
def test_partitions(n):
    found = list(partitions(n))
    assert len(found) == len({frozenset(p) for p in found}) == bell_number(n)
    for p in found:
        assert sum(p) == 2**n - 1 and sum(S.bit_count() for S in p) == n  # each player once
        assert all(S > 0 for S in p) and list(p) == sorted(p, key=lambda S: S & -S)


def test_bell_numbers():
    printed = {0: 1, 1: 1, 5: 52, 10: 115975, 15: 1382958545, 20: 51724158235372, 25: 4638590332229999353}
    assert {n: bell_number(n) for n in printed} == printed
    thousand = str(bell_number(np.int64(1000)))
    assert (len(thousand), thousand[:4]) == (1928, "2989")


@pytest.mark.parametrize("count", [bell_number, disjoint_pairs, lambda n: list(partitions(n))])
def test_what_is_no_number_of_players_is_refused(count):
    for bad, error in ((-1, ValueError), (1.0, TypeError), (True, TypeError), ("2", TypeError)):
        with pytest.raises(error, match="number of players"):
            count(bad)


def test_lists_that_do_not_fit():
    with pytest.raises(ValueError, match="GiB"):
        disjoint_pairs(60)
    with pytest.raises(ValueError, match="GiB"):
        subsets(grand_coalition(60))


def test_as_partition():
    assert as_partition([[2, 0], 2, (), np.array([3])], 4) == (5, 2, 0, 8)
    assert as_partition(iter([1]), 1) == as_partition(np.array([1]), 1) == (1,)
    assert all(type(S) is int for S in as_partition(np.array([1, 2], dtype=np.uint8), 2))
    for bad, error, shown in (
        ([3, 6], ValueError, r"\{1\} twice"),
        ([3, 3, 4], ValueError, r"\{0, 1\} twice"),
        ([1], ValueError, r"without \{1, 2\}"),
        ([8, 7], ValueError, "got 8"),
        (7, TypeError, "7"),
        ("7", TypeError, "7"),
        ([7.0], TypeError, "7.0"),
    ):
        with pytest.raises(error, match=shown):
            as_partition(bad, 3)
