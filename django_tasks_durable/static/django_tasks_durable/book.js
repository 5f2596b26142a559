// What a tracker holds: tasks, their lines and the position in each. Pure: it hears frames of the live wire
// (docs/reference/live.md) and knows no socket, no clock and no page.

/**
 * One line of a task's timeline, as on the wire.
 * @typedef {{sequence: number, kind: string, level?: string, attempt?: number, path?: string, message?: string,
 *   percent?: number|null, data?: unknown, created_at?: string}} Line
 */

/**
 * A task as on the wire (`as_dict()` of its snapshot), with the lines that are held of it.
 * @typedef {{id: string, version: number, state: string, status: string, first_sequence: number, last_sequence: number,
 *   progress: {percent: number|null, label: string, meta: unknown, updated_at: string|null}, timeline: Line[]} &
 *   Record<string, any>} Task
 */

/**
 * Something that a frame changed.
 * @typedef {{type: "bootstrap"} | {type: "step", task_id: string, event: string, step: Line} |
 *   {type: "progress", task_id: string} | {type: "changed", task_id: string} |
 *   {type: "trimmed", task_id: string} | {type: "lease_lost", task_id: string, worker: string} | {type: "aggregate"}} News
 */

/** @typedef {{type: string} & Record<string, any>} Frame */

const LINES_KEPT = 1000;

/** What is known of one task. `task` is null until its snapshot is told; lines may come before it. */
class Held {
  /** @type {Record<string, any>|null} */
  task = null;
  /** @type {Line[]} */
  lines = [];
  /** The version of the last snapshot; progress may have moved the task's own on since. */
  snapshotVersion = 0;
  /** @type {number|null} the last line that was told; null while nothing was */
  position = null;
  /** Below this line, lines may be gone. */
  firstSequence = 1;

  /** Take a snapshot. What it leaves out stays as it was. @param {Record<string, any>} task */
  take(task) {
    this.task = { ...this.task, ...task };
    this.snapshotVersion = task.version;
    this.firstSequence = Math.max(this.firstSequence, task.first_sequence ?? 1);
    this.position ??= task.last_sequence;
  }

  /** @param {number} sequence @returns {boolean} whether lines are missing before this one, other than trimmed ones */
  misses(sequence) {
    return this.position !== null && sequence > Math.max(this.position, this.firstSequence - 1) + 1;
  }
}

export class TaskBook {
  /**
   * @param {{subscription?: string|number, linesKept?: number}} [options] The id whose frames are meant; a frame without
   *   an id (an event's data, a poll's answer) is meant too. Of each task the newest `linesKept` lines are kept.
   */
  constructor({ subscription = "default", linesKept = LINES_KEPT } = {}) {
    this.subscription = subscription;
    this.linesKept = linesKept;
    /** @type {Record<string, any>|null} */
    this.aggregate = null;
    /** Whether a line is missing, so that the subscription has to be made again with `positions`. */
    this.needsResync = false;
    /** @type {Map<string, Held>} */
    this.held = new Map();
  }

  /** The tasks, the newest first: ids rise with time. @returns {Task[]} */
  get tasks() {
    const told = [...this.held.values()].filter(({ task }) => task !== null);
    return told.map(asTask).sort((one, other) => (one.id < other.id ? 1 : -1));
  }

  /** @param {string} id @returns {Task|null} */
  task(id) {
    const held = this.held.get(id);
    return held?.task ? asTask(held) : null;
  }

  /** How far each task is known. @returns {Record<string, number>} */
  get positions() {
    return Object.fromEntries([...this.held].map(([id, { position }]) => [id, position ?? 0]));
  }

  /**
   * Take a frame in and tell what it changed; an old one, or one of an unknown type, changes nothing.
   * @param {Frame} frame
   * @returns {News|null}
   */
  hear(frame) {
    if ((frame.id ?? this.subscription) !== this.subscription) return null;
    switch (frame.type) {
      case "bootstrap":
        return this.#begin(frame);
      case "step":
        return this.#append(frame);
      case "changed":
        return this.#change(frame.task);
      case "progress":
        return this.#move(frame);
      case "trimmed_before":
        return this.#trim(frame);
      case "aggregate":
        this.aggregate = frame.aggregate;
        return { type: "aggregate" };
      case "lease_lost":
        return { type: "lease_lost", task_id: frame.task_id, worker: frame.worker };
      default:
        return null;
    }
  }

  /** @param {Frame} frame @returns {News} */
  #begin({ runs, aggregate }) {
    const before = this.held;
    this.held = new Map();
    for (const { timeline = [], ...task } of runs) {
      const held = before.get(task.id) ?? new Held();
      const place = held.position;
      const first = timeline[0]?.sequence;
      const goesOn = timeline.length ? place && first > place && !held.misses(first) : task.last_sequence === place;
      held.lines = (goesOn ? [...held.lines, ...timeline] : timeline).slice(-this.linesKept);
      held.position = timeline.at(-1)?.sequence ?? task.last_sequence;
      if ((held.task?.version ?? 0) > task.version) held.firstSequence = 1; // the database was restored
      held.take(task);
      this.held.set(task.id, held);
    }
    if (aggregate !== undefined) this.aggregate = aggregate;
    this.needsResync = false;
    return { type: "bootstrap" };
  }

  /** @param {Frame} frame @returns {News|null} */
  #append({ task_id: id, event, step }) {
    const held = this.#heldOf(id);
    if (held.position !== null && step.sequence <= held.position) return null;
    if (held.misses(step.sequence)) {
      this.needsResync = true;
      return null;
    }
    held.lines = [...held.lines, step].slice(-this.linesKept);
    held.position = step.sequence;
    return { type: "step", task_id: id, event, step };
  }

  /** @param {Record<string, any>} task @returns {News|null} */
  #change(task) {
    const held = this.#heldOf(task.id);
    // The snapshot of a version whose progress came before it is still news.
    if (held.task && (held.task.version > task.version || held.snapshotVersion >= task.version)) return null;
    held.take(task);
    return { type: "changed", task_id: task.id };
  }

  /** @param {Frame} frame @returns {News|null} */
  #move({ task_id: id, version, progress }) {
    const held = this.held.get(id);
    if (!held?.task || held.task.version >= version) return null;
    held.task = { ...held.task, version, progress };
    return { type: "progress", task_id: id };
  }

  /** @param {Frame} frame @returns {News|null} */
  #trim({ task_id: id, sequence }) {
    const held = this.held.get(id);
    if (!held || held.firstSequence >= sequence) return null;
    held.firstSequence = sequence;
    if (held.task) held.task = { ...held.task, first_sequence: sequence };
    return { type: "trimmed", task_id: id };
  }

  /** @param {string} id @returns {Held} */
  #heldOf(id) {
    if (!this.held.has(id)) this.held.set(id, new Held());
    return /** @type {Held} */ (this.held.get(id));
  }
}

/** @param {Held} held @returns {Task} */
function asTask({ task, lines }) {
  return /** @type {Task} */ ({ ...task, timeline: lines });
}
