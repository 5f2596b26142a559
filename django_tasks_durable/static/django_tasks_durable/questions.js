// What a question asks and offers, in words, as the admin reads it.

/**
 * A field of the form that a question asks for, as the REST door tells it.
 * @typedef {{name: string, label: string, kind: string, is_required: boolean, help_text: string,
 *   choices: {value: string, words: string}[]|null, initial: any, least: string|null, most: string|null,
 *   longest: number|null}} Field
 */

/**
 * A question of a task, as the REST door tells it.
 * @typedef {{path: string, kind: string, request: any, form: string, form_fields: Field[]|null, is_pending: boolean}} Question
 */

const MOST_CHOICES = 12;

/** The words of a question: the request itself, or what it has under a usual name. @param {any} request @returns {string} */
export function questionOf(request) {
  if (typeof request === "string") return request;
  if (!isMapping(request)) return "";
  return ["question", "message", "title"].map((key) => request[key]).find((words) => typeof words === "string") ?? "";
}

/**
 * What a question offers to choose from, values and words: a list, or a mapping to words. An approval that offers nothing
 * and has no form is approved or rejected.
 * @param {Question} question
 * @param {Record<string, string>} words `approve` and `reject`
 * @returns {[any, string][]}
 */
export function choicesOf({ request, kind, form }, words) {
  const offered = isMapping(request) ? request.choices : undefined;
  if (offered === undefined || offered === null) {
    return kind === "approval" && !form ? [[true, words.approve], [false, words.reject]] : [];
  }
  const told = isMapping(offered) ? offered : {};
  const values = Array.isArray(offered) ? offered : Object.keys(told);
  if (!values.length || values.length > MOST_CHOICES) return [];
  return values
    .filter((value) => ["string", "number", "boolean"].includes(typeof value))
    .map((value) => [value, typeof value === "string" ? String(told[value] ?? value) : JSON.stringify(value)]);
}

/**
 * What a question has filled in: the fields of its form; a line of text where it neither has a form nor offers anything;
 * null for a form that a page cannot draw.
 * @param {Question} question
 * @param {Record<string, string>} words `answer` and those of `choicesOf`
 * @returns {Field[]|null}
 */
export function fieldsOf(question, words) {
  const { form, form_fields: fields } = question;
  if (form) return fields && fields.every(({ kind, is_required: is }) => kind !== "other" || !is) ? fields.filter(({ kind }) => kind !== "other") : null;
  if (choicesOf(question, words).length) return [];
  return [
    { name: "", label: words.answer, kind: "text", is_required: false, help_text: "", choices: null, initial: null,
      least: null, most: null, longest: null },
  ];
}

/**
 * The answer that filled fields make: an object, or the text itself where there is no form.
 * @param {Field[]} fields
 * @param {(field: Field) => string|boolean|string[]} read
 * @returns {unknown}
 */
export function answerIn(fields, read) {
  if (fields.length === 1 && fields[0].name === "") return read(fields[0]);
  return Object.fromEntries(fields.map((field) => [field.name, read(field)]));
}

/** @param {unknown} value @returns {value is Record<string, any>} */
function isMapping(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
