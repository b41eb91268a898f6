/* The API reference: Swagger UI on the document that this service gives of itself, in the colours that the reader's system has. */
addEventListener("DOMContentLoaded", () => {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const colour = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
  dark.addEventListener("change", colour);
  colour();
  const requestInterceptor = (request) => {
    const key = sessionStorage.getItem("mmoe-key"); // as the dashboard keeps it
    const own = new URL(request.url, document.baseURI).origin === location.origin;
    if (key !== null && own && !request.headers.Authorization && !request.headers["X-API-Key"]) request.headers.Authorization = `Bearer ${key}`;
    return request;
  };
  globalThis.SwaggerUIBundle({ url: "openapi.json", dom_id: "#swagger-ui", deepLinking: true, validatorUrl: null, requestInterceptor });
});
