"""Each named property was broken once, and found."""

from __future__ import annotations

from breaks import PAGE, broken_by, page

from kmodel.properties import NUMBERS, PROPERTIES


def test_the_page_is_as_the_tests_say() -> None:
    assert PAGE.read_text() == page(), "run: python tests/breaks.py"


def test_each_property_is_broken_by_some_test() -> None:
    assert set(broken_by()) == set(PROPERTIES)


def test_each_of_the_28_properties_of_the_kernel_facts_has_a_check() -> None:
    assert list(NUMBERS) == list(range(1, 29))
    assert {name for names in NUMBERS.values() for name in names} <= set(PROPERTIES)
