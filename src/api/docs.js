/* Renders /api/schema/ as a page: no library, nothing from elsewhere. */
"use strict";

const METHODS = ["get", "post", "put", "patch", "delete"];

function make(tag, props, ...children) {
	const node = Object.assign(document.createElement(tag), props);
	node.append(...children.filter((child) => child !== null && child !== undefined));
	return node;
}

function deref(schema, node) {
	let at = node;
	for (let depth = 0; at && at.$ref && depth < 10; depth++)
		at = at.$ref.slice(2).split("/").reduce((value, key) => value && value[key], schema);
	return at || {};
}

function typeOf(node) {
	if (node.$ref)
		return node.$ref.split("/").pop();
	if (node.enum)
		return node.enum.map((value) => JSON.stringify(value)).join(" | ");
	if (node.oneOf || node.anyOf || node.allOf)
		return (node.oneOf || node.anyOf || node.allOf).map(typeOf).join(node.allOf ? " & " : " | ");
	if (node.items)
		return `${typeOf(node.items)}[]`;
	const type = Array.isArray(node.type) ? node.type.join(" | ") : node.type || "any";
	return node.format ? `${type} (${node.format})` : type;
}

function membersOf(schema, node) {
	const at = deref(schema, node);
	const parts = at.allOf ? at.allOf.map((part) => membersOf(schema, part)) : [];
	return Object.assign({}, ...parts, at.properties);
}

function table(schema, node) {
	const at = deref(schema, node);
	const rows = Object.entries(membersOf(schema, node)).map(([name, member]) =>
		make("tr", {}, make("td", {}, make("code", { textContent: name })),
			make("td", { textContent: (at.required || []).includes(name) ? "required" : "" }),
			make("td", {}, make("code", { textContent: typeOf(member) })),
			make("td", { textContent: deref(schema, member).description || "" })));
	return rows.length ? make("table", {}, ...rows) : make("p", {}, make("code", { textContent: typeOf(node) }));
}

function body(schema, title, holder) {
	const content = holder && holder.content && Object.values(holder.content)[0];
	if (!content)
		return null;
	const examples = content.example !== undefined ? [content.example]
		: Object.values(content.examples || {}).map((example) => deref(schema, example).value);
	return make("div", {}, make("h4", { textContent: title }), content.schema ? table(schema, content.schema) : null,
		...examples.map((example) => make("pre", { textContent: JSON.stringify(example, null, 2) })));
}

function parameters(schema, list) {
	if (!list.length)
		return null;
	return make("table", {}, ...list.map((item) => {
		const at = deref(schema, item);
		return make("tr", {}, make("td", {}, make("code", { textContent: at.name })),
			make("td", { textContent: at.in }), make("td", {}, make("code", { textContent: typeOf(at.schema || {}) })),
			make("td", { textContent: at.description || "" }));
	}));
}

function operation(schema, path, method, node, shared) {
	const answers = Object.entries(node.responses || {}).map(([status, holder]) => {
		const at = deref(schema, holder);
		return make("div", {}, make("h4", { textContent: `${status} ${at.description || ""}` }), body(schema, "", at));
	});
	return make("details", { id: node.operationId },
		make("summary", {}, make("span", { className: "method", textContent: method.toUpperCase() }),
			make("code", { textContent: path }), ` ${node.summary || ""}`),
		make("div", {}, make("p", { textContent: node.description || "" }),
			parameters(schema, [...shared, ...(node.parameters || [])]),
			body(schema, "Body", deref(schema, node.requestBody)), ...answers));
}

function render(schema) {
	const page = document.getElementById("page");
	const filter = make("input", { type: "search", placeholder: "Filter", ariaLabel: "Filter the routes" });
	const groups = new Map();

	for (const [path, item] of Object.entries(schema.paths))
		for (const method of METHODS.filter((name) => item[name])) {
			const tag = (item[method].tags || ["Other"])[0];
			if (!groups.has(tag))
				groups.set(tag, []);
			groups.get(tag).push(operation(schema, path, method, item[method], item.parameters || []));
		}
	filter.addEventListener("input", () => {
		for (const node of page.querySelectorAll("details"))
			node.hidden = !node.querySelector("summary").textContent.toLowerCase().includes(filter.value.toLowerCase());
	});
	page.replaceChildren(make("h1", { textContent: schema.info.title }),
		make("p", { textContent: schema.info.description || "" }), filter,
		...[...groups].map(([tag, nodes]) => make("section", {}, make("h2", { textContent: tag }), ...nodes)),
		make("section", {}, make("h2", { textContent: "Schemas" }),
			...Object.entries(schema.components.schemas).map(([name, node]) =>
				make("details", { id: `schema-${name}` }, make("summary", { textContent: name }),
					make("div", {}, make("p", { textContent: node.description || "" }), table(schema, node))))));
}

fetch("/api/schema/?format=json")
	.then((answer) => answer.json())
	.then(render)
	.catch((error) => {
		document.getElementById("page").textContent = `The schema could not be shown: ${error}`;
	});
