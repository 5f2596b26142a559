// A tracker and the page's connection: what is asked for, when it is tried again, when it is given up.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Connection, sharedConnection } from "../../../django_tasks_durable/static/django_tasks_durable/connection.js";
import { TaskTracker } from "../../../django_tasks_durable/static/django_tasks_durable/tracker.js";
import { page, settled } from "./page.mjs";

const HELLO = { type: "hello", v: 1, ping_seconds: 20 };
const line = (sequence) => ({ sequence, kind: "log", message: `line ${sequence}` });
const run = (id, sequence, version = sequence) => ({
  id, version, state: "running", first_sequence: 1, last_sequence: sequence,
  progress: { percent: null, label: "", meta: {}, updated_at: null }, timeline: [line(sequence)],
});
const bootstrap = (id, ...runs) => ({ type: "bootstrap", id, v: 1, runs, aggregate: null });
const step = (id, task, sequence) => ({ type: "step", id, task_id: task, event: "log", step: line(sequence) });

function following({ query = { ids: ["a"] }, ...how } = {}) {
  const world = page(how);
  const connection = new Connection({ socket: "/ws/tasks/", api: "/api/tasks/" }, world.around);
  const tracker = new TaskTracker({ query, connection });
  const modes = [];
  tracker.on("connection", ({ mode }) => modes.push(mode));
  tracker.start();
  return { ...world, connection, tracker, modes };
}

function live(how) {
  const world = following(how);
  const [socket] = world.around.sockets;
  socket.hear(HELLO, bootstrap(world.tracker.id, run("a", 3)));
  return { ...world, socket };
}

test("a tracker subscribes when the server says hello, and holds what it is told", () => {
  const { socket, tracker, modes } = live();
  assert.equal(socket.address, "wss://shop.example/ws/tasks/");
  assert.deepEqual(socket.protocols, ["dtd.v1"]);
  assert.deepEqual(socket.sent, [
    { type: "subscribe", id: "1", query: { ids: ["a"] }, after: {}, steps: 20, limit: 100, aggregate: false },
  ]);
  assert.deepEqual(modes, ["connecting", "live"]);
  assert.equal(tracker.task("a").state, "running");
});

test("listeners hear what changed, and one that fails does not hurt the others", () => {
  const { socket, tracker } = live();
  const heard = [];
  const end = tracker.on("step", ({ step }) => heard.push(step.sequence));
  const errors = [];
  globalThis.reportError = (error) => errors.push(error.message);
  tracker.on("step", () => {
    throw new Error("a listener's own");
  });
  tracker.on("change", ({ type }) => heard.push(type));
  socket.hear(step("1", "a", 4));
  end();
  socket.hear(step("1", "a", 5));
  assert.deepEqual(heard, [4, "step", "step"]);
  assert.deepEqual(errors, ["a listener's own", "a listener's own"]);
});

test("a batch is taken apart for the subscription that it is for", () => {
  const { socket, tracker } = live();
  const heard = [];
  tracker.on("step", ({ step }) => heard.push(step.sequence));
  const bare = (sequence) => ({ type: "step", task_id: "a", event: "log", step: line(sequence) });
  socket.hear({ type: "batch", id: "1", frames: [bare(4), bare(5)] }, { type: "batch", id: "another", frames: [bare(6)] });
  assert.deepEqual(heard, [4, 5]);
});

test("a ping is answered", () => {
  const { socket } = live();
  socket.hear({ type: "ping", n: 3 });
  assert.deepEqual(socket.sent.at(-1), { type: "pong", n: 3 });
});

test("a gap asks again with the positions, later if it comes back", async () => {
  const { socket, pass } = live();
  socket.hear(step("1", "a", 5), step("1", "a", 6));
  await pass(60);
  assert.deepEqual(socket.sent.slice(1).map(({ type, after }) => [type, after]), [["subscribe", { a: 3 }]]);
  socket.hear(bootstrap("1", run("a", 3)), step("1", "a", 5));
  await pass(60);
  assert.equal(socket.sent.length, 2);
  await pass(60);
  assert.equal(socket.sent.length, 3);
});

test("a lost connection is made again after a while that grows, with the positions", async () => {
  const { around, socket, tracker, modes, pass } = live();
  socket.drop();
  assert.deepEqual(modes.slice(2), ["lost"]);
  await pass(499);
  assert.equal(around.sockets.length, 1);
  await pass(1);
  around.sockets[1].drop();
  await pass(999);
  assert.equal(around.sockets.length, 2);
  await pass(1);
  around.sockets[2].hear(HELLO);
  assert.deepEqual(around.sockets[2].sent[0].after, { a: 3 });
  assert.equal(tracker.connection, "live");
});

test("clients that lost the same server do not come back at once", async () => {
  const early = live({ random: 0 });
  early.socket.drop();
  await early.pass(250);
  assert.equal(early.around.sockets.length, 2);
});

test("a connection that falls silent is given up", async () => {
  const { around, pass } = live();
  await pass(49_000);
  assert.equal(around.sockets.length, 1);
  await pass(2_000);
  assert.equal(around.sockets.length, 2);
});

for (const code of [4401, 4403]) {
  test(`after ${code} nothing is tried again, and the page is told`, async () => {
    const { around, socket, tracker, pass } = live();
    const told = [];
    tracker.on("connection", (detail) => told.push(detail));
    socket.drop(code);
    await pass(3_600_000);
    assert.deepEqual(told, [{ mode: "refused", code }]);
    assert.equal(around.sockets.length, 1);
  });
}

test("after 4429 it waits long, after 4408 as always", async () => {
  const { around, socket, pass } = live();
  socket.drop(4408);
  await pass(500);
  around.sockets[1].drop(4429);
  await pass(59_000);
  assert.equal(around.sockets.length, 2);
  await pass(1_000);
  assert.equal(around.sockets.length, 3);
});

test("where no socket opens, streams are used, and the socket is tried again now and then", async () => {
  const { around, tracker, modes, pass } = following();
  around.sockets[0].drop();
  await pass(500);
  around.sockets[1].drop();
  await pass(500);
  const [source] = around.sources;
  assert.equal(source.address.pathname, "/api/tasks/stream/");
  assert.equal(source.address.searchParams.get("id"), "a");
  source.hear("bootstrap", { v: 1, runs: [run("a", 3)], aggregate: null });
  source.hear("step", { task_id: "a", event: "log", step: line(4) });
  assert.deepEqual(tracker.book.positions, { a: 4 });
  assert.deepEqual(modes, ["connecting", "streaming"]);
  await pass(120_000);
  assert.equal(around.sockets.length, 3);
  around.sockets[2].drop();
  await pass(0);
  assert.equal(source.isClosed, true);
  assert.deepEqual(around.sources[1].address.searchParams.getAll("after"), ["a:4"]);
  around.sources[1].hear("bootstrap", { v: 1, runs: [run("a", 4)], aggregate: null });
  assert.deepEqual(modes, ["connecting", "streaming"]);
  await pass(120_000);
  around.sockets[3].hear(HELLO);
  assert.equal(tracker.connection, "live");
  assert.equal(around.sources[1].isClosed, true);
});

test("a stream that ends goes on where it was", async () => {
  const { around, pass } = following({ WebSocket: undefined });
  around.sources[0].hear("bootstrap", { v: 1, runs: [run("a", 3)], aggregate: null });
  around.sources[0].hear("error");
  await pass(500);
  assert.deepEqual(around.sources[1].address.searchParams.getAll("after"), ["a:3"]);
});

test("where nothing stays open, it is asked again and again", async () => {
  const { around, tracker, pass } = following({ WebSocket: undefined, EventSource: undefined });
  around.answers.push({ status: 200, body: { v: 1, runs: [run("a", 3)], aggregate: null } });
  await settled();
  assert.equal(tracker.connection, "connecting"); // its first answer was an error: none was there yet
  await pass(500);
  assert.equal(tracker.connection, "polling");
  around.answers.push({ status: 200, body: { v: 1, runs: [{ ...run("a", 4), timeline: [line(4)] }], aggregate: null } });
  await pass(4_000);
  assert.deepEqual(tracker.task("a").timeline.map(({ sequence }) => sequence), [3, 4]);
  assert.deepEqual(around.asked.at(-1).address.searchParams.getAll("after"), ["a:3"]);
  assert.equal(around.asked.at(-1).address.pathname, "/api/tasks/bootstrap/");
});

test("a poll that is refused stops", async () => {
  const { around, tracker, pass } = following({ WebSocket: undefined, EventSource: undefined });
  await settled();
  around.answers.push({ status: 403 });
  await pass(500);
  assert.equal(tracker.connection, "refused");
  await pass(3_600_000);
  assert.equal(around.asked.length, 2);
});

test("a hidden page rests, and catches up when it is seen again", async () => {
  const { around, socket, tracker, modes, pass, happen } = live();
  around.document.hidden = true;
  happen("document", "visibilitychange");
  await pass(9_000);
  assert.equal(tracker.connection, "live");
  await pass(1_000);
  assert.equal(socket.readyState, 3);
  assert.deepEqual(modes.slice(2), ["paused"]);
  await pass(3_600_000);
  assert.equal(around.sockets.length, 1);
  around.document.hidden = false;
  happen("document", "visibilitychange");
  around.sockets[1].hear(HELLO);
  assert.deepEqual(around.sockets[1].sent[0].after, { a: 3 });
});

test("a page that is hidden for a moment does not notice", async () => {
  const { around, pass, happen } = live();
  around.document.hidden = true;
  happen("document", "visibilitychange");
  around.document.hidden = false;
  happen("document", "visibilitychange");
  await pass(20_000);
  assert.equal(around.sockets.length, 1);
});

test("a network that is back is used at once", async () => {
  const { around, socket, happen } = live();
  socket.drop();
  happen("window", "online");
  assert.equal(around.sockets.length, 2);
});

test("trackers of a page share a socket, and it closes behind the last one", () => {
  const { around, connection, tracker, socket } = live();
  const other = new TaskTracker({ query: { queue_names: ["mail"] }, connection, aggregate: true }).start();
  assert.equal(around.sockets.length, 1);
  assert.deepEqual(socket.sent.at(-1), {
    type: "subscribe", id: "2", query: { queue_names: ["mail"] }, after: {}, steps: 20, limit: 100, aggregate: true,
  });
  socket.hear(bootstrap("2", run("b", 1)));
  assert.deepEqual([tracker.tasks.length, other.tasks.length], [1, 1]);
  tracker.stop();
  assert.deepEqual(socket.sent.at(-1), { type: "unsubscribe", id: "1" });
  assert.equal(socket.readyState, 1);
  other.stop();
  assert.equal(socket.readyState, 3);
  assert.equal(other.connection, "idle");
});

test("a subscription that is refused says so and leaves the others alone", () => {
  const { socket, tracker } = live();
  const refused = [];
  tracker.on("refused", (detail) => refused.push(detail));
  socket.hear({ type: "error", id: "1", code: "not_found", message: "No such task.", task_ids: ["b"] });
  assert.deepEqual(refused, [{ code: "not_found", message: "No such task.", taskIds: ["b"] }]);
  assert.equal(tracker.connection, "live");
});

test("resync waits for the bootstrap that follows", () => {
  const { socket, tracker } = live();
  socket.hear({ type: "resync", id: "1", reason: "slow" }, bootstrap("1", run("a", 80)));
  assert.deepEqual(tracker.book.positions, { a: 80 });
});

test("a copy of the module finds the page's connection", () => {
  const addresses = { socket: "/ws/tasks/", api: "/api/tasks/" };
  assert.equal(sharedConnection(addresses), sharedConnection({ ...addresses }));
  assert.notEqual(sharedConnection(addresses), sharedConnection({ ...addresses, api: "/other/" }));
});
