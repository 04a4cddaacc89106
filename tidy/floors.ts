// Imports go down. Each folder of src/ stands on a floor; folders on one floor do not know each other; another folder is
// entered by its index.ts, or by contract.ts, the kit that proves an implementation. No cycles. Types count as imports.

import { posix } from "node:path";
import { type Finding, isSyntax, isTest, lineAt, nodesOf, parse, type Source, type Syntax } from "./source.ts";

const floors: readonly (readonly string[])[] = [
  ["base"],
  ["host"],
  ["wire", "security"],
  ["model", "journal"],
  ["rpc", "cluster"],
  ["shards"],
  ["entities", "services", "topics", "backup"],
  ["work", "control"],
  ["http"],
  ["gateway", "admin"],
  ["node"],
  ["platform", "engines", "exporters", "sim", "client"],
  // The public doors, src/*.ts; the command stands on them, since it ships an app of its own for `sheaf bench`.
  ["."],
  ["cli"],
];

const heights = new Map(floors.flatMap((folders, height) => folders.map((folder) => [folder, height] as const)));

/** Folders that may not know of clock, dice or process: everything below `platform` and its neighbours. */
export const pureFolders: ReadonlySet<string> = new Set(floors.slice(0, -3).flat());

/** The folder of src/ that a path is in, `.` for the doors beside the folders; undefined outside src/. */
export function folderOf(path: string): string | undefined {
  const match = /^src\/(?:([^/]+)\/)?[^/]+/.exec(path);
  return match === null ? undefined : (match[1] ?? ".");
}

export type Import = { readonly from: string; readonly line: number };

const importing = [
  "ImportDeclaration",
  "ExportAllDeclaration",
  "ExportNamedDeclaration",
  "ImportExpression",
  "TSImportType",
];

/** Everything that a file names as a module: imports and re-exports of values and types, static and dynamic. */
export function importsOf(source: Source): Import[] {
  const imports: Import[] = [];
  for (const node of nodesOf(parse(source).program)) {
    if (!importing.includes(node.type)) continue;
    const target = node["source"] as Syntax | null | undefined;
    if (isSyntax(target) && typeof target["value"] === "string") {
      imports.push({ from: target["value"], line: lineAt(source.text, node.start) });
    }
  }
  return imports;
}

const isHeld = ({ path }: Source): boolean => path.startsWith("src/") && !isTest(path);

function judge(path: string, target: string): string | undefined {
  const own = folderOf(path) ?? "";
  const other = folderOf(target);
  if (other === undefined) return `reaches out of src/ to ${target}`;
  if (other === own && own !== ".") return undefined;
  const height = heights.get(own);
  const below = heights.get(other);
  if (height === undefined) return `src/${own} has no floor`;
  if (below === undefined) return `src/${other} has no floor`;
  if (below >= height) return `${own} may not import ${other}, which is not below it`;
  return ["index.ts", "contract.ts"].includes(target.slice(`src/${other}/`.length))
    ? undefined
    : `enters ${other} by ${posix.basename(target)} instead of its index.ts`;
}

export function floorFindings(sources: readonly Source[]): Finding[] {
  const findings: Finding[] = [];
  for (const source of sources.filter(isHeld)) {
    for (const { from, line } of importsOf(source)) {
      if (/^sheaf(\/|$)/.test(from))
        findings.push({ path: source.path, line, says: "imports the package it is part of" });
      if (!from.startsWith(".")) continue;
      const says = judge(source.path, posix.join(posix.dirname(source.path), from));
      if (says !== undefined) findings.push({ path: source.path, line, says });
    }
  }
  return findings;
}

/** Reports each import that closes a cycle of files, found by walking depth first (Tarjan's white, grey and black). */
export function cycleFindings(sources: readonly Source[]): Finding[] {
  const files = new Map(sources.filter(isHeld).map((source) => [source.path, source]));
  const findings: Finding[] = [];
  const done = new Set<string>();
  const visit = (path: string, trail: readonly string[]): void => {
    const source = files.get(path);
    if (source === undefined || done.has(path)) return;
    for (const { from, line } of importsOf(source)) {
      if (!from.startsWith(".")) continue;
      const target = posix.join(posix.dirname(path), from);
      const here = [...trail, path];
      const at = here.indexOf(target);
      if (at >= 0) findings.push({ path, line, says: `closes a cycle: ${[...here.slice(at), target].join(" > ")}` });
      else visit(target, here);
    }
    done.add(path);
  };
  for (const path of files.keys()) visit(path, []);
  return findings;
}
