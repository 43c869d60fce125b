// openapi.json for people: routes, what they take, what they answer.

const doc = document.getElementById("doc");

function element(name, content = "", className = "") {
  const made = document.createElement(name);
  if (typeof content === "string") made.textContent = content;
  else made.append(...content);
  if (className) made.className = className;
  return made;
}

function table(rows) {
  const body = rows.map((cells) => element("tr", cells.map((cell) => (typeof cell === "string" ? prose("td", cell) : element("td", [cell])))));
  return element("div", [element("table", body)], "scroll");
}

// Text in which `backticks` mean code.
function prose(name, text, className = "") {
  const parts = text.split(/`([^`]+)`/).map((part, i) => (i % 2 ? element("code", part) : part));
  return element(name, parts, className);
}

const code = (text) => element("code", text);

function typeName(schema = {}) {
  if (schema.$ref) return schema.$ref.split("/").at(-1);
  if (schema.anyOf) return schema.anyOf.map(typeName).join(" or ");
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" or ");
  if (schema.type === "array") return `list of ${typeName(schema.items)}`;
  return [schema.type, schema.format].filter(Boolean).join(", ") || "anything";
}

function fields(schema) {
  return table(Object.entries(schema.properties ?? {}).map(
    ([name, part]) => [code(name), typeName(part), part.description ?? ""]));
}

function examples(method, path) {
  const base = location.origin;
  if (path !== "/classify") return `curl ${base}${path}`;
  return [
    `curl --data-binary @photo.jpg ${base}/classify`,
    `curl -F file=@photo.jpg '${base}/classify?top_k=3'`,
    `curl --json "{\\"image\\": {\\"b64\\": \\"$(base64 -w0 photo.jpg)\\"}}" ${base}/classify`,
  ].join("\n");
}

function route(path, method, operation) {
  const box = element("details", [element("summary", [
    element("span", method.toUpperCase(), "method"), code(path), element("span", operation.summary ?? ""),
  ])], "route");
  box.open = path === "/classify";
  if (operation.security) {
    box.append(prose("p", "Where keys are on it takes one: `-H 'X-API-Key: KEY'`."));
  }
  if (operation.description) box.append(prose("p", operation.description));
  box.append(element("pre", examples(method, path)));
  if (operation.parameters) {
    box.append(element("h3", "Parameters"), table(operation.parameters.map(
      (p) => [code(p.name), `${p.in}, ${typeName(p.schema)}`, p.description ?? ""])));
  }
  if (operation.requestBody) {
    box.append(element("h3", "Body"), prose("p", operation.requestBody.description ?? ""), table(
      Object.entries(operation.requestBody.content).map(
        ([type, { schema }]) => [code(type), schema.properties ? Object.keys(schema.properties).join(", ") : "the file"])));
  }
  box.append(element("h3", "Answers"), table(Object.entries(operation.responses).map(([status, answer]) => [
    code(status), answer.description,
    Object.entries(answer.content ?? {}).map(([type, { schema }]) => `${typeName(schema)} (${type})`).join(", "),
  ])));
  return box;
}

async function start() {
  const api = await (await fetch("/openapi.json")).json();
  doc.append(element("p", `${api.info.summary} Version ${api.info.version}.`), element("p", api.info.description));
  for (const [path, methods] of Object.entries(api.paths)) {
    for (const [method, operation] of Object.entries(methods)) doc.append(route(path, method, operation));
  }
  doc.append(element("h2", "What the bodies hold"));
  for (const [name, schema] of Object.entries(api.components.schemas)) {
    const box = element("details", [element("summary", [code(name), element("span", schema.description ?? "")])], "route");
    box.append(fields(schema));
    doc.append(box);
  }
  doc.setAttribute("aria-busy", "false");
}

start();
