// What every house rule stands on: the sources as text, their syntax trees, and what a rule finds wrong in them. A rule is a
// pure function from sources to findings, so that a test can plant a defect and see it reported.

import { globSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { type Comment, parseSync } from "oxc-parser";

export const root = fileURLToPath(new URL("..", import.meta.url));

/** A file: its path from the root of the repository, with `/`. */
export type Source = { readonly path: string; readonly text: string };

/** One thing wrong, and the line it is on, from 1. */
export type Finding = { readonly path: string; readonly line: number; readonly says: string };

export type Rule = (sources: readonly Source[]) => Finding[];

/** A node of the ESTree syntax tree, looked at without knowing its kind. */
export type Syntax = {
  readonly type: string;
  readonly start: number;
  readonly end: number;
  readonly [part: string]: unknown;
};

type Parsed = { readonly program: Syntax; readonly comments: readonly Comment[] };

const parsed = new Map<string, Parsed>();

/** The syntax tree of a source; throws when it has none, since no rule can hold for what cannot be read. */
export function parse(source: Source): Parsed {
  const known = parsed.get(source.text);
  if (known !== undefined) return known;
  const result = parseSync("source.ts", source.text);
  const [error] = result.errors;
  if (error !== undefined) throw new Error(`${source.path}: ${error.message}`);
  const fresh = { program: result.program as unknown as Syntax, comments: result.comments };
  parsed.set(source.text, fresh);
  return fresh;
}

export const isSyntax = (value: unknown): value is Syntax =>
  typeof value === "object" && value !== null && typeof (value as Syntax).type === "string";

/** The nodes directly below one. */
export function* partsOf(node: Syntax): Generator<Syntax> {
  for (const part of Object.values(node)) {
    if (Array.isArray(part)) yield* part.filter(isSyntax);
    else if (isSyntax(part)) yield part;
  }
}

/** Every node of a tree, outermost first. */
export function* nodesOf(node: Syntax): Generator<Syntax> {
  yield node;
  for (const part of partsOf(node)) yield* nodesOf(part);
}

/** The line, from 1, that an offset into the text is on. */
export function lineAt(text: string, offset: number): number {
  let line = 1;
  for (let at = text.indexOf("\n"); at >= 0 && at < offset; at = text.indexOf("\n", at + 1)) line += 1;
  return line;
}

export const isFunction = (node: Syntax): boolean =>
  ["FunctionDeclaration", "FunctionExpression", "ArrowFunctionExpression"].includes(node.type);

export const nameOf = (node: unknown): string | undefined =>
  isSyntax(node) && typeof node["name"] === "string" ? node["name"] : undefined;

/** Tests, benches, type tests and fixtures: they may reach for anything and are held to fewer rules. */
export const isTest = (path: string): boolean => /\.(test|bench|test-d|fixture)\.ts$/.test(path);

const places = ["src", "tidy", "test", "bench", "examples"];

/** The TypeScript of the repository, read from disk. */
export function readSources(folders: readonly string[] = places): Source[] {
  return readFiles(folders.map((folder) => `${folder}/**/*.ts`));
}

export function readFiles(patterns: readonly string[]): Source[] {
  return globSync([...patterns], {
    cwd: root,
    exclude: (path) => /(^|\/)(node_modules|dist|\.git|\.sheaf)(\/|$)/.test(path),
  })
    .map((path) => path.replaceAll("\\", "/"))
    .toSorted()
    .map((path) => ({ path, text: readFileSync(`${root}${path}`, "utf8") }));
}

/** The comment that a file opens with, without its marks, on one line; empty when it opens with anything else. */
export function headerOf({ text }: Source): string {
  const opening = /^(?:#!.*\n)?\s*((?:\/\/.*\n|\/\*[^]*?\*\/\s*)+)/.exec(text)?.[1] ?? "";
  return opening
    .replaceAll(/^[ \t]*(?:\/\/+|\/\*+|\*+\/?)[ \t]?/gm, "")
    .replaceAll(/\s+/g, " ")
    .trim();
}

/** Throws a list of what the rule finds, and when it was given nothing to look at. */
export function demand(rule: Rule, sources: readonly Source[]): void {
  if (sources.length === 0) throw new Error("The rule saw no files: a gate that sees nothing is red.");
  const findings = rule(sources).map(({ path, line, says }) => `${path}:${line}  ${says}`);
  if (findings.length > 0) throw new Error(`${findings.length} found:\n${findings.join("\n")}`);
}

/** What a rule says about one planted file, as lines `path:line says`, for a test to look at. */
export function planted(rule: Rule, ...files: readonly [path: string, text: string][]): string[] {
  return rule(files.map(([path, text]) => ({ path, text }))).map(({ path, line, says }) => `${path}:${line} ${says}`);
}
