"""What is in pages, and what a process must find there."""

from worlds import boot

from kmodel.vm.contents import Contents


def contents(watched=True):
    with boot().world:
        made = Contents()
    made.watched = watched
    return made


def test_a_page_is_zero_until_something_is_added():
    made = contents()
    assert made.load(3) == 0
    made.add(3, 5)
    made.add(3, 2)
    assert made.load(3) == 7
    made.zero(3)
    assert made.values == ()


def test_a_copy_and_a_way_to_swap_and_back_keep_the_value():
    made = contents()
    made.store(3, 7)
    made.copy(3, 4)
    made.swap_out(4, 0x1000)
    made.zero(4)
    made.swap_in(0x1000, 5)
    assert (made.load(3), made.load(5), made.value(("swap", 0x1000))) == (7, 7, 0)


def test_a_child_must_find_what_its_parent_had_at_the_fork():
    made = contents()
    made.expect("parent", 0x1000, 1)
    made.inherit("parent", "child")
    made.expect("parent", 0x1000, 1)
    made.found("parent", 0x1000, 2)
    made.found("child", 0x1000, 1)
    assert made.lost == ""
    made.found("child", 0x1000, 2)
    assert made.lost == "child read 2 at 0x1000, and should find 1"


def test_what_is_unmapped_is_expected_no_more():
    made = contents()
    made.expect("p", 0x1000, 1)
    made.forget("p", 0, 0x2000)
    made.found("p", 0x1000, 0)
    assert (made.lost, made.expected) == ("", ())


def test_nothing_is_kept_unless_the_story_asks():
    """So that stories without contents have no more states."""
    made = contents(watched=False)
    made.add(3, 5)
    made.expect("p", 0x1000, 1)
    made.found("p", 0x1000, 9)
    assert (made.values, made.expected, made.lost) == ((), (), "")
