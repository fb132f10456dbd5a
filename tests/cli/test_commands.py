"""The commands as users and scripts meet them: what they print, and how they end."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import stories
from commands import Commands, child

from kmodel.explore import purity

MAP = "contended_kernel_map"
ONE = ("--set", "cpus=1")


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Commands:
    return Commands(capsys)


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    return tmp_path / "logs"


# explore


@pytest.mark.parametrize(
    ("fix", "status", "words"),
    [
        ("wait", 1, "violated: lost-wakeup"),
        ("lock-retry", 1, "violated: livelock"),
        ("populate", 0, "holds"),
    ],
)
def test_explore_ends_as_its_verdict_says(
    call: Commands, fix: str, status: int, words: str
) -> None:
    """The verdict in the first line, evidence and assumptions below, and a replay if broken."""
    ran = call("explore", MAP, *ONE, "--fix", fix)
    assert ran.status == status
    assert ran.err == ""
    assert ran.out.splitlines()[0] == f"{MAP}, fix {fix}: {words}"
    assert "  evidence: complete; " in ran.out
    assert "  assumed: sequential consistency; " in ran.out
    assert ("  kmodel replay k2-" in ran.out.split("most on any run")[0]) == bool(status)
    assert "also found: invariant (resident_count of p0)" in ran.out
    assert ("excluded by lock-grant alone: starvation" in ran.out) == (fix != "wait")


def test_a_property_can_be_asked_for_by_name(call: Commands) -> None:
    """With its own bound or another; the token carries both, and replays."""
    storm = ("--set", "must=no wake storm, each page is in one place")
    ran = call("explore", MAP, *ONE, "--fix", "wait", *storm, "--json")
    assert (ran.status, ran.document["property"]) == (1, "no wake storm")
    again = call("replay", ran.document["replay"], "--json")
    assert again.document["property"] == "no wake storm"
    ran = call("explore", MAP, *ONE, "--fix", "wait", *storm, "--set", "most=2", "--json")
    assert ran.document["message"].startswith("the pagedaemon did 3 laps with no page short")
    assert call("explore", MAP, *ONE, "--fix", "populate", *storm).status == 0


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("no wake stom", "no such property. Did you mean 'no wake storm'?"),
        ("ends", "must=ends: that is judged always"),
        ("NOWAIT never blocks", "to be broken it takes watch_nowait=true"),
    ],
)
def test_a_property_that_cannot_be_asked_for_is_refused(
    call: Commands, name: str, words: str
) -> None:
    """With the reason, and what to do."""
    ran = call("explore", MAP, *ONE, "--set", f"must={name}")
    assert ran.status == 2
    assert words in ran.err


def test_explore_prints_one_document(call: Commands) -> None:
    """And nothing else on standard output, nor colour anywhere."""
    ran = call("explore", MAP, *ONE, "--json")
    assert (ran.status, ran.err) == (1, "")
    assert ran.document["schema"] == "kmodel.verdict/1"
    assert (ran.document["verdict"], ran.document["kind"]) == ("violated", "lost-wakeup")
    assert ran.document["params"]["cpus"] == 1
    assert "\x1b" not in call("explore", MAP, *ONE).out


def test_explore_gives_the_same_document_in_any_process() -> None:
    """Not a word differs with the hash seed, but for the seconds."""

    def document(seed: str) -> Any:
        found = child("explore", MAP, *ONE, "--json", PYTHONHASHSEED=seed).document
        found["evidence"].pop("seconds")
        return found

    assert document("1") == document("2")


@pytest.mark.parametrize("options", [("--max-states", "100"), ("--max-seconds", "0.01")])
def test_a_limit_ends_with_4(call: Commands, options: tuple[str, str]) -> None:
    """Nothing found, and not all was searched."""
    ran = call("explore", MAP, "--set", "cpus=3", "--fix", "populate", "--json", *options)
    assert ran.status == 4
    assert ran.document["verdict"] == "inconclusive"
    assert not ran.document["evidence"]["complete"]


def test_ctrl_c_ends_a_search_with_130_and_keeps_what_it_has(
    call: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The document is printed all the same."""

    @contextmanager
    def searching(*_: object) -> Iterator[Any]:
        yield lambda graph: signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr("kmodel.cli.progress.searching", searching)
    ran = call("explore", MAP, "--fix", "populate", "--json")
    assert ran.status == 130
    assert ran.document["evidence"]["bound"] == "interrupted"
    assert ran.document["evidence"]["states"] > 0


# run


def test_run_twice_is_the_same_run(call: Commands, logs: Path) -> None:
    """The same seed: the same digest, and two logs beside each other."""
    one, two = (call("run", MAP, "--seed", 7, "--json", "--logs", logs).document for _ in range(2))
    assert one["digest"] == two["digest"]
    assert one["log"] != two["log"]
    lines = [Path(document["log"]).read_text().splitlines()[1:] for document in (one, two)]
    assert lines[0] == lines[1]
    other = call("run", MAP, "--seed", 8, "--json", "--logs", logs).document
    assert other["digest"] != one["digest"]


def test_run_is_the_same_in_any_process(call: Commands, logs: Path) -> None:
    """Whatever the hash seed, and whether Hypothesis is imported."""
    arguments = ("run", MAP, "--seed", 7, "--json", "--logs", logs)
    here = call(*arguments).document["digest"]
    imported = "import hypothesis; from kmodel.__main__ import main; main()"
    children = [
        child(*arguments, PYTHONHASHSEED="0"),
        child(*arguments, PYTHONHASHSEED="12345"),
        child(*arguments, code=imported),
    ]
    assert [ran.document["digest"] for ran in children] == [here] * 3


def test_run_sums_up_many_runs(call: Commands, logs: Path) -> None:
    """A line for each of the first runs, then the sum; a sample ends with 0."""
    ran = call("run", MAP, "--fix", "populate", "--runs", 30, "--logs", logs)
    lines = ran.out.splitlines()
    assert ran.status == 0
    assert [line.split(":")[0] for line in lines[:20]] == [f"seed {n}" for n in range(20)]
    assert lines[20] == "... and 10 more runs"
    assert f"{MAP}, fix populate: inconclusive" in lines
    assert re.search(r"\n  30 random runs?(\(s\))? broke nothing, which proves nothing", ran.out)
    assert re.search(r"\n  30 runs \(done 30\), [\d,]+ steps, ", ran.out)
    assert re.search(
        r"\n  in all: \d+ refaults, pool failures vp: map lock refused: \d+, ", ran.out
    )
    shown = re.search(r"kmodel log show (\S+)", ran.out)
    assert shown is not None
    assert call("log", "show", shown[1].rstrip(")"), "--logs", logs).status == 0


def test_run_that_is_not_over_ends_with_4(call: Commands, logs: Path) -> None:
    """A run that was given up decides nothing."""
    ran = call("run", MAP, "--max-steps", 5, "--json", "--logs", logs)
    assert ran.status == 4
    assert ran.document["evidence"]["bound"] == "5 steps"


def test_run_that_breaks_ends_with_1(call: Commands, tmp_path: Path, logs: Path) -> None:
    """And prints how to see it."""
    path = stories.write(tmp_path, stories.LEAK)
    ran = call("run", path, "--logs", logs)
    assert ran.status == 1
    assert "violated: leak" in ran.out
    word = re.search(r"kmodel replay (k2-\S+)", ran.out)
    assert word is not None
    assert call("replay", word[1]).status == 1


def test_logs_that_cannot_be_written_are_a_usage_error(call: Commands, tmp_path: Path) -> None:
    """Said in one paragraph, with the path, and no traceback."""
    (tmp_path / "file").write_text("in the way")
    ran = call("run", MAP, "--logs", tmp_path / "file" / "logs")
    assert ran.status == 2
    assert str(tmp_path / "file") in ran.err
    assert "Traceback" not in ran.err


# replay


def token_of(call: Commands, *arguments: object) -> tuple[str, dict[str, Any]]:
    document = call("explore", *arguments, "--json").document
    return document["replay"], document


def test_a_replay_ends_with_the_digest_of_the_document(call: Commands) -> None:
    """Of a hang and of a lasso; 1, since it shows a violation again."""
    for fix in ("wait", "lock-retry"):
        token, document = token_of(call, MAP, *ONE, "--fix", fix)
        ran = call("replay", token)
        assert ran.status == 1
        assert ran.out.splitlines()[-1] == f"digest {document['digest']}"
        assert ran.out.startswith(f"{MAP}, fix {fix}: {document['kind']}")
        again = call("replay", token, "--json")
        assert again.status == 1
        assert again.document["digest"] == document["digest"]
        assert again.document["replay"] == token


def test_a_replayed_lasso_shows_where_its_loop_begins(call: Commands) -> None:
    """Once, and says that it goes on so for ever."""
    token, _ = token_of(call, MAP, *ONE, "--fix", "lock-retry")
    out = call("replay", token).out
    assert len(re.findall(r"--- the loop begins \(\d+ steps\)", out)) == 1
    assert "--- and so on for ever" in out


def test_every_finding_can_be_replayed(call: Commands) -> None:
    """Also those that did not decide the verdict, and what is excluded."""
    _, document = token_of(call, MAP, *ONE, "--fix", "lock-retry")
    found = [*document["findings"], *document["excluded"]]
    assert len(found) >= 2
    for finding in found:
        ran = call("replay", finding["replay"], "--json")
        assert ran.status == 1
        assert ran.document["digest"] == finding["digest"]


def test_a_replay_can_be_written_and_replayed_from_its_log(call: Commands, logs: Path) -> None:
    """A file with the token in it is as good as the token."""
    token, document = token_of(call, MAP, *ONE)
    written = call("replay", token, "--logs", logs, "--json").document["log"]
    for place in (written, Path(written).parent):
        assert call("replay", place, "--json").document["digest"] == document["digest"]
    note = logs / "note.txt"
    note.write_text(f"look at this: {token}\n")
    assert call("replay", note).status == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("k2-AAAA", "damaged"),
        ("k2-ü", "damaged"),
        ("k0-AAAA", "neither a token"),
        ("no_such_file", "neither a token"),
    ],
)
def test_a_damaged_token_ends_with_5(call: Commands, text: str, words: str) -> None:
    """A file that does not fit, or no file at all."""
    ran = call("replay", text)
    assert (ran.status, ran.out) == (5, "")
    assert words in ran.err
    assert "Traceback" not in ran.err


def test_a_token_with_one_character_less_ends_with_5(call: Commands) -> None:
    """The usual slip of a mouse."""
    token, _ = token_of(call, MAP, *ONE)
    for cut in (token[:-1], token[:-8], token[: len(token) // 2]):
        assert call("replay", cut).status == 5


def test_a_token_without_its_scenario_is_a_usage_error(call: Commands, tmp_path: Path) -> None:
    """There is nothing to run."""
    path = stories.write(tmp_path, stories.LEAK)
    token, _ = token_of(call, path)
    assert call("replay", token).status == 1
    Path(path).unlink()
    assert call("replay", token).status == 2


# compare


def test_compare_prints_the_matrix(call: Commands) -> None:
    """A row for each fix and variant, the commands to see it, and what was assumed."""
    ran = call("compare", *ONE, "--jobs", 1)
    assert ran.status == 0
    for row in ("wait", "lock-retry", "populate", "  silent, wake-one-writer"):
        assert f"\n{row} " in ran.out
    assert re.search(r"\nwait +livelock \[1\] +lost-wakeup \[2\]", ran.out)
    assert re.search(r"\nlock-retry +livelock \[3\] +livelock \[4\]", ran.out)
    assert re.search(r"\npopulate +holds +holds", ran.out)
    assert ran.out.count("kmodel replay k2-") >= 4
    assert "ruled out only by lock-grant" in ran.out
    assert "assumed: sequential consistency" in ran.out


def test_compare_prints_one_document(call: Commands) -> None:
    """A cell for each fix, each with its variants; the replays of its cells work."""
    ran = call("compare", "wait", "populate", *ONE, "--set", "lap=wakes", "--jobs", 1, "--json")
    assert (ran.status, ran.err) == (0, "")
    assert set(ran.document) == {"schema", "complete", "cells", "summaries"}
    assert ran.document["complete"] is True
    assert set(ran.document["summaries"]) == {"wait", "populate"}
    assert ran.document["schema"] == "kmodel.matrix/1"
    assert [cell["fix"] for cell in ran.document["cells"]] == ["wait", "populate"]
    assert [len(cell["variants"]) for cell in ran.document["cells"]] == [2, 2]
    broken = ran.document["cells"][0]
    again = call("replay", broken["replay"], "--json")
    assert (again.status, again.document["digest"]) == (1, broken["digest"])


def test_a_fix_may_be_named_in_both_ways(call: Commands) -> None:
    """As an argument, or as an option like a situation; sizes have options too."""
    some = ("--set", "lap=wakes", "--set", "rwlock=wake-all", "--jobs", 1, "--json")
    ran = call("compare", "wait", "--fix", "populate", "--cpus", 1, "--faults", 2, *some)
    assert [cell["fix"] for cell in ran.document["cells"]] == ["wait", "populate"]
    assert {(c["params"]["cpus"], c["params"]["faults"]) for c in ran.document["cells"]} == {(1, 2)}


def test_compare_all_is_one_table_and_a_paragraph_for_each_fix(
    call: Commands, tmp_path: Path
) -> None:
    """A cell for each situation, 80 columns at most, and where to read on; and the page."""
    where = [w for name in ("contention", "kva", "fragmented") for w in ("--situation", name)]
    html = tmp_path / "matrix.html"
    some = ("--all", "--fix", "wait", "--fix", "direct", "--cpus", 1, *where, "--jobs", 1)
    ran = call("compare", *some, "--html", html)
    assert ran.status == 0
    assert re.search(r"\nwait +lost-wakeup +deadlock +holds *\n", ran.out)
    assert re.search(r"\ndirect +holds +holds +deadlock *\n", ran.out)
    told = "\nwait, of 3 situations: holds in 1 (fragmented) and breaks in 2."
    assert told in ran.out
    assert "\n  Breaks: " in ran.out
    assert "All of them: --full, or --html FILE" in ran.out
    assert max(map(len, ran.out.split("\npage: ")[0].splitlines())) <= 80
    assert html.read_text().startswith("<!doctype html>")
    full = call("compare", *some, "--full").out
    assert "kmodel replay k2-" in full
    assert "kmodel replay k2-" not in ran.out


def test_an_interrupted_matrix_keeps_what_it_has_and_does_not_call_it_whole(
    call: Commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cell of which a variant was not begun does not hold; one of which none was is missing."""
    from kmodel import budget

    monkeypatch.setattr(budget, "ROUNDS", (4_000,))  # enough for the first of each
    judge, left = budget.judge, [1, 1, 0]
    monkeypatch.setattr(
        budget,
        "judge",
        lambda *given: judge(*given) if left.pop(0) else signal.raise_signal(signal.SIGINT),
    )
    html = tmp_path / "m.html"
    some = ("--cpus", 1, "--situation", "teardown", "--jobs", 1, "--set", "lap=wakes", "--json")
    ran = call("compare", "populate", "intrsafe", "direct", "wait", *some, "--html", html)
    assert ran.status == 130
    assert [cell["fix"] for cell in ran.document["cells"]] == ["populate", "intrsafe"]
    assert (ran.document["interrupted"], ran.document["complete"]) == (True, False)
    assert "interrupted: 2 of 4 variants judged, 2 of them to the end" in ran.err
    assert 'href="#populate.teardown"' in html.read_text()

    left[:] = [1, 0]
    ran = call("compare", "populate", "--situation", "churn", "--jobs", 1, "--json")
    (cell,) = ran.document["cells"]
    # the third need only take over what the first found; the others need a search each
    assert [v["verdict"] for v in cell["variants"]] == ["holds", "inconclusive"] * 2
    assert (ran.status, cell["verdict"]) == (130, "inconclusive")


@pytest.mark.parametrize("where", ["kmodel.compare.units", "kmodel.budget.Budget.next"])
def test_ctrl_c_before_anything_is_known_says_so(
    call: Commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """While the cases are built, or the first is judged; a page of before is left as it is."""
    monkeypatch.setattr(where, lambda *_: signal.raise_signal(signal.SIGINT))
    html = tmp_path / "m.html"
    html.write_text("before")
    ran = call("compare", "wait", "--jobs", 1, "--html", html)
    assert (ran.status, ran.out) == (130, "")
    assert ran.err == "interrupted: nothing is known yet\n"
    assert [path.read_text() for path in tmp_path.iterdir()] == ["before"]


def test_ctrl_c_says_something_in_every_command(
    call: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where nothing had begun."""
    monkeypatch.setattr("kmodel.story.names", lambda: signal.raise_signal(signal.SIGINT))
    ran = call("list")
    assert (ran.status, ran.out, ran.err.split()) == (130, "", ["interrupted"])


def test_a_page_that_is_interrupted_takes_nothing_with_it(
    call: Commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was found is printed before it is drawn, and no half of a page is left."""
    monkeypatch.setattr("kmodel.page.page", lambda *_: signal.raise_signal(signal.SIGINT))
    html = tmp_path / "m.html"
    ran = call("compare", "wait", *ONE, "--jobs", 1, "--html", html)
    assert ran.status == 130
    assert ran.err == f"interrupted: {html} was not written\n"
    assert "lost-wakeup [2]" in ran.out
    assert list(tmp_path.iterdir()) == []


def test_a_page_on_standard_output_is_alone_there(call: Commands) -> None:
    """And one cannot have two documents in one place."""
    some = ("compare", "populate", *ONE, "--jobs", 1, "--html", "-")
    ran = call(*some)
    assert ran.out.startswith("<!doctype html>")
    assert ran.out.endswith("</html>\n")
    ran = call(*some, "--json")
    assert (ran.status, ran.out) == (2, "")
    assert "both want standard output" in ran.err


def test_a_page_that_cannot_be_written_is_refused_before_the_work(
    call: Commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that nothing that was found is lost with it."""
    from kmodel import budget

    monkeypatch.setattr(budget, "judge", lambda unit, limits: pytest.fail("it was judged"))
    ran = call("compare", "populate", "--html", tmp_path / "no" / "where.html", "--jobs", 1)
    assert (ran.status, ran.out) == (2, "")
    assert "where.html cannot be written" in ran.err


def test_compare_says_what_cannot_be(call: Commands) -> None:
    """A cell that is left out is named with its reason, and there being no other is no error."""
    ran = call("compare", "wait", "populate", "--situation", "intrsafe-full")
    assert ran.status == 0
    assert ran.out.startswith("left out of intrsafe-full (wait, populate): only intrsafe")
    ran = call("compare", "wait", "--situation", "intrsafe-full", "--json")
    assert [cell["fix"] for cell in ran.document["left_out"]] == ["wait"]
    assert ran.document["cells"] == []


def test_compare_reads_well_in_other_situations(call: Commands) -> None:
    """The title names bounds and variants, the legend every property that was judged."""
    ran = call("compare", "populate", "--situation", "fragmented", "--situation", "kva")
    assert "\nvariants: lap wakes | silent; rwlock wake-all | wake-one" in ran.out
    assert "\nvariants: lap wakes | silent; other stays | exits" in ran.out
    for name in ("justified kill", "ends", "KVA exhaustion is diagnosed"):
        assert f"\n{name}: " in ran.out


def test_compare_says_what_was_set_and_what_varied(call: Commands) -> None:
    """A situation whose memory was taken away is not what its first line says; a parameter that
    was set is no variant."""
    ran = call("compare", "populate", *ONE, "--jobs", 1, "--set", "npages=8", "--set", "lap=wakes")
    assert "\nvariants: lap wakes; rwlock wake-all | wake-one-writer\n" in ran.out
    assert "\nset: npages=8, lap=wakes (what is said of contention is of the defaults)\n" in ran.out
    assert "\nset: " not in call("compare", "populate", *ONE, "--jobs", 1).out


def test_compare_breaks_no_word_of_its_tables(
    call: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are wider than the terminal rather."""
    monkeypatch.setenv("COLUMNS", "30")
    out = call("compare", "wait", *ONE, "--jobs", 1).out
    for word in ("lost-wakeup", "livelock", "refused", "refaults", "random"):
        assert re.search(rf"\n.* {word}\b", out)
    assert "…" not in out


def test_compare_checks_only_if_asked(call: Commands) -> None:
    """A violation is an answer; with --check it is a failure."""
    some = (*ONE, "--set", "lap=wakes", "--jobs", 1)
    assert call("compare", "wait", *some).status == 0
    assert call("compare", "wait", "--check", *some).status == 1
    assert call("compare", "populate", "--check", *some).status == 0
    cut = ("--max-states", 100, "--set", "rwlock=wake-all", *some, "--set", "cpus=2")
    assert call("compare", "populate", *cut).status == 4


# list


def test_another_story_than_a_situations_own_is_not_said_to_be_in_it(call: Commands) -> None:
    """It has the parameters only: nobody exits in it."""
    said = call("explore", MAP, "--situation", "teardown", "--set", "cpus=1").out
    told = f"{MAP}, fix wait, with the parameters of teardown (whose story is exit_meanwhile): "
    assert said.startswith(told)
    assert call("explore", MAP, "--situation", "contention").out.startswith(f"{MAP}, fix wait in ")


def test_list_names_what_there_is(call: Commands) -> None:
    """Scenarios, fixes, situations, strategies and searches, a line each."""
    out = call("list").out
    for name in (MAP, "wait", "lock-retry", "populate", "contention", "random", "dfs"):
        assert re.search(rf"\n  {name} +\S", out)
    assert re.search(r"\n  kva +kernel_map's addresses exhausted.* \[fresh_tables\]\n", out)


def test_list_names_the_properties_with_a_sentence_each(call: Commands) -> None:
    assert "no refault livelock" not in call("list").out
    assert "no fair run restarts an unfinished fault" in call("list", "--properties").out


def test_list_as_a_document_has_every_parameter(call: Commands) -> None:
    """With its range or options, for programs that ask."""
    document = call("list", "--json").document
    assert {"scenarios", "fixes", "situations", "strategies", "parameters"} <= set(document)
    machine = {param["name"]: param for param in document["parameters"]["machine"]}
    assert machine["npages"]["range"] == [4, 4096]
    assert machine["lap"]["options"] == ["wakes", "silent", "counts"]
    every = [param for own in document["parameters"]["scenarios"].values() for param in own]
    assert all(param["text"] for param in (*machine.values(), *every))
    shown = call("list", "--params").out
    assert "CPUs that fault (1 to 6; default 2)" in shown
    assert "nothing is on the page queues (true or false; default false)" in shown


# what is not there


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["explor", MAP], "No such command 'explor'"),
        (["explore"], "Missing argument 'SCENARIO'"),
        (["explore", "contended_kernel_mpa"], f"Did you mean '{MAP}'?"),
        (["explore", MAP, "--fix", "populat"], "Did you mean 'populate'?"),
        (["explore", MAP, "--situation", "contentio"], "Did you mean 'contention'"),
        (["compare", "wiat"], "Did you mean 'wait'?"),
        (["compare", "--situation", "contentio"], "Did you mean 'contention'"),
        (["explore", "no/such/file.py"], "there is no such file"),
        (["explore", MAP, "--set", "cpus"], "write it as NAME=VALUE"),
        (["explore", MAP, "--max-states", "0"], "x>=1"),
        (["run", MAP, "--runs", "0"], "x>=1"),
        (["run", MAP, "--situation", "oom"], "made for memory_gone: take that"),
        (["explore", MAP, "--situation", "fragmented"], "it sets short, which"),
        (["compare", "--fix", "wiat"], "Did you mean 'wait'?"),
        (["explore", MAP, "--situation", "kva"], "it sets other, which"),
        (["compare", "--cpus", "2", "--set", "cpus=3"], "--cpus 2 and --set cpus=3: leave one"),
        (
            ["compare", "--situation", "oom", "--faults", "2"],
            "faults: no such parameter here; there is in contention and contention-no-swap.",
        ),
        (["run", MAP, "--strategy", "chess"], "'chess' is not"),
        (["run", MAP, "--strategy", "pos", "--depth", "2"], "are for --strategy pct"),
        (["explore", MAP, "--search", "best"], "'best' is not"),
    ],
)
def test_slips_are_usage_errors(call: Commands, arguments: list[str], words: str) -> None:
    """Ends with 2, says what was meant, prints nothing on standard output."""
    ran = call(*arguments)
    assert (ran.status, ran.out) == (2, "")
    assert words in ran.err
    assert "Traceback" not in ran.err


def test_sizes_that_have_options_are_checked_with_all_others(call: Commands) -> None:
    """Every wrong one is named."""
    ran = call("compare", "--cpus", 0, "--faults", 0, "--set", "npages=-1")
    assert (ran.status, ran.out) == (2, "")
    for name in ("cpus: 0 is", "faults: 0 is", "npages: -1 is"):
        assert f"\n  {name} out of range" in ran.err


def test_what_is_wrong_in_one_situation_only_is_told_with_it(call: Commands) -> None:
    """Of all that were asked for; and no size that merely follows from a wrong one."""
    where = ("--situation", "contention", "--situation", "teardown", "--situation", "churn")
    ran = call("compare", *where, "--cpus", 99, "--set", "lap=x", "--faults", 99)
    assert (ran.status, ran.out) == (2, "")
    here, there = ran.err.split("In teardown, churn: ")
    assert here.startswith("Error: In contention: Parameters that cannot be:\n  cpus: 99 is out of")
    assert [line.split(":")[0].strip() for line in here.splitlines()[1:]] == [
        "cpus",
        "faults",
        "lap",
    ]
    assert [line.split(":")[0].strip() for line in there.splitlines()[1:]] == ["cpus", "lap"]


def test_every_name_that_is_not_there_is_told(call: Commands) -> None:
    """Of fixes and of situations."""
    ran = call("compare", "wiat", "popul", "--situation", "oomm")
    assert ran.status == 2
    assert re.findall(r"No (fix|situation) '(\w+)'", ran.err) == [
        ("fix", "wiat"),
        ("fix", "popul"),
        ("situation", "oomm"),
    ]


def test_all_bad_parameters_are_named_at_once(call: Commands) -> None:
    """Of the scenario and of the machine."""
    sets = ("cpus=9", "lap=loud", "npages=x", "fualts=1")
    options = [word for one in sets for word in ("--set", one)]
    ran = call("explore", MAP, *options)
    assert ran.status == 2
    for one in sets:
        assert f"\n  {one.split('=')[0]}: " in ran.err


def test_a_bug_of_kmodel_shows_its_traceback_and_ends_with_70(
    call: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The only case that does."""

    def broken(*_: object) -> None:
        raise RuntimeError("a hole in the floor")

    monkeypatch.setattr("kmodel.judge.Judge.verdict", broken)
    ran = call("explore", MAP, *ONE)
    assert ran.status == 70
    assert "Traceback" in ran.err
    assert "This is a bug in kmodel itself" in ran.err


# files of one's own


def test_a_file_by_its_path_with_parameters_of_its_own(call: Commands, tmp_path: Path) -> None:
    """Numbers and truth values, checked as any."""
    path = stories.write(tmp_path, stories.CROSSED)
    assert call("explore", path).status == 1
    assert call("explore", path, "--set", "swap=false").status == 0
    document = call("explore", path, "--set", "swap=no", "--json")
    assert document.status == 2
    ran = call("explore", path, "--set", "copies=2", "--json")
    assert (ran.document["params"]["copies"], ran.document["kind"]) == (2, "deadlock")
    assert ran.document["scenario"] == path


@pytest.mark.parametrize(
    ("text", "status", "verdict"),
    [
        (stories.QUIET, 0, "holds"),
        (stories.VACUOUS, 4, "inconclusive: vacuous"),
        (stories.LEAK, 1, "violated: leak"),
        (stories.step("assert False"), 1, "violated: panic"),
        (stories.step("1 / 0"), 2, "inconclusive: scenario-error"),
    ],
    ids=["quiet", "vacuous", "leak", "assert", "exception"],
)
def test_explore_of_ones_own_file(
    call: Commands, tmp_path: Path, text: str, status: int, verdict: str
) -> None:
    """Each verdict with its exit status."""
    path = stories.write(tmp_path, text)
    ran = call("explore", path)
    assert ran.status == status
    assert ran.out.splitlines()[0].endswith(f"fix wait: {verdict}")


BAD = {
    "syntax": ("def broken(:\n", "SyntaxError"),
    "nothing marked": ("x = 1\n", "0 functions marked @scenario"),
    "two marked": (
        stories.QUIET + "\n\n@scenario\ndef more(m: Machine) -> None:\n    pass\n",
        "2 functions marked @scenario",
    ),
    "no default": (stories.QUIET.replace("m: Machine", "m: Machine, n: int"), "has no default"),
    "raises in build": (stories.build("1 / 0"), "ZeroDivisionError"),
    "sleeps in build": (stories.build("time.sleep(0)", "import time"), "time.sleep()"),
    "random in build": (stories.build("random.random()", "import random"), "random.random()"),
    "sleeps": (stories.step("time.sleep(0)", "import time"), "task A calls time.sleep()"),
    "draws": (
        stories.step("randint(1, 6)", "from random import randint"),
        "task A calls random.randint()",
    ),
    "no obliged task": (
        stories.QUIET.replace('m.cpu("A"', 'm.background("A"'),
        "no obliged task",
    ),
    "shares a list": (stories.LIST, "can reach a list"),
    "awaits trio": (
        stories.step("await trio.sleep(0)", "import trio"),
        "no kmodel point",
    ),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("command", ["explore", "run"])
def test_a_bad_file_is_told_what_is_wrong_and_ends_with_2(
    call: Commands, tmp_path: Path, logs: Path, command: str, name: str
) -> None:
    """Both commands, the same words; no traceback."""
    text, words = BAD[name]
    path = stories.write(tmp_path, text)
    ran = call(command, path, *(("--logs", logs) if command == "run" else ()))
    assert ran.status == 2
    assert words in ran.out + ran.err
    assert "Traceback" not in ran.err


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step may take a fifth of a second."""
    monkeypatch.setattr(purity.pure.__wrapped__, "__defaults__", (0.2,))  # type: ignore[attr-defined]


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("where", [stories.step, stories.build], ids=["task", "build"])
@pytest.mark.parametrize("command", ["explore", "run"])
def test_a_file_that_never_yields_is_ended(
    call: Commands, tmp_path: Path, logs: Path, command: str, where: Any
) -> None:
    """A step, or the building, that does not end."""
    path = stories.write(tmp_path, where("while True: pass"))
    ran = call(command, path, *(("--logs", logs) if command == "run" else ()))
    assert ran.status == 2
    assert "ran for more than 0.2 s without reaching a point" in ran.out + ran.err


@pytest.mark.parametrize("command", ["explore", "run"])
def test_real_chance_ends_with_3(call: Commands, tmp_path: Path, logs: Path, command: str) -> None:
    """What is drawn behind the engine's back shows as a run that differs."""
    path = stories.write(tmp_path, stories.CHANCE)
    ran = call(command, path, "--json", *(("--logs", logs) if command == "run" else ()))
    assert ran.status == 3
    assert (ran.document["verdict"], ran.document["kind"]) == ("inconclusive", "nondeterminism")


def test_a_bad_file_still_gives_one_document(call: Commands, tmp_path: Path) -> None:
    """Where a verdict can be written, --json has it, also if there is none to give."""
    path = stories.write(tmp_path, stories.step("1 / 0"))
    document = call("explore", path, "--json").document
    assert document["kind"] == "scenario-error"
    assert json.dumps(document)


# a whole process


def test_a_process_ends_with_the_same_status() -> None:
    """``python -m kmodel`` passes it on."""
    assert child("explore", MAP, *ONE).status == 1
    assert child("explore", MAP, *ONE, "--fix", "populate").status == 0
    assert child("explore", "nowhere").status == 2
    assert child("replay", "k2-AAAA").status == 5


def test_a_live_check_that_a_limit_ends_is_no_verdict(call: Commands) -> None:
    """Status 4: it looked at as much as it was allowed to, and found no lie."""
    ran = call("explore", MAP, "--set", "cpus=1", "--check-live", "--max-states", "2000")
    assert ran.status == 4
    assert "nothing that loops and procedures forget matters later" in ran.out


def test_a_stopped_search_says_that_its_story_may_not_be_the_least(call: Commands) -> None:
    """Fewest preemptions of what was searched is not fewest of all."""
    ran = call("explore", MAP, "--fix", "wait", "--set", "swap_pages=0", "--max-states", "600")
    assert "the search was cut, so there may be less" in ran.out


def test_a_cell_with_no_time_left_to_count_says_so() -> None:
    """What was not counted is ``?``, not a nought and no traceback."""
    from types import SimpleNamespace
    from typing import Any, cast

    from kmodel.cli.matrix import _failures, _most

    counted: Any = {"pool_failures": {"pages": None}, "refaults": 2}
    for counts, told in ((counted, "2"), ({}, "?")):
        judged = cast(Any, SimpleNamespace(verdict=SimpleNamespace(counts=counts), complete=True))
        assert _most(judged, counts, "refaults") == told
        judged.complete = False
        assert _most(judged, counts, "refaults") == ("?" if told == "?" else ">=2")
        assert _failures(judged) == counts.get("pool_failures", {})


@pytest.mark.parametrize(
    "command",
    [
        ("explore", MAP, "--max-seconds", "nan"),
        ("compare", "--max-seconds", "nan"),
        ("fuzz", "--minutes", "nan"),
        ("log", "eval", "run", "x", "--max-seconds", "nan"),
        ("log", "query", "run", "SELECT 1", "--max-seconds", "nan"),
    ],
    ids=" ".join,
)
def test_nan_is_no_amount_of_time(call: Commands, command: tuple[str, ...]) -> None:
    """It would compare as no limit at all."""
    ran = call(*command)
    assert ran.status == 2
    assert "'nan' is no number" in ran.err


def test_a_hang_for_want_of_who_is_not_in_the_model_is_inconclusive(call: Commands) -> None:
    """A stock that nothing refills runs out: no verdict, and what to raise."""
    sets = ("cpus=1", "faults=4", "km_pages=3", "header_stock=4", "pted_stock=4", "anon_stock=0")
    options = [word for one in (*sets, "entry_stock=4") for word in ("--set", one)]
    ran = call("explore", MAP, "--fix", "populate", *options, "--json")
    assert (ran.status, ran.document["verdict"], ran.document["kind"]) == (
        4,
        "inconclusive",
        "left-out",
    )
    assert "raise km_pages" in ran.document["message"]
    assert call("replay", ran.document["replay"]).status == 4
