// How <task-progress> looks, and what it says in English.

export const WORDS = {
  queued: "Queued",
  claimed: "Claimed",
  running: "Running",
  retrying: "Retrying",
  waiting: "Waiting",
  succeeded: "Succeeded",
  failed: "Failed",
  cancelled: "Cancelled",
  stale: "Stale",
  progress: "Progress",
  connecting: "Connecting…",
  lost: "The connection is lost. Trying again…",
  refused: "Log in to follow this task.",
  forbidden: "You may not see this task.",
  asked: "This task waits for an answer.",
  approve: "Approve",
  reject: "Reject",
  unanswered: "The answer did not arrive. Try again.",
  answer: "Answer",
  send: "Send",
  elsewhere: "This question asks for a form that this page cannot show.",
};

const STYLE = `
:host { display: block; --_ink: var(--task-progress-ink, inherit); --_quiet: var(--task-progress-quiet, #5d6b7a);
  --_track: var(--task-progress-track, #d9e0e6); --_fill: var(--task-progress-fill, #2b6cb0);
  --_good: var(--task-progress-good, #1f7a4d); --_bad: var(--task-progress-bad, #b42318);
  --_waiting: var(--task-progress-waiting, #9a6700); color: var(--_ink); }
@supports (color: light-dark(#000, #fff)) { :host {
  --_quiet: var(--task-progress-quiet, light-dark(#5d6b7a, #9dabb8));
  --_track: var(--task-progress-track, light-dark(#d9e0e6, #2c3742));
  --_fill: var(--task-progress-fill, light-dark(#2b6cb0, #6cb2f0));
  --_good: var(--task-progress-good, light-dark(#1f7a4d, #5fd39a));
  --_bad: var(--task-progress-bad, light-dark(#b42318, #ff8f85));
  --_waiting: var(--task-progress-waiting, light-dark(#9a6700, #f0c04c)); } }
:host([hidden]), [hidden] { display: none !important; }
.head { display: flex; justify-content: space-between; align-items: baseline; gap: 1em; }
.state { font-weight: 600; color: var(--_tone, inherit); }
.percent { font-variant-numeric: tabular-nums; }
.bar { height: var(--task-progress-height, 0.6em); margin: 0.3em 0; overflow: hidden; border-radius: var(--task-progress-radius, 1em);
  background: var(--_track); }
.fill { width: 0; height: 100%; border-radius: inherit; background: var(--_tone, var(--_fill)); }
.label, .notice { margin: 0; color: var(--_quiet); overflow-wrap: anywhere; min-height: 1lh; }
.notice { min-height: 0; }
.box { --_tone: var(--_fill); }
.box[data-state="succeeded"] { --_tone: var(--_good); }
.box:is([data-state="failed"], [data-state="cancelled"], [data-state="stale"]) { --_tone: var(--_bad); }
.box:is([data-state="waiting"], [data-state="retrying"]) { --_tone: var(--_waiting); }
.question { margin-top: 0.75em; padding: 0.75em 1em; border: 1px solid var(--_waiting); border-radius: 0.5em; }
.ask { margin: 0 0 0.6em; font-weight: 600; overflow-wrap: anywhere; }
.field { margin: 0 0 0.6em; }
.name { display: block; }
.input { box-sizing: border-box; max-width: 100%; font: inherit; }
.input[type="checkbox"] { margin: 0 0.5em 0 0; }
.input[type="checkbox"] + .name { display: inline; }
.input:focus-visible { outline: 2px solid var(--_fill); outline-offset: 2px; }
.help, .error { margin: 0; font-size: 0.9em; color: var(--_quiet); }
.error, .input[aria-invalid] { color: var(--_bad); }
.choices { display: flex; flex-wrap: wrap; gap: 0.5em; }
.choice { padding: 0.4em 0.9em; border: 1px solid var(--_waiting); border-radius: 0.4em; background: transparent; color: inherit;
  font: inherit; cursor: pointer; }
.choice:hover { background: color-mix(in srgb, var(--_waiting) 15%, transparent); }
.choice:disabled { opacity: 0.5; cursor: default; }
.choice:focus-visible { outline: 2px solid var(--_fill); outline-offset: 2px; }
.refusal { margin: 0.5em 0 0; color: var(--_bad); }
.said { position: absolute; width: 1px; height: 1px; margin: 0; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
@media (prefers-reduced-motion: no-preference) {
  .fill { transition: width 0.4s ease-out; }
  .bar.unknown .fill { animation: slide 1.6s ease-in-out infinite alternate; }
}
.bar.unknown .fill { width: 30%; }
@keyframes slide { to { transform: translateX(233%); } }
@media (forced-colors: active) { .bar { border: 1px solid; } .fill { background: Highlight; forced-color-adjust: none; } }
`;

/** @type {CSSStyleSheet|undefined} */
let sheet;

/** The one style sheet of all elements. It is adopted, since a strict policy lets no <style> in. @returns {CSSStyleSheet} */
export function styleSheet() {
  if (!sheet) {
    sheet = new CSSStyleSheet();
    sheet.replaceSync(STYLE);
  }
  return sheet;
}
