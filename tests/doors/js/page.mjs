// A page and a network for the tests: time stands still until it is moved, sockets say what a test lets them say.

export function page({ random = 0.999999, ...without } = {}) {
  const timers = new Map();
  const listening = { document: new Map(), window: new Map() };
  let now = 0;
  let number = 0;
  const target = (name, more = {}) => ({
    ...more,
    addEventListener: (type, call) => listening[name].set(type, call),
  });
  const around = {
    sockets: [],
    sources: [],
    asked: [],
    answers: [],
    location: { href: "https://shop.example/orders/7/" },
    document: target("document", { hidden: false }),
    window: target("window"),
    random: () => random,
    setTimeout: (call, ms) => {
      number += 1;
      timers.set(number, { call, at: now + ms });
      return number;
    },
    clearTimeout: (timer) => timers.delete(timer),
    fetch: async (address, how) => {
      around.asked.push({ address: new URL(address), how });
      const answer = around.answers.shift() ?? { status: 503 };
      if (answer instanceof Error) throw answer;
      return { ok: answer.status === 200, status: answer.status, json: async () => answer.body };
    },
    WebSocket: class {
      constructor(address, protocols) {
        Object.assign(this, { address, protocols, sent: [], readyState: 0 });
        around.sockets.push(this);
      }
      send(text) {
        this.sent.push(JSON.parse(text));
      }
      close() {
        this.readyState = 3;
      }
      hear(...frames) {
        this.readyState = 1;
        for (const frame of frames) this.onmessage?.({ data: JSON.stringify(frame) });
      }
      drop(code = 1006) {
        this.readyState = 3;
        this.onclose?.({ code });
      }
    },
    EventSource: class {
      constructor(address) {
        Object.assign(this, { address: new URL(address), listeners: [], isClosed: false });
        around.sources.push(this);
      }
      addEventListener(type, call) {
        this.listeners.push([type, call]);
      }
      close() {
        this.isClosed = true;
      }
      hear(type, told) {
        const data = told && JSON.stringify(told);
        for (const [name, call] of this.listeners) if (name === type) call({ type, data });
      }
    },
    ...without,
  };
  // Let time pass: what is due is called in its order.
  const pass = async (ms) => {
    const until = now + ms;
    for (;;) {
      const [next] = [...timers].filter(([, { at }]) => at <= until).sort(([, one], [, other]) => one.at - other.at);
      if (!next) break;
      timers.delete(next[0]);
      now = next[1].at;
      next[1].call();
      await settled();
    }
    now = until;
    await settled();
  };
  const happen = (where, type) => listening[where].get(type)?.();
  return { around, pass, happen, timers };
}

export async function settled() {
  for (let turn = 0; turn < 10; turn += 1) await Promise.resolve();
}
