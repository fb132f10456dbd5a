"""Addresses, and the slots that they take in tables."""

import pytest
from facts import fact

from kmodel.param import KernelParams
from kmodel.pmap.pte import check_address, index
from kmodel.world import ScenarioError


@fact(
    "Each level takes nine bits; the shifts are 39, 30, 21 and 12",
    "arm64 pmap.h 1.29",
)
def test_each_level_takes_nine_bits():
    """The shifts of arm64 with 4 KiB pages: 39, 30, 21 and 12."""
    va = 1 << 39 | 2 << 30 | 3 << 21 | 4 << 12
    assert [index(va, level) for level in range(4)] == [1, 2, 3, 4]


def test_an_address_beyond_all_levels_is_left_to_the_fault():
    """It has no place in any table, and the fault answers EFAULT for it."""
    check_address(KernelParams(levels=3, index_bits=2), 1 << 39)


def test_a_small_table_has_few_slots():
    """With fewer index bits an address that needs the others is refused."""
    check_address(KernelParams(index_bits=2), 3 << 12)
    with pytest.raises(ScenarioError, match="needs slot 4 of a level-3 table, and a table has 4"):
        check_address(KernelParams(index_bits=2), 4 << 12)
