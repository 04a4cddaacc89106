// Names that users give: of apps, entities, services, commands, queries, procedures, events and declared errors. They
// end up in URLs, in records and as properties of clients, so they are checked once, where they are defined.

import { SheafError } from "../base/index.ts";

const pattern = /^[A-Za-z][A-Za-z0-9_-]{0,63}$/;
/** What Sheaf's own entities are named after; no user's name can contain the dot. */
const systemPrefix = "sheaf.";

/** Names an object already answers to, or that would make `await client` call it. */
const taken = new Set([
  "then",
  "catch",
  "finally",
  "initial",
  "implement",
  "prototype",
  ...Object.getOwnPropertyNames(Object.prototype),
]);

const usage = (message: string): SheafError => new SheafError("USAGE", message);

/** Throws USAGE unless `name` is 1 to 64 letters, digits, `_` and `-`, beginning with a letter. */
export function checkName(what: string, name: string): void {
  if (typeof name !== "string") throw usage(`${what} needs a name, a string`);
  if (name.startsWith(systemPrefix))
    throw usage(`${what} "${name}": names that begin with "${systemPrefix}" are Sheaf's own`);
  if (!pattern.test(name)) {
    throw usage(`${what} "${name}": a name is 1 to 64 letters, digits, "_" and "-", and begins with a letter`);
  }
}

/** As `checkName`, for one of Sheaf's own: "sheaf." and a name. */
export function checkSystemName(what: string, name: string): void {
  if (!name.startsWith(systemPrefix)) throw usage(`${what} "${name}": a system name begins with "${systemPrefix}"`);
  checkName(what, name.slice(systemPrefix.length));
}

/** As `checkName`, for what becomes a property of an object, and so may not be a name that objects already have. */
export function checkMember(what: string, name: string): void {
  if (taken.has(name)) throw usage(`${what} "${name}": objects already have a property of this name; choose another`);
  checkName(what, name);
}

/** Throws USAGE when `value` is not an object literal: `{ __proto__: … }` would hide members from every check. */
export function checkRecord(what: string, value: unknown): asserts value is Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw usage(`${what} must be an object`);
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== null && Object.getPrototypeOf(prototype) !== null) throw usage(`${what} must be a plain object`);
}

/** Throws USAGE when `value` has a property that is not in `known`: a misspelt option must not be silently ignored. */
export function checkFields(what: string, value: unknown, known: readonly string[]): void {
  checkRecord(what, value);
  for (const field of Object.keys(value)) {
    if (!known.includes(field)) throw usage(`${what} has no option "${field}"; it takes ${known.join(", ")}`);
  }
}

/** Throws USAGE for a count that is given and is none. */
export function checkCounts(
  what: string,
  counts: Readonly<Record<string, number | undefined>>,
  most = Number.MAX_SAFE_INTEGER,
): void {
  for (const [name, count] of Object.entries(counts)) {
    if (count === undefined) continue;
    if (!(Number.isSafeInteger(count) && count > 0)) throw usage(`${what}: ${name} is a whole number above 0`);
    if (count > most) throw usage(`${what}: ${name} is at most ${most}`);
  }
}
