/** The Quality view: what the labels say of every task, over time, by expert and by segment. */
import * as calls from "../calls.js";
import { card, choice, h } from "../dom.js";
import { explain } from "../explain.js";
import { forest } from "../forest.js";
import { nameOf } from "../experts.js";
import { count, number, percent } from "../format.js";
import { verdictPill } from "../levels.js";
import { Poll } from "../polling.js";
import { plainTable } from "../tables.js";
import { judge, metricName, worstFirst, written } from "../verdicts.js";

const EVERY_MS = 30_000;
const SEGMENTS_SHOWN = 12;
const UNASKED = "Evaluated by no feature. Let the prediction log hold features (MMOE_PREDICTION_LOG_FEATURES) and run scripts.evaluate with --segment and its name.";
const HOW = "Labels that come back are posted to v1/models/{name}/labels; scripts.evaluate joins them with the predictions and judges every version. docs/quality.md has it step by step.";

export function view(context) {
  const quality = new QualityView(context);
  return { show: () => quality.show(), hide: () => quality.poll.stop() };
}

class QualityView {
  constructor(context) {
    this.context = context;
    this.place = h("div", { class: "stack" }, h("p", { class: "card empty", text: "Asking for what the labels say…" }));
    this.poll = new Poll({ everyMs: EVERY_MS, ask: () => calls.quality(context.name), show: (answer) => this.answered(answer), fail: (error) => this.place.replaceChildren(h("p", { class: "notice bad", role: "alert", text: error.message })) });
    context.node.replaceChildren(this.place);
  }

  show() {
    const { params } = this.context;
    Object.assign(this, { task: params.get("task") ?? this.task, feature: params.get("feature") ?? this.feature, last: null });
    this.poll.start();
  }

  answered({ found, reason }) {
    if (!found) return this.place.replaceChildren(card(["Quality", explain("verdict")], h("p", { text: reason }), h("p", { class: "soft", text: HOW })));
    const text = JSON.stringify(found);
    if (text === this.last) return undefined;
    Object.assign(this, { last: text, found });
    return this.draw();
  }

  draw() {
    const { versions } = this.found;
    const version = versions.find((one) => one.version === Number(this.version)) ?? versions.find((one) => one.version === this.context.state.version) ?? versions[0];
    if (!version) return this.place.replaceChildren(card("Quality", h("p", { text: "The evaluation has found no row of any version with a label." })));
    const task = version.tasks.find((one) => one.task === this.task) ?? version.tasks[0];
    Object.assign(this, { version: version.version, task: task.task });
    return this.place.replaceChildren(this.summary(version), this.chosen(version), ...this.parts(task));
  }

  summary(version) {
    const choose = choice("Version", this.found.versions.map((one) => [one.version, one.version === this.context.state.version ? `${one.version}, served` : one.version]), version.version, (value) => this.choose({ version: Number(value) }));
    const rows = version.tasks.map(verdictLine);
    const columns = ["Task", "Verdict", "Metric", "By labels, 95 % interval", { title: "On the test rows", number: true }, { title: "Labelled rows", number: true }, { title: "Label comes after", number: true }];
    const when = h("p", { class: "soft", text: `Evaluated ${this.found.time_utc} UTC over ${count(version.rows)} rows.` });
    return card(["What the labels say", explain("verdict")], h("div", { class: "row spread" }, when, choose), plainTable({ caption: "Verdict of each task", columns, rows }));
  }

  choose(change) {
    Object.assign(this, change);
    this.draw();
    this.place.querySelector(".chosen select")?.focus();
  }

  chosen(version) {
    return h("div", { class: "row chosen" }, choice("Task", version.tasks.map(({ task }) => [task, task]), this.task, (task) => this.choose({ task })));
  }

  parts(task) {
    const { metric = null, test = null } = task.verdict;
    const common = { metric, reference: test };
    const measured = Object.entries(task.metrics).map(([name, estimate]) => [metricName(name), written(estimate), number(task.test_metrics[name])]);
    return [
      card(["Metrics", explain("interval")], plainTable({ caption: `Metrics of ${task.task}`, columns: ["Metric", "By labels, 95 % interval", { title: "On the test rows", number: true }], rows: measured })),
      this.segments(task, common),
      card("Over time", forest({ caption: `${task.task} over time`, first: this.found.by === "hour" ? "Hour (UTC)" : "Day (UTC)", lines: task.by_time.map((part) => timeLine(task, part)).reverse(), ...common })),
      task.by_expert.length ? card(["By leading expert", explain("leading_expert")],
        forest({ caption: `${task.task} by the expert of the largest weight`, first: "Expert", lines: task.by_expert.map((part) => expertLine(this.context.manifest, task, part)), ...common })) : h("div", {}),
    ];
  }

  segments(task, common) {
    const features = [...new Set(task.segments.map(({ feature }) => feature))];
    if (!features.length) return card(["Segments", explain("segment")], h("p", { class: "soft", text: UNASKED }));
    const chosen = features.includes(this.feature) ? task.segments.filter(({ feature }) => feature === this.feature) : task.segments;
    const parts = worstFirst(task, chosen);
    const lines = parts.slice(0, this.every ? parts.length : SEGMENTS_SHOWN).map((part) => segmentLine(this.context.manifest, task, part));
    const more = parts.length > lines.length ? h("button", { type: "button", text: `Show all ${parts.length} segments`, on: { click: () => this.choose({ every: true }) } }) : null;
    const choose = features.length > 1 ? choice("Feature", [["", "all"], ...features.map((name) => [name, name])], features.includes(this.feature) ? this.feature : "", (feature) => this.choose({ feature })) : null;
    return card(["Segments, the worst first", explain("segment")], choose ?? "", forest({ caption: `${task.task} by segment`, first: "Segment", lines, ...common }), more ?? "");
  }
}

function verdictLine({ task, verdict, metrics, labelled, share_labelled: share, label_delay_s: late }) {
  const { metric = null, state, test } = verdict;
  return [task, verdictPill(state), metric ? metricName(metric) : "–", written(metrics[metric]), number(test), `${count(labelled)} (${percent(share, 0)})`, late ? delay(late.p50) : "–"];
}

const timeLine = (task, part) => ({ name: part.from_utc, rows: part.rows, verdict: judge(task, part) });
const segmentLine = (manifest, task, part) => ({ name: `${part.feature} = ${part.value === "" ? "(missing)" : part.value}`, rows: part.rows, verdict: part.verdict, more: leading(manifest, task, part) });

function expertLine(manifest, task, part) {
  const { mean_weight_right: right, mean_weight_wrong: wrong } = part;
  const more = wrong === null ? null : h("span", { class: "soft block", text: `mean weight ${number(right)} in rows answered right, ${number(wrong)} in wrong ones` });
  return { name: nameOf(manifest, part.expert), rows: part.rows, verdict: judge(task, part), more };
}

/** The experts that lead in a segment, those of most rows first. */
function leading(manifest, task, { by_expert: parts = [] }) {
  const most = [...parts].sort((a, b) => b.rows - a.rows).slice(0, 3);
  if (!most.length) return null;
  const one = (part) => `${nameOf(manifest, part.expert)} in ${count(part.rows)}${part.metrics?.[task.verdict.metric] ? ` (${number(part.metrics[task.verdict.metric].value)})` : ""}`;
  return h("span", { class: "soft block", text: `led by ${most.map(one).join(", ")}` });
}

function delay(seconds) {
  const [scale, unit] = [[86_400, "days"], [3600, "hours"], [60, "minutes"]].find(([least]) => seconds >= 2 * least) ?? [1, "s"];
  return `${number(Number((seconds / scale).toPrecision(2)))} ${unit}`;
}
