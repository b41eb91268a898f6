/** The views, in the order of their tabs; each is loaded when it is first opened. app.js says what a view is. */
export const VIEWS = [
  { id: "try", title: "Try it", load: () => import("./views/try.js") },
  { id: "compare", title: "Compare", load: () => import("./views/compare.js") },
  { id: "sweep", title: "Sweep", load: () => import("./views/sweep.js") },
  { id: "experts", title: "Experts", load: () => import("./views/experts.js") },
  { id: "traffic", title: "Traffic", load: () => import("./views/traffic.js") },
  { id: "drift", title: "Drift", load: () => import("./views/drift.js") },
  { id: "segments", title: "Segments", load: () => import("./views/segments.js") },
  { id: "quality", title: "Quality", load: () => import("./views/quality.js") },
  { id: "versions", title: "Versions", load: () => import("./views/versions.js") },
  { id: "sides", title: "Side by side", load: () => import("./views/sides.js") },
  { id: "model", title: "Model", load: () => import("./views/model.js") },
  { id: "glossary", title: "Glossary", load: () => import("./views/glossary.js") },
];
