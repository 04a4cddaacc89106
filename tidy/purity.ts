// The pure floors get time, chance and everything else of the outside world from the host they are handed. So they import no
// module of Node and touch none of the globals below: otherwise a simulated run would not repeat. A file that says in its
// header that it runs in the browser is the exception: it is sent there as text, and called by nothing here.

import { folderOf, importsOf, pureFolders } from "./floors.ts";
import {
  type Finding,
  headerOf,
  isFunction,
  isSyntax,
  isTest,
  lineAt,
  nameOf,
  parse,
  partsOf,
  type Source,
  type Syntax,
} from "./source.ts";

/** Packages that do nothing but compute, the way they are used: croner is given the time. */
const purePackages = new Set(["@standard-schema/spec", "croner"]);

const impureGlobals = new Set([
  "performance",
  "setTimeout",
  "setInterval",
  "setImmediate",
  "clearTimeout",
  "clearInterval",
  "clearImmediate",
  "process",
  "crypto",
  "Buffer",
  "fetch",
  "WebSocket",
  "EventSource",
  "Worker",
  "MessageChannel",
  "BroadcastChannel",
  "require",
  "console",
  "navigator",
  "localStorage",
  "sessionStorage",
]);

/** Members of otherwise pure globals. */
const impureMembers = new Map([
  ["Date", new Set(["now"])],
  ["Math", new Set(["random"])],
  ["AbortSignal", new Set(["timeout"])],
  ["Atomics", new Set(["wait", "waitAsync"])],
]);

const globalObjects = new Set(["globalThis", "window", "self", "global"]);

/** Collects the names that a pattern, such as a parameter or the left of `const`, binds. */
function bind(pattern: unknown, names: Set<string>): void {
  if (!isSyntax(pattern)) return;
  if (pattern.type === "Identifier") names.add(nameOf(pattern) ?? "");
  else if (pattern.type === "Property") bind(pattern["value"], names);
  else if (pattern.type === "AssignmentPattern") bind(pattern["left"], names);
  else if (pattern.type === "RestElement") bind(pattern["argument"], names);
  else if (pattern.type.endsWith("Pattern")) for (const part of partsOf(pattern)) bind(part, names);
}

/** Names declared in a function or file, not in the functions inside it. */
function declaredIn(scope: Syntax): Set<string> {
  const names = new Set<string>();
  const look = (node: Syntax): void => {
    if (node.type === "VariableDeclarator" || node.type.startsWith("Import") || isFunction(node)) {
      bind(node["id"] ?? node["local"], names);
    }
    if (node.type === "ClassDeclaration") bind(node["id"], names);
    if (node.type === "CatchClause") bind(node["param"], names);
    if (isFunction(node) && node !== scope) return;
    for (const part of partsOf(node)) look(part);
  };
  for (const parameter of (scope["params"] as unknown[] | undefined) ?? []) bind(parameter, names);
  look(scope);
  return names;
}

/** Whether an identifier stands for a value here: not a member's, key's or type's name. */
function isReference(node: Syntax, parent: Syntax): boolean {
  if (
    parent.type.startsWith("TS") &&
    !["TSAsExpression", "TSNonNullExpression", "TSSatisfiesExpression", "TSTypeQuery"].includes(parent.type)
  )
    return false;
  if (parent["computed"] === true) return true;
  if (parent.type === "MemberExpression") return parent["object"] === node;
  return !(
    ["Property", "PropertyDefinition", "MethodDefinition", "LabeledStatement"].includes(parent.type) &&
    parent["key"] === node
  );
}

/** The text of a string literal; empty for anything else. */
const literalOf = (node: Syntax): string => (typeof node["value"] === "string" ? node["value"] : "");

/** The impure thing that a node reaches for, as it is written; undefined when it is pure. */
function reaches(node: Syntax, parent: Syntax, isLocal: (name: string) => boolean): string | undefined {
  if (node.type === "Identifier") {
    const name = nameOf(node) ?? "";
    return impureGlobals.has(name) && !isLocal(name) && isReference(node, parent) ? name : undefined;
  }
  const callee = nameOf(node["callee"]);
  if (callee === "Date" && !isLocal("Date")) {
    const given = (node["arguments"] as unknown[]).length;
    if (node.type === "CallExpression" || given === 0) return node.type === "NewExpression" ? "new Date()" : "Date()";
  }
  if (node.type !== "MemberExpression") return undefined;
  const object = nameOf(node["object"]) ?? "";
  const property = node["property"] as Syntax;
  const member = node["computed"] === true ? literalOf(property) : (nameOf(property) ?? "");
  if (isLocal(object)) return undefined;
  if (impureMembers.get(object)?.has(member) === true) return `${object}.${member}`;
  const isHidden =
    impureGlobals.has(member) || impureMembers.has(member) || (node["computed"] === true && member === "");
  return globalObjects.has(object) && isHidden ? `${object}.${member}` : undefined;
}

function impureUses(source: Source): Finding[] {
  const findings: Finding[] = [];
  const walk = (node: Syntax, parent: Syntax, scopes: readonly ReadonlySet<string>[]): void => {
    const inner = isFunction(node) ? [...scopes, declaredIn(node)] : scopes;
    const use = reaches(node, parent, (name) => inner.some((names) => names.has(name)));
    if (use !== undefined) {
      findings.push({ path: source.path, line: lineAt(source.text, node.start), says: `${use} belongs to the host` });
    }
    for (const part of partsOf(node)) walk(part, node, inner);
  };
  const { program } = parse(source);
  walk(program, program, [declaredIn(program)]);
  return findings;
}

export function purityFindings(sources: readonly Source[]): Finding[] {
  const held = sources.filter(
    (source) =>
      pureFolders.has(folderOf(source.path) ?? "") &&
      !isTest(source.path) &&
      !/\bruns? in the browser\b/i.test(headerOf(source)),
  );
  const imports = held.flatMap((source) =>
    importsOf(source)
      .filter(
        ({ from }) =>
          !from.startsWith(".") && !purePackages.has(from.split("/", from.startsWith("@") ? 2 : 1).join("/")),
      )
      .map(({ from, line }) => ({ path: source.path, line, says: `imports ${from}, which is not known to be pure` })),
  );
  return [...imports, ...held.flatMap(impureUses)];
}
