"""Addresses, and the slots that they take in tables."""

import pytest

from kmodel.param import KernelParams
from kmodel.pmap.pte import check_address, index


def test_each_level_takes_nine_bits():
    """The shifts of arm64 with 4 KiB pages: 39, 30, 21 and 12."""
    va = 1 << 39 | 2 << 30 | 3 << 21 | 4 << 12
    assert [index(KernelParams(levels=4), va, level) for level in range(4)] == [1, 2, 3, 4]


def test_three_levels_reach_39_bits():
    """An address above them is refused with three levels and has a place with four."""
    check_address(KernelParams(levels=4), 1 << 39)
    with pytest.raises(ValueError, match="outside the address space of 3 levels"):
        check_address(KernelParams(levels=3), 1 << 39)


@pytest.mark.parametrize("va", [0, 0x1001])
def test_only_pages_above_page_0_are_addresses(va):
    """Page 0 is never mapped, and a mapping is of a whole page."""
    with pytest.raises(ValueError, match="not the address of a page above page 0"):
        check_address(KernelParams(), va)


def test_a_small_table_has_few_slots():
    """With fewer index bits an address that needs the others is refused."""
    check_address(KernelParams(index_bits=2), 3 << 12)
    with pytest.raises(ValueError, match="needs slot 4 of a level-3 table, and a table has 4"):
        check_address(KernelParams(index_bits=2), 4 << 12)
