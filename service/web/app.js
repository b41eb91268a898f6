/** The page: which model, which view, and the three views' lives. */
import * as api from "./api.js";
import { h, onThemeChange } from "./dom.js";
import { askForKey } from "./key.js";
import { renderModel } from "./model.js";
import { TrafficView } from "./traffic.js";
import { renderTry } from "./try.js";

const VIEWS = ["try", "traffic", "model"];
const byId = (id) => document.getElementById(id);
const viewNode = (name) => byId(`view-${name}`);

let loaded = null;
let traffic = null;

async function start() {
  let listed;
  try {
    listed = (await api.models()).models;
  } catch (error) {
    return error.status === 401 ? undefined : fail(`The models could not be read. ${error.message}`);
  }
  const names = listed.map((model) => model.name);
  if (!names.length) return fail("No model is loaded yet. Train one, or point MMOE_MODELS at a directory that holds one.");
  const choice = byId("model-select");
  choice.append(...names.map((name) => h("option", { value: name, text: name })));
  choice.closest("label").hidden = names.length < 2;
  choice.addEventListener("change", () => load(choice.value));
  addEventListener("hashchange", () => show());
  onThemeChange(() => loaded && load(loaded.manifest.name));
  return load(listed.find((model) => model.default)?.name ?? names[0]);
}

async function load(name) {
  traffic?.stop();
  try {
    const [manifest, state] = await Promise.all([api.metadata(name), api.modelState(name)]);
    loaded = { manifest, state };
  } catch (error) {
    return error.status === 401 ? undefined : fail(`The model ${name} could not be read. ${error.message}`);
  }
  byId("model-title").textContent = name;
  document.title = `${name} · gates`;
  const badge = byId("model-state");
  badge.className = "badge";
  badge.textContent = `version ${loaded.state.version}`;
  traffic = new TrafficView(viewNode("traffic"), loaded);
  renderTry(viewNode("try"), loaded);
  renderModel(viewNode("model"), loaded);
  return show();
}

function show() {
  if (!viewNode("key").hidden) return;
  const asked = location.hash.slice(1);
  const current = VIEWS.includes(asked) ? asked : "try";
  for (const name of VIEWS) {
    viewNode(name).hidden = name !== current;
    const link = document.querySelector(`nav a[href="#${name}"]`);
    if (name === current) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (current === "traffic") traffic.start();
  else traffic.stop();
}

/** Show the form for the key instead of everything else; with a key that works the page begins anew. */
function needKey({ refused }) {
  traffic?.stop();
  markBad("no key");
  for (const name of VIEWS) viewNode(name).hidden = true;
  askForKey(viewNode("key"), refused);
}

function markBad(text) {
  const badge = byId("model-state");
  badge.className = "badge bad";
  badge.textContent = text;
}

function fail(sentence) {
  markBad("not available");
  const view = viewNode("try");
  view.hidden = false;
  view.replaceChildren(h("p", { class: "notice bad", role: "alert", text: sentence }));
}

addEventListener(api.KEY_NEEDED, (event) => needKey(event.detail));
const forget = byId("forget-key");
forget.hidden = !api.hasKey();
forget.addEventListener("click", () => {
  api.useKey(null);
  location.reload();
});
start();
