// Every file opens with what it is for, in one to ten lines; numbered invariants come on top of those. An index that only
// re-exports and a test, whose titles say it, need none. And every limit on the page of limits stands under its reason.

import { type Finding, headerOf, isTest, lineAt, nameOf, nodesOf, parse, type Source, type Syntax } from "./source.ts";

const headerLines = 10;

const onlyReexports = (source: Source): boolean =>
  (parse(source).program["body"] as Syntax[]).every(
    ({ type, ...rest }) =>
      type === "ExportAllDeclaration" || (type === "ExportNamedDeclaration" && Boolean(rest["source"])),
  );

/** The lines of the opening comment up to its first empty line or numbered invariant. */
function openingLines(text: string): number {
  const lines = text.split("\n");
  const end = lines.findIndex(
    (line) => !line.startsWith("//") || /^\/\/\s*$/.test(line) || /^\/\/ +[A-Z]\d+\b/.test(line),
  );
  return end < 0 ? lines.length : end;
}

export function headerFindings(sources: readonly Source[]): Finding[] {
  const findings: Finding[] = [];
  for (const source of sources) {
    if (isTest(source.path) || onlyReexports(source)) continue;
    if (headerOf(source) === "") findings.push({ path: source.path, line: 1, says: "does not say what it is for" });
    const lines = openingLines(source.text);
    if (lines > headerLines)
      findings.push({ path: source.path, line: 1, says: `says what it is for in ${lines} lines` });
  }
  return findings;
}

/** The limits that stand neither under a comment nor right below one that does: a reason may serve for two. */
export function limitFindings(sources: readonly Source[]): Finding[] {
  const findings: Finding[] = [];
  for (const source of sources) {
    const { program, comments } = parse(source);
    const limits = [...nodesOf(program)].find(
      (node) => node.type === "VariableDeclarator" && nameOf(node["id"])?.endsWith("Limits") === true,
    );
    const properties = [...nodesOf(limits ?? program)].filter((node) => node.type === "Property");
    if (properties.length === 0) findings.push({ path: source.path, line: 1, says: "has no limits" });
    const reasonLines = new Set(comments.map((comment) => lineAt(source.text, comment.end)));
    let since = Number.POSITIVE_INFINITY;
    for (const property of properties) {
      const line = lineAt(source.text, property.start);
      since = reasonLines.has(line - 1) || reasonLines.has(line) ? 0 : since + 1;
      if (since > 1) findings.push({ path: source.path, line, says: "a limit without a reason" });
    }
  }
  return findings;
}
