// Saved views: those of everyone, opened by their names in the URL, and those of this browser.

import { get, send } from "./api.js";
import { button, byId, el, hide, keep, kept, show, textNodes, toast } from "./dom.js";
import { fullTime, rangeName } from "./format.js";
import { me } from "./me.js";
import { change, isChanged, learn, onChange, reread, state, viewOf } from "./state.js";

// The versions that were seen here, so that nobody else's change is overwritten.
const seen = new Map();
const opener = byId("saved");
const route = (name) => `views/${encodeURIComponent(name)}`;

function know({ name, version, view }) {
  seen.set(name, version);
  learn(name, view);
  label();
}

/** Read what the name in the URL stands for, and then the URL again. */
export async function load() {
  try {
    know((await get(route(state.saved))).saved);
    reread();
  } catch (error) {
    toast(error.message);
    change({ saved: "" }, { replace: true });
  }
}

/** Show a view. If it is one of everyone, the URL has its name. */
function open(view, name = "") {
  hide();
  change({ ...viewOf(view), saved: name, event: "", live: "" });
}

const summary = (view) =>
  [`${view.query || "everything"} · ${rangeName(view.from ?? "1h", view.to ?? "now")}`, view.note]
    .filter(Boolean)
    .map((text) => el("span", ...textNodes(text)));

function label() {
  opener.hidden = !state.saved;
  opener.textContent = state.saved + (isChanged() ? " (changed)" : "");
}

/** The dialog. */
export async function saved() {
  const answer = await get("views", {}, "saved").catch((error) =>
    ["no_views", "not_allowed"].includes(error.code) ? null : { error },
  );
  if (answer !== undefined) draw(answer);
}

function draw(answer) {
  const mine = kept("saved");
  const own = me.name || (localStorage.getItem("logbrook.name") ?? "");
  const input = (name, label, value, rest = {}) =>
    el("input", { type: "text", name, placeholder: label, "aria-label": label, value, maxLength: 100, ...rest });
  const name = input("name", "Name of this view", state.saved, { required: true });
  const by = input("by", "Your name", own, { required: true });
  const note = input("note", "Note", answer?.views?.find((each) => each.name === state.saved)?.view.note ?? "", {
    maxLength: 4096,
  });
  const problem = el("p.problem", { hidden: !answer?.error, role: "alert" }, answer?.error?.message ?? "");
  const store = (views) => {
    keep("saved", views);
    draw(answer);
  };
  const again = () => byId("dialog").open && saved();
  /** Change or delete a view of everyone, and say so, or say why not. */
  const changed = async (method, one, version, said, body) => {
    localStorage.setItem("logbrook.name", by.value.trim());
    try {
      const { saved: after } = await send(method, route(one), { version }, by.value.trim(), body);
      if (after.deleted) seen.delete(one);
      else know(after);
      toast(said);
      return true;
    } catch (error) {
      problem.textContent = error.message;
      problem.hidden = false;
      return false;
    }
  };
  const saveForAll = async () => {
    const view = { ...viewOf(), note: note.value };
    const one = name.value.trim();
    if (!(await changed("PUT", one, seen.get(one) ?? 0, "Saved for everyone", view))) return;
    change({ saved: one }, { replace: true });
    again();
  };
  const saveHere = () => {
    store([{ name: name.value.trim() || state.query || "everything", ...viewOf(), note: note.value }, ...mine]);
    toast("Saved in this browser");
  };
  const remove = async (one) => {
    if (!(await changed("DELETE", one.name, one.version, "Deleted"))) return;
    if (state.saved === one.name) change({ saved: "" }, { replace: true });
    again();
  };
  const entry = ({ name: label, view, ...rest }, act, ...buttons) =>
    el(
      "li",
      button(
        ".choice",
        [
          el("strong", label),
          ...summary(view),
          rest.saved_by ? el("span", `${rest.saved_by}, ${fullTime(rest.saved_at)}`) : "",
        ],
        act,
      ),
      ...buttons,
    );
  const cross = (label, act) => button(".ghost", "×", act, { "aria-label": `Delete ${label}` });
  const listed = (entries) => (entries.length ? el("ul.saved", entries) : el("p.nothing", "None yet."));
  const form = el(
    "form.save.stacked",
    {
      onsubmit: (event) => {
        event.preventDefault();
        if (event.submitter.value === "all") saveForAll();
        else saveHere();
      },
    },
    name,
    note,
    answer && !me.name ? by : "",
    el(
      "div.buttons",
      answer ? el("button.button.primary", { type: "submit", value: "all" }, "Save for everyone") : "",
      el("button.button", { type: "submit", value: "here", formNoValidate: true }, "Save in this browser"),
    ),
    problem,
  );
  show(
    "Saved views",
    form,
    answer ? el("h3", "Saved for everyone") : "",
    answer?.views
      ? listed(
          answer.views.map((one) =>
            entry(
              one,
              () => {
                know(one);
                open(one.view, one.name);
              },
              button(".button.small", "History", () => history(one.name), { "aria-label": `History of ${one.name}` }),
              one.owner === own ? cross(one.name, () => remove(one)) : "",
            ),
          ),
        )
      : "",
    el("h3", "Saved in this browser"),
    listed(
      mine.map(({ name: label, ...view }, index) =>
        entry(
          { name: label, view },
          () => open(view),
          cross(label, () => store(mine.toSpliced(index, 1))),
        ),
      ),
    ),
  );
}

/** Who changed a view when; each version can be shown, and saved again. */
async function history(name) {
  const answer = await get(route(name), {}, "saved").catch((error) => toast(error.message));
  if (!answer) return;
  const shown = (one) => {
    know(answer.saved);
    open(one.view, name);
  };
  show(
    `History of ${name}`,
    el("p.note", "The owner is ", answer.saved.owner, "."),
    el(
      "ul.saved",
      answer.history.map((one) =>
        el(
          "li",
          button(
            ".choice",
            [
              el("strong", `${one.version}. ${one.saved_by}, ${fullTime(one.saved_at)}`),
              ...(one.deleted ? [el("span", "deleted")] : summary(one.view)),
            ],
            () => shown(one),
          ),
        ),
      ),
    ),
    button(".button.small", "All saved views", saved),
  );
}

opener.addEventListener("click", saved);
onChange(label);
label();
