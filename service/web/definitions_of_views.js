/** Figures of the views of drift, quality, experts, comparisons, sweeps, versions and segments; definitions.js has the others. */
export const OF_VIEWS = {
  feature_drift: {
    title: "Drift of features",
    short: "How far the values that come now are from those of the validation rows of training.",
    definition: "The population stability index over the cells of the feature's baseline; a level is reached when the index, less twice what chance gives so few rows, reaches 0.1 (moderate) or 0.25 (major). With fewer than 200 sampled rows nothing is said.",
    page: "docs/drift.md",
  },
  because: {
    title: "What moved a gate",
    short: "Which features shifted a task's gate logits since training, exactly, and what would be left of the drift without each.",
    definition: "A gate is linear, so the shift of its mean logits is the sum of the features' own. Moved weight: half the sum over experts of u (d − Σ u d), where u is the utilisation in training and d the shift of the feature's mean contribution. What would be left: the divergence of the sampled rows when the feature contributes to each as much as it did on average in training.",
    page: "docs/drift.md",
  },
  verdict: {
    title: "Verdict of the labels",
    short: "Whether a task answers worse than on the test rows of training, as far as labels have come.",
    definition: "Worse: the whole 95 % interval of the metric lies beyond the margin; AUC more than 0.02 below that of the test rows, log-loss or RMSE more than a tenth above. Under 100 labelled rows nothing is said. Parts are judged by the same rule, against the same test rows, which may be harder or easier as a whole than the part.",
    page: "docs/quality.md",
  },
  interval: {
    title: "95 % interval",
    short: "How far another draw of as many labelled rows could move the figure.",
    definition: "AUC by DeLong's variance, PR-AUC on the logit scale, means by their standard error, RMSE by the delta method. Where two intervals overlap widely, no difference is shown.",
    page: "docs/quality.md",
  },
  leading_expert: {
    title: "Leading expert",
    short: "The expert of the largest weight in a row; rows are told apart by it.",
    definition: "The metrics of the labelled rows whose largest gate weight was the expert's, and its mean weight in rows answered right and wrong.",
    page: "docs/quality.md",
  },
  segment: {
    title: "Segment",
    short: "The rows with one value of a feature, or with a number in one range.",
    definition: "The 20 most frequent values, or five ranges of as many rows, of the features that scripts.evaluate was given with --segment.",
    page: "docs/quality.md",
  },
  live_segment: {
    title: "Segments of live traffic",
    short: "What the gates and predictions are for each value of a feature, now.",
    definition: "Means over the sampled rows of each cell of the feature's baseline, each row counting for those it stands for. Only features that MMOE_SEGMENTS names are told apart.",
    page: "docs/segments.md",
  },
  sweep: {
    title: "Sweep",
    short: "What the model would say of this very row if one feature were different.",
    definition: "The row is sent once for every value, all in one request. It shows what the model does, not what would happen in the world: features that go together there are held apart here.",
    page: "docs/dashboard.md",
  },
  without: {
    title: "Lost without an expert",
    short: "How much worse a task answered the validation rows without the expert, and how far its predictions moved.",
    definition: "Rise of log-loss, or of RMSE, over at most 10,000 validation rows when the expert is left out and the gate spreads its weight over the rest; mean absolute change of the prediction, of classes half the sum over them.",
    page: "docs/artifact.md",
  },
  own_experts: {
    title: "Shared and own experts",
    short: "A shared expert is seen by every task's gate, an own expert (“of” a task) by that task's gate alone; a dash stands where a gate does not see one.",
    definition: "Customised gate control (CGC; Tang et al., RecSys 2020): each task's softmax is over the shared experts and its own.",
    page: "docs/tasks.md",
  },
  raising: {
    title: "Where an expert weighs most",
    short: "The values of features that raise its gate logit most above the other experts'.",
    definition: "Mean contribution over the validation rows that have the value, less its mean over the experts that the gate sees; values of at least 1 % of the rows.",
    page: "docs/artifact.md",
  },
  version: {
    title: "Version",
    short: "One trained model file; the highest valid one is served unless one is pinned.",
    definition: "Loaded versions answer; available ones are on disk and not needed; refused ones must not be served, for the reason that stands beside them.",
    page: "docs/versions.md",
  },
  matched_experts: {
    title: "Matched experts",
    short: "Expert 3 of one training is not expert 3 of another: the experts of two versions are paired by how alike they are used on the same rows.",
    definition: "The assignment for which the divergence of the gate weights over the rows and all tasks is least; from a correlation of 0.5 on two experts count as the same one.",
    page: "docs/versions.md",
  },
};
