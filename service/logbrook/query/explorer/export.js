// All matches as a file: how much of it has arrived is shown, and it can be given up.

import { ApiError, opened, selection } from "./api.js";
import { button, byId, el, toast } from "./dom.js";
import { bytes, count, counted } from "./format.js";
import { matches } from "./histogram.js";

const QUOTE = 34;
const LINE_END = 10;
const EVERY_MS = 100;
// The browser copies the file from here after the click.
const KEPT_MS = 60_000;

let running = false;
window.addEventListener("beforeunload", (event) => {
  if (running) event.preventDefault();
});

/** Counts the events of a file as it passes: its lines, but for CSV's first, and for line ends within quotes. */
function counter(format, arrived) {
  let [size, lines, quoted, told] = [0, format === "csv" ? -1 : 0, false, 0];
  const transform = (chunk, onwards) => {
    for (const byte of chunk) {
      if (byte === LINE_END && !quoted) lines += 1;
      else if (byte === QUOTE) quoted = format === "csv" && !quoted;
    }
    size += chunk.length;
    onwards.enqueue(chunk);
    if (performance.now() - told < EVERY_MS) return;
    told = performance.now();
    arrived(Math.max(lines, 0), size);
  };
  return new TransformStream({ transform, flush: () => arrived(Math.max(lines, 0), size) });
}

/** Export all matches in a format. The file is complete, or there is none, and the reason stays on the page. */
export async function exported(format) {
  if (running) return toast("Another export is still running");
  document.querySelector(".export")?.remove();
  const expected = matches();
  const bar = el("progress", { "aria-label": "Progress", max: expected || 1 });
  const said = el("span", "Exporting …");
  const controller = new AbortController();
  const { signal } = controller;
  const leave = () => {
    if (panel.contains(document.activeElement)) byId("more").focus();
    panel.remove();
  };
  const end = button(".button.small", "Cancel", () => {
    controller.abort();
    leave();
  });
  const panel = el("div.toast.export", { role: "group", "aria-label": "Export" }, bar, said, end);
  document.body.append(panel);
  running = true;
  let events = 0;
  const arrived = (lines, size) => {
    events = lines;
    if (expected) bar.value = lines;
    const all = expected ? ` of about ${counted(expected, "event")}` : lines === 1 ? " event" : " events";
    said.textContent = `${count(lines)}${all} · ${bytes(size)}`;
  };
  try {
    const { body } = await opened("export", { ...selection(), format }, { signal });
    const file = await new Response(body.pipeThrough(counter(format, arrived))).blob();
    const link = el("a", { href: URL.createObjectURL(file), download: `logs.${format}` });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), KEPT_MS);
    leave();
    toast(`${counted(events, "event")} exported`);
  } catch (error) {
    const reason = error instanceof ApiError ? error.message : "the server or the connection broke off";
    said.setAttribute("role", "alert");
    said.textContent = `The export stopped after ${counted(events, "event")}, and nothing was saved: ${reason}`;
    bar.remove();
    end.textContent = "Close";
    if (signal.aborted) toast("The export was cancelled");
  } finally {
    running = false;
  }
}
