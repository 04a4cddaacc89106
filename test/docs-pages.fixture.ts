// The documentation as data: its pages, the code blocks in them and what the comments before a block ask for.
//
//   <!-- app: PATH -->              the app that the page's console blocks talk to
//   <!-- file: PATH; run -->        the next block is this file of the page's project; `run` runs it too
//   <!-- run -->                    the next console block is run, and must answer as it says
//   <!-- kill -->                   here the node is killed with -9 and started again
//   <!-- generated: NAME -->  …  <!-- end -->    what stands between is made from the code, by docs-generated.fixture.ts

import { globSync, readFileSync } from "node:fs";
import { join, posix } from "node:path";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("..", import.meta.url));

export type Page = { readonly path: string; readonly text: string };

export type Block = {
  readonly page: string;
  /** From 1. */
  readonly line: number;
  readonly language: string;
  readonly code: string;
  /** Its place in the page's project, when it names one. */
  readonly file: string | undefined;
  readonly run: boolean;
  /** The node is killed and started again before it. */
  readonly kill: boolean;
};

/** Every page that a person reads, but the pages of error codes and decisions, which have tests of their own. */
export function readPages(): Page[] {
  const paths = ["README.md", ...globSync("docs/**/*.md", { cwd: root })].map((path) => path.replaceAll("\\", "/"));
  const own = paths.filter((path) => !/^docs\/(?:reference\/errors|decisions)\//.test(path));
  return own.sort().map((path) => ({ path, text: readFileSync(join(root, path), "utf8") }));
}

const lineAt = (text: string, offset: number): number => text.slice(0, offset).split("\n").length;

/** The fenced blocks of a page, in order. A fence inside a list is indented; its code is not. */
export function blocksOf({ path, text }: Page): Block[] {
  const blocks: Block[] = [];
  let end = 0;
  for (const match of text.matchAll(/^( *)```(\w*)\n([\s\S]*?)^\1```$/gm)) {
    const [whole, indent = "", language = "", body = ""] = match;
    const asked = [...text.slice(end, match.index).matchAll(/<!-- (.*?) -->/g)].flatMap(([, said = ""]) =>
      said.split("; "),
    );
    const file = asked.find((said) => said.startsWith("file: "))?.slice("file: ".length);
    const code = body.replaceAll(new RegExp(`^${indent}`, "gm"), "");
    blocks.push({
      page: path,
      line: lineAt(text, match.index),
      language,
      code,
      file,
      run: asked.includes("run"),
      kill: asked.includes("kill"),
    });
    end = match.index + whole.length;
  }
  return blocks;
}

/** The app that the page's console blocks talk to. */
export const appOf = ({ text }: Page): string | undefined => /^<!-- app: (\S+) -->$/m.exec(text)?.[1];

/** What a page's headings are linked as: GitHub's rule. */
export function anchorsOf({ text }: Page): string[] {
  const outside = text.replaceAll(/^( *)```[\s\S]*?^\1```$/gm, "");
  return [...outside.matchAll(/^#+ (.+)$/gm)].map(([, title = ""]) =>
    title
      .replaceAll(/[`*_]|\]\([^)]*\)|\[/g, "")
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} -]/gu, "")
      .replaceAll(" ", "-"),
  );
}

type Link = { readonly line: number; readonly target: string; readonly anchor: string | undefined };

export const linksOf = ({ text }: Page): Link[] =>
  [...text.matchAll(/\]\(([^)\s#]*)(?:#([^)]+))?\)/g)]
    .filter(([, target = ""]) => !/^[a-z]+:/.test(target))
    .map(({ 1: target = "", 2: anchor, index }) => ({ line: lineAt(text, index), target, anchor }));

/** Links to headings that are not there. That files are there is the tidy gate's to say. */
export function brokenAnchors(pages: readonly Page[]): string[] {
  const known = new Map(pages.map((page) => [page.path, new Set(anchorsOf(page))]));
  return pages.flatMap((page) =>
    linksOf(page).flatMap(({ line, target, anchor }) => {
      const path = target === "" ? page.path : posix.join(posix.dirname(page.path), target);
      if (anchor === undefined || known.get(path)?.has(anchor) !== false) return [];
      return [`${page.path}:${line} links to ${path}#${anchor}, which is no heading`];
    }),
  );
}

/** Pages to which no link on the map leads. */
export function offTheMap(pages: readonly Page[]): string[] {
  const map = pages.find(({ path }) => path === "docs/README.md");
  const linked = new Set(map === undefined ? [] : linksOf(map).map(({ target }) => posix.join("docs", target)));
  return pages
    .map(({ path }) => path)
    .filter((path) => path.startsWith("docs/") && path !== map?.path && !linked.has(path));
}

/** Files of this repository that pages name in backticks and that are not there. */
export const missingFiles = (pages: readonly Page[], exists: (pattern: string) => boolean): string[] =>
  pages.flatMap(({ path, text }) =>
    [...text.matchAll(/`((?:src|test|tidy|scripts|examples|docs)\/[^\s`]*\.\w+)`/g)]
      .filter(([, named = ""]) => !path.startsWith("docs/tutorial/") && !exists(named))
      .map((match) => `${path}:${lineAt(text, match.index)} names ${match[1]}, which is not there`),
  );
