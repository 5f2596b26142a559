// Look again at what changes, while the page is open and visible, and patch it in place.
// The server renders everything: this module only finds nodes by their data-id and makes them like the fresh ones,
// so that focus, selection and what somebody is writing survive.

const LONGEST_PAUSE = 30000;
const REMEMBERED = "django-tasks-durable-paused";
// While somebody tells us what happens, looking unasked is for what they may have missed.
const UNASKED = 15000;
const AFTER_NEWS = 120;

const root = document.querySelector("[data-dtd-live]");
if (root) watch(root);

function watch(root) {
  const every = Number(root.dataset.dtdEvery) || 2000;
  const gap = Number(root.dataset.dtdGap) || 400;
  const button = document.querySelector("[data-dtd-pause]");
  let paused = recall();
  let failures = 0;
  let timer = 0;
  let lookedAt = 0;
  let isLooking = false;
  let isTold = false;
  let isOver = false;

  function show() {
    if (!button) return;
    button.hidden = isOver;
    button.setAttribute("aria-pressed", String(paused));
    button.dataset.lamp = paused ? "paused" : failures > 1 ? "lost" : isTold ? "live" : "polling";
    button.querySelector("[data-dtd-pause-text]").textContent = button.dataset[button.dataset.lamp];
  }

  function plan(delay) {
    window.clearTimeout(timer);
    if (!paused && !isOver && !document.hidden) timer = window.setTimeout(look, delay);
  }

  async function look() {
    isLooking = true;
    lookedAt = performance.now();
    try {
      const address = addressOf(root);
      if (address) isOver = apply(await fetched(address));
      failures = 0;
    } catch (error) {
      failures += 1;
    }
    isLooking = false;
    show();
    plan(Math.min((isTold ? UNASKED : every) * 2 ** failures, LONGEST_PAUSE));
  }

  // News only hurries the next look: what is shown is always what the server rendered.
  function hear() {
    if (!isLooking) plan(Math.max(AFTER_NEWS, gap - (performance.now() - lookedAt)));
    else window.setTimeout(hear, gap);
  }

  button?.addEventListener("click", () => {
    paused = !paused;
    remember(paused);
    show();
    plan(0);
  });
  document.addEventListener("visibilitychange", () => plan(0));
  show();
  plan(every);
  follow(root, hear, (told) => {
    isTold = told;
    show();
    plan(told ? 0 : every);
  });
}

// Where the live doors are open, be told what happens. Where they are not, or only by asking again and again, look by ourselves.
async function follow(root, hear, tell) {
  if (!root.dataset.dtdApi) return;
  const { TaskTracker } = await import("./tracker.js");
  const query = JSON.parse(root.dataset.dtdQuery || "{}");
  const ids = "dtdRows" in root.dataset ? openRows() : [];
  if ("dtdRows" in root.dataset && !ids.length) return;
  const tracker = new TaskTracker({ query: ids.length ? { ids } : query, api: root.dataset.dtdApi, steps: 1, limit: 100 });
  tracker.on("change", hear);
  tracker.on("refused", () => end());
  tracker.on("connection", ({ mode }) => {
    const isTold = mode === "live" || mode === "streaming";
    tell(isTold);
    if (mode === "polling" || mode === "refused") end();
  });
  tracker.start();
  function end() {
    tracker.stop();
    tell(false);
  }
}

// A list asks for the rows that it shows and that are not over; a page asks for its panel.
function addressOf(root) {
  const address = new URL(root.dataset.dtdLive, window.location.href);
  if (!("dtdRows" in root.dataset)) return withQuery(address);
  for (const id of openRows()) address.searchParams.append("id", id);
  return address.searchParams.has("id") ? address : null;
}

function openRows() {
  const over = new Set(["succeeded", "failed", "cancelled"]);
  const isOpen = (id) => !over.has(document.querySelector(`[data-id="${CSS.escape(`${id}-state`)}"]`)?.dataset.state);
  return [...document.querySelectorAll("[data-run]")].map((row) => row.dataset.run).filter(isOpen);
}

function withQuery(address) {
  const before = new URLSearchParams(window.location.search).get("before");
  if (before) address.searchParams.set("before", before);
  return address;
}

async function fetched(address) {
  const response = await fetch(address, { credentials: "same-origin", redirect: "error", cache: "no-store" });
  if (!response.ok) throw new Error(String(response.status));
  return new DOMParser().parseFromString(await response.text(), "text/html").body;
}

function apply(fresh) {
  const top = fresh.querySelector("[data-id='panel']");
  const found = top ? [top] : fresh.querySelectorAll("[data-id]");
  for (const node of found) {
    const current = document.querySelector(`[data-id="${CSS.escape(node.dataset.id)}"]`);
    if (current) patch(current, node);
  }
  return top?.hasAttribute("data-dtd-finished") ?? false;
}

function patch(current, fresh) {
  if (current.hasAttribute("data-keep")) return;
  patchAttributes(current, fresh);
  const keyed = new Map();
  for (const child of current.children) if (child.dataset?.id) keyed.set(child.dataset.id, child);
  let place = current.firstChild;
  for (const wanted of [...fresh.childNodes]) {
    const known = wanted.dataset?.id ? keyed.get(wanted.dataset.id) : undefined;
    if (known && known.tagName === wanted.tagName) {
      if (known !== place) current.insertBefore(known, place);
      else place = place.nextSibling;
      patch(known, wanted);
    } else if (place && !place.dataset?.id && !wanted.dataset?.id && isAlike(place, wanted)) {
      if (place.nodeType === Node.ELEMENT_NODE) patch(place, wanted);
      else if (place.data !== wanted.data) place.data = wanted.data;
      place = place.nextSibling;
    } else {
      current.insertBefore(document.importNode(wanted, true), place);
    }
  }
  while (place) {
    const next = place.nextSibling;
    place.remove();
    place = next;
  }
}

function isAlike(one, other) {
  return one.nodeType === other.nodeType && one.nodeName === other.nodeName;
}

function patchAttributes(current, fresh) {
  const own = current.tagName === "DETAILS" ? ["open"] : [];
  for (const { name, value } of [...fresh.attributes]) {
    if (!own.includes(name) && current.getAttribute(name) !== value) current.setAttribute(name, value);
  }
  for (const { name } of [...current.attributes]) {
    if (!own.includes(name) && !fresh.hasAttribute(name)) current.removeAttribute(name);
  }
}

function recall() {
  try {
    return window.localStorage.getItem(REMEMBERED) === "yes";
  } catch {
    return false; // storage may be forbidden; then the switch lasts as long as the page
  }
}

function remember(paused) {
  try {
    window.localStorage.setItem(REMEMBERED, paused ? "yes" : "no");
  } catch {
    // see recall()
  }
}
