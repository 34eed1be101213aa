// Requests to the API of the same server. A newer request of a kind cancels the older one, also in ClickHouse.

import { state } from "./state.js";

const running = new Map();

/** What the API says is wrong: `position` and `expected` for a query that it does not understand. */
export class ApiError extends Error {
  constructor(error, status) {
    super(error.message);
    Object.assign(this, error, { status });
  }
}

/** The answer of a route; undefined if a newer request of the same `kind` took its place. */
export async function get(path, parameters = {}, kind = path) {
  running.get(kind)?.abort();
  const controller = new AbortController();
  running.set(kind, controller);
  const started = performance.now();
  try {
    const answer = await asked(path, parameters, { signal: controller.signal });
    answer.took = performance.now() - started;
    return answer;
  } catch (error) {
    if (error.name === "AbortError") return undefined;
    throw error;
  } finally {
    if (running.get(kind) === controller) running.delete(kind);
  }
}

/** Give up on the newest request of a kind; who waits for it is told. */
export const cancel = (kind) =>
  running.get(kind)?.abort(new ApiError({ code: "cancelled", message: "The search was cancelled." }, 0));

/** Change something at a route, under a name. */
export const send = (method, path, parameters, by, body) =>
  asked(path, parameters, {
    method,
    headers: { "Content-Type": "application/json", "Logbrook-User": encodeURIComponent(by) },
    body: body && JSON.stringify(body),
  });

/** The response of a route, whose body is still to come. */
export async function opened(path, parameters, how) {
  let response;
  try {
    response = await fetch(address(path, parameters), how);
  } catch {
    if (how.signal?.aborted) throw how.signal.reason;
    throw new ApiError({ code: "unreachable", message: "The server can't be reached. Is it running?" }, 0);
  }
  if (response.ok) return response;
  const { error } = await read(response, how);
  throw new ApiError(error?.message ? error : { message: `the server answered ${response.status}` }, response.status);
}

const asked = async (path, parameters, how) => read(await opened(path, parameters, how), how);

const read = (response, how) =>
  response.json().catch(() => {
    if (how.signal?.aborted) throw how.signal.reason;
    return { error: { message: `the server answered ${response.status}` } };
  });

/** The URL of a route with parameters. */
export function address(path, parameters = {}) {
  const given = new URLSearchParams(
    Object.entries(parameters).filter(([, value]) => value !== "" && value !== undefined),
  );
  return `v1/${path}${given.size ? `?${given}` : ""}`;
}

/** The parameters that say which events are shown. */
export const selection = () => ({ query: state.query, from: state.from, to: state.to });
