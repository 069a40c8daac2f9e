"""Rules 6 to 11 of the design, each broken in one place, with the test that must notice."""

from __future__ import annotations

from tests.faults.broken import AGGREGATE, DECODE, FILES, INGEST, LOOP, SWEEP, TURN, Mutant

REST = (
    # 6: 200 ms
    Mutant(
        6, "at exactly 200 ms a sighting is suppressed", "services/aggregator/core/dedup.py",
        "time_ms - times[at - 1] < window_ms", "time_ms - times[at - 1] <= window_ms",
        "tests/aggregator/test_dedup.py::test_what_is_nearer_than_200_ms_is_suppressed",
    ),
    Mutant(
        6, "a sighting does not suppress what lies before it", "services/aggregator/core/dedup.py",
        "        return at < len(times) and times[at] - time_ms < window_ms", "        return False",
        "tests/aggregator/test_dedup.py::test_shuffled_delivery_keeps_sightings_200_ms_apart",
    ),
    # 7: the ground plane
    Mutant(
        7, "points beyond the horizon are drawn", "services/aggregator/core/homography.py",
        "    safe = np.where(w > 0, w, np.nan)", "    safe = w",
        "tests/aggregator/test_homography.py::test_beyond_the_horizon_nothing_is_on_the_plan_though_its_mirror_image_would_be",
    ),
    # 8: the heatmap, and files that readers see
    Mutant(
        8, "files and the pointer to the results are not replaced in one step", FILES,
        '    beside = target.with_name(f".{target.name}.tmp")', "    beside = target",
        "tests/cli/test_results.py::test_a_reader_sees_one_pointer_or_the_other_and_never_none",
    ),
    Mutant(
        8, "a passage that continues another counts as a vehicle", AGGREGATE,
        "self._image(result, chosen, continues is None)", "self._image(result, chosen, True)",
        "tests/aggregator/test_aggregate.py::test_a_passage_that_continues_another_is_no_further_vehicle",
    ),
    # 9: nothing is lost quietly
    Mutant(
        9, "a bad message vanishes without a dead letter", LOOP,
        "        entry.outgoing = (\n            dead_letter(options.deadletter_topic, entry.record, options.service, "
        "reason, detail, entry.attempts),\n        )",
        "        entry.outgoing = ()",
        f"{TURN}a_rejected_record_becomes_a_dead_letter_and_the_next_is_handled",
    ),
    Mutant(
        9, "the first failure is the last", LOOP,
        "if now - entry.first_failed_s >= self._options.retry_budget_s and error.healthy():", "if True:",
        f"{TURN}what_may_heal_is_tried_again_with_growing_pauses",
    ),
    Mutant(
        9, "what fails while its dependency is down is given up on", LOOP,
        " >= self._options.retry_budget_s and error.healthy():", " >= self._options.retry_budget_s:",
        f"{TURN}nothing_is_given_up_on_while_the_dependency_is_down",
    ),
    Mutant(
        9, "a service whose every message fails goes on", LOOP,
        "        if limit and self._rejected_in_a_row >= limit:", "        if False:",
        f"{TURN}a_service_whose_every_message_fails_stops",
    ),
    Mutant(
        9, "a recording that failed is remembered as handled", INGEST,
        "            clip = self._clip(event, recording, start_ms)\n",
        "            self._repeats.remember(recording, place)\n"
        "            clip = self._clip(event, recording, start_ms)\n",
        "tests/ingest/test_handler.py::test_a_repeat_of_a_recording_that_failed_is_no_repeat",
    ),
    Mutant(
        9, "keys that Vault refuses are the fault of each recording", "services/runtime/vault.py",
        "        if answer is Ping.REFUSED and account.own:", "        if False:",
        "tests/ingest/test_vault_client.py::test_refused_keys_stop_the_service_and_name_the_variables",
    ),
    Mutant(
        9, "one closed source stops the service", "services/runtime/vault.py",
        "        if answer is Ping.REFUSED and account.own:", "        if True:",
        "tests/ingest/test_vault_client.py::test_a_source_closed_to_accepted_keys_is_a_dead_letter",
    ),
    # 10: bounds
    Mutant(
        10, "as many records are taken as come", LOOP,
        "        return min(self._options.in_flight - self._unfinished(), self._options.held - taken)",
        "        return self._options.held - taken", f"{TURN}what_is_in_flight_is_bounded",
    ),
    Mutant(
        10, "the decoding child may take all memory", "services/inference/decode_child.py",
        "    _limit_memory(memory_mb)\n", "",
        "tests/inference/test_decode.py::test_a_clip_that_needs_more_memory_than_allowed_is_undecodable",
    ),
    Mutant(
        10, "a clip may keep its reader waiting for ever", DECODE,
        "                if time.monotonic() >= started + allowance.left:", "                if False:",
        "tests/inference/test_decode.py::test_a_clip_that_keeps_its_reader_waiting_too_long_is_undecodable",
    ),
    Mutant(
        10, "ingest remembers recordings without end", "services/ingest/core/repeats.py",
        "            while len(self._places) > self._capacity:", "            while False:",
        "tests/ingest/test_repeats.py::test_the_memory_is_bounded_and_keeps_the_newest",
    ),
    # 11: secrets stay secret
    Mutant(
        11, "dead letters are not masked", "services/runtime/deadletters.py",
        "None if record.value is None else mask(record.value)", "record.value",
        f"{TURN}a_rejected_record_becomes_a_dead_letter_and_the_next_is_handled",
    ),
    Mutant(
        11, "log lines are not masked", "services/runtime/logs.py",
        "    return mask_text(record.getMessage())", "    return record.getMessage()",
        "tests/runtime/test_logs.py::test_no_line_shows_a_secret",
    ),
    Mutant(
        11, "a service logs the secret that it connects with", "services/ingest/__main__.py",
        "    vault = VaultClient(settings.vault, settings.max_clip_bytes)\n",
        "    vault = VaultClient(settings.vault, settings.max_clip_bytes)\n"
        "    import logging\n"
        '    assert settings.vault.secret_key\n'
        '    logging.info("connecting as %s", settings.vault.secret_key.get_secret_value())\n',
        SWEEP,
    ),
    Mutant(
        11, "plates are logged above debug", "services/aggregator/handler.py",
        "        if state.live(record.offset):\n",
        '        log.info("seen: %s", track.reading.text)\n        if state.live(record.offset):\n', SWEEP,
    ),
    Mutant(
        11, "any host may be downloaded from", "services/runtime/vault_http.py",
        "            if not self.is_allowed(url):", "            if False:",
        "tests/ingest/test_vault_client.py::test_a_redirect_is_followed_within_the_allow_list_and_not_beyond",
    ),
    Mutant(
        11, "the decoding child inherits the environment and its secrets", DECODE,
        "kept = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}", "kept = dict(os.environ)",
        "tests/inference/test_decode.py::test_the_child_knows_no_secret_of_the_parent",
    ),
)  # fmt: skip
