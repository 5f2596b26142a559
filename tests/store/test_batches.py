"""Many runs in one commit: each is written just as it would be alone, whatever its text holds."""

from __future__ import annotations

from datetime import timedelta

import pytest

from django_tasks_durable.exceptions import LeaseLost
from django_tasks_durable.models import Checkpoint, Step
from django_tasks_durable.primitives.writes import ClaimedRun, SetProgress, Started, Succeeded, Verdict
from django_tasks_durable.store import vendors
from django_tasks_durable.store.commit import Answer, commit
from django_tasks_durable.store.deltas import Delta
from tests.store import acts

HOSTILE = [
    "", " ", "NULL", "null", '"', "'", "\\", '\\"', "{}", "{a,b}", ",", "a\nb\tc\r", "%s", "%%", "$1", "é漢🎈", '{"k": "v\\n"}',
    "x" * 5000, "()", "\u2028", "--", ";",
]  # fmt: skip
COLUMNS = ("kind", "level", "attempt", "path", "message", "percent", "data", "sequence")


@pytest.fixture
def claimed_runs(session: vendors.Session) -> list[ClaimedRun]:
    """Claim a few runs."""
    acts.register(session)
    for _ in range(4):
        acts.enqueue()
    return acts.claim(session)


def together(session: vendors.Session, deltas: list[Delta]) -> dict[object, Answer]:
    """Commit several changes in one transaction."""
    with session.transaction():
        return dict(commit(session, deltas))


def change(claimed: ClaimedRun, *writes: object) -> Delta:
    """Gather facts of one run."""
    delta = Delta(claimed, acts.WORKER)
    for write in writes:
        delta.add(write)  # type: ignore[arg-type]
    return delta


def test_hostile_text_comes_back_as_it_went_in(session: vendors.Session, claimed_runs: list[ClaimedRun]) -> None:
    deltas = [
        change(
            run, *(acts.append(run.lease, text) for text in HOSTILE),
            *(acts.save(run.lease, f"step:{number}:{text[:50]}", value=text) for number, text in enumerate(HOSTILE)),
            SetProgress(lease=run.lease, label=HOSTILE[place * 5][:200], meta=HOSTILE[place]),
            Succeeded(lease=run.lease, result=HOSTILE[place * 3]),
        )
        for place, run in enumerate(claimed_runs)
    ]  # fmt: skip
    answers = together(session, deltas)

    for place, run in enumerate(claimed_runs):
        assert isinstance(answers[run.run_id], Verdict)
        lines = Step.objects.filter(run_id=run.run_id, kind="log").order_by("sequence")
        assert list(lines.values_list("message", flat=True)) == HOSTILE
        kept = Checkpoint.objects.filter(run_id=run.run_id).order_by("id")
        assert list(kept.values_list("value", flat=True)) == HOSTILE
        assert [path.split(":", 2)[2] for path in kept.values_list("path", flat=True)] == [
            text[:50] for text in HOSTILE
        ]
        row = acts.run(run.run_id)
        assert (row.result, row.progress_label, row.progress_meta) == (
            HOSTILE[place * 3], HOSTILE[place * 5][:200], HOSTILE[place]
        )  # fmt: skip
        assert acts.sequences(run.run_id) == list(range(1, row.last_sequence + 1))


@pytest.mark.parametrize("kind", acts.WRITE_KINDS)
def test_a_run_is_changed_in_company_as_it_is_alone(
    session: vendors.Session, claimed_runs: list[ClaimedRun], kind: str
) -> None:
    alone, among, *company = claimed_runs
    later = alone.now_at + timedelta(hours=1)
    together(session, [change(alone, acts.each_write(alone.lease, later)[kind])])
    write = acts.each_write(among.lease, later)[kind]
    if kind == "waiting":
        write = acts.parked(among.lease, token="b" * 32)  # a token is one run's
    together(
        session,
        [
            change(company[0], Started(lease=company[0].lease)),
            change(among, write),
            change(company[1], Succeeded(lease=company[1].lease, result="1")),
        ],
    )

    assert _look(alone) == _look(among)


def _look(claimed: ClaimedRun) -> list[object]:
    row = acts.run(claimed.run_id)
    names = ("status", "wake_reason", "result", "attempts", "crashes", "errors", "error_code", "progress_percent",
             "progress_label", "progress_meta", "last_sequence", "version", "lease_token", "worker_ids")  # fmt: skip
    moments = ("started_at", "finished_at", "last_attempted_at", "progress_at", "due_at")
    return [
        {name: getattr(row, name) for name in names},
        {name: getattr(row, name) is None for name in moments},
        list(Step.objects.filter(run=row).order_by("sequence").values(*COLUMNS)),
        list(Checkpoint.objects.filter(run=row).order_by("id").values("path", "kind", "value", "failed", "attempt")),
    ]


def test_one_run_may_hand_in_thousands_of_steps_at_once(session: vendors.Session, claimed: ClaimedRun) -> None:
    steps = [acts.save(claimed.lease, f"step:{number}", position=number + 1) for number in range(5_000)]
    verdict = acts.hand_in(session, claimed, *steps)
    assert isinstance(verdict, Verdict)
    assert Checkpoint.objects.filter(run_id=claimed.run_id).count() == 5_000
    assert verdict.last_sequence == 5_001


def test_the_lost_ones_of_a_batch_are_refused_and_the_others_are_not_moved(
    session: vendors.Session, claimed_runs: list[ClaimedRun]
) -> None:
    acts.lose_worker(session)
    again = {run.run_id: run for run in acts.claim(session, limit=2)}
    before = {run.run_id: _look(run) for run in claimed_runs}
    stale = [change(run, acts.save(run.lease), Succeeded(lease=run.lease, result="1")) for run in claimed_runs]
    answers = together(session, stale)

    assert all(isinstance(answer, LeaseLost) for answer in answers.values())
    assert {run.run_id: _look(run) for run in claimed_runs} == before
    good = [change(run, acts.append(run.lease, str(run.run_id))) for run in again.values()]
    assert all(isinstance(answer, Verdict) for answer in together(session, good).values())
    for run_id in again:
        assert Step.objects.filter(run_id=run_id).order_by("-sequence")[0].message == str(run_id)
