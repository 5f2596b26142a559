// What a question asks and offers, in words, as the admin reads it.

/**
 * A question of a task, as the REST door tells it.
 * @typedef {{path: string, kind: string, request: any, form: string, is_pending: boolean}} Question
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

/** @param {unknown} value @returns {value is Record<string, any>} */
function isMapping(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
