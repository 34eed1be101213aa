// Until when an answer has all that Kafka had taken: quiet while that is now, clear when it is not.

import { byId, el } from "./dom.js";
import { count, fullTime, shortTime } from "./format.js";

// What consumers are behind by when nothing is wrong: a batch, and a report each second.
const QUIET_SECONDS = 5;
const shown = el("span");

function said({ complete_until: until, behind_seconds: behind, pending_messages: pending, unknown_since: since }) {
  const clock = (timestamp) => shortTime(new Date(timestamp), true).slice(11);
  const title = until ? `All that arrived by ${fullTime(until)} is here.` : "";
  if (since) {
    const reason = `No consumer has said since ${fullTime(since)} what is stored.`;
    return { text: `not known to be complete since ${clock(since)}`, title: `${title} ${reason}`, late: true };
  }
  if (pending === null) return { text: "not known whether complete", title: "No consumer has said what is stored." };
  const waiting = pending ? `; ${count(pending)} ${pending === 1 ? "message" : "messages"} pending` : "";
  if (!until) return { text: `not complete${waiting}`, title: "It is not known until when.", late: true };
  const late = behind > QUIET_SECONDS;
  return { text: `complete up to ${clock(until)}${late ? waiting : ""}`, title, late };
}

/** Show it of an answer, or of a message of the tail, in the status line. */
export function tell(answer) {
  const { text, title, late } = said(answer);
  shown.textContent = text;
  shown.title = title;
  shown.className = late ? "late" : "detail";
  byId("status").append(shown);
}
