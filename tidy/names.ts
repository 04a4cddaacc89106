// Names and the parts of the language that are left out: what Node cannot erase, what hides types, and the words that say
// nothing. The one exception is an app's own default export.

import { posix } from "node:path";
import { type Finding, isSyntax, lineAt, nameOf, parse, type Source, type Syntax } from "./source.ts";

/** Words that say nothing wherever they stand in a name, and words for which the house has another. */
const nowhere = new Set([
  "Manager",
  "Helper",
  "Helpers",
  "Util",
  "Utils",
  "Impl",
  "Silo",
  "Actor",
  "Grain",
  "Lsn",
  "Backend",
  "Leader",
]);
const notLast = new Set(["Data", "Info"]);
const noFolder = new Set(["common", "misc", "utils", "util", "helpers", "shared", "lib"]);

const kebabFile = /^[a-z0-9]+(-[a-z0-9]+)*(\.(test|bench|test-d|fixture|driver|d))?\.ts$/;

const declaring = [
  "ClassDeclaration",
  "FunctionDeclaration",
  "TSInterfaceDeclaration",
  "TSTypeAliasDeclaration",
  "TSEnumDeclaration",
];

const wordsOf = (name: string): string[] => name.match(/[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+/g) ?? [];

const capitalised = (word: string): string => word.charAt(0).toUpperCase() + word.slice(1);

/** Why a name is not to be used; undefined when it is fine. */
export function whyNot(name: string): string | undefined {
  const words = wordsOf(name).map(capitalised);
  const bad = words.find((word) => nowhere.has(word)) ?? (notLast.has(words.at(-1) ?? "") ? words.at(-1) : undefined);
  if (bad !== undefined) return `${name} says "${bad}"`;
  if (words.length > 1 && words[0] === "Base") return `${name} says "Base"`;
  return /^I[A-Z][a-z]/.test(name) ? `${name} has the prefix "I"` : undefined;
}

function pathFindings({ path }: Source): string[] {
  const file = posix.basename(path);
  const folders = path.split("/").slice(0, -1);
  const found = folders.filter((folder) => noFolder.has(folder)).map((folder) => `is in a folder called ${folder}`);
  if (!kebabFile.test(file)) found.push(`is not named in kebab-case`);
  const stem = file.replace(/\..*$/, "").split("-").map(capitalised).join("");
  const why = whyNot(stem);
  if (why !== undefined) found.push(`is called ${file}: ${why}`);
  if (path.startsWith("src/") && folders.length > 3) found.push("is more than two folders deep");
  return found;
}

const isApp = (path: string): boolean => posix.basename(path) === "app.ts" && !path.startsWith("src/");

function declaredName(node: Syntax, parent: Syntax): string | undefined {
  if (declaring.includes(node.type)) return nameOf(node["id"]);
  const isTop = parent.type === "Program" || parent.type === "ExportNamedDeclaration";
  if (node.type !== "VariableDeclaration" || !isTop) return undefined;
  const [first] = node["declarations"] as Syntax[];
  return nameOf(first?.["id"]);
}

/** The name that a test is given, where it is written out. */
function testName(node: Syntax): string | undefined {
  if (node.type !== "CallExpression" || nameOf(node["callee"]) !== "test") return undefined;
  const [first] = node["arguments"] as unknown[];
  return isSyntax(first) && typeof first["value"] === "string" ? first["value"] : undefined;
}

function whatIsWrong(node: Syntax, parent: Syntax, path: string): string | undefined {
  switch (node.type) {
    case "TSEnumDeclaration":
      return "an enum, which Node cannot erase";
    case "TSModuleDeclaration":
      return isSyntax(node["id"]) && node["id"].type === "Identifier" && node["kind"] !== "global"
        ? "a namespace, which Node cannot erase"
        : undefined;
    case "TSParameterProperty":
      return "a parameter property, which Node cannot erase";
    case "TSAnyKeyword":
      return "any, which hides what a value is";
    case "ExportDefaultDeclaration":
      return isApp(path) ? undefined : "a default export";
    case "ClassDeclaration":
    case "ClassExpression":
      return node["superClass"] && nameOf(node["superClass"]) !== "Error"
        ? "a class that inherits"
        : whyNotDeclared(node, parent);
    default:
      return whyNotDeclared(node, parent);
  }
}

function whyNotDeclared(node: Syntax, parent: Syntax): string | undefined {
  const title = testName(node);
  if (title !== undefined && /\bshould\b/i.test(title)) return `a test that says what should be: "${title}"`;
  const name = declaredName(node, parent);
  return name === undefined ? undefined : whyNot(name);
}

export function nameFindings(sources: readonly Source[]): Finding[] {
  const findings: Finding[] = [];
  for (const source of sources) {
    const { path, text } = source;
    for (const says of pathFindings(source)) findings.push({ path, line: 1, says });
    const walk = (node: Syntax, parent: Syntax): void => {
      const says = whatIsWrong(node, parent, path);
      if (says !== undefined) findings.push({ path, line: lineAt(text, node.start), says });
      for (const part of Object.values(node).flat()) if (isSyntax(part)) walk(part, node);
    };
    const { program } = parse(source);
    walk(program, program);
    findings.push(...titleFindings(source, program));
  }
  return findings;
}

/** A test beside the code is a guarantee of its subject: `subject: what always holds`. */
function titleFindings({ path, text }: Source, program: Syntax): Finding[] {
  if (!path.endsWith(".test.ts") || path.startsWith("examples/")) return [];
  return (program["body"] as Syntax[])
    .flatMap((statement) => (isSyntax(statement["expression"]) ? [statement["expression"]] : []))
    .filter((node) => !/^[^:]+: ./.test(testName(node) ?? "subject: guarantee"))
    .map((node) => ({ path, line: lineAt(text, node.start), says: `a test not named "subject: what always holds"` }));
}
