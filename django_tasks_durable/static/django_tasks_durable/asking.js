// The questions of a task on a page, with what answers them: a button for each choice, the fields of the form that is
// asked for, or a line of text. What somebody has begun to fill in stays while the task moves.

import { answerIn, choicesOf, fieldsOf, questionOf } from "./questions.js";

/** @typedef {import("./questions.js").Question} Question */
/** @typedef {import("./questions.js").Field} Field */

/** What was refused: words for all, and words for some fields. @typedef {{message: string, fields: Record<string, string[]>}} Refusal */

/** @typedef {(question: Question, value: unknown) => Promise<Refusal|null>} Answer */

const INPUTS = new Map([
  ["integer", "number"], ["number", "number"], ["date", "date"], ["datetime", "datetime-local"], ["time", "time"],
  ["email", "email"], ["url", "url"], ["hidden", "hidden"],
]);

export class Asking {
  /** @type {Map<string, HTMLElement>} the questions that were shown, by all that is shown of them */
  #made = new Map();
  /** @type {HTMLElement|null} where somebody wrote when a question was taken away */
  #focused = null;
  #numbers = 0;

  /** @param {HTMLElement} container @param {Answer} answer */
  constructor(container, answer) {
    this.container = container;
    this.answer = answer;
    this.said = container.appendChild(part("p", "said"));
    this.said.setAttribute("aria-live", "polite");
  }

  /** Show questions, the first one first. @param {Question[]} questions @param {Record<string, string>} words @param {boolean} mayAnswer */
  show(questions, words, mayAnswer) {
    const wanted = new Map(questions.map((each) => [JSON.stringify([each.path, each.request, each.form_fields, mayAnswer]), each]));
    const focused = /** @type {ShadowRoot} */ (this.container.getRootNode()).activeElement;
    if (focused && this.container.contains(focused)) this.#focused = /** @type {HTMLElement} */ (focused);
    for (const [key, element] of this.#made) if (!wanted.has(key)) element.remove();
    const news = [...wanted].filter(([key]) => !this.#made.get(key)?.isConnected);
    for (const [key, question] of news) {
      // A task that goes on after one answer comes back with the other questions, as they were left.
      const element = this.#made.get(key) ?? this.#make(question, words, mayAnswer);
      this.#made.set(key, element);
      this.container.append(element);
      able(element, true);
      if (this.#focused && element.contains(this.#focused)) this.#focused.focus();
    }
    this.said.textContent = news.map(([, question]) => wordsOf(question, words)).join(" ");
  }

  /** Forget what was begun, for another task. */
  clear() {
    for (const element of this.#made.values()) element.remove();
    this.#made.clear();
    this.#focused = null;
    this.said.textContent = "";
  }

  /** @param {Question} question @param {Record<string, string>} words @param {boolean} mayAnswer @returns {HTMLElement} */
  #make(question, words, mayAnswer) {
    this.#numbers += 1;
    const id = `q${this.#numbers}`;
    const form = part("form", "question");
    const ask = form.appendChild(part("p", "ask"));
    ask.id = `${id}-ask`;
    ask.textContent = wordsOf(question, words);
    form.setAttribute("aria-labelledby", ask.id);
    form.setAttribute("novalidate", ""); // the server says what is wrong, in the page's language
    if (!mayAnswer) return form;
    const choices = choicesOf(question, words);
    const fields = fieldsOf(question, words);
    const controls = (fields ?? []).map((field, number) => form.appendChild(control(field, `${id}-${number}`)));
    const buttons = form.appendChild(part("div", "choices"));
    const refusal = form.appendChild(part("p", "refusal"));
    refusal.setAttribute("role", "alert");
    const send = (/** @type {unknown} */ value) => this.#send(question, value, form, controls, refusal);
    for (const [value, told] of choices) {
      const button = buttons.appendChild(part("button", "choice"));
      button.textContent = told;
      button.addEventListener("click", () => send(value));
    }
    if (fields === null) refusal.textContent = words.elsewhere;
    else if (fields.length || (question.form && !choices.length)) {
      const button = buttons.appendChild(part("button", "choice"));
      button.textContent = words.send;
      button.type = "submit";
    }
    form.addEventListener("submit", (/** @type {Event} */ event) => {
      event.preventDefault();
      if (fields) send(answerIn(fields, (field) => valueOf(controls[fields.indexOf(field)])));
    });
    return form;
  }

  /** @param {Question} question @param {unknown} value @param {HTMLElement} form @param {HTMLElement[]} controls @param {HTMLElement} refusal */
  async #send(question, value, form, controls, refusal) {
    able(form, false);
    refusal.textContent = "";
    for (const each of controls) complain(each, []);
    const refused = await this.answer(question, value);
    if (!refused) return; // the task's next state takes the question away
    able(form, true);
    const wrong = controls.filter((each) => complain(each, refused.fields[each.dataset.name ?? ""] ?? []));
    refusal.textContent = [...(refused.fields.__all__ ?? []), ...(wrong.length ? [] : [refused.message])].join(" ");
    /** @type {HTMLElement|null|undefined} */ (wrong[0]?.querySelector("input, select, textarea"))?.focus();
  }
}

/** @param {HTMLElement} form @param {boolean} is whether it can be used */
function able(form, is) {
  for (const each of /** @type {NodeListOf<any>} */ (form.querySelectorAll("button, input, select, textarea"))) each.disabled = !is;
}

/** @param {Question} question @param {Record<string, string>} words @returns {string} */
function wordsOf(question, words) {
  return questionOf(question.request) || words.asked;
}

/** Make a field with its label, its help and room for what is wrong. @param {Field} field @param {string} id @returns {HTMLElement} */
function control(field, id) {
  const box = part("div", "field");
  box.dataset.name = field.name;
  const input = box.appendChild(inputOf(field));
  input.id = id;
  input.required = field.is_required && field.kind !== "boolean";
  if (field.kind === "hidden") return box;
  const label = part("label", "name");
  label.htmlFor = id;
  label.textContent = field.label;
  if (field.kind === "boolean") input.after(label);
  else input.before(label);
  const help = box.appendChild(part("p", "help"));
  help.id = `${id}-help`;
  help.textContent = field.help_text;
  const error = box.appendChild(part("p", "error"));
  error.id = `${id}-error`;
  input.setAttribute("aria-describedby", [field.help_text && help.id, error.id].filter(Boolean).join(" "));
  return box;
}

/** @param {Field} field @returns {any} */
function inputOf(field) {
  const { kind, choices, initial } = field;
  const isMany = kind === "choices";
  if (choices && (isMany || kind === "choice")) {
    const select = part("select", "input");
    select.multiple = isMany;
    const chosen = new Set(Array.isArray(initial) ? initial : [initial ?? ""]);
    for (const { value, words } of choices) select.append(new Option(words, value, false, chosen.has(value)));
    return select;
  }
  const input = part(kind === "long_text" ? "textarea" : "input", "input");
  if (kind === "boolean") {
    input.type = "checkbox";
    input.checked = initial === true;
    return input;
  }
  if (kind !== "long_text") input.type = INPUTS.get(kind) ?? "text";
  if (kind === "number") input.step = "any";
  if (field.least !== null) input.min = field.least;
  if (field.most !== null) input.max = field.most;
  if (field.longest !== null) input.maxLength = field.longest;
  input.value = typeof initial === "string" ? initial : "";
  return input;
}

/** @param {HTMLElement} box @returns {string|boolean|string[]} */
function valueOf(box) {
  const input = /** @type {any} */ (box.querySelector("input, select, textarea"));
  if (input.type === "checkbox") return input.checked;
  return input.multiple ? [...input.selectedOptions].map((/** @type {HTMLOptionElement} */ { value }) => value) : input.value;
}

/** Say what is wrong with a field, and return whether anything is. @param {HTMLElement} box @param {string[]} errors @returns {boolean} */
function complain(box, errors) {
  const error = box.querySelector(".error");
  const input = box.querySelector("input, select, textarea");
  if (!error || !input) return false;
  error.textContent = errors.join(" ");
  if (errors.length) input.setAttribute("aria-invalid", "true");
  else input.removeAttribute("aria-invalid");
  return errors.length > 0;
}

/** @param {string} tag @param {string} name @returns {any} */
export function part(tag, name) {
  const element = document.createElement(tag);
  element.className = name;
  element.setAttribute("part", name);
  if (tag === "button") element.setAttribute("type", "button");
  return element;
}
