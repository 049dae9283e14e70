"""A mutant for each rule of the design: the rule is broken in a copy of the source, and the test that holds
it must fail there. A rule without such a test is only a wish.

A mutation is an exact piece of text and what replaces it. When the code changes, so that the text is no
longer there exactly once, the mutant says so: rewrite it, do not drop it.
"""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import mtrigger

PROJECT = Path(__file__).parent.parent.parent
SOURCE = Path(mtrigger.__file__).parent

QUICKLY = ("-p", "no:cacheprovider", "-p", "no:hypothesispytest", "-p", "mutants.first_failure")
"""Without a plugin that takes as long to start as many of these tests: properties are tried all the same."""

TEST_FAILED = 1
"""pytest's exit code when tests ran and some failed; 2 and above would mean that nothing was tried."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """A broken rule: in `file`, `sound` becomes `broken`, and then `test` must fail."""

    rule: str
    file: str
    sound: str
    broken: str
    test: str


SLOW_OUTBOX = "tests/faults/test_position.py::test_the_position_never_runs_ahead_of_a_slow_outbox"
CRASHES = "tests/unit/gates/test_crashes.py::test_crashes_change_nothing_but_that_a_send_may_be_repeated"

MUTANTS = [
    Mutant(
        rule="the position moves only after the insert",
        file="watcher.py",
        sound="            await self._store_all([event for batch in batches for event in batch.events])\n",
        broken="            self._position = batches[-1].position\n"
        "            await self._store_all([event for batch in batches for event in batch.events])\n",
        test=SLOW_OUTBOX,
    ),
    Mutant(
        rule="an idle position does not overtake events that wait",
        file="watcher.py",
        sound="                    await self._queue.put(batch)\n",
        broken="                    if not batch.events:\n"
        "                        self._position = batch.position\n"
        "                    await self._queue.put(batch)\n",
        test=SLOW_OUTBOX,
    ),
    Mutant(
        rule="a time is opened at, not behind",
        file="reading/stream.py",
        sound='        return {"startAtOperationTime": self.cluster_time}\n',
        broken="        time = self.cluster_time\n"
        '        return {"startAtOperationTime": Timestamp(time.time, time.inc + 1)}\n',
        test="tests/faults/test_position.py::test_going_on_by_time_brings_everything_of_that_moment_again",
    ),
    Mutant(
        rule="a token is used only with the pipeline it belongs to",
        file="reading/stream.py",
        sound="        if self.token is not None and self.plan_hash == plan.hash:\n",
        broken="        if self.token is not None:\n",
        test="tests/integration/test_stream.py::test_a_position_of_another_plan_is_resumed_by_its_time",
    ),
    Mutant(
        rule="what is in the outbox already is not dispatched again",
        file="stores/mongo.py",
        sound="        new = rows.keys() - existing\n",
        broken="        new = set(rows.keys())\n",
        test="tests/contract/test_outbox.py::test_add_says_which_deliveries_were_not_there_before",
    ),
    Mutant(
        rule="a delivery's id is a function of the event, the rule and the action alone",
        file="deliveries.py",
        sound='    text = f"{cluster}\\0{token}\\0{rule}\\0{action}"\n',
        broken='    text = f"{cluster}\\0{token}\\0{rule}\\0{action}\\0{datetime.now()}"\n',
        test="tests/unit/test_planning.py::test_ids_do_not_depend_on_when_an_event_is_read",
    ),
    Mutant(
        rule="a document's deliveries share a lane",
        file="planning.py",
        sound='    if rule.ordering == "none":\n',
        broken='    if rule.ordering != "rule":\n',
        test="tests/unit/test_planning.py::test_changes_of_one_document_share_a_lane_and_others_do_not",
    ),
    Mutant(
        rule="only a successful send throttles",
        file="gates/admitting.py",
        sound="    if rule.throttle is None or not isinstance(outcome, Delivered):\n",
        broken="    if rule.throttle is None:\n",
        test="tests/unit/gates/test_admission.py::test_only_a_successful_send_begins_a_window",
    ),
    Mutant(
        rule="a crash does not count again what was left out",
        file="gates/admitting.py",
        sound="    if delivery.id in state.left_out:\n",
        broken="    if not delivery.id:\n",
        test=CRASHES,
    ),
    Mutant(
        rule="a crash does not count again what was let through",
        file="gates/admitting.py",
        sound="    if delivery.admitted or state.passed == delivery.id:\n",
        broken="    if delivery.admitted:\n",
        test=CRASHES,
    ),
    Mutant(
        rule="a memory knows all whose outcomes may not be durable",
        file="running/gatekeeping.py",
        sound=" or known is None or known.unwritten >= LEFT_OUT_KNOWN\n",
        broken=" or known is None\n",
        test="tests/unit/test_gatekeeping.py"
        "::test_no_more_are_left_out_than_a_memory_knows_before_they_are_durable",
    ),
    Mutant(
        rule="what was let through is durable before the next of its group is asked about",
        file="running/handling.py",
        sound="            await self._settler.flush()\n            self._gatekeeper.is_durable(delivery)\n",
        broken="            pass\n",
        test="tests/integration/test_crashes_between_writes.py"
        "::test_what_was_let_through_is_written_before_the_next_is_asked_about",
    ),
    Mutant(
        rule="what a gate holds is asked about again when rules change",
        file="dispatcher.py",
        sound="            self._wake(key, lanes)\n",
        broken="            pass\n",
        test="tests/acceptance/test_quiet.py"
        "::test_what_becomes_due_outside_the_hours_waits_and_goes_when_the_rule_is_changed",
    ),
    Mutant(
        rule="a lane waits while its first delivery waits",
        file="running/lanes.py",
        sound="        self._lanes[delivery.lane][0] = delivery\n        self._line_up(delivery.lane)\n",
        broken="        self._lanes[delivery.lane].rotate(-1)\n        self._line_up(delivery.lane)\n",
        test="tests/unit/test_lanes.py::test_a_lane_waits_for_its_first_delivery_and_others_do_not",
    ),
    Mutant(
        rule="a retry waits by a clock that nobody sets",
        file="supervision/steady_time.py",
        sound="    return min(moment + _set_back(), now() + timedelta(seconds=longest))\n",
        broken="    return min(moment, now() + timedelta(seconds=longest))\n",
        test="tests/unit/test_steady_time.py::test_a_wait_is_as_long_as_it_was_meant",
    ),
    Mutant(
        rule="whoever was deposed moves no position: the fence",
        file="stores/mongo_positions.py",
        sound='update_one({"_id": checkpoint.stream, **mine}, moving(checkpoint))',
        broken='update_one({"_id": checkpoint.stream}, moving(checkpoint))',
        test="tests/contract/test_leases.py::test_the_fence_an_earlier_owner_cannot_move_the_position",
    ),
    Mutant(
        rule="nothing is stored while it is in doubt who owns the stream",
        file="stores/steadiness.py",
        sound="            await self.outage.passable()\n",
        broken="",
        test="tests/integration/test_leases.py::"
        "test_while_the_lease_cannot_be_renewed_nothing_begins_and_what_runs_is_cut_off",
    ),
    Mutant(
        rule="a lease is taken only as it was seen",
        file="stores/mongo_leases.py",
        sound='{**held_by(seen), "lease.counter": seen.counter}',
        broken="held_by(seen)",
        test="tests/contract/test_leases.py::test_a_lease_that_has_moved_cannot_be_taken",
    ),
    Mutant(
        rule="a row that an earlier owner stored late is dispatched",
        file="stores/mongo.py",
        sound='{"$nor": [mine]}',
        broken='{"epoch": "none"}',
        test="tests/contract/test_leases.py::"
        "test_what_an_earlier_owner_stored_late_is_dispatched_by_the_new_one",
    ),
    Mutant(
        rule="an outcome is written once however often its write is repeated",
        file="stores/outcomes.py",
        sound='    unwritten = {"$not": {"$elemMatch": {"number": number, "at": settlement.at}}}\n',
        broken='    unwritten = {"$exists": True}\n',
        test="tests/contract/test_outbox.py::test_settling_twice_writes_once",
    ),
    Mutant(
        rule="outcomes that are written together leave alone what is not open any more",
        file="stores/outcomes.py",
        sound='{"_id": {"$in": some} if len(some) > 1 else some[0], "open": True}',
        broken='{"_id": {"$in": some} if len(some) > 1 else some[0]}',
        test="tests/contract/test_outbox.py::"
        "test_each_of_many_outcomes_is_its_own_also_of_those_that_are_alike",
    ),
    Mutant(
        rule="no position lies inside a split event",
        file="reading/stream.py",
        sound="        if behind is not None and not self._fragments.waiting:\n",
        broken="        if behind is not None:\n",
        test="tests/unit/test_large_events.py::test_no_position_ever_lies_inside_an_event",
    ),
    Mutant(
        rule="behind a large event one more is taken before reading as planned",
        file="reading/stream.py",
        sound="        if not shortened and not there:\n",
        broken="        if True:\n",
        test="tests/integration/test_stream_contents.py::"
        "test_behind_a_large_event_the_stream_is_read_as_planned_again",
    ),
    Mutant(
        rule="rules that share a bound share the widest one",
        file="conditions/merging.py",
        sound="    return found < 0 if one.operator[0]",
        broken="    return found > 0 if one.operator[0]",
        test="tests/unit/test_covers.py::test_what_inserts_are_asked",
    ),
    Mutant(
        rule="an update that did not set the field is let through",
        file="pushdown/updates.py",
        sound='        parts.append({f"{_SET}.{name}": {"$exists": False}})\n',
        broken="",
        test="tests/integration/test_pushdown_loses_nothing.py::"
        "test_the_match_lets_every_event_through_that_a_rule_holds_for",
    ),
    Mutant(
        rule="a large event's images are taken out behind the match",
        file="pushdown/streams.py",
        sound="        return stages + SHORTENING\n",
        broken="        return [stages[0], *SHORTENING, *stages[1:]]\n",
        test="tests/integration/test_stream_contents.py::"
        "test_a_pushed_condition_is_held_against_the_whole_large_event",
    ),
    Mutant(
        rule="what comes again with the pre-images that rules begin to need is not owed without them",
        file="watcher.py",
        sound="                    if self._is_read_again(stream):\n",
        broken="                    if False:\n",
        test="tests/integration/test_watcher.py::"
        "test_rules_that_begin_to_need_pre_images_have_them_from_the_next_change_on",
    ),
    Mutant(
        rule="what cannot be decoded costs its own event alone",
        file="reading/stream.py",
        sound="                yield Change.of(decoded(change.raw, options), change.raw)\n",
        broken="                yield Change.of(decoded(raw.raw, options), raw.raw)\n",
        test="tests/integration/test_stream_contents.py::"
        "test_an_event_that_cannot_be_decoded_spoils_itself_alone",
    ),
    Mutant(
        rule="a row leaves room for the history of its attempts",
        file="stores/fitting.py",
        sound="LARGEST_ROW = 15_000_000\n",
        broken="LARGEST_ROW = 16_777_216\n",
        test="tests/contract/test_rows_that_do_not_fit.py::"
        "test_a_row_stays_small_enough_for_the_history_of_its_attempts",
    ),
    Mutant(
        rule="what rules remember is durable after what it owes",
        file="planner.py",
        sound="        if owed:\n            owed = await self._traced(owed)\n",
        broken="        await self._following.keep(change)\n"
        "        if owed:\n            owed = await self._traced(owed)\n",
        test="tests/unit/test_planner.py::test_first_what_is_owed_then_the_states_then_it_may_run",
    ),
    Mutant(
        rule="an event that was read before begins and ends nothing",
        file="standing/alerts.py",
        sound="    if alert is not None and event.token <= alert.position:\n",
        broken="    if False and alert is not None:\n",
        test="tests/unit/test_following.py::test_batches_and_crashes_change_nothing",
    ),
    Mutant(
        rule="no silence is told over a history that was lost",
        file="watcher.py",
        sound="            await self._planner.leap(self._position.cluster_time)\n",
        broken="",
        test="tests/faults/test_standing_over_gaps.py::"
        "test_over_a_gap_ends_are_seen_by_the_rescan_and_no_silence_is_made_up",
    ),
    Mutant(
        rule="a digest that was tried is the same digest after a crash",
        file="stores/mongo_digests.py",
        sound='"follows": {"$ne": ["$digest", "$_id"]}',
        broken='"follows": True',
        test="tests/contract/test_digests.py::test_a_head_that_was_tried_stays_the_head",
    ),
    Mutant(
        rule="what came of a digest becomes of what was sealed with it, and of nothing else",
        file="stores/outcomes.py",
        sound='            "digest": head.id,\n',
        broken="",
        test="tests/contract/test_digests.py::"
        "test_what_a_digest_came_to_becomes_of_all_that_is_sealed[mongo-delivered]",
    ),
    Mutant(
        rule="what comes while a digest is sent is in the next one",
        file="running/windows.py",
        sound="            self._following.setdefault(lane, delivery.without_event())\n",
        broken="            pass\n",
        test="tests/unit/test_windows.py::test_what_comes_while_a_digest_is_sent_begins_the_next_window",
    ),
    Mutant(
        rule="what was left out as it came is in no digest",
        file="running/digests.py",
        sound="        await self._settler.flush()\n        return await self._rows.seal(head)\n",
        broken="        return await self._rows.seal(head)\n",
        test="tests/integration/test_digests.py::"
        "test_what_is_left_out_as_it_comes_is_in_no_digest_that_closes_at_once",
    ),
    Mutant(
        rule="no number is passed before the messages below it have theirs",
        file="topics/numbering.py",
        sound='    return {"_id": topic, "claim": claim}, [{"$set": {"next": following',
        broken='    return {"_id": topic}, [{"$set": {"next": following',
        test="tests/integration/test_topics_log.py::test_whatever_three_helpers_do_in_whatever_order",
    ),
    Mutant(
        rule="a reader stays below what comes next",
        file="topics/mongo_log.py",
        sound='{"$gt": Int64(behind), "$lt": Int64(following)}',
        broken='{"$gt": Int64(behind)}',
        test="tests/integration/test_topics_log.py::test_what_is_being_numbered_is_read_once_all_below_it_is",
    ),
    Mutant(
        rule="a group's position moves only after the insert",
        file="consuming/group_watcher.py",
        sound="            await self._planner.store(batch.events)\n            self._place = batch.place\n",
        broken="            self._place = batch.place\n"
        "            self._moved.set()\n"
        "            await self._planner.store(batch.events)\n",
        test="tests/unit/test_group_watcher.py::test_the_same_is_owed_however_it_is_cut",
    ),
    Mutant(
        rule="a source's place moves only after its rows are stored",
        file="sources/source_loop.py",
        sound="                stored, rejected = await self._store(table, pages, of_pass)\n",
        broken="                at = self._place.of(table).behind(pages[-1], 0, 0)\n"
        "                self._place = self._place.having(table, at)\n"
        "                stored, rejected = await self._store(table, pages, of_pass)\n",
        test="tests/integration/test_source_loop.py::test_rows_that_could_not_be_stored_are_read_again",
    ),
    Mutant(
        rule="what a snapshot did not come to is not gone",
        file="sources/source_loop.py",
        sound="        if of_pass is not None and pages[-1].last:\n",
        broken="        if of_pass is not None:\n",
        test="tests/integration/test_source_loop.py::test_a_snapshot_that_is_cut_short_deletes_nothing",
    ),
    Mutant(
        rule="who is no member any more acknowledges nothing: the fence",
        file="topics/mongo_groups.py",
        sound='{**_fence(group, mine), _counter(mine): {"$lt": mine.count}}',
        broken='{"_id": str(group), "resets": mine.resets}',
        test="tests/integration/test_topic_groups.py::test_who_is_no_member_writes_nothing[removed]",
    ),
    Mutant(
        rule="what was acknowledged before a group was reset holds no more",
        file="topics/mongo_groups.py",
        sound='{"$exists": True}, "resets": mine.resets}',
        broken='{"$exists": True}}',
        test="tests/integration/test_topic_groups.py::"
        "test_what_was_acknowledged_before_a_reset_holds_no_more",
    ),
    Mutant(
        rule="a message is published in the transaction of its outcome",
        file="stores/mongo_effects.py",
        sound="                await target.bulk_write(some, ordered=False, session=session)\n",
        broken="                apart = None if database == STATE else session\n"
        "                await target.bulk_write(some, ordered=False, session=apart)\n",
        test="tests/contract/test_effects.py::test_a_message_and_a_write_go_together",
    ),
    Mutant(
        rule="one message of a key is out at a time",
        file="topics/holdings.py",
        sound="        if len(queue) == 1 and out is None:\n",
        broken="        if len(queue) == 1:\n",
        test="tests/unit/topics/test_holdings.py::test_what_is_read_while_one_of_its_key_is_out_waits",
    ),
    Mutant(
        rule="a share's position stays before what is not acknowledged",
        file="topics/holdings.py",
        sound="        position = self.open[0] - 1 if self.open else self.read\n",
        broken="        position = self.read\n",
        test="tests/unit/topics/test_holdings.py::test_shares_that_go_from_hand_to_hand_lose_and_repeat_nothing",
    ),
    Mutant(
        rule="a member is not dead for the time in which nobody could look",
        file="topics/silence.py",
        sound="self._still.get(name, 0.0) + min(passed, most) if unmoved",
        broken="self._still.get(name, 0.0) + passed if unmoved",
        test="tests/unit/topics/test_silence.py::test_time_without_a_look_counts_for_little",
    ),
    Mutant(
        rule="what was read too early to be sure of is read again",
        file="sources/late_commits.py",
        sound="            _append(early, Stretch(low, number, at))\n",
        broken="            pass\n",
        test="tests/unit/sources/test_late_commits.py::"
        "test_every_number_is_read_if_it_is_committed_within_the_delay",
    ),
]


def copy_of_source(folder: Path) -> Path:
    """A copy of the package in `folder`, to be put on PYTHONPATH; returns the package's folder."""
    return Path(shutil.copytree(SOURCE, folder / "mtrigger"))


def run_tests(tests: list[str], source: Path) -> subprocess.CompletedProcess[str]:
    """Run `tests` against the package in `source`."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-x", "-q", *QUICKLY, *tests],
        cwd=PROJECT,
        env={**environment, "PYTHONPATH": os.pathsep.join([str(source.parent), str(PROJECT / "tests")])},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_the_tests_pass_on_an_unbroken_copy(tmp_path: Path) -> None:
    """Else their failing on a broken one would say nothing."""
    source = copy_of_source(tmp_path)

    done = run_tests(sorted({mutant.test for mutant in MUTANTS}), source)

    assert done.returncode == 0, done.stdout
    assert "skipped" not in done.stdout, done.stdout


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.rule)
def test_a_broken_rule_is_noticed(mutant: Mutant, tmp_path: Path) -> None:
    """The named test fails when the rule does not hold."""
    source = copy_of_source(tmp_path)
    file = source / mutant.file
    text = file.read_text()
    assert text.count(mutant.sound) == 1, f"{mutant.file} has changed: rewrite the mutant"
    file.write_text(text.replace(mutant.sound, mutant.broken))

    done = run_tests([mutant.test], source)

    assert done.returncode == TEST_FAILED, done.stdout + done.stderr
    assert re.search(rf"^FAILED {re.escape(mutant.test)}", done.stdout, re.MULTILINE), done.stdout
