/** Talk to the service this page came from. Paths are relative, so the page works behind a prefix. */

/** A refusal of the service: its sentence, and per feature what is wrong. */
export class ApiError extends Error {
  constructor(status, problem) {
    super(problem.detail || problem.title || `The service answered ${status}.`);
    this.status = status;
    this.errors = problem.errors || [];
  }
}

const STORED = "mmoe-key";

/** Keep a key for this tab until it is closed; null forgets it. */
export const useKey = (key) => (key === null ? sessionStorage.removeItem(STORED) : sessionStorage.setItem(STORED, key));
export const hasKey = () => sessionStorage.getItem(STORED) !== null;
export const isKey = (text) => /^[!-~]+$/.test(text);

/** Tells the page that the service wants a key, or another one. */
export const KEY_NEEDED = "key-needed";

export async function call(path, options = {}) {
  const key = sessionStorage.getItem(STORED);
  const headers = { ...(key === null ? {} : { Authorization: `Bearer ${key}` }), ...options.headers };
  let response;
  try {
    response = await fetch(path, { ...options, headers });
  } catch {
    throw new ApiError(0, { detail: "The service does not answer. Is it still running?" });
  }
  const body = await response.json().catch(() => ({}));
  if (response.status === 401 && !options.headers?.Authorization) dispatchEvent(new CustomEvent(KEY_NEEDED, { detail: { refused: key !== null } }));
  if (!response.ok) throw new ApiError(response.status, body);
  return body;
}

export const post = (path, body) => call(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
/** The path of a model, or of one of its versions. */
export const at = (name, version = null) => `v1/models/${encodeURIComponent(name)}${version === null ? "" : `/versions/${version}`}`;

export const models = () => call("v1/models");
export const metadata = (name, version = null) => call(`${at(name, version)}/metadata`);
export const modelState = (name) => call(at(name));
export const predict = (name, row) => post(`${at(name)}:predict`, { instances: [row] });
export const inspect = (name, row, options, version = null) => post(`${at(name, version)}:gates`, { instances: [row], ...options });
export const traffic = (name, window, version = null) => call(`${at(name, version)}/gates?window=${window}`);

export const trafficOfAll = (name, window) => call(`${at(name)}/gates/all?window=${window}`);

/** Calls of an admin, with a key for them alone: `pin`, `rollback`, `shadow`, `canary`. */
const asAdmin = (key) => (key ? { Authorization: `Bearer ${key}` } : {});
export const change = (name, verb, body, key) => call(`${at(name)}:${verb}`, { method: "POST", headers: { "Content-Type": "application/json", ...asAdmin(key) }, body: JSON.stringify(body) });
export const shadow = (name, key) => call(`${at(name)}/shadow`, { headers: asAdmin(key) });

/** The shell line that sends the same row. */
export function curlLine(name, row) {
  const url = new URL(`${at(name)}:predict`, document.baseURI).href;
  const body = JSON.stringify({ instances: [row] }).replaceAll("'", "'\\''");
  const key = hasKey() ? ' -H "Authorization: Bearer $MMOE_KEY"' : "";
  return `curl -s '${url}'${key} -H 'Content-Type: application/json' -d '${body}'`;
}

/** The lines of Python that send the same row by the project's client. */
export function pythonLines(name, row) {
  const key = hasKey();
  const service = new URL(".", document.baseURI).href.replace(/\/$/, "");
  const given = [literal(service), `model=${literal(name)}`, ...(key ? ['api_key=os.environ["MMOE_KEY"]'] : [])].join(", ");
  return [
    ...(key ? ["import os"] : []),
    "from mmoe_client import Client",
    "",
    `with Client(${given}) as client:`,
    `    answer = client.predict([${literal(row)}])`,
    "print(answer.tasks, answer.gate_weights)",
  ].join("\n");
}

/** A value of JSON as Python writes it; its strings and numbers are JSON's. */
function literal(value) {
  if (value === null || typeof value === "boolean") return { null: "None", true: "True", false: "False" }[value];
  if (Array.isArray(value)) return `[${value.map(literal).join(", ")}]`;
  if (typeof value === "object") return `{${Object.entries(value).map(([key, one]) => `${literal(key)}: ${literal(one)}`).join(", ")}}`;
  return JSON.stringify(value);
}
