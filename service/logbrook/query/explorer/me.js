// Who uses the page, and what their role permits. The API refuses the rest; here it is disabled, with the reason.

import { get } from "./api.js";

/** `name` is empty where the API identifies nobody. As long as `permissions` are not known, everything is offered. */
export const me = { name: "", role: "", permissions: null };

/** Resolves when the API has said so, or failed to. */
export const known = get("me").then(
  (answer) => Object.assign(me, answer),
  () => undefined,
);

/** The properties of a button that needs a permission.
 * @returns {any} */
export const needs = (permission) =>
  !me.permissions || me.permissions.includes(permission)
    ? {}
    : { disabled: true, title: `Your role, ${me.role}, does not permit this.` };
