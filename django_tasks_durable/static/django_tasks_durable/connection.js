// One connection of a page to its server, for all trackers on it: which transport is used, when to try again, when to
// stop. docs/reference/live.md says what the close codes mean.

import { FORBIDDEN, PollTransport, SocketTransport, StreamTransport, TOO_MANY, UNAUTHENTICATED } from "./transports.js";

/** @typedef {import("./transports.js").Subscription} Subscription */
/** @typedef {import("./transports.js").Surroundings} Surroundings */

/**
 * `live` (WebSocket), `streaming` (server-sent events) and `polling` work; `connecting` is the first try, `lost` any later
 * one; `paused` while the page is hidden; `refused` is over: nobody is logged in, or may see tasks.
 * @typedef {"idle"|"connecting"|"live"|"streaming"|"polling"|"lost"|"paused"|"refused"} Mode
 */

/** @typedef {Subscription & {tell: (mode: Mode, code: number) => void}} Member */

const LADDER = [SocketTransport, StreamTransport, PollTransport];
// A way that never worked is soon given up for the next one; one that has worked is waited for.
const TRIES_UNPROVEN = 2;
const TRIES_PROVEN = 8;
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 30_000;
const TOO_MANY_PAUSE_MS = 60_000;
const CLIMB_MS = 60_000;
const HIDDEN_MS = 10_000;

export class Connection {
  /** @param {{socket: string, api: string}} addresses @param {Surroundings} around */
  constructor(addresses, around) {
    this.addresses = addresses;
    this.around = around;
    /** @type {Mode} */
    this.mode = "idle";
    this.code = 0;
    /** @type {Map<string, Member>} */
    this.members = new Map();
    this.rung = 0;
    this.failures = 0;
    this.climbedFrom = 0;
    this.wasReady = false;
    /** @type {Set<number>} the rungs that have worked */
    this.proven = new Set();
    /** @type {any} */
    this.transport = null;
    this.numbers = 0;
    this.#watchThePage();
  }

  /** @returns {string} an id that no other subscription of this connection has */
  nextId() {
    this.numbers += 1;
    return String(this.numbers);
  }

  /** @param {Member} member */
  add(member) {
    this.members.set(member.id, member);
    if (this.mode === "refused") this.mode = "idle";
    member.tell(this.mode, this.code);
    if (this.transport) this.transport.subscribe(member);
    else if (this.mode === "idle") this.#connect();
  }

  /** @param {Member} member */
  remove(member) {
    if (!this.members.delete(member.id)) return;
    this.transport?.unsubscribe(member);
    if (!this.members.size) this.#rest("idle");
  }

  /** Subscribe anew, because something is missing. @param {Member} member */
  again(member) {
    if (this.members.has(member.id)) this.transport?.subscribe(member);
  }

  #connect() {
    this.around.clearTimeout(this.timer);
    if (!this.members.size || this.transport) return;
    while (!LADDER[this.rung].canServe(this.around, this.members.size)) this.rung += 1;
    if (this.mode === "idle" || this.mode === "paused") this.#tell("connecting");
    this.wasReady = false;
    const listener = {
      ready: () => this.transport === transport && this.#succeed(),
      down: (/** @type {number} */ code) => this.transport === transport && this.#fail(code),
    };
    const transport = new LADDER[this.rung](this.addresses, this.around, listener);
    this.transport = transport;
    for (const member of this.members.values()) transport.subscribe(member);
  }

  #succeed() {
    if (this.wasReady) return;
    this.wasReady = true;
    this.failures = this.climbedFrom = 0;
    this.proven.add(this.rung);
    this.#tell(/** @type {Mode} */ (LADDER[this.rung].mode));
    if (this.rung) this.timer = this.around.setTimeout(() => this.#climb(), CLIMB_MS * (1 + this.around.random()));
  }

  // From time to time the best way is tried again, once.
  #climb() {
    this.#drop();
    this.climbedFrom = this.rung;
    this.rung = 0;
    this.#connect();
  }

  /** @param {number} code */
  #fail(code) {
    this.#drop();
    this.code = code;
    if (code === UNAUTHENTICATED || code === FORBIDDEN) {
      this.#tell("refused");
      return;
    }
    this.failures += 1;
    if (!this.climbedFrom) this.#tell(this.proven.size ? "lost" : "connecting");
    const pause = code === TOO_MANY ? TOO_MANY_PAUSE_MS : this.#chooseRung();
    this.timer = this.around.setTimeout(() => this.#connect(), pause * (0.5 + this.around.random() / 2));
  }

  /** Stay with what failed, or go on to the next way, and return how long to wait before, in milliseconds. */
  #chooseRung() {
    if (this.climbedFrom) {
      this.rung = this.climbedFrom;
      this.climbedFrom = this.failures = 0;
      return 0;
    }
    const tries = this.proven.has(this.rung) ? TRIES_PROVEN : TRIES_UNPROVEN;
    if (!this.wasReady && this.failures % tries === 0) {
      this.rung = (this.rung + 1) % LADDER.length;
      // While one way is left that was not tried, nothing is known to be down.
      if (this.rung) return FIRST_PAUSE_MS;
    }
    return Math.min(FIRST_PAUSE_MS * 2 ** (this.failures - 1), LONGEST_PAUSE_MS);
  }

  /** @param {Mode} mode */
  #rest(mode) {
    this.#drop();
    this.#tell(mode);
  }

  #drop() {
    this.around.clearTimeout(this.timer);
    const { transport } = this;
    this.transport = null;
    transport?.close();
  }

  /** @param {Mode} mode */
  #tell(mode) {
    if (mode === this.mode) return;
    this.mode = mode;
    for (const member of this.members.values()) member.tell(mode, this.code);
  }

  #watchThePage() {
    const { document, window } = this.around;
    document?.addEventListener("visibilitychange", () => (document.hidden ? this.#hide(HIDDEN_MS) : this.#show()));
    window?.addEventListener("pagehide", () => this.#hide(0));
    window?.addEventListener("pageshow", () => this.#show());
    window?.addEventListener("online", () => this.#show());
  }

  /** @param {number} graceMs */
  #hide(graceMs) {
    this.around.clearTimeout(this.hiding);
    const pause = () => {
      if (this.mode !== "refused" && this.members.size) this.#rest("paused");
    };
    if (graceMs) this.hiding = this.around.setTimeout(pause, graceMs);
    else pause(); // the page is about to stand still
  }

  #show() {
    this.around.clearTimeout(this.hiding);
    if (this.transport || this.mode === "refused" || this.around.document?.hidden) return;
    this.failures = 0;
    this.#connect();
  }
}

const SHARED = Symbol.for("django-tasks-durable.connections");

/**
 * Return the page's connection to these addresses. It is the same one also for copies of this module that came under
 * another name, as they do with hashed static files.
 * @param {{socket: string, api: string}} addresses
 * @returns {Connection}
 */
export function sharedConnection(addresses) {
  const page = /** @type {any} */ (globalThis);
  page[SHARED] ??= new Map();
  const key = JSON.stringify([addresses.socket, addresses.api]);
  if (!page[SHARED].has(key)) page[SHARED].set(key, new Connection(addresses, ofThisPage()));
  return page[SHARED].get(key);
}

/** @returns {Surroundings} */
function ofThisPage() {
  const { WebSocket, EventSource, document, window, location } = globalThis;
  return {
    WebSocket,
    EventSource,
    document,
    window,
    location,
    fetch: (...how) => globalThis.fetch(...how),
    setTimeout: (call, ms) => globalThis.setTimeout(call, ms),
    clearTimeout: (timer) => globalThis.clearTimeout(timer),
    random: Math.random,
  };
}
