// Sizes: no file over 500 lines without `Long because:` in its header, no function over 70. A function's lines are its own:
// those of the functions inside it count for them. In tests only the files are measured.

import {
  type Finding,
  headerOf,
  isFunction,
  isTest,
  lineAt,
  nodesOf,
  parse,
  partsOf,
  type Source,
  type Syntax,
} from "./source.ts";

const fileLines = 500;
const functionLines = 70;

const linesOf = (text: string): number => text.split("\n").length - (text.endsWith("\n") ? 1 : 0);

const spanOf = (source: Source, node: Syntax): number =>
  lineAt(source.text, node.end) - lineAt(source.text, node.start) + 1;

/** The outermost functions inside a node. */
function* functionsIn(node: Syntax): Generator<Syntax> {
  for (const part of partsOf(node)) {
    if (isFunction(part)) yield part;
    else yield* functionsIn(part);
  }
}

function ownLines(source: Source, node: Syntax): number {
  let lines = spanOf(source, node);
  for (const inner of functionsIn(node)) lines -= Math.max(0, spanOf(source, inner) - 1);
  return lines;
}

export function sizeFindings(sources: readonly Source[]): Finding[] {
  const findings: Finding[] = [];
  for (const source of sources) {
    const { path, text } = source;
    const lines = linesOf(text);
    if (lines > fileLines && !headerOf(source).includes("Long because:")) {
      findings.push({ path, line: 1, says: `is ${lines} lines long, over ${fileLines}` });
    }
    if (isTest(path)) continue;
    for (const node of nodesOf(parse(source).program)) {
      const own = isFunction(node) ? ownLines(source, node) : 0;
      if (own <= functionLines) continue;
      findings.push({
        path,
        line: lineAt(text, node.start),
        says: `a function of ${own} lines, over ${functionLines}`,
      });
    }
  }
  return findings;
}

/** The median and the 90th percentile of the lines in a file, tests aside. */
export function spread(sources: readonly Source[]): {
  readonly files: number;
  readonly median: number;
  readonly p90: number;
} {
  const lines = sources
    .filter(({ path }) => !isTest(path))
    .map(({ text }) => linesOf(text))
    .toSorted((a, b) => a - b);
  const at = (share: number): number => lines[Math.min(lines.length - 1, Math.floor(lines.length * share))] ?? 0;
  return { files: lines.length, median: at(0.5), p90: at(0.9) };
}
