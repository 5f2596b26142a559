// Many elements, few subscriptions: who appears together is followed together.

import { TaskTracker } from "./tracker.js";

/** @typedef {import("./book.js").Task} Task */
/** @typedef {import("./connection.js").Mode} Mode */
/** @typedef {{change: (task: Task) => void, mode: (mode: Mode) => void, refuse: () => void}} Follower */
/** @typedef {{id: string, follower: Follower, group: Group|null, isGone: boolean}} Wish */
/** @typedef {{tracker: TaskTracker, wishes: Set<Wish>}} Group */

const MOST_TOGETHER = 400;

/** @type {Map<string, {addresses: {socket?: string, api?: string}, wishes: Wish[]}>} */
const gathering = new Map();

/**
 * Follow one task. Elements that appear together share a subscription, so that a list of hundreds asks once.
 * @param {string} id
 * @param {{socket?: string, api?: string}} addresses
 * @param {Follower} follower
 * @returns {() => void}
 */
export function follow(id, addresses, follower) {
  /** @type {Wish} */
  const wish = { id, follower, group: null, isGone: false };
  const key = JSON.stringify([addresses.socket, addresses.api]);
  if (!gathering.has(key)) {
    gathering.set(key, { addresses, wishes: [] });
    queueMicrotask(() => begin(key));
  }
  gathering.get(key)?.wishes.push(wish);
  return () => {
    wish.isGone = true;
    wish.group?.wishes.delete(wish);
    if (wish.group?.wishes.size === 0) wish.group.tracker.stop();
  };
}

/** @param {string} key */
function begin(key) {
  const gathered = gathering.get(key);
  gathering.delete(key);
  const wishes = gathered?.wishes.filter(({ isGone }) => !isGone) ?? [];
  for (let start = 0; start < wishes.length; start += MOST_TOGETHER) {
    share(wishes.slice(start, start + MOST_TOGETHER), gathered?.addresses ?? {});
  }
}

/** @param {Wish[]} some @param {{socket?: string, api?: string}} addresses */
function share(some, addresses) {
  const ids = [...new Set(some.map(({ id }) => id))];
  const tracker = new TaskTracker({ query: { ids }, limit: ids.length, steps: 0, ...addresses });
  /** @type {Group} */
  const group = { tracker, wishes: new Set(some) };
  const of = (/** @type {string} */ id) => [...group.wishes].filter((wish) => wish.id === id);
  const tell = (/** @type {Wish[]} */ wishes) => {
    for (const { id, follower } of wishes) {
      const task = tracker.task(id);
      if (task) follower.change(task);
    }
  };
  for (const wish of some) wish.group = group;
  tracker.on("bootstrap", () => tell([...group.wishes]));
  for (const name of /** @type {const} */ (["changed", "progress"])) tracker.on(name, ({ task_id: id }) => tell(of(id)));
  tracker.on("connection", ({ mode }) => {
    for (const { follower } of group.wishes) follower.mode(mode);
  });
  tracker.on("refused", ({ code, taskIds }) => {
    if (code !== "not_found") return; // the connection says what else may be wrong
    for (const wish of group.wishes) if (!taskIds.length || taskIds.includes(wish.id)) wish.follower.refuse();
  });
  tracker.start();
}
