"""The list: what is broken, where, and which tests must notice."""

from __future__ import annotations

from dataclasses import dataclass

STORE = "django_tasks_durable/store/"
WORKER = "django_tasks_durable/worker/"
ENGINE = "django_tasks_durable/engine/"
LIVE = "django_tasks_durable/live/"


@dataclass(frozen=True, slots=True)
class Mutant:
    """One bug: replacements of source text (file, old, new), the tests that must fail, the databases where they do."""

    name: str
    edits: tuple[tuple[str, str, str], ...]
    tests: tuple[str, ...]
    on: tuple[str, ...] = ("sqlite",)
    hangs: bool = False


def _mutant(name: str, *edits: tuple[str, str, str], tests: str, on: str = "sqlite", hangs: bool = False) -> Mutant:
    """Make a mutant. With ``hangs`` it is one that never comes to an end, so that a test's time limit kills it."""
    return Mutant(name, edits, tuple(tests.split()), tuple(on.split()), hangs)


MUTANTS = [
    # --- the fence
    _mutant(
        "a write without its token, decided under the lock",
        (STORE + "commit.py", "if row[1] == tokens[run_id]", "if True"),
        (STORE + "commit.py", "WHERE id = %s AND lease_token = %s AND {HELD}", "WHERE id = %s AND %s IS NOT NULL AND {HELD}"),
        tests="tests/store/test_fence.py", on="sqlite mariadb postgresql",
    ),
    _mutant(
        "a write without its token, in one statement",
        (STORE + "commit.py", "WHERE r.id = given.id AND r.lease_token = given.token AND r.", "WHERE r.id = given.id AND r."),
        (STORE + "commit.py", "WHERE r.id = w.id AND r.lease_token = w.token AND r.", "WHERE r.id = w.id AND r."),
        tests="tests/store/test_fence.py tests/store/test_batches.py", on="postgresql",
    ),
    _mutant(
        "a run that is over may be written to",
        (STORE + "commit.py", "status NOT IN ('READY', 'WAITING', 'SUCCESSFUL', 'FAILED', 'CANCELLED')", "status <> 'READY'"),
        (STORE + "commit.py", "HELD = \"status IN ('CLAIMED', 'RUNNING')\"", "HELD = \"status <> 'READY'\""),
        tests="tests/store/test_fence.py tests/store/test_transitions.py", on="sqlite postgresql",
    ),
    _mutant(
        "an atomic step commits without its lease",
        (STORE + "atomic.py", "        raise answer\n", "        return Verdict(status=RunStatus.RUNNING)\n"),
        (STORE + "atomic.py", "from . import vendors", "from django_tasks_durable.primitives.status import RunStatus\n\nfrom . import vendors"),
        tests="tests/store/test_fence.py",
    ),
    _mutant(
        "the lock of a write lets a takeover pass",
        (STORE + "vendors/brands.py", 'lock = "FOR NO KEY UPDATE"', 'lock = "FOR KEY SHARE"'),
        tests="tests/store/test_busy.py tests/store/test_claims.py", on="postgresql",
    ),
    # --- claims
    _mutant(
        "claims lock nothing",
        (STORE + "claims.py", "({choose}{lock})", "({choose})"),
        tests="tests/concurrency/test_claims.py", on="postgresql",
    ),
    _mutant(
        "claims lock nothing, where there are no arrays",
        (STORE + "claims.py", 'session.execute(choose.format(held="") + lock, parameters)', 'session.execute(choose.format(held=""), parameters)'),
        tests="tests/concurrency/test_claims.py", on="mariadb",
    ),
    _mutant(
        "claims leave the index to the optimizer",
        (STORE + "vendors/mysql.py", 'in_ready_order = " FORCE INDEX (dtd_run_ready)"', 'in_ready_order = ""'),
        tests="tests/concurrency/test_claims.py", on="mariadb",
    ),
    _mutant(
        "a transaction of ours begins deferred",
        (STORE + "vendors/brands.py", 'begin = "BEGIN IMMEDIATE"', 'begin = "BEGIN"'),
        tests="tests/concurrency",
    ),
    _mutant(
        "claims in the order of enqueueing",
        (STORE + "claims.py", "ORDER BY due_at, id LIMIT", "ORDER BY id LIMIT"),
        tests="tests/store/test_claims.py", on="sqlite postgresql mariadb",
    ),
    _mutant(
        "what an UPDATE returned is taken for an order",
        (STORE + "claims.py", "FROM taken ORDER BY due_at, id", "FROM taken ORDER BY due_at DESC, id DESC"),
        (STORE + "claims.py", "[rows[run_id] for run_id in ids]", "[rows[run_id] for run_id in reversed(ids)]"),
        tests="tests/store/test_claims.py",
    ),
    _mutant(
        "unknown tasks are claimed",
        (STORE + "claims.py", 'return "task_path = ANY(%s)", (list(self.task_paths),)', 'return "TRUE", ()'),
        (STORE + "claims.py", "return f\"task_path IN ({_marks(self.task_paths)})\", tuple(self.task_paths)", 'return "1 = 1", ()'),
        tests="tests/store/test_claims.py", on="sqlite postgresql",
    ),
    _mutant(
        "lost runs are prefetched",
        (STORE + "claims.py", '"" if wanted.takes_crashed else " AND crashes = 0"', '""'),
        tests="tests/store/test_claims.py",
    ),
    # --- limits
    _mutant(
        "a claim counts without holding its slots",
        (STORE + "slots.py", "rows = _read(session, sorted(names), lock)", "rows = _read(session, sorted(names))"),
        tests="tests/concurrency/test_limits.py", on="postgresql",
    ),
    _mutant(
        "a claim trusts what its look has counted",
        (STORE + "slots.py", "        rows = _read(session, sorted(names), lock)\n        counts: Counter[SlotName] = Counter()", "        before = held(session) + held_by_queue(session)\n        rows = _read(session, sorted(names), lock)\n        return cls(session, before, {name: row.bucket for name, row in rows.items()})\n        counts: Counter[SlotName] = Counter()"),
        tests="tests/concurrency/test_limits.py", on="postgresql",
    ),
    _mutant(
        "a stream passes by the slots that workers count by",
        (STORE + "entering.py", "    if not gate.room(limits, 1):\n        raise LimitReached(run_id)", "    gate.room(limits, 1)"),
        tests="tests/concurrency/test_limits.py",
    ),
    _mutant(
        "a slot without its lock has room",
        (STORE + "slots.py", "            if limit.name not in self.buckets:\n                return 0", "            if limit.name not in self.buckets:\n                continue"),
        tests="tests/concurrency/test_limits.py", on="postgresql",
    ),
    _mutant(
        "a key that is kept counts for nothing",
        (STORE + "slots.py", "if name.kind is SlotKind.KEY or not is_kept", "if not is_kept"),
        tests="tests/store/test_limits.py",
    ),
    _mutant(
        "a retried run still has its key",
        (STORE + "control.py", "        slots.stand_in_line_again(vendors.session(using), run.id, run.task_path, run.options)\n", ""),
        tests="tests/store/test_limits.py",
    ),
    _mutant(
        "tokens are not taken",
        (STORE + "slots.py", "(self._tokens(limit.name, limit.rate) - number, limit.rate)", "(self._tokens(limit.name, limit.rate), limit.rate)"),
        tests="tests/store/test_limits.py",
    ),
    _mutant(
        "every look begins with the same lane",
        (STORE + "entering.py", "        self.wanted.turns.cursors[(last.queue_name, last.rank)] = ", "        _ = "),
        tests="tests/store/test_limits.py",
    ),
    _mutant(
        "a full task is passed lane by lane",
        (STORE + "lanes.py", "        if not self.full.isdisjoint(parts.names):", "        if self.full.issuperset({None}):"),
        tests="tests/store/test_limits.py",
    ),
    _mutant(
        "nobody looks when a place becomes free",
        ("django_tasks_durable/worker/loop.py", "        if any(held.claimed.is_limited for held, _, _ in runs):", "        if not runs:"),
        tests="tests/worker/test_limits.py",
    ),
    _mutant(
        "the rooms of a worker share their turns",
        ("django_tasks_durable/worker/loop.py", "{kind: Turns() for kind in self._rooms}", "dict.fromkeys(self._rooms, Turns())"),
        tests="tests/worker/test_limits.py",
    ),
    _mutant(
        "a worker does not come back for a token",
        (STORE + "lanes.py", "                self.wanted.turns.note(wait)\n", ""),
        tests="tests/store/test_limits.py",
    ),
    _mutant(
        "a pause is not heard of",
        ("django_tasks_durable/worker/writer.py", "            self._paused(heads.paused)", "            pass"),
        tests="tests/worker/test_limits.py",
    ),
    # --- workers
    _mutant(
        "a claim does not hold its worker's row",
        (STORE + "vendors/brands.py", 'share_worker = " FOR KEY SHARE"', 'share_worker = ""'),
        tests="tests/concurrency/test_workers.py", on="postgresql",
    ),
    _mutant(
        "a dead worker may claim",
        (STORE + "claims.py", "    if not alive:\n        raise WorkerDeclaredDead(worker_id)", "    pass"),
        tests="tests/store/test_claims.py tests/concurrency/test_workers.py",
    ),
    _mutant(
        "a heartbeat brings a dead worker back to life",
        (STORE + "workers.py", "\"WHERE id = %s AND dead_at IS NULL\",\n        (failures,", "\"WHERE id = %s\",\n        (failures,"),
        tests="tests/store/test_sweep.py",
    ),
    _mutant(
        "a sweep does not lock what it takes",
        (STORE + "vendors/brands.py", 'return f"{self.lock} OF {table}{self.skip}"', 'return ""'),
        (STORE + "workers.py", "WHERE id = %s AND lease_token = %s AND status IN ('CLAIMED', 'RUNNING')\",\n", "WHERE id = %s AND %s IS NOT NULL\",\n"),
        tests="tests/concurrency/test_workers.py", on="postgresql",
    ),
    _mutant(
        "a sweep counts what never began",
        (STORE + "workers.py", "was_running = status == RunStatus.RUNNING", "was_running = True"),
        tests="tests/store/test_sweep.py",
    ),
    _mutant(
        "a sweep leaves the token as it was",
        (STORE + "workers.py", "error_code = %s, lease_token = lease_token + 1", "error_code = %s, lease_token = lease_token + 0"),
        tests="tests/store/test_sweep.py",
    ),
    _mutant(
        "poison is given back for ever",
        (STORE + "workers.py", "lost >= int(str(max_deliveries))", "False"),
        tests="tests/store/test_sweep.py",
    ),
    _mutant(
        "a checkpoint does not start the count of deliveries anew",
        (STORE + "commit.py", '    if delta.checkpoints:\n        changes |= {"crashes": 0, "deliveries": 0}', "    if delta.checkpoints:\n        pass"),
        tests="tests/store/test_outcomes.py tests/store/test_sweep.py",
    ),
    _mutant(
        "a sweep turns pages that grow shorter under it",
        (STORE + "workers.py", "while batch := _sweep_batch(session, spread):", "while batch := _sweep_batch(session, spread, len(swept)):"),
        (STORE + "workers.py", "def _sweep_batch(session: Session, spread: float)", "def _sweep_batch(session: Session, spread: float, offset: int)"),
        (STORE + "workers.py", "LIMIT {SWEPT_AT_ONCE} {session", "LIMIT {SWEPT_AT_ONCE} OFFSET {offset} {session"),
        tests="tests/store/test_recovery.py", on="sqlite postgresql",
    ),
    _mutant(
        "a worker dates its heartbeat by its own clock",
        (STORE + "workers.py", "SET heartbeat_at = {session.now}, failed", "SET heartbeat_at = '2020-01-01 00:00:00', failed"),
        tests="tests/store/test_sweep.py",
    ),
    # --- outcomes
    _mutant(
        "a suspension does not look at the inbox",
        (STORE + "deltas.py", "elif self.inbox is not None and self.inbox != inbox:", "elif False:"),
        tests="tests/concurrency/test_control.py",
    ),
    _mutant(
        "a message does not raise the inbox",
        (STORE + "changes.py", "self.set(inbox=self.run.inbox + 1)", "self.set(inbox=self.run.inbox)"),
        tests="tests/concurrency/test_messages.py",
    ),
    _mutant(
        "a taken message stays in the box",
        (STORE + "commit.py", "            _consume(session, delta, message_id, path)", "            pass"),
        tests="tests/store/test_contract.py", on="sqlite postgresql mariadb",
    ),
    _mutant(
        "taking a message is decided without the lock",
        (STORE + "deltas.py", "not (self.consumed or self.children", "not (self.children"),
        tests="tests/store/test_contract.py", on="postgresql",
    ),
    _mutant(
        "who acts on a run does not lock it",
        (STORE + "changes.py", "rows.select_for_update(no_key=weakly).get(pk=run_id)", "rows.get(pk=run_id)"),
        tests="tests/concurrency/test_messages.py", on="postgresql mariadb",
    ),
    _mutant(
        "an answer is taken after its deadline",
        (STORE + "control.py", "if wait.deadline is not None and wait.deadline <= change.at:", "if False:"),
        tests="tests/concurrency/test_messages.py", on="sqlite postgresql mariadb",
    ),
    _mutant(
        "an early call of a webhook may be answered over",
        (STORE + "control.py", "if given is None and wait.kind == WEBHOOK:", "if False:"),
        tests="tests/doors/test_answers.py",
    ),
    _mutant(
        "a message is taken by a commit of its own",
        (ENGINE + "messages.py", "yield Durable(replace(saved, consumes=message.id))", "yield Durable(saved)"),
        tests="tests/engine/test_crash_anywhere.py",
    ),
    _mutant(
        "a broadcast does not lock the runs",
        (STORE + "events.py", '"attempts").select_for_update(no_key=weakly)', '"attempts")'),
        tests="tests/concurrency/test_messages.py", on="postgresql mariadb",
    ),
    _mutant(
        "a cancellation that was asked for is forgotten",
        (STORE + "deltas.py", "if cancel_requested and self.status is not RunStatus.CANCELLED:", "if False:"),
        tests="tests/store/test_outcomes.py tests/concurrency/test_control.py",
    ),
    _mutant(
        "lines are numbered from what the claim saw",
        (STORE + "commit.py", "rows[deltas[row[0]].lease.run_id].last_sequence + row[1]", "1 + row[1]"),
        tests="tests/store/test_outcomes.py",
    ),
    _mutant(
        "a failure that is retried costs nothing",
        (STORE + "deltas.py", "self.attempts = 1", "self.attempts = 0"),
        tests="tests/store/test_outcomes.py",
    ),
    _mutant(
        "giving back costs an attempt",
        (STORE + "deltas.py", "self.reason = WakeReason.RELEASED", "self.reason = WakeReason.RELEASED\n                self.attempts, self.errors, self.worker_ids = 1, '[]', '[]'"),
        tests="tests/store/test_outcomes.py",
    ),
    _mutant(
        "a suspension costs an attempt",
        (STORE + "deltas.py", "        self.awaited, self.forget = write.awaited, write.forget\n", "        self.awaited, self.forget = write.awaited, write.forget\n        self.attempts, self.errors, self.worker_ids = 1, '[]', '[]'\n"),
        tests="tests/store/test_outcomes.py",
    ),
    _mutant(
        "a question may be answered twice",
        (STORE + "control.py", "        if codec.opened(given) != codec.opened(answer):\n            raise AlreadyResolved(wait.token)\n        return\n", "        pass\n"),
        tests="tests/store/test_control.py tests/concurrency/test_control.py", on="sqlite postgresql",
    ),
    _mutant(
        "who listens can undo what an operator did",
        (STORE + "news.py", "    transaction.on_commit(told, using=using, robust=True)", "    transaction.on_commit(told, using=using)"),
        tests="tests/store/test_control.py",
    ),
    _mutant(
        "who listens can end the news",
        (WORKER + "news.py", "signals.run_changed.send_robust(", "signals.run_changed.send("),
        tests="tests/worker/test_news.py",
    ),
    _mutant(
        "a lost answer is taken for a lost commit",
        (STORE + "commit.py", "    return found\n\n\ndef _is_stored", "    return {}\n\n\ndef _is_stored"),
        tests="tests/store/test_lost_answer.py",
    ),
    _mutant(
        "an atomic step is repeated although it was kept",
        (STORE + "atomic.py", "if verdict is not None and _is_kept(session, claimed, facts):", "if False:"),
        tests="tests/faults/test_outage.py::test_a_lost_answer_costs_nothing[atomic]", on="postgresql",
    ),
    _mutant(
        "a claim whose answer was lost is forgotten",
        (WORKER + "writer.py", "self._claims_doubtful |= asked", "pass"),
        tests="tests/faults/test_outage.py::test_a_lost_answer_costs_nothing[claim]", on="postgresql",
    ),
    _mutant(
        "a connection that cannot be closed ends its thread",
        (
            "django_tasks_durable/executors/thread.py",
            "        except Exception:  # a driver's connection that a task broke may refuse to be closed\n"
            "            _close(connection)",
            "        except MemoryError:\n            _close(connection)",
        ),
        tests="tests/worker/test_connections.py",
    ),
    _mutant(
        "workers are judged by beats that a lock held up",
        (STORE + "workers.py", "    if session.brand.has_one_writer:\n        with session.transaction():\n            pass\n", ""),
        (STORE + "workers.py", "        threading.Event().wait(SETTLING_SECONDS)\n", ""),
        (WORKER + "heartbeat.py", "if session.brand.has_one_writer:\n                return", "if False:\n                return"),
        tests="tests/faults/test_long_step.py",
    ),
    # --- intake
    _mutant(
        "workers hear of a run before its commit",
        (STORE + "intake.py", "        transaction.on_commit(hint, using=session.alias, robust=True)", "        hint()"),
        tests="tests/store/test_intake.py",
    ),
    _mutant(
        "old hours jump the queue",
        (STORE + "intake.py", "max(now + delay, order.run_after) if order.run_after else now + delay", "order.run_after or now + delay"),
        tests="tests/store/test_intake.py",
    ),
    # --- atomic steps
    _mutant(
        "an atomic step locks its run first",
        (STORE + "atomic.py", "                    value, facts = perform()", "                    session.execute(f\"SELECT 1 FROM durable_tasks_taskrun {session.brand.lock}\")\n                    value, facts = perform()"),
        tests="tests/store/test_atomic.py", on="postgresql",
    ),
    _mutant(
        "the bound on waiting stays behind",
        (STORE + "vendors/mysql.py", "SET SESSION innodb_lock_wait_timeout = {int(before)}", "SELECT {int(before)}"),
        tests="tests/store/test_atomic.py", on="mariadb",
    ),
    _mutant(
        "a deadlock fails the step",
        (STORE + "atomic.py", "TRIES = 3", "TRIES = 1"),
        tests="tests/store/test_atomic.py", on="postgresql mariadb",
    ),
    # --- keys
    _mutant(
        "a name that is taken is taken again",
        (STORE + "keys.py", "    if not taken:\n", "    if False:\n"),
        tests="tests/concurrency/test_keys.py::test_of_many_calls_at_once_one_creates_the_run_and_all_others_find_it "
        "tests/concurrency/test_keys.py::test_a_retry_and_a_call_with_the_same_key_do_not_both_open_a_run",
        on="postgresql mariadb",
    ),
    _mutant(
        "a look at names may be older than the lock",
        (STORE + "vendors/brands.py", '        execute_plain(connection, f"DELETE FROM {KEYS} WHERE 0", ())\n', "        pass\n"),
        tests="tests/concurrency/test_keys.py::test_of_many_calls_at_once_one_creates_the_run_and_all_others_find_it",
    ),
    _mutant(
        "those who want one name wait in a queue",
        (STORE + "vendors/mysql.py", "SET STATEMENT innodb_lock_wait_timeout=0 FOR ", ""),
        tests="tests/concurrency/test_keys.py::test_when_the_creator_rolls_back_one_of_those_who_waited_creates_the_run",
        on="mariadb",
    ),
    _mutant(
        "a name goes to whoever holds it now",
        (STORE + "keys.py", '"WHERE kind = %s AND name = %s AND run_id = %s",\n            (owner,', '"WHERE kind = %s AND name = %s AND %s IS NOT NULL",\n            (owner,'),
        tests="tests/concurrency/test_keys.py::test_of_many_that_supersede_each_other_one_stays_open",
        on="postgresql mariadb",
    ),
    _mutant(
        "an end waits for those who hold its names",
        (STORE + "commit.py", "    got = keys.lock_at_once(session, ending)\n", "    keys.lock(session, *ending)\n    got = set(ending)\n"),
        tests="tests/store/test_unique.py::test_an_end_waits_for_nobody_who_holds_its_names", on="postgresql mariadb",
    ),
    _mutant(
        "an end keeps its names",
        (STORE + "commit.py", "        keys.let_go(session, ended)\n", "        pass\n"),
        tests="tests/store/test_unique.py",
    ),
    _mutant(
        "a heartbeat hears of cancellations only",
        (WORKER + "heartbeat.py", "                with_keys=with_keys,\n", ""),
        tests="tests/faults/test_superseded.py",
    ),
    # --- the worker
    _mutant(
        "what runs too long is not given back",
        (WORKER + "loop.py", "            self._writer.release_all()\n", ""),
        tests="tests/faults/test_shutdown.py::test_what_does_not_end_is_given_back_uncounted",
    ),
    _mutant(
        "a second signal says nothing",
        (WORKER + "loop.py", "        self._abort_asked.set()\n", ""),
        tests="tests/faults/test_shutdown.py::test_a_second_signal_gives_back_at_once",
    ),
    _mutant(
        "a lost run begins before that is durable",
        (ENGINE + "attempt.py", "    if _must_be_heard(slice):\n        _hear(slice, slice.store.keep(write))", "    if False:\n        pass"),
        tests="tests/faults/test_poison.py::test_a_lost_run_is_marked_running_before_its_body_begins_again",
    ),
    _mutant(
        "a worker that was dead keeps its name",
        (WORKER + "writer.py", "            self._declared_dead(str(error))\n", ""),
        (WORKER + "heartbeat.py", "            self.worker.declared_dead(worker_id)\n        elif", "            pass\n        elif"),
        tests="tests/faults/test_zombie.py::test_no_event_of_a_zombie_is_told",
    ),
    _mutant(
        "connections are left as a task left them",
        ("django_tasks_durable/executors/thread.py", "since_check = leave_clean(since_check)", "since_check = 0"),
        tests="tests/faults/test_hostile.py::test_the_next_task_on_the_thread_finds_the_connection_clean",
    ),
    # --- the body of a task
    _mutant(
        "a step returns what its function made, not what is remembered of it",
        (ENGINE + "tries.py", "text, value = codec.round_trip(raw, limit=frame.slice.limit)\n            saved", "text, value = codec.encode(raw, limit=frame.slice.limit), raw\n            saved"),
        tests="tests/engine/test_steps.py tests/engine/test_replay.py",
    ),
    _mutant(
        "a suspension is an Exception",
        ("django_tasks_durable/exceptions.py", "class ControlFlow(BaseException):", "class ControlFlow(Exception):"),
        tests="tests/engine/test_suspension.py",
    ),
    _mutant(
        "an attempt lets sys.exit() through",
        (ENGINE + "attempt.py", "    except BaseException as error:\n        outcome = outcomes.of_error(slice, error)\n        undoing = unwinding.begun(slice, outcome, error)\n    return", "    except Exception as error:\n        outcome = outcomes.of_error(slice, error)\n        undoing = unwinding.begun(slice, outcome, error)\n    return"),
        tests="tests/engine/test_failures.py tests/engine/test_suspension.py",
    ),
    _mutant(
        "a name in a row is imported",
        ("django_tasks_durable/authoring/registry.py", "        raise UnknownTask(path) from None", "        from django.utils.module_loading import import_string\n\n        return import_string(path)"),
        tests="tests/engine/test_tasks.py",
    ),
    # --- changed code, and what is undone
    _mutant(
        "the body goes on although its run is being undone",
        (ENGINE + "unwinding.py", "if slice.claimed.is_fresh or not slice.replay.has(MARK):", "if True:"),
        tests="tests/engine/test_compensation.py",
    ),
    _mutant(
        "a compensation is done again after a crash",
        (ENGINE + "unwinding.py", "        if isinstance(decision, Replayed):\n            return \"\"\n", ""),
        tests="tests/engine/test_compensation.py",
    ),
    _mutant(
        "a run that is to be undone is cancelled at once",
        (STORE + "control.py", "is_undone_first = run.lease_token > 0 and compensates_on_cancel(run.options)", "is_undone_first = False"),
        tests="tests/store/test_contract.py",
    ),
    _mutant(
        "a history is led to newer code and not written",
        (STORE + "deltas.py", "or self.state or self.rewritten)", "or self.state)"),
        tests="tests/store/test_contract.py", on="postgresql",
    ),
    _mutant(
        "a run of other code begins all the same",
        (ENGINE + "versions.py", "    return slice.claimed.code_version == options_of(slice.task).version", "    return True"),
        tests="tests/engine/test_versions.py",
    ),
    _mutant(
        "a server that takes no writes is the step's failure",
        (STORE + "atomic.py", "if not (is_lost or (is_ours and session.brand.takes_no_writes(error))):", "if not is_lost:"),
        tests="tests/store/test_atomic.py",
    ),
    _mutant(
        "a run may write for ever",
        (ENGINE + "allowance.py", "if most is not None and written >= most:", "if False:"),
        tests="tests/engine/test_allowance.py",
    ),
    _mutant(
        "a run that is pinned to another version is claimed",
        (STORE + "claims.py", "        for path, pin in self.pins.items():", "        for path, pin in {}.items():"),
        tests="tests/store/test_claims.py",
    ),
    _mutant(
        "a patch is durable some time",
        (ENGINE + "tries.py", "    if not work.pure:\n        yield from settle(frame)\n", ""),
        tests="tests/engine/test_patches.py",
    ),
    _mutant(
        "a pure step is durable some time",
        (ENGINE + "owing.py", "    if frame.strand in owing:\n", "    if not owing:\n"),
        tests="tests/engine/test_pure.py",
    ),
    # --- class workflows
    _mutant(
        "an attempt overwrites what a command made of the state",
        (STORE + "deltas.py", "if self.state is None or self.state.expected == version:", "if True:"),
        tests="tests/engine/test_workflow_crashes.py tests/store/test_workflow_contract.py tests/concurrency/test_workflows.py",
        on="sqlite postgresql mariadb",
    ),
    _mutant(
        "a command leaves the version of the state",
        (STORE + "workflows.py", "state_version=run.state_version + 1, ", ""),
        tests="tests/store/test_workflow_contract.py tests/concurrency/test_workflows.py",
    ),
    _mutant(
        "an atomic step on an old state keeps the run",
        (STORE + "atomic.py", "            _give_back(session, claimed, worker_id)\n", ""),
        tests="tests/store/test_workflow_contract.py",
    ),
    _mutant(
        "a checkpoint is stored without the state that its step made",
        (ENGINE + "workflows.py", "return replace(write, state=self._changed(), line=write.line if is_kept else None)", "return write"),
        tests="tests/engine/test_workflow_crashes.py",
    ),
    _mutant(
        "what an atomic step made of the state outlives its rollback",
        (ENGINE + "tries.py", "        frame.slice.rewind(before)\n        raise\n", "        raise\n"),
        (ENGINE + "tries.py", "    frame.slice.rewind(before)\n    notes", "    notes"),
        tests="tests/engine/test_workflows.py",
    ),
    _mutant(
        "a visit reads the history of all visits",
        (STORE + "history.py", " if prefix else (\"\", ())", " if not prefix else (\"\", ())"),
        tests="tests/store/test_workflow_contract.py tests/store/test_workflow_visits.py", on="sqlite postgresql",
    ),
    # --- parents and children
    _mutant(
        "a suspension does not look at its children again",
        (STORE + "commit.py", "has_news = bool(delta.awaited) and children.have_news(session, delta.awaited)", "has_news = False"),
        tests="tests/store/test_children.py", on="sqlite postgresql mariadb",
    ),
    _mutant(
        "a parent that an attempt holds is not locked",
        (STORE + "children.py", "(status IN {HELD} OR (status = 'WAITING' AND awaited <> ''))", "(status = 'WAITING' AND awaited <> '')"),
        tests="tests/store/test_children.py", on="postgresql mariadb",
    ),
    _mutant(
        "a parent is woken by any child",
        (STORE + "children.py", "if status == RunStatus.WAITING and text and have_news(session, from_text(text)):", "if status == RunStatus.WAITING:"),
        tests="tests/store/test_children.py",
    ),
    _mutant(
        "what a crash left between a child and its parent is not looked for",
        (WORKER + "maintenance.py", "        self.family.look_for_forgotten(session)\n", ""),
        (STORE + "children.py", "    return Forgotten(list(_sleepers(session)), _bereaved(session))", "    return Forgotten([], [])"),
        tests="tests/store/test_children.py",
    ),
    _mutant(
        "a stream forgets how far its parent's code had come",
        (ENGINE + "childstream.py", "            frame.scope.skip_to(point.position)\n", ""),
        tests="tests/engine/test_childstream.py",
    ),
    _mutant(
        "a stream forgets what its parent had yielded",
        (ENGINE + "childstream.py", "            frame.slice.partials = point.told\n", ""),
        tests="tests/engine/test_childstream.py",
    ),
    _mutant(
        "the place of a stream is written too late",
        (ENGINE + "frame.py", "            cursor.remember()\n", "            pass\n"),
        tests="tests/engine/test_childstream.py",
    ),
    # --- schedules
    _mutant(
        "a tick that is in the ledger is run again",
        (STORE + "ticks.py", "    except IntegrityError:\n        return False", "    except IntegrityError:\n        return True"),
        tests="tests/store/test_schedules.py::test_a_tick_in_the_ledger_is_never_run_again_whatever_became_of_its_run",
    ),
    _mutant(
        "schedulers race without lock and ledger",
        (STORE + "ticks.py", "    except IntegrityError:\n        return False", "    except IntegrityError:\n        return True"),
        (STORE + "ticks.py", "rows.select_for_update(skip_locked=features.has_select_for_update_skip_locked).first()", "rows.first()"),
        tests="tests/concurrency/test_schedules.py", on="postgresql mariadb",
    ),
    _mutant(
        "schedulers race with the lock alone, and nobody turns the ledger's page",
        (STORE + "ticks.py", "    except IntegrityError:\n        return False", "    except IntegrityError:\n        return True"),
        tests="tests/concurrency/test_schedules.py::test_a_backfill_and_four_schedulers_meet_and_no_tick_is_run_twice",
        on="sqlite postgresql mariadb",
    ),
    _mutant(
        "a scheduler waits for another",
        (STORE + "ticks.py", "skip_locked=features.has_select_for_update_skip_locked", "skip_locked=False"),
        tests="tests/concurrency/test_schedules.py::test_a_scheduler_does_not_wait_for_another", on="postgresql mariadb",
    ),
    _mutant(
        "a tick is several transactions",
        (STORE + "ticks.py", "    with vendors.write_transaction(using):\n        row = _locked", "    if True:\n        row = _locked"),
        tests="tests/faults/test_schedules.py::test_a_scheduler_killed_at_any_point_of_a_tick_loses_and_doubles_none",
    ),
    _mutant(
        "the ledger goes with the runs",
        (STORE + "retention.py", "        session.change(f\"DELETE FROM {RUNS} WHERE id IN ({marks})\", doomed)", "        session.change(f\"DELETE FROM {RUNS} WHERE id IN ({marks})\", doomed)\n        session.change(f\"DELETE FROM durable_tasks_tick WHERE run_id IN ({marks})\", doomed)"),
        tests="tests/store/test_schedules.py::test_retention_takes_the_run_and_leaves_the_tick", on="sqlite postgresql mariadb",
    ),
    _mutant(
        "the next tick is counted from now",
        (STORE + "ticks.py", "next_after(tick or now)", "next_after(now)"),
        tests="tests/store/test_schedules.py::test_of_an_outage_every_tick_is_run_in_order",
    ),
    _mutant(
        "what an autumn shows again is passed over",
        ("django_tasks_durable/primitives/timing.py", "- max(timedelta(0), offsets[0] - offsets[1])", ""),
        tests="tests/ground/test_schedules.py::test_ten_years_of_each_zone_tick_as_a_walk_over_every_minute_says",
    ),
    _mutant(
        "a gap is made up for when it began",
        ("django_tasks_durable/primitives/timing.py", "        return after\n", "        return before\n"),
        tests="tests/ground/test_schedules.py",
    ),
    _mutant(
        "an operator's pause is lifted by a deploy",
        (STORE + "schedules.py", '"position": declaration.position,', '"position": declaration.position, "paused": False,'),
        tests="tests/store/test_schedules.py::test_an_operators_pause_survives_a_deploy",
    ),
    # --- runs driven in process
    _mutant(
        "a run driven in process is claimed before it is due",
        (STORE + "claims.py", "WHERE id = %s AND status = 'READY' AND due_at <= {session.now} {session.brand.lock}", "WHERE id = %s AND status = 'READY' {session.brand.lock}"),
        tests="tests/seeds/test_in_process.py",
    ),
    _mutant(
        "a run driven in process is put there first and claimed later",
        (STORE + "database.py", "                seat.claim_ahead()\n", ""),
        tests="tests/store/test_driving.py",
    ),
    _mutant(
        "a partial of a run driven in process is told before it is committed",
        (STORE + "database_seat.py", "        if self._kept:\n            self.flush()\n", ""),
        tests="tests/store/test_driving.py",
    ),
    _mutant(
        "a dropped stream keeps its run until the lease ends",
        (STORE + "pulse.py", "                give_back(session, self._left)\n", ""),
        tests="tests/store/test_driving.py",
    ),
    _mutant(
        "a stream that was declared dead goes on with its attempt",
        (STORE + "pulse.py", "                if not heard.alive:\n                    self._lose()\n", ""),
        tests="tests/store/test_driving.py",
    ),
    # --- middleware
    _mutant(
        "a middleware that raises leaves what it enqueued",
        (STORE + "admission.py", "nullcontext() if using is None else vendors.write_transaction(using)", "nullcontext()"),
        tests="tests/store/test_middleware.py", on="sqlite postgresql mariadb",
    ),
    # --- entries
    _mutant(
        "a sink that changes a run is told of it in the middle of another",
        ("django_tasks_durable/live/forwarding.py", "            if self._is_telling:\n", "            if False:\n"),
        tests="tests/seeds/test_entries.py",
    ),
    # --- live
    _mutant(
        "a hub that polls never asks again for a line that was not visible yet",
        (LIVE + "tail.py", "tail.written_since(self._cursor, self._missing,", "tail.written_since(self._cursor, (),"),
        tests="tests/live/test_hub.py", on="postgresql",
    ),
    _mutant(
        "a hub that hears nothing waits as if it heard",
        (LIVE + "tail.py", "return until_resync if self.is_hinted else min(self.poll_seconds, until_resync)", "return until_resync"),
        tests="tests/live/test_hub.py", on="postgresql",
    ),
    _mutant(
        "what one audience may see is told to all",
        (LIVE + "hub.py", "if each.id in news.seen_by.get(subscription.audience.key, ()):", "if True:"),
        tests="tests/live/test_leaving.py",
    ),
    _mutant(
        "a session is asked about once, at the door",
        (LIVE + "consumers.py", "                    await self._look_again()\n", "                    pass\n"),
        tests="tests/live/test_leaving.py",
    ),
    # --- who may see what, and do it
    _mutant(
        "an aggregate counts what its reader may not see",
        ("django_tasks_durable/snapshots/bootstrap.py", "        query.of(narrow(read.runs(using=using)))\n        .order_by()", "        query.of(read.runs(using=using))\n        .order_by()"),
        tests="tests/doors/test_bootstrap.py tests/doors/test_rest_permissions.py",
    ),
    _mutant(
        "a label is taken for HTML",
        ("django_tasks_durable/admin/look.py", "label = run.percent, plain(run.progress.label)", "label = run.percent, SafeString(run.progress.label)"),
        tests="tests/doors/test_admin.py tests/doors/test_admin_house.py",
    ),
    _mutant(
        "the admin acts on whatever task is named",
        ("django_tasks_durable/admin/runs.py", "return read.one(run_id, using=places.database(), narrow=_visible(request))", "return read.one(run_id, using=places.database())"),
        tests="tests/doors/test_admin_tenants.py",
    ),
    _mutant(
        "who may see a task may do anything to it",
        ("django_tasks_durable/admin/acting.py", "if not self.has_view_permission(request) or not acts.may(request.user, act):", "if not self.has_view_permission(request):"),
        tests="tests/doors/test_admin.py",
    ),
    _mutant(
        "whoever follows a link pauses a queue",
        ("django_tasks_durable/admin/queues.py", "view(require_POST(self.pause))", "view(self.pause)"),
        tests="tests/doors/test_admin_house.py",
    ),
    _mutant(
        "a link answers when it is looked at",
        ("django_tasks_durable/answers/views.py", 'request.POST if request.method == "POST" else None', "request.POST or request.GET or None"),
        tests="tests/doors/test_answers.py",
    ),
    # --- rollups
    _mutant(
        "the cursor of the rollups moves whoever moved it before",
        (STORE + "rollups.py", "WHERE id = 1 AND step_id = %s\"", "WHERE id = 1 AND %s IS NOT NULL\""),
        tests="tests/concurrency/test_rollups.py", on="sqlite postgresql mariadb",
    ),
    _mutant(
        "retention deletes what was not counted",
        (STORE + "retention.py", "        spoken_for |= rollups.uncounted(session, [row.run_id for row in rows])\n", ""),
        tests="tests/store/test_rollups.py",
    ),
    # --- child processes
    _mutant(
        "a delivery that was lost with its process is not counted",
        (STORE + "deltas.py", "self.deliveries = 1 if self.checkpoints else before + 1", "self.deliveries = 1"),
        tests="tests/store/test_lost_process.py", on="sqlite postgresql mariadb",
    ),
    _mutant(
        "a child may write for any run",
        ("django_tasks_durable/executors/delivery.py", "if write.lease != self.claimed.lease:", "if False:"),
        tests="tests/executors/test_delivery.py",
    ),
    _mutant(
        "what the failing slice has done is not undone",
        (WORKER + "held.py", "        if not self._has_gone_on:\n", "        if True:\n"),
        tests="tests/worker/test_undoing.py",
    ),
    _mutant(
        "what a child has started outlives its worker",
        ("django_tasks_durable/executors/sentinel.py", "        os.killpg(group, signal.SIGKILL)\n", "        pass\n"),
        tests="tests/faults/test_children.py",
    ),
]  # fmt: skip
