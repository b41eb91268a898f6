/** The address of the page, `#/model/view?key=value`, so that a reload, a link and the back button find the same again. */

/** @returns {{name: string|null, view: string|null, params: URLSearchParams}} */
export function route() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [name, view] = path.split("/");
  return { name: text(name), view: text(view), params: new URLSearchParams(query) };
}

export function address(name, view, params = {}) {
  const query = new URLSearchParams(Object.entries(params).filter(([, value]) => value !== null && value !== undefined)).toString();
  return `#/${encodeURIComponent(name)}/${view}${query ? `?${query}` : ""}`;
}

function text(part) {
  try {
    return part ? decodeURIComponent(part) : null;
  } catch {
    return null;
  }
}
