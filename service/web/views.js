/** The views, in the order of their tabs; each is loaded when it is first opened. app.js says what a view is. */
export const VIEWS = [
  { id: "try", title: "Try it", load: () => import("./views/try.js") },
  { id: "traffic", title: "Traffic", load: () => import("./views/traffic.js") },
  { id: "versions", title: "Versions", load: () => import("./views/versions.js") },
  { id: "model", title: "Model", load: () => import("./views/model.js") },
  { id: "glossary", title: "Glossary", load: () => import("./views/glossary.js") },
];
