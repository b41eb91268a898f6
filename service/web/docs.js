/* The API reference: Swagger UI on the document that this service gives of itself. */
addEventListener("DOMContentLoaded", () => {
  globalThis.SwaggerUIBundle({ url: "openapi.json", dom_id: "#swagger-ui", deepLinking: true, validatorUrl: null });
});
