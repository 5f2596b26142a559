// <task-progress task="...">: a bar, a state and a message that move with a task.
//
// Attributes: task (its id); label (what the bar is called for those who hear the page); questions (show what the task
// asks); csrf-token (let it be answered, too); socket and api (where the live doors are, if not "/ws/tasks/"
// and "/api/tasks/"); words (JSON: other words for the English ones). What stands between the tags is shown where no
// script runs.
//
// Style it by the custom properties --task-progress-{ink,quiet,track,fill,good,bad,waiting,radius,height} and by ::part()
// of: head state percent bar fill label notice questions question ask field name input help error choices choice refusal.
//
// It dispatches "task-change" (detail: the task) and "task-question" (detail: the pending questions, or an empty list).

import { Asking, part } from "./asking.js";
import { follow } from "./following.js";
import { WORDS, styleSheet } from "./task-progress-look.js";

/** @typedef {import("./book.js").Task} Task */
/** @typedef {import("./connection.js").Mode} Mode */
/** @typedef {import("./questions.js").Question} Question */

const OVER = new Set(["succeeded", "failed", "cancelled"]);
const SAY_MS = 8_000;

export class TaskProgress extends HTMLElement {
  static observedAttributes = ["task", "socket", "api"];

  /** @type {Record<string, HTMLElement>} */
  #parts = {};
  /** @type {(() => void)|null} */
  #leave = null;
  /** @type {Task|null} */
  #task = null;
  /** @type {Mode} */
  #mode = "idle";
  #isRefused = false;
  #isDrawing = false;
  #saidAt = -Infinity;
  #saidState = "";
  #askedVersion = -1;
  /** @type {Question[]} */
  #questions = [];
  /** @type {Asking|null} */
  #asking = null;
  /** @type {Record<string, string>} */
  #words = WORDS;

  /** The task as it is known, with the last lines of its timeline; null while nothing is. @returns {Task|null} */
  get value() {
    return this.#task;
  }

  connectedCallback() {
    if (!this.shadowRoot) this.#build();
    this.#words = { ...WORDS, ...readJson(this.getAttribute("words")) };
    this.#follow();
  }

  disconnectedCallback() {
    this.#leave?.();
    this.#leave = null;
  }

  attributeChangedCallback() {
    if (this.isConnected && this.shadowRoot) this.#follow();
  }

  #follow() {
    this.#leave?.();
    this.#leave = null;
    this.#task = null;
    this.#isRefused = false;
    this.#questions = [];
    this.#asking?.clear();
    this.#askedVersion = -1;
    const id = this.getAttribute("task");
    if (id) {
      this.#leave = follow(id.toLowerCase(), this.#addresses(), {
        change: (task) => this.#take(task),
        mode: (mode) => {
          this.#mode = mode;
          this.#plan();
        },
        refuse: () => {
          this.#isRefused = true;
          this.#plan();
        },
      });
    }
    this.#plan();
  }

  #addresses() {
    return { socket: this.getAttribute("socket") ?? undefined, api: this.getAttribute("api") ?? undefined };
  }

  /** @param {Task} task */
  #take(task) {
    this.#task = task;
    this.#isRefused = false;
    this.#plan();
    if (this.hasAttribute("questions")) this.#lookForQuestions(task);
    this.dispatchEvent(new CustomEvent("task-change", { detail: task, bubbles: true, composed: true }));
  }

  /** @param {Task} task */
  async #lookForQuestions(task) {
    const isAsking = task.status === "WAITING";
    if (!isAsking || task.version === this.#askedVersion) {
      if (!isAsking && this.#questions.length) this.#show([]);
      return;
    }
    this.#askedVersion = task.version;
    try {
      const response = await fetch(this.#address(`${task.id}/waits/`), {
        headers: { Accept: "application/json" },
        credentials: "same-origin",
        cache: "no-store",
      });
      if (!response.ok) throw new Error(String(response.status));
      const { results } = await response.json();
      if (this.#task?.id === task.id && this.#task.status === "WAITING") {
        this.#show(results.filter((/** @type {Question} */ question) => question.is_pending));
      }
    } catch {
      this.#askedVersion = -1; // the next change of the task asks again
    }
  }

  /** @param {Question[]} questions */
  #show(questions) {
    this.#questions = questions;
    this.#asking?.show(questions, this.#words, this.hasAttribute("csrf-token"));
    this.dispatchEvent(new CustomEvent("task-question", { detail: questions, bubbles: true, composed: true }));
  }

  #plan() {
    if (this.#isDrawing) return;
    this.#isDrawing = true;
    // A page in the background draws nothing, and loses nothing by it.
    requestAnimationFrame(() => {
      this.#isDrawing = false;
      this.#draw();
    });
  }

  #draw() {
    const { box, state, percent, bar, fill, label, notice } = this.#parts;
    const task = this.#task;
    const share = task?.progress?.percent ?? null;
    box.dataset.state = task?.state ?? "";
    state.textContent = task ? (this.#words[task.state] ?? task.state) : "";
    percent.textContent = share === null ? "" : `${Math.floor(share)} %`;
    label.textContent = task?.progress?.label ?? "";
    bar.classList.toggle("unknown", share === null && task !== null && task.state === "running");
    fill.style.width = share === null ? "" : `${Math.min(100, Math.max(0, share))}%`;
    if (share === null) bar.removeAttribute("aria-valuenow");
    else bar.setAttribute("aria-valuenow", String(Math.floor(share)));
    bar.setAttribute("aria-valuetext", [state, percent, label].map((part) => part.textContent).filter(Boolean).join(", "));
    bar.setAttribute("aria-label", this.getAttribute("label") ?? this.#words.progress);
    notice.textContent = this.#notice();
    notice.hidden = !notice.textContent;
    this.#say();
  }

  #notice() {
    if (this.#isRefused) return this.#words.forbidden;
    if (this.#mode === "refused" || this.#mode === "lost") return this.#words[this.#mode];
    return !this.#task && this.#mode !== "idle" ? this.#words.connecting : "";
  }

  // A change of state is said at once, how far the task is only now and then.
  #say() {
    const task = this.#task;
    const now = performance.now();
    if (!task || (task.state === this.#saidState && (OVER.has(task.state) || now - this.#saidAt < SAY_MS))) return;
    // What a page begins with is read as it stands.
    if (this.#saidState) this.#parts.said.textContent = this.#parts.bar.getAttribute("aria-valuetext");
    this.#saidState = task.state;
    this.#saidAt = now;
  }

  /** @param {Question} asked @param {unknown} value @returns {Promise<import("./asking.js").Refusal|null>} */
  async #answer(asked, value) {
    try {
      const response = await fetch(this.#address(`${this.#task?.id}/resume/`), {
        method: "POST",
        headers: {
          Accept: "application/json",
          "Content-Type": "application/json",
          "X-CSRFToken": this.getAttribute("csrf-token") ?? "",
        },
        credentials: "same-origin",
        body: JSON.stringify({ value, path: asked.path }),
      });
      if (response.ok) return null;
      const told = await response.json().catch(() => ({}));
      return { message: told.message ?? told.detail ?? this.#words.unanswered, fields: told.fields ?? {} };
    } catch {
      return { message: this.#words.unanswered, fields: {} };
    }
  }

  /** @param {string} path @returns {string} */
  #address(path) {
    return new URL(path, new URL(this.getAttribute("api") ?? "/api/tasks/", location.href)).href;
  }

  #build() {
    const root = this.attachShadow({ mode: "open" });
    root.adoptedStyleSheets = [styleSheet()];
    const tree = {
      box: part("div", "box"),
      head: part("div", "head"),
      state: part("span", "state"),
      percent: part("span", "percent"),
      bar: part("div", "bar"),
      fill: part("div", "fill"),
      label: part("p", "label"),
      notice: part("p", "notice"),
      questions: part("div", "questions"),
      said: part("p", "said"),
    };
    this.#parts = tree;
    tree.head.append(tree.state, tree.percent);
    tree.bar.append(tree.fill);
    tree.box.append(tree.head, tree.bar, tree.label, tree.notice, tree.questions, tree.said);
    tree.notice.hidden = true;
    this.#asking = new Asking(tree.questions, (question, value) => this.#answer(question, value));
    for (const [name, value] of [["role", "progressbar"], ["aria-valuemin", "0"], ["aria-valuemax", "100"]]) {
      tree.bar.setAttribute(name, value);
    }
    for (const silent of [tree.head, tree.label]) silent.setAttribute("aria-hidden", "true"); // the bar says them
    tree.said.setAttribute("aria-live", "polite");
    root.append(tree.box);
  }
}

/** @param {string|null} text @returns {Record<string, string>} */
function readJson(text) {
  try {
    return JSON.parse(text ?? "{}");
  } catch {
    return {};
  }
}

if (!customElements.get("task-progress")) customElements.define("task-progress", TaskProgress);
