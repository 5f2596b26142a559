// Three ways in which the live wire comes to a page. Each takes subscriptions and hands back frames; which of them is
// used, and when it is tried again, is for the connection to say.

/** @typedef {import("./book.js").Frame} Frame */

/**
 * What a subscription asks for, as in the frame `subscribe`.
 * @typedef {{query: Record<string, any>, after: Record<string, number>, steps: number, limit: number,
 *   aggregate: boolean}} Request
 */

/** @typedef {{id: string, request: () => Request, hear: (frame: Frame) => void}} Subscription */

/**
 * What a transport tells the connection: that it works, that it is over and why, and that it is refused for good.
 * @typedef {{ready: () => void, down: (code: number) => void}} Listener
 */

/**
 * The page and the network as a transport needs them, so that tests can bring their own.
 * @typedef {{WebSocket?: any, EventSource?: any, fetch: typeof fetch, location: {href: string}, document?: any,
 *   window?: any, setTimeout: (call: () => void, ms: number) => any, clearTimeout: (timer: any) => void,
 *   random: () => number}} Surroundings
 */

export const UNAUTHENTICATED = 4401;
export const FORBIDDEN = 4403;
export const TOO_MANY = 4429;
const LOST = 1006;

const PROTOCOL = "dtd.v1";
const HELLO_MS = 10_000;
const POLL_MS = 3_000;
const MOST_POSITIONS = 1_000;
// Addresses have an end: of what does not fit, the last lines are told again.
const MOST_POSITIONS_IN_ADDRESS = 60;
// Browsers open six connections to one server, and the page needs some for itself.
const MOST_STREAMS = 3;
const EVENTS = ["bootstrap", "step", "progress", "changed", "lease_lost", "aggregate", "trimmed_before", "resync"];
const CLOSE_CODES = new Map([[401, UNAUTHENTICATED], [403, FORBIDDEN], [429, TOO_MANY]]);

/** One WebSocket for all subscriptions. */
export class SocketTransport {
  static mode = "live";

  /** @param {{WebSocket?: any}} surroundings @returns {boolean} */
  static canServe({ WebSocket }) {
    return Boolean(WebSocket);
  }

  /** @param {{socket: string}} addresses @param {Surroundings} around @param {Listener} listener */
  constructor({ socket }, around, listener) {
    this.around = around;
    this.listener = listener;
    /** @type {Map<string, Subscription>} */
    this.subscriptions = new Map();
    this.isReady = false;
    this.silenceMs = HELLO_MS;
    const address = new URL(socket, around.location.href);
    address.protocol = address.protocol.replace("http", "ws");
    this.socket = new around.WebSocket(address.href, [PROTOCOL]);
    this.socket.onmessage = (/** @type {MessageEvent} */ { data }) => this.#hear(JSON.parse(data));
    this.socket.onclose = (/** @type {CloseEvent} */ { code }) => this.#end(code);
    this.#listenForSilence();
  }

  /** @param {Subscription} subscription */
  subscribe(subscription) {
    this.subscriptions.set(subscription.id, subscription);
    if (this.isReady) this.#send({ type: "subscribe", id: subscription.id, ...inFrame(subscription.request()) });
  }

  /** @param {Subscription} subscription */
  unsubscribe({ id }) {
    if (this.subscriptions.delete(id) && this.isReady) this.#send({ type: "unsubscribe", id });
  }

  close() {
    this.around.clearTimeout(this.timer);
    this.socket.onclose = this.socket.onmessage = null;
    this.socket.close(1000);
  }

  /** @param {Frame} frame */
  #hear(frame) {
    this.#listenForSilence();
    if (frame.type === "hello") {
      this.isReady = true;
      this.silenceMs = (frame.ping_seconds ?? 20) * 2_500;
      for (const subscription of this.subscriptions.values()) this.subscribe(subscription);
      this.listener.ready();
    } else if (frame.type === "ping") {
      this.#send({ type: "pong", n: frame.n });
    } else {
      for (const each of frame.type === "batch" ? frame.frames : [frame]) {
        this.subscriptions.get(frame.id)?.hear({ ...each, id: frame.id });
      }
    }
  }

  // A connection that was cut without a word looks open for minutes.
  #listenForSilence() {
    this.around.clearTimeout(this.timer);
    this.timer = this.around.setTimeout(() => this.#end(LOST), this.silenceMs);
  }

  /** @param {number} code */
  #end(code) {
    this.close();
    this.listener.down(code);
  }

  /** @param {Frame} frame */
  #send(frame) {
    if (this.socket.readyState === 1) this.socket.send(JSON.stringify(frame));
  }
}

/** Server-sent events, a stream for each subscription. */
export class StreamTransport {
  static mode = "streaming";

  /** @param {{EventSource?: any}} surroundings @param {number} subscriptions @returns {boolean} */
  static canServe({ EventSource }, subscriptions) {
    return Boolean(EventSource) && subscriptions <= MOST_STREAMS;
  }

  /** @param {{api: string}} addresses @param {Surroundings} around @param {Listener} listener */
  constructor({ api }, around, listener) {
    this.api = api;
    this.around = around;
    this.listener = listener;
    /** @type {Map<string, any>} */
    this.sources = new Map();
  }

  /** @param {Subscription} subscription */
  subscribe(subscription) {
    this.unsubscribe(subscription);
    const source = new this.around.EventSource(address(this.api, "stream/", subscription.request(), this.around));
    this.sources.set(subscription.id, source);
    const hear = (/** @type {MessageEvent} */ { type, data }) => subscription.hear({ type, ...JSON.parse(data) });
    for (const name of EVENTS) source.addEventListener(name, hear);
    source.addEventListener("bootstrap", () => this.listener.ready());
    // The browser's own news of a lost connection has this name, too, and no data.
    source.addEventListener("error", (/** @type {MessageEvent} */ event) => {
      if (event.data !== undefined) hear(event);
      else this.#end();
    });
  }

  /** @param {Subscription} subscription */
  unsubscribe({ id }) {
    this.sources.get(id)?.close();
    this.sources.delete(id);
  }

  close() {
    for (const source of this.sources.values()) source.close();
    this.sources.clear();
  }

  #end() {
    this.close();
    this.listener.down(LOST);
  }
}

/** A bootstrap every few seconds for each subscription. */
export class PollTransport {
  static mode = "polling";

  /** @returns {boolean} */
  static canServe() {
    return true;
  }

  /** @param {{api: string}} addresses @param {Surroundings} around @param {Listener} listener */
  constructor({ api }, around, listener) {
    this.api = api;
    this.around = around;
    this.listener = listener;
    /** @type {Map<string, {timer: any}>} one round for each subscription; a new round ends the one before */
    this.rounds = new Map();
  }

  /** @param {Subscription} subscription */
  subscribe(subscription) {
    this.unsubscribe(subscription);
    const round = { timer: null };
    this.rounds.set(subscription.id, round);
    this.#poll(subscription, round);
  }

  /** @param {Subscription} subscription */
  unsubscribe({ id }) {
    this.around.clearTimeout(this.rounds.get(id)?.timer);
    this.rounds.delete(id);
  }

  close() {
    for (const { timer } of this.rounds.values()) this.around.clearTimeout(timer);
    this.rounds.clear();
  }

  /** @param {Subscription} subscription @param {{timer: any}} round */
  async #poll(subscription, round) {
    const isOn = () => this.rounds.get(subscription.id) === round;
    const { code, told } = await this.#ask(subscription);
    if (!isOn()) return;
    if (code) {
      this.close();
      this.listener.down(code);
      return;
    }
    this.listener.ready();
    subscription.hear({ ...told, type: "bootstrap" });
    const pause = POLL_MS * (0.75 + this.around.random() / 2);
    if (isOn()) round.timer = this.around.setTimeout(() => this.#poll(subscription, round), pause);
  }

  /** @param {Subscription} subscription @returns {Promise<{code: number, told?: any}>} the code is 0, or says what is wrong */
  async #ask(subscription) {
    try {
      const response = await this.around.fetch(address(this.api, "bootstrap/", subscription.request(), this.around), {
        headers: { Accept: "application/json" },
        credentials: "same-origin",
        cache: "no-store",
        redirect: "error",
      });
      if (!response.ok) return { code: CLOSE_CODES.get(response.status) ?? LOST };
      return { code: 0, told: await response.json() };
    } catch {
      return { code: LOST };
    }
  }
}

/** @param {Request} request @returns {Record<string, any>} */
function inFrame({ after, ...request }) {
  return { ...request, after: newest(after, MOST_POSITIONS) };
}

/** @param {string} api @param {string} path @param {Request} request @param {Surroundings} around @returns {string} */
function address(api, path, { query, after, steps, limit, aggregate }, around) {
  const to = new URL(path, new URL(api, around.location.href));
  const parts = { ids: "id", task_paths: "task_path", queue_names: "queue_name", channels: "channel" };
  for (const [part, name] of Object.entries(parts)) for (const value of query[part] ?? []) to.searchParams.append(name, value);
  for (const [kind, text] of Object.entries(query.keys ?? {})) to.searchParams.append("key", `${kind}:${text}`);
  for (const [id, position] of Object.entries(newest(after, MOST_POSITIONS_IN_ADDRESS))) to.searchParams.append("after", `${id}:${position}`);
  to.searchParams.set("steps", String(steps));
  to.searchParams.set("limit", String(limit));
  if (aggregate) to.searchParams.set("aggregate", "1");
  return to.href;
}

/** @param {Record<string, number>} positions @param {number} most @returns {Record<string, number>} */
function newest(positions, most) {
  return Object.fromEntries(Object.entries(positions).sort(([one], [other]) => (one < other ? 1 : -1)).slice(0, most));
}
