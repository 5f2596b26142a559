// The page of an import: its task is followed, and what it tells is written into the page as it comes.

import { TaskTracker } from "../django_tasks_durable/tracker.js";

const page = document.querySelector("#import");
const find = (id) => document.getElementById(id);
const MODES = {
  idle: "Not live",
  connecting: "Connecting…",
  live: "Live",
  streaming: "Live, by events",
  polling: "Live, by polling",
  lost: "Connection lost. Trying again…",
  paused: "Paused",
  refused: "Log in to follow this import.",
};
const REASONS = {
  no_city: "without a city",
  same_name: "with a name used twice in one city",
  same_spot: "on a shared spot",
};
const names = new Intl.DisplayNames([navigator.language, "en"], { type: "region", fallback: "code" });
const figure = new Intl.NumberFormat();

const tracker = new TaskTracker({
  query: { ids: [page.dataset.task] },
  api: page.dataset.api,
  steps: Number(page.dataset.lines),
});

tracker.on("bootstrap", () => showLog(tracker.task(page.dataset.task)?.timeline ?? []));
tracker.on("step", ({ step }) => addLine(step));
tracker.on("change", () => {
  const task = tracker.task(page.dataset.task);
  if (task) showTask(task);
});
tracker.on("connection", ({ mode }) => {
  find("connection").dataset.mode = mode;
  find("connection").querySelector("b").textContent = MODES[mode];
});
document.querySelector("task-progress").addEventListener("task-question", ({ detail }) => showReasons(detail[0]));
tracker.start();

function showTask({ state, progress, errors = [] }) {
  showCountries(progress.meta?.countries ?? {}, progress.meta?.rows ?? 0);
  find("report").hidden = state !== "succeeded";
  find("failure").hidden = state !== "failed";
  find("failure").textContent = state === "failed" ? (errors.at(-1)?.message ?? "") : "";
}

function showCountries(countries, rows) {
  const list = find("countries");
  const most = Math.max(1, ...Object.values(countries));
  const known = new Map([...list.children].map((item) => [item.dataset.country, item]));
  for (const [code, number] of Object.entries(countries)) {
    const item = known.get(code) ?? newCountry(code, list);
    const words = figure.format(number);
    if (item.lastElementChild.textContent !== words) item.lastElementChild.textContent = words;
    item.style.setProperty("--share", Math.sqrt(number / most).toFixed(3));
  }
  for (const [code, item] of known) if (!(code in countries)) item.remove();
  find("airports").textContent = figure.format(rows);
  find("number").textContent = Object.keys(countries).length;
}

function newCountry(code, list) {
  const item = document.createElement("li");
  item.className = "new";
  item.dataset.country = code;
  item.title = /^[A-Z]{2}$/.test(code) ? names.of(code) : code;
  item.append(Object.assign(document.createElement("b"), { textContent: code }), " ", document.createElement("span"));
  list.insertBefore(item, [...list.children].find((other) => other.dataset.country > code) ?? null);
  return item;
}

function showLog(lines) {
  find("log").replaceChildren(...lines.slice(-Number(page.dataset.lines)).map(lineOf).reverse());
}

function addLine(line) {
  const item = lineOf(line);
  item.className = "new";
  find("log").prepend(item);
  while (find("log").children.length > Number(page.dataset.lines)) find("log").lastElementChild.remove();
}

function lineOf({ kind, level, message, path, created_at: at }) {
  const item = document.createElement("li");
  item.dataset.level = level;
  const when = Object.assign(document.createElement("time"), { dateTime: at, textContent: new Date(at).toTimeString().slice(0, 8) });
  const what = Object.assign(document.createElement("b"), { textContent: kind });
  item.append(when, what, Object.assign(document.createElement("span"), { textContent: message || path }));
  return item;
}

function showReasons(question) {
  const counts = question?.request?.counts ?? {};
  const told = Object.entries(REASONS).filter(([reason]) => reason in counts);
  find("reasons").hidden = !told.length;
  find("reasons").replaceChildren(
    ...told.map(([reason, words]) => {
      const item = document.createElement("li");
      item.append(Object.assign(document.createElement("b"), { textContent: figure.format(counts[reason]) }), ` ${words}`);
      return item;
    }),
  );
}
