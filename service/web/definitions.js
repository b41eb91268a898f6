/** Every figure of the page: its name, one sentence, its definition, and the page of the documentation that has it. */
import { OF_VIEWS } from "./definitions_of_views.js";

export const DEFINITIONS = {
  gate: {
    title: "Gate",
    short: "Each task's own weighing of the experts, made anew for every row; the weights sum to 1.",
    definition: "A linear map of the encoded row, divided by the temperature, then a softmax over the experts. The task's tower reads the weighted sum of the experts' outputs (Ma et al., KDD 2018).",
    page: "docs/traffic.md",
  },
  gate_weights: {
    title: "Gate weights",
    short: "How much a task relies on each expert for this row; they sum to 1.",
    definition: "The softmax over the experts of the task's gate logits for one row.",
    page: "docs/api.md",
  },
  utilisation: {
    title: "Utilisation",
    short: "The mean gate weight of an expert over the rows: the share of a task's work that it does.",
    definition: "Mean gate weight of each expert over the rows; it sums to 1 per task. The baseline is the same over the validation rows of training.",
    page: "docs/traffic.md",
  },
  entropy: {
    title: "Normalised entropy",
    short: "How evenly a task spreads over the experts: 0 uses one, 1 uses all alike.",
    definition: "Mean over the rows of the gate's Shannon entropy, divided by ln V, where V is how many experts the gate sees.",
    page: "docs/traffic.md",
  },
  jensen_shannon: {
    title: "Jensen-Shannon divergence",
    short: "Whether work has moved from one expert to another since training: 0 when nothing has, 1 when no expert is used in both.",
    definition: "Jensen-Shannon divergence in base 2 between the utilisation now and in the baseline. The most that chance gives for so few rows is told with it, and twice that is taken off before a verdict.",
    page: "docs/traffic.md",
  },
  stability_index: {
    title: "Population stability index",
    short: "Whether the spread of the values has changed since training; by custom under 0.1 is not a change, over 0.25 is one to act upon.",
    definition: "Sum over the bins of (now − then) ln(now / then), of shares of rows with half a row added to each bin; of a gate the mean over its experts, weighted by their use now and then.",
    page: "docs/traffic.md",
  },
  similarity: {
    title: "Similarity of tasks",
    short: "Whether two tasks use the experts alike: 1 on every row the same, 0 none in common.",
    definition: "Mean over the rows of 1 − Jensen-Shannon divergence in base 2 between the two tasks' gate weights.",
    page: "docs/traffic.md",
  },
  dead_expert: {
    title: "Dead expert",
    short: "An expert that every task uses so little that leaving it out would hardly be noticed.",
    definition: "Utilisation under 0.05 / V in every task, where V is how many experts a gate sees. With fewer than 50 rows nothing is said.",
    page: "docs/traffic.md",
  },
  collapsed_gate: {
    title: "Collapsed gate",
    short: "A gate that gives one expert nearly everything: the task has a network of its own rather than a mixture.",
    definition: "Utilisation of one expert of at least 0.95. With fewer than 50 rows nothing is said.",
    page: "docs/traffic.md",
  },
  contributions: {
    title: "Centred contributions",
    short: "Towards or away from which expert a feature moves this row's weight; what all experts share moves nothing and is taken off.",
    definition: "A gate is linear, so its logit is exactly the value at the average row plus one share of each feature. Centred: each share less its mean over the experts that the gate sees, since a softmax ignores what they have in common. The experts' centred logits decide the weights, and the centred shares add up to them.",
    page: "docs/api.md",
  },
  ablation: {
    title: "Without an expert",
    short: "How far a prediction moves when one expert is left out and the gate spreads its weight over the others.",
    definition: "The prediction without the expert less the prediction, in the task's unit; the other experts' weights are scaled to sum to 1.",
    page: "docs/api.md",
  },
  base_rate: {
    title: "Base rate, or mean",
    short: "What the training rows give without any feature: the share of positive rows, of each class, or the mean.",
    definition: "The best constant answer of the training rows: share of positive ones, shares of the classes, or mean. From the manifest, tasks[].baseline.constant.",
    page: "docs/artifact.md",
  },
  out_of_range: {
    title: "Outside of training",
    short: "A number or moment beyond those of the training rows, or a value that they do not have: the model has never seen such, and answers all the same.",
    definition: "A number or moment under the feature's minimum or over its maximum; a category, or a bag's value, that the vocabulary does not hold, which counts as unknown.",
    page: "docs/artifact.md",
  },
  instance: {
    title: "Instance",
    short: "One service with all its worker processes; behind a balancer there may be several, and each knows its own traffic alone.",
    definition: "Live figures are over all workers of the instance that answers. Where MMOE_PROMETHEUS_URL names a Prometheus that scrapes every instance, the page also shows their sum.",
    page: "docs/traffic.md",
  },
  shadow: {
    title: "Shadow",
    short: "A version that answers a share of the traffic too, unseen by callers, to be compared with the served one.",
    definition: "It is loaded and compared row by row; its answers go to nobody.",
    page: "docs/versions.md",
  },
  canary: {
    title: "Canary",
    short: "A version that answers a small share of the callers in place of the served one.",
    definition: "A share of the requests is answered by the version; X-Model-Version of each answer says which one gave it.",
    page: "docs/versions.md",
  },
  ...OF_VIEWS,
};
