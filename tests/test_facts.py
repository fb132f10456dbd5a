"""The page of facts is the one that the tests say, and no fact stands there twice."""

from __future__ import annotations

import re
from collections import Counter

from facts import PAGE, facts, page


def test_the_page_is_as_the_tests_say() -> None:
    assert PAGE.read_text() == page(list(facts())), "run: python tests/facts.py"


def test_no_fact_is_told_twice_and_each_has_a_source() -> None:
    found = list(facts())
    assert not [text for text, times in Counter(one.text for one in found).items() if times > 1]
    assert all(one.text.strip() for one in found)


def test_a_source_is_a_file_of_the_kernel_or_the_thread() -> None:
    """Nothing that a reader of the table cannot look up."""
    sources = {one.source for one in facts()}
    assert not [source for source in sources if not re.search(r"\w\.[chS]\b|the thread", source)]
    assert not [source for source in sources if ".md" in source]
