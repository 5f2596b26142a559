// What a question asks and offers is read as the admin reads it.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { answerIn, choicesOf, fieldsOf, questionOf } from "../../../django_tasks_durable/static/django_tasks_durable/questions.js";

const WORDS = { approve: "Approve", reject: "Reject", answer: "Answer" };

for (const { request, kind, form, asks, offers } of JSON.parse(
  readFileSync(new URL("../golden/questions.json", import.meta.url), "utf8"),
)) {
  test(JSON.stringify(request).slice(0, 60), () => {
    assert.equal(questionOf(request), asks);
    assert.deepEqual(choicesOf({ request, kind, form }, WORDS), offers);
  });
}

const TEXT = { name: "", kind: "text" };
const brief = (fields) => fields && fields.map(({ name, kind }) => ({ name, kind }));
const field = (name, kind = "text", more = {}) => ({ name, kind, is_required: false, ...more });

test("a question without a form or choices is answered by a line of text", () => {
  const question = { request: "Which?", kind: "interrupt", form: "", form_fields: null };
  assert.deepEqual(brief(fieldsOf(question, WORDS)), [TEXT]);
  assert.equal(answerIn(fieldsOf(question, WORDS), () => "this one"), "this one");
  assert.deepEqual(fieldsOf({ ...question, request: { choices: [1, 2] } }, WORDS), []);
});

test("a form is filled in field by field, and what nobody can fill in is left out", () => {
  const fields = [field("amount", "number"), field("is_urgent", "boolean"), field("paper", "other")];
  const question = { request: "Refund?", kind: "interrupt", form: "refund", form_fields: fields };
  const asked = fieldsOf(question, WORDS);
  assert.deepEqual(brief(asked), [{ name: "amount", kind: "number" }, { name: "is_urgent", kind: "boolean" }]);
  const answers = { amount: "5", is_urgent: true };
  assert.deepEqual(answerIn(asked, ({ name }) => answers[name]), answers);
});

test("a form that a page cannot draw is told from one that has no fields", () => {
  const question = { request: "Refund?", kind: "interrupt", form: "refund", form_fields: null };
  assert.equal(fieldsOf(question, WORDS), null);
  assert.equal(fieldsOf({ ...question, form_fields: [field("paper", "other", { is_required: true })] }, WORDS), null);
  assert.deepEqual(fieldsOf({ ...question, form_fields: [] }, WORDS), []);
});
