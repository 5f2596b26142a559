// What a question asks and offers is read as the admin reads it.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { choicesOf, questionOf } from "../../../django_tasks_durable/static/django_tasks_durable/questions.js";

const WORDS = { approve: "Approve", reject: "Reject" };

for (const { request, kind, form, asks, offers } of JSON.parse(
  readFileSync(new URL("../golden/questions.json", import.meta.url), "utf8"),
)) {
  test(JSON.stringify(request).slice(0, 60), () => {
    assert.equal(questionOf(request), asks);
    assert.deepEqual(choicesOf({ request, kind, form }, WORDS), offers);
  });
}
