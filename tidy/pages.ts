// Every error code has a page under docs/reference/errors/ and a row in the index there, every page a code, and the facts on
// them are those of the catalogue. A page says what happened, why, and what to do. Links between pages lead somewhere.

import { posix } from "node:path";
import type { ErrorKind } from "../src/base/index.ts";
import { type Finding, lineAt, type Source } from "./source.ts";

const folder = "docs/reference/errors/";
const sections = ["## What happened", "## Why", "## What to do"];

/** The row of facts on a code's page. */
export function factsOf(kind: ErrorKind): string {
  return `| ${kind.http} | ${kind.exit} | \`${kind.retry}\` | \`${kind.outcome}\` |`;
}

/** A code's row in the index of codes. */
export function rowOf(code: string, kind: ErrorKind): string {
  return `| [${code}](${code}.md) | ${kind.http} | ${kind.exit} | ${kind.retry} | ${kind.outcome} | ${kind.says} |`;
}

/** A text as it is compared: without regard to case, line breaks and the padding of table cells. */
const plain = (text: string): string => text.toLowerCase().replaceAll(/\s+/g, " ");

/** A code's page without its prose: what `npm run tidy` asks for when a code is new. */
export function skeletonOf(code: string, kind: ErrorKind): string {
  const head = `# ${code}\n\n${kind.says.charAt(0).toUpperCase()}${kind.says.slice(1)}.\n`;
  const facts = `| HTTP | exit | retry | outcome |\n| --- | --- | --- | --- |\n${factsOf(kind)}\n`;
  return `${head}\n${facts}\n${sections.join("\n\n…\n\n")}\n\n…\n`;
}

function pageFindings(path: string, text: string, code: string, kind: ErrorKind): Finding[] {
  const missing = [`# ${code}\n`, `${kind.says}.`, factsOf(kind), ...sections].filter(
    (part) => !plain(text).includes(plain(part)),
  );
  const empty = sections.filter((section) => new RegExp(`${section}\\s*(…|##|$)`).test(text));
  return [
    ...missing.map((part) => ({ path, line: 1, says: `lacks "${part.trim()}"` })),
    ...empty.map((section) => ({ path, line: 1, says: `says nothing under "${section}"` })),
  ];
}

/** The rule for one catalogue. */
export const errorPages =
  (catalogue: Readonly<Record<string, ErrorKind>>) =>
  (pages: readonly Source[]): Finding[] => {
    const byCode = new Map(
      pages.filter(({ path }) => path.startsWith(folder)).map((page) => [posix.basename(page.path, ".md"), page]),
    );
    const found: Finding[] = [];
    for (const [code, kind] of Object.entries(catalogue)) {
      const path = `${folder}${code}.md`;
      const page = byCode.get(code);
      if (page === undefined)
        found.push({ path, line: 1, says: `is missing; begin with:\n\n${skeletonOf(code, kind)}` });
      else found.push(...pageFindings(path, page.text, code, kind));
      const row = rowOf(code, kind);
      if (!plain(byCode.get("index")?.text ?? "").includes(plain(row))) {
        found.push({ path: `${folder}index.md`, line: 1, says: `lacks the row "${row}"` });
      }
    }
    for (const [code, { path }] of byCode) {
      if (!Object.hasOwn(catalogue, code) && code !== "index")
        found.push({ path, line: 1, says: "is the page of no code" });
    }
    return found;
  };

/** Links of one page to another that lead nowhere. `exists` is asked for paths from the root of the repository. */
export const brokenLinks =
  (exists: (path: string) => boolean) =>
  (pages: readonly Source[]): Finding[] =>
    pages.flatMap(({ path, text }) =>
      [...text.matchAll(/\]\(([^)\s#]+)(?:#[^)]*)?\)/g)]
        .filter(([, target = ""]) => !/^[a-z]+:/.test(target) && !exists(posix.join(posix.dirname(path), target)))
        .map((match) => ({ path, line: lineAt(text, match.index), says: `links to ${match[1]}, which is not there` })),
    );
