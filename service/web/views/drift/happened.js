/** "What happened": the findings of findings.js as four questions and their answers, for every task whose gate drifted. */
import { card, h } from "../../dom.js";
import { explain } from "../../explain.js";
import { findings } from "./findings.js";
import { nameOf } from "../../experts.js";
import { count, number, percent, weight } from "../../format.js";
import { levelPill, verdictPill } from "../../levels.js";
import { metricName, WORSE, written } from "../../verdicts.js";

/** A feature is said to bring a gate back where without its shift less than this part of the divergence is left. */
const HELPS = 0.9;

export function happened(context, { drift, traffic, quality, window }) {
  const found = traffic?.rows ? findings(context.manifest, traffic, drift, quality.found) : [];
  if (!found.length) return card("What happened", h("p", { class: "soft", text: quiet(traffic, drift) }));
  return card(["What happened", explain("because")], h("div", { class: "stack" }, ...found.map((finding) => taskFinding(context, finding, quality, window))));
}

function quiet(traffic, drift) {
  if (!drift.rows) return "No rows came in this window. Choose a longer one; or send some, and what they change appears here within a few seconds.";
  const moved = drift.drifted.length ? `These features have moved, and no gate because of them: ${drift.drifted.slice(0, 5).join(", ")}.` : "No feature has moved beyond its threshold.";
  if (!traffic) return `This model has no gates that could drift. ${moved}`;
  const unsure = traffic.task_names.some((name) => traffic.tasks[name].drift?.level === "too_few_rows");
  return `${unsure ? "Too few rows yet to tell of every gate." : "No gate has drifted from its baseline."} ${moved}`;
}

function taskFinding(context, finding, quality, window) {
  const answers = [["Which experts took over?", tookOver(context, finding)], ["Because of which feature?", because(context, finding, window)],
    ["Is it worse there?", worseThere(context, finding, quality)], ["What would bring it back?", broughtBack(context, finding)]];
  return h("section", { class: "finding", data: { task: finding.task }, "aria-label": `What happened to ${finding.task}` }, h("div", { class: "row" }, h("h3", { text: finding.task }), levelPill(finding.level)),
    h("dl", { class: "answers" }, ...answers.map(([question, nodes]) => h("div", {}, h("dt", { text: question }), h("dd", {}, ...nodes)))));
}

const sentence = (...parts) => h("p", {}, ...parts);
const expertLink = (context, expert) => h("a", { href: context.href("experts", { expert }), text: nameOf(context.manifest, expert) });
const joined = (nodes) => nodes.flatMap((node, i) => (i === 0 ? [node] : [i === nodes.length - 1 ? " and " : ", ", node]).flat());

function tookOver(context, { took, gave }) {
  if (!took.length) return [sentence("None: the weights have spread otherwise, while their means stayed.")];
  const one = ({ expert, was, now }) => h("span", {}, expertLink(context, expert), ` (${weight(was)} → ${weight(now)})`);
  return [sentence(...joined(took.map(one)), ...(gave.length ? ["; from ", ...joined(gave.map(one))] : []), ".")];
}

function because(context, { causes }, window) {
  if (!causes.length) return [sentence("Not known: the file of this version has no mean contributions to compare with. Export it again.")];
  return causes.map((cause) => {
    const link = h("a", { href: context.href("drift", { feature: cause.feature, window }), text: cause.feature });
    const value = cause.value ? `: “${cause.value.name}” is ${percent(cause.value.now)} of the rows, ${percent(cause.value.was)} in training` : "";
    return sentence(link, ` moves ${weight(cause.moved_weight)} of the weight, most towards ${nameOf(context.manifest, cause.towards)} and away from ${nameOf(context.manifest, cause.away)}${value}.`);
  });
}

function worseThere(context, { task, causes, judged }, { reason }) {
  if (judged?.labelled === 0) return [sentence("Not known: no labels of this task have come for the rows of this version.")];
  if (!judged) return [sentence(reason ?? "Not known: no labels of this task have been joined for this version.")];
  const parts = causes.map((cause) => [cause, cause.there]).filter(([, there]) => there);
  const whole = sentence("All rows: ", verdictPill(judged.verdict.state), ...(judged.verdict.metric ? [` ${metricName(judged.verdict.metric)} ${number(judged.verdict.value)}, ${number(judged.verdict.test)} on the test rows.`] : [` ${count(judged.labelled)} labelled rows.`]));
  const told = parts.map(([cause, { value, verdict, rows }]) => sentence(h("a", { href: context.href("quality", { task, feature: cause.feature }), text: `${cause.feature} = ${value}` }), ": ", verdictPill(verdict.state),
    verdict.estimate ? ` ${metricName(verdict.metric)} ${written(verdict.estimate)} over ${count(rows)} labelled rows, ${number(judged.verdict.test)} on the test rows.` : ` ${count(rows)} labelled rows.`));
  const unasked = causes[0] && !causes[0].there ? [sentence(`Not evaluated by ${causes[0].feature}: run scripts.evaluate with --segment ${causes[0].feature}.`)] : [];
  return [...told, whole, ...unasked];
}

function broughtBack(context, { causes, divergence, threshold, judged }) {
  const helping = causes.filter((cause) => cause.jensen_shannon_without < HELPS * divergence).sort((a, b) => a.jensen_shannon_without - b.jensen_shannon_without);
  const nodes = helping.map(({ feature, jensen_shannon_without: left }) => sentence(`${feature} as in training: the gate would be ${percent(1 - left / divergence, 0)} nearer to its baseline (divergence ${short(left)} in place of ${short(divergence)}${divergence >= threshold && left < threshold ? ", which is no drift" : ""}).`));
  if (causes.length && !helping.length) nodes.push(sentence(`No feature by itself: with each of these as in training the divergence would stay near ${short(divergence)}.`));
  nodes.push(...causes.flatMap(({ feature, faults }) => faults.map(({ text, now, baseline }) => sentence(`${percent(now)} of the values of ${feature} are ${text} (${percent(baseline)} in training): look at where they come from.`))));
  const worse = judged?.verdict.state === WORSE || causes.some(({ there }) => there?.verdict.state === WORSE);
  const versions = h("a", { href: context.href("versions"), text: "another version" });
  if (worse) nodes.push(sentence("The rows are answered worse: train on labelled rows like these (scripts.train with --from latest), or serve ", versions, "."));
  else if (judged?.verdict.metric) nodes.push(sentence("The labels do not say that it is worse: if such rows are to stay, train on them, and they become the baseline."));
  return nodes.length ? nodes : [sentence("Not known without the features behind it.")];
}

const short = (value) => number(Number(value.toPrecision(3)));
