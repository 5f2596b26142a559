// Follow tasks from a page: make a TaskTracker, listen, start().

import { TaskBook } from "./book.js";
import { sharedConnection } from "./connection.js";

/** @typedef {import("./book.js").Task} Task */
/** @typedef {import("./book.js").News} News */
/** @typedef {import("./connection.js").Mode} Mode */

/**
 * Which tasks are meant: those that fit every part that is given; `{}` is every task that you may see.
 * @typedef {{ids?: string[], task_paths?: string[], queue_names?: string[], channels?: string[],
 *   keys?: Record<string, string>}} Query
 */

/**
 * `change` follows each of the others that says something about tasks; `connection` tells the mode (and the close code
 * when it is `refused`); `refused` tells that the server will not have this subscription, or not all of it.
 * @typedef {"change"|"bootstrap"|"step"|"changed"|"progress"|"trimmed"|"lease_lost"|"aggregate"|"connection"|"refused"} EventName
 */

const SOCKET = "/ws/tasks/";
const API = "/api/tasks/";
const FIRST_WAIT_MS = 50;
const LONGEST_WAIT_MS = 10_000;

/** Keeps a copy of tasks that moves with them. All trackers of a page share one connection. */
export class TaskTracker {
  /** @type {Map<string, Set<(detail: any) => void>>} */
  #listeners = new Map();
  #gaps = 0;
  /** @type {any} */
  #timer = null;

  /**
   * @param {{query?: Query, socket?: string, api?: string, steps?: number, limit?: number, aggregate?: boolean,
   *   linesKept?: number, connection?: import("./connection.js").Connection}} [options] `steps` is how many of the last
   *   lines come with each task, `limit` how many tasks are told at first, `aggregate` whether to count all that are meant.
   */
  constructor({ query = {}, socket = SOCKET, api = API, steps = 20, limit = 100, aggregate = false, ...rest } = {}) {
    this.query = query;
    this.shared = rest.connection ?? sharedConnection({ socket, api });
    this.id = this.shared.nextId();
    this.book = new TaskBook({ subscription: this.id, linesKept: rest.linesKept });
    /** @type {Mode} */
    this.connection = "idle";
    this.isStarted = false;
    this.asked = { steps, limit, aggregate };
  }

  /** The tasks, the newest first, each as its snapshot says, with the `timeline` that is held. @returns {Task[]} */
  get tasks() {
    return this.book.tasks;
  }

  /** How many tasks there are of every kind, if that was asked for. @returns {Record<string, any>|null} */
  get aggregate() {
    return this.book.aggregate;
  }

  /** @param {string} id @returns {Task|null} */
  task(id) {
    return this.book.task(id);
  }

  /** Begin to follow, or go on. @returns {this} */
  start() {
    if (!this.isStarted) {
      this.isStarted = true;
      this.shared.add(this);
    }
    return this;
  }

  /** Follow no more. What is held stays. */
  stop() {
    if (!this.isStarted) return;
    this.isStarted = false;
    this.shared.around.clearTimeout(this.#timer);
    this.shared.remove(this);
    this.tell("idle", 0);
  }

  /**
   * Call `listener` at each event of that name, and return what ends that.
   * @param {EventName} name
   * @param {(detail: any) => void} listener
   * @returns {() => void}
   */
  on(name, listener) {
    if (!this.#listeners.has(name)) this.#listeners.set(name, new Set());
    this.#listeners.get(name)?.add(listener);
    return () => void this.#listeners.get(name)?.delete(listener);
  }

  /** What the connection asks for in this tracker's name. @returns {import("./transports.js").Request} */
  request() {
    return { query: this.query, after: this.book.positions, ...this.asked };
  }

  /** Take a frame from the connection. @param {import("./book.js").Frame} frame */
  hear(frame) {
    if (frame.type === "error") {
      this.#emit("refused", { code: frame.code, message: frame.message, taskIds: frame.task_ids ?? [] });
      return;
    }
    const missed = this.book.needsResync;
    const news = this.book.hear(frame);
    if (news) {
      if (news.type === "step") this.#gaps = 0;
      this.#emit(news.type, news);
      this.#emit("change", news);
    }
    if (this.book.needsResync && !missed) this.#askAgain();
  }

  /** Hear from the connection how it stands. @param {Mode} mode @param {number} code */
  tell(mode, code) {
    if (mode === this.connection) return;
    this.connection = mode;
    this.#emit("connection", { mode, code });
  }

  // A gap that comes back at once is not asked about again at once.
  #askAgain() {
    const wait = Math.min(FIRST_WAIT_MS * 2 ** this.#gaps, LONGEST_WAIT_MS);
    this.#gaps += 1;
    this.shared.around.clearTimeout(this.#timer);
    this.#timer = this.shared.around.setTimeout(() => this.shared.again(this), wait);
  }

  /** @param {string} name @param {any} detail */
  #emit(name, detail) {
    for (const listener of [...(this.#listeners.get(name) ?? [])]) {
      try {
        listener(detail);
      } catch (error) {
        // What one listener gets wrong, the others and the connection need not suffer.
        globalThis.reportError(error);
      }
    }
  }
}
