// Plain data: what may be state, an input, an output, an event or an error's value, because every codec keeps it exactly.
// null, booleans, finite numbers, well-formed strings, Uint8Array, arrays and plain objects of these. Nothing else: a value that would
// come back from the journal as another one is refused when it is handed in, not found missing later.
//
// The first pass only answers "plain or not", allocating nothing for a value that is already plain. A value that is not is walked again,
// slowly, to say where and why.

import { defaultLimits, type ErrorCode, type Issue } from "../base/index.ts";
import { refusal } from "./validate.ts";

const refused = Symbol("refused");
const maxDepth = defaultLimits.maxDepth;
/** An encoded item takes at least a byte, so more items than this fit into no state. It also ends walks of shared substructure. */
const maxItems = defaultLimits.maxStateBytes;

type Fields = Readonly<Record<string, unknown>>;

/** Items that the running walk may still meet. */
let itemsLeft = 0;

/**
 * The value as plain data: the value itself when it is plain already, else a copy in which properties that are `undefined` are left
 * out, -0 is 0, and subclasses of Uint8Array (Buffer) are Uint8Array. `undefined` stays `undefined`: no value at all.
 *
 * Throws SheafError `code` with the path of the first offender: NaN and infinities, bigint, Date, Map, class instances, functions,
 * symbols, strings with half a surrogate pair, `undefined` in an array, a `__proto__` key, cycles, more than 64 levels.
 * Properties whose keys are symbols are ignored, as JSON does.
 *
 * @param what begins the message, for example "the output of account.withdraw".
 *
 * @example plain({ a: 1, b: undefined }, "the input", "BAD_INPUT")   // { a: 1 }
 */
export function plain(value: unknown, what: string, code: ErrorCode): unknown {
  if (value === undefined) return undefined;
  itemsLeft = maxItems;
  const result = walk(value, 0);
  if (result !== refused) return result;
  throw refusal(code, what, [offender(value)]);
}

/** The plain value, or `refused`. `depth` counts the containers around the value. */
function walk(value: unknown, depth: number): unknown {
  switch (typeof value) {
    case "string":
      return value.isWellFormed() ? value : refused;
    case "number":
      return value === 0 ? 0 : Number.isFinite(value) ? value : refused;
    case "boolean":
      return value;
    case "object":
      if (value === null) return null;
      if (depth >= maxDepth) return refused;
      if (Array.isArray(value)) return walkArray(value, depth + 1);
      if (isPlainObject(value)) return walkObject(value, depth + 1);
      return isBytes(value) ? bare(value) : refused;
    default:
      return refused;
  }
}

function walkArray(array: readonly unknown[], depth: number): unknown {
  itemsLeft -= array.length;
  if (itemsLeft < 0) return refused;
  let copy: unknown[] | undefined;
  for (let i = 0; i < array.length; i++) {
    const item = array[i];
    const next = walk(item, depth);
    if (next === refused) return refused;
    if (copy === undefined && !Object.is(next, item)) copy = array.slice(0, i);
    if (copy !== undefined) copy.push(next);
  }
  return copy ?? array;
}

function walkObject(object: Fields, depth: number): unknown {
  let copy: Record<string, unknown> | undefined;
  for (const key in object) {
    if (!Object.hasOwn(object, key)) continue;
    if (--itemsLeft < 0 || key === "__proto__" || !key.isWellFormed()) return refused;
    const item = object[key];
    const next = item === undefined ? undefined : walk(item, depth);
    if (next === refused) return refused;
    if (copy === undefined && (item === undefined || !Object.is(next, item))) copy = copyUpTo(object, key);
    if (copy !== undefined && next !== undefined) copy[key] = next;
  }
  return copy ?? object;
}

/** The properties of `object` that come before `end`, which are known to be plain. */
function copyUpTo(object: Fields, end: string): Record<string, unknown> {
  const copy: Record<string, unknown> = {};
  for (const key of Object.keys(object)) {
    if (key === end) break;
    copy[key] = object[key];
  }
  return copy;
}

/** An object literal, of this realm or of another (an iframe, a test runner's context), or one without a prototype. */
function isPlainObject(value: object): value is Fields {
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype === Object.prototype || prototype === null) return true;
  return Object.getPrototypeOf(prototype) === null && Object.hasOwn(prototype as object, "hasOwnProperty");
}

const isBytes = (value: object): value is Uint8Array =>
  value instanceof Uint8Array || Object.prototype.toString.call(value) === "[object Uint8Array]";

const bare = (bytes: Uint8Array): Uint8Array =>
  Object.getPrototypeOf(bytes) === Uint8Array.prototype
    ? bytes
    : new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** Where the first value is that `walk` just refused, and why. */
function offender(value: unknown): Issue {
  if (itemsLeft < 0) return { path: [], message: `has more than ${maxItems} items` };
  const found = find(value, new Set());
  return found === undefined
    ? { path: [], message: "is not plain data" }
    : { path: found.upward.reverse(), message: found.message };
}

/** An offender below a value: the steps to it, from the last to the first. */
type Found = { readonly upward: (string | number)[]; readonly message: string };

const here = (message: string): Found => ({ upward: [], message });

/** Meets values in the order of `walk`, so it ends where that did, or earlier at a cycle. */
function find(value: unknown, around: Set<object>): Found | undefined {
  const reason = reasonOf(value, around);
  if (reason !== undefined) return here(reason);
  if (typeof value !== "object" || value === null || isBytes(value)) return undefined;
  around.add(value);
  const found = Array.isArray(value) ? findInArray(value, around) : findInObject(value as Fields, around);
  around.delete(value);
  return found;
}

function findInArray(array: readonly unknown[], around: Set<object>): Found | undefined {
  for (let i = 0; i < array.length; i++) {
    const found = i in array ? find(array[i], around) : here("is a hole in an array");
    if (found !== undefined) return below(found, i);
  }
  return undefined;
}

function findInObject(object: Fields, around: Set<object>): Found | undefined {
  for (const key of Object.keys(object)) {
    if (key === "__proto__") return below(here("a key may not be __proto__"), key);
    if (!key.isWellFormed()) return below(here("a key has half a surrogate pair"), key);
    const item = object[key];
    const found = item === undefined ? undefined : find(item, around);
    if (found !== undefined) return below(found, key);
  }
  return undefined;
}

function below(found: Found, step: string | number): Found {
  found.upward.push(step);
  return found;
}

function reasonOf(value: unknown, around: ReadonlySet<object>): string | undefined {
  switch (typeof value) {
    case "string":
      return value.isWellFormed() ? undefined : "is a string with half a surrogate pair; send bytes as Uint8Array";
    case "number":
      return Number.isFinite(value) ? undefined : `is ${value}; numbers must be finite`;
    case "boolean":
      return undefined;
    case "undefined":
      return "is undefined; use null";
    case "object":
      if (value === null) return undefined;
      if (around.has(value)) return "refers back to an object around it";
      if (around.size >= maxDepth) return `is nested deeper than ${maxDepth} levels`;
      if (Array.isArray(value) || isPlainObject(value) || isBytes(value)) return undefined;
      return `is a ${classOf(value)}${adviceFor(value)}; only plain data can be kept`;
    case "bigint":
      return "is a bigint; use a string";
    case "symbol":
    case "function":
      return `is a ${typeof value}; only plain data can be kept`;
  }
}

function classOf(value: object): string {
  const made: unknown = (value as { constructor?: unknown }).constructor;
  return typeof made === "function" && made.name !== "" ? made.name : "class instance";
}

function adviceFor(value: object): string {
  if (value instanceof Date) return ", use a number or an ISO string";
  if (value instanceof Map) return ", use a plain object";
  return value instanceof Set ? ", use an array" : "";
}
