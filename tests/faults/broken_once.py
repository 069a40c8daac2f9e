"""Rules 1 to 5 of the design (once, and only once), each broken in one place, with the test that must notice."""

from __future__ import annotations

from tests.faults.broken import (
    AGGREGATE,
    CONTRACT,
    CRASHES,
    DYING,
    FILES,
    HOURS,
    INGEST,
    KAFKA,
    LOOP,
    ON_DISK,
    ON_S3,
    PARTITION,
    POINTS,
    S3,
    TURN,
    Mutant,
)

_PUBLISH = """            for message in messages:
                self._produce(message)
            crash_point("after-produce")
            positions = [TopicPartition(p.topic, p.index, offset) for p, offset in offsets.items()]
            metadata = self._source.consumer.consumer_group_metadata()
            _retry_retriable(
                lambda: self.producer.send_offsets_to_transaction(positions, metadata, CALL_S), self._pulse
            )
"""
_OFFSETS_FIRST = """            positions = [TopicPartition(p.topic, p.index, offset) for p, offset in offsets.items()]
            metadata = self._source.consumer.consumer_group_metadata()
            self.producer.send_offsets_to_transaction(positions, metadata, CALL_S)
            self.producer.commit_transaction(CALL_S)
            self.producer.begin_transaction()
            for message in messages:
                self._produce(message)
            crash_point("after-produce")
"""
_OFFSETS_LAST = """            for message in messages:
                self._produce(message)
            self.producer.commit_transaction(CALL_S)
            crash_point("after-produce")
            self.producer.begin_transaction()
            positions = [TopicPartition(p.topic, p.index, offset) for p, offset in offsets.items()]
            metadata = self._source.consumer.consumer_group_metadata()
            self.producer.send_offsets_to_transaction(positions, metadata, CALL_S)
"""

ONCE = (
    # 1: exactly once inside Kafka
    Mutant(1, "offsets are committed before the results", KAFKA, _PUBLISH, _OFFSETS_FIRST, f"{DYING}after_producing"),
    Mutant(1, "results are committed before the offsets", KAFKA, _PUBLISH, _OFFSETS_LAST, f"{DYING}after_producing"),
    Mutant(
        1, "each start takes a transactional id of its own, so no zombie is fenced", KAFKA,
        "self.transactional_id = settings.transactional_id(service)",
        "self.transactional_id = f'{settings.transactional_id(service)}-{time.monotonic_ns()}'",
        f"{CONTRACT}a_second_holder_of_the_name_fences_the_first",
    ),
    Mutant(
        1, "the broker is not asked whether the member still belongs to its group", KAFKA,
        "        self._source, self._pulse = source, pulse\n        self.transactional_id",
        "        class Stranger:\n"
        '            consumer = Consumer(client_config(settings) | {"group.id": settings.group_of(service)})\n\n'
        "        self._source, self._pulse = Stranger, pulse\n        self.transactional_id",
        "tests/runtime/test_kafka_crash.py::test_a_member_that_was_frozen_while_another_took_over_publishes_nothing",
    ),
    Mutant(
        1, "messages of aborted transactions are read", KAFKA, '"read_committed"', '"read_uncommitted"',
        f"{DYING}after_producing",
    ),
    Mutant(
        1, "offsets are committed by the consumer itself", KAFKA,
        '"enable.auto.commit": False', '"enable.auto.commit": True', f"{DYING}after_producing",
    ),
    Mutant(
        1, "a camera's messages land on any partition", KAFKA, '"murmur2_random"', '"random"',
        "tests/runtime/test_kafka_crash.py::test_a_camera_lands_on_the_partition",
    ),
    Mutant(
        1, "an abort does not rewind the input", LOOP,
        "        if self._aborted:\n            self._rewind()", "        self._aborted = False",
        f"{TURN}an_aborted_transaction_rewinds_the_input",
    ),
    Mutant(
        1, "an offset may overtake a slower record before it", LOOP,
        "                if head.outgoing is None:\n                    break",
        "                if head.outgoing is None:\n                    head.outgoing = ()",
        f"{TURN}a_slow_record_holds_back_the_offset",
    ),
    # 2: exactly once into Parquet
    Mutant(
        2, "files are written before the Kafka transaction stands", PARTITION,
        "        if self.position != self.committed:\n            return  # replaying, or results under way\n", "",
        f"{CRASHES}a_replay_publishes_nothing_and_writes_nothing_before_k",
    ),
    Mutant(
        2, "heatmaps forget up to which offset they hold everything", HOURS,
        "        if offset < self.next_offset:\n            return\n        grid.add", "        grid.add", POINTS,
    ),
    Mutant(
        2, "sightings forget up to which offset they hold everything", HOURS,
        "        if offset < self.next_offset:\n            return\n        self._new", "        self._new", POINTS,
    ),
    Mutant(
        2, "the checkpoint is written before the files", PARTITION,
        "            for file in now:\n                self._hours",
        "            checkpoints.save(self._files, self._claim, self.partition, flush.checkpoint)\n"
        "            for file in now:\n                self._hours",
        POINTS,
    ),
    Mutant(
        2, "the state of deduplication is not restored", PARTITION,
        "CameraState(entry.state) for", "CameraState() for",
        f"{CRASHES}deduplication_goes_on_exactly_after_a_crash_and_at_another_worker",
    ),
    Mutant(
        2, "a replay is published again", LOOP,
        "            if entry.record.offset < lane.floor:", "            if entry.record.offset < 0:",
        f"{TURN}a_stateful_handler_replays_from_its_checkpoint_with_publishing_off",
    ),
    Mutant(
        2, "a log that begins behind the checkpoint is passed over", "services/aggregator/handler.py",
        "        if c < log_start and not only_a_marker:", "        if False:",
        f"{CRASHES}a_log_that_begins_behind_the_checkpoint_stops",
    ),
    Mutant(
        2, "a topic made again is taken for the former one", "services/aggregator/handler.py",
        "        if checkpoint.origin != origin:", "        if False:", f"{CRASHES}a_topic_made_again_stops",
    ),
    Mutant(
        2, "offsets of another log are taken for those of this one", HOURS,
        "footer is not None and footer.origin == origin else 0", "footer is not None else 0",
        f"{CRASHES}a_topic_made_again_stops",
    ),
    Mutant(
        2, "who lost its partition still flushes", "services/aggregator/handler.py",
        "        if state is not None and not lost:", "        if state is not None:",
        f"{CRASHES}a_lost_partition_is_let_go_without_a_word",
    ),
    # 3: a replay gives the same
    Mutant(
        3, "a changed camera file takes effect at once", PARTITION,
        "                self.flush(wanted)\n                return\n", "                self.config = wanted\n",
        f"{CRASHES}a_changed_camera_file_between_two_flushes_never_changes_what_a_replay_gives",
    ),
    Mutant(
        3, "points are not rounded and projected by a matrix product", "services/aggregator/core/homography.py",
        "    return rounded((a * x + b * y + c) / safe), rounded((d * x + e * y + f) / safe), w",
        "    points = np.array([[a, b, c], [d, e, f]]) @ np.stack([x, y, np.ones_like(x)])\n"
        "    return points[0] / safe, points[1] / safe, w",
        "tests/aggregator/test_homography.py::test_a_point_lands_at_the_same_place_alone_or_in_company",
    ),
    # 4: the same recording once
    Mutant(
        4, "the source is part of a recording's identity", INGEST,
        "recording_id(event.key.key)", "recording_id(event.source + event.key.key)",
        "tests/ingest/test_handler.py::test_a_repeat_is_suppressed_and_counted",
    ),
    Mutant(
        4, "the ledger ignores the runs of recordings", AGGREGATE,
        "ledger.setdefault(track.recording_id, track.run) == track.run",
        "ledger.setdefault(track.recording_id, track.run) is not None",
        "tests/aggregator/test_aggregate.py::test_tracks_of_another_run_of_a_recording_are_dropped_and_counted",
    ),
    Mutant(
        4, "the ledger does not outlive the process", HOURS,
        "            ledger=self.ledger,\n", "",
        f"{CRASHES}a_recording_counts_once_over_restarts_and_backfill_long_after",
    ),
    Mutant(
        4, "a recording without sightings is not written into the ledger's file", HOURS,
        "        if len(self.ledger) > known:", "        if False:",
        f"{CRASHES}a_recording_without_any_sighting_is_in_the_ledger",
    ),
    Mutant(
        4, "an announcement that is handled again is its own repeat", "services/ingest/core/repeats.py",
        "known < place", "known <= place",
        "tests/ingest/test_repeats.py::test_an_announcement_handled_again_after_an_abort_is_not_its_own_repeat",
    ),
    # 5: one writer per camera file
    Mutant(
        5, "whoever was superseded still writes to the disk", FILES,
        "            if self._epoch(claim.name) != claim.epoch:\n"
        '                raise Superseded(f"the files of {claim.name} belong to another process now")\n'
        "            _replace(target, data)",
        "            _replace(target, data)",
        f"{ON_DISK}an_older_claim_writes_nothing[local]",
    ),
    Mutant(
        5, "the rename happens outside of the lock", FILES,
        "            _replace(target, data)\n\n    def remove", "        _replace(target, data)\n\n    def remove",
        f"{ON_DISK}whoever_claims_waits_until_a_write_under_way_is_done",
    ),
    Mutant(
        5, "a PUT to S3 has no If-Match", S3,
        'put(IfNoneMatch="*") if former is None else put(IfMatch=former)', "put()",
        f"{ON_S3}a_zombie_stopped_between_its_look_at_the_claim_and_its_put_writes_nothing",
    ),
    Mutant(
        5, "a write to S3 does not look at its claim", S3,
        "        if _epoch(self.read(_epoch_path(claim.name))) != claim.epoch:", "        if False:",
        f"{ON_DISK}an_older_claim_writes_nothing[s3]",
    ),
    Mutant(
        5, "a PUT whose answer was lost is taken for that of another", S3,
        "            if self.read(path) == data:\n                return\n", "            self.read(path)\n",
        f"{ON_S3}a_put_whose_answer_was_lost_is_known_by_its_bytes",
    ),
)  # fmt: skip
