// What must not be committed: paths of one machine, addresses of package registries, marks of unfinished work, tests that
// are switched off or that switch off the others. And a lock file in which npm would miss something.

import { type Finding, lineAt, type Source } from "./source.ts";

// Written so that this file does not report itself.
const texts: readonly (readonly [pattern: RegExp, says: string])[] = [
  [/(?<![.\w])\/(?:work)\/[a-z.]/g, "a path of one machine"],
  [/(?<![.\w])\/(?:root)\//g, "a path of one machine"],
  [/(?<![.\w])\/(?:tmp)\/[a-z]/g, "a path of one machine"],
  [/:\/\/(?:registry|deb)[.]/g, "the address of a package registry"],
  [/\b(?:TODO|FIXME|XXX|HACK)(?=\b)(?!\|)/g, "a mark of unfinished work"],
  [/not(?: )implemented/gi, "a mark of unfinished work"],
  [/\b(?:test|describe|it)[.](?:skip|todo|only)\b/g, "a test that is switched off, or switches off others"],
];

const own = /^tidy\/leftovers(\.test)?\.ts$/;

export function leftoverFindings(sources: readonly Source[]): Finding[] {
  return sources
    .filter(({ path }) => !own.test(path))
    .flatMap(({ path, text }) =>
      texts.flatMap(([pattern, says]) =>
        [...text.matchAll(pattern)].map((match) => ({
          path,
          line: lineAt(text, match.index),
          says: `${says}: ${match[0]}`,
        })),
      ),
    );
}

type Lock = {
  readonly packages: Readonly<Record<string, { readonly optionalDependencies?: Readonly<Record<string, string>> }>>;
};

/** Optional packages that the lock file names but does not describe: `npm ci` refuses it then. */
export function lockFindings(sources: readonly Source[]): Finding[] {
  return sources.flatMap(({ path, text }) => {
    const { packages } = JSON.parse(text) as Lock;
    const named = Object.values(packages).flatMap((entry) => Object.keys(entry.optionalDependencies ?? {}));
    return named
      .filter((name) => !Object.hasOwn(packages, `node_modules/${name}`))
      .map((name) => ({ path, line: 1, says: `lacks ${name}: run node scripts/complete-lock.mjs` }));
  });
}
