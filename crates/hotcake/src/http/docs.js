// Shows openapi.json: one entry per operation. It knows no path of its own.

const make = (tag, ...children) => {
  const element = document.createElement(tag);
  element.append(...children.filter((child) => child !== undefined && child !== ""));
  return element;
};
const code = (text) => make("code", text);

const api = await (await fetch("/openapi.json")).json();
document.getElementById("title").textContent = `${api.info.title} ${api.info.version}`;
document.getElementById("about").textContent = api.info.description ?? "";

const resolve = (schema) => (schema?.$ref ? api.components.schemas[schema.$ref.split("/").pop()] : schema);
const kind = (schema) => {
  if (!schema) return "";
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.oneOf || schema.anyOf) return (schema.oneOf ?? schema.anyOf).map(kind).join(" or ");
  if (schema.type === "array") return `[${kind(schema.items)}]`;
  return [].concat(schema.type ?? "").join(" or ");
};

function table(names, rows) {
  const head = make("tr", ...names.map((name) => make("th", name)));
  return make("table", make("thead", head), make("tbody", ...rows.map((cells) => make("tr", ...cells.map((cell) => make("td", cell ?? ""))))));
}

function fields(schema) {
  const whole = resolve(schema);
  if (!whole?.properties) return kind(schema) ? make("p", code(kind(schema))) : "";
  const required = new Set(whole.required ?? []);
  return table(
    ["field", "type", ""],
    Object.entries(whole.properties).map(([name, field]) => [code(required.has(name) ? name : `${name}?`), kind(field), field.description]),
  );
}

function operation(method, path, what) {
  const entry = make("details", make("summary", make("b", method.toUpperCase()), code(path), make("span", what.summary ?? what.description ?? "")));
  entry.addEventListener(
    "toggle",
    () => {
      if (what.parameters?.length)
        entry.append(make("h4", "Parameters"), table(["name", "in", "type", ""], what.parameters.map((p) => [code(p.name), p.in, kind(p.schema), p.description])));
      const body = Object.values(what.requestBody?.content ?? {})[0]?.schema;
      if (body) entry.append(make("h4", "Body"), fields(body));
      for (const [status, answer] of Object.entries(what.responses ?? {})) {
        const schema = Object.values(answer.content ?? {})[0]?.schema;
        entry.append(make("h4", status), make("p", answer.description ?? ""), fields(schema));
      }
    },
    { once: true },
  );
  return entry;
}

const tags = new Map();
for (const [path, methods] of Object.entries(api.paths))
  for (const [method, what] of Object.entries(methods)) {
    const tag = what.tags?.[0] ?? "other";
    if (!tags.has(tag)) tags.set(tag, []);
    tags.get(tag).push(operation(method, path, what));
  }
document.getElementById("main").replaceChildren(...[...tags].flatMap(([tag, entries]) => [make("h2", tag), ...entries]));
