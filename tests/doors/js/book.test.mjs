// What the tracker holds after the frames that the Python tracker is tested with, too.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { TaskBook } from "../../../django_tasks_durable/static/django_tasks_durable/book.js";

const vectors = JSON.parse(readFileSync(new URL("../golden/tracker.json", import.meta.url), "utf8"));

for (const { name, frames, changes, expect } of vectors) {
  test(name, () => {
    const book = new TaskBook();
    assert.deepEqual(frames.map((frame) => book.hear(frame) !== null), changes);
    const tasks = Object.fromEntries(book.tasks.map((task) => [task.id, task]));
    const of = (look) => Object.fromEntries(Object.entries(tasks).map(([id, task]) => [id, look(task)]));
    const some = (wanted, look) => Object.fromEntries(Object.keys(wanted).map((id) => [id, look(tasks[id])]));
    assert.deepEqual(Object.keys(tasks), expect.order);
    assert.deepEqual(of((task) => task.timeline.map((line) => line.sequence)), expect.sequences);
    assert.deepEqual(of((task) => task.version), expect.versions);
    assert.deepEqual(book.positions, expect.positions);
    assert.deepEqual([book.needsResync, book.aggregate], [expect.needs_resync, expect.aggregate]);
    for (const [part, look] of Object.entries({
      states: (task) => task.state,
      percents: (task) => task.progress.percent,
      args: (task) => task.args,
    })) {
      assert.deepEqual(some(expect[part] ?? {}, look), expect[part] ?? {});
    }
  });
}

test("a task is what its snapshot says, with its lines beside it", () => {
  const book = new TaskBook();
  const snapshot = { v: 1, id: "a", version: 1, state: "running", first_sequence: 1, last_sequence: 1, metadata: { zero: 0 } };
  const line = { sequence: 1, kind: "partial", data: false };
  book.hear({ type: "bootstrap", runs: [{ ...snapshot, timeline: [line] }], aggregate: null });
  assert.deepEqual(book.tasks, [{ ...snapshot, timeline: [line] }]);
  assert.equal(book.task("b"), null);
});

test("only the newest lines are kept", () => {
  const book = new TaskBook({ linesKept: 2 });
  book.hear({ type: "bootstrap", runs: [{ id: "a", version: 1, last_sequence: 0, timeline: [] }], aggregate: null });
  for (const sequence of [1, 2, 3]) book.hear({ type: "step", task_id: "a", event: "log", step: { sequence } });
  assert.deepEqual(book.task("a").timeline.map(({ sequence }) => sequence), [2, 3]);
  assert.deepEqual(book.positions, { a: 3 });
});

test("news name the task and what happened to it", () => {
  const book = new TaskBook();
  const step = { sequence: 1, kind: "log" };
  assert.deepEqual(book.hear({ type: "step", task_id: "a", event: "log", step }), { type: "step", task_id: "a", event: "log", step });
  assert.deepEqual(book.hear({ type: "lease_lost", task_id: "a", event: "lease_lost", worker: "w1" }), {
    type: "lease_lost", task_id: "a", worker: "w1",
  });
});
