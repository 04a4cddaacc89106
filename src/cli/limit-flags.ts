// Limits from the command line and the environment: `--limit maxInFlight=1000`, or SHEAF_LIMITS with several, separated by
// commas. A flag beats the variable, limit by limit.

import { checkLimits, defaultLimits, type Limits, SheafError } from "../base/index.ts";
import type { Context } from "./context.ts";
import { nearest } from "./nearest.ts";

const names = Object.keys(defaultLimits) as (keyof Limits)[];

/** What differs from the defaults. Rejects USAGE for what is no limit, no number, or does not fit the others. */
export function limitsOf(context: Pick<Context, "env">, flags: readonly string[]): Partial<Limits> {
  const variable = (context.env["SHEAF_LIMITS"] ?? "").split(",").filter((each) => each.trim() !== "");
  const given: Partial<Record<keyof Limits, number>> = {};
  for (const [texts, source] of [
    [variable, "SHEAF_LIMITS"],
    [flags, "--limit"],
  ] as const)
    for (const text of texts) {
      const [name, value] = parse(text.trim(), source);
      given[name] = value;
    }
  checkLimits(given);
  return given;
}

function parse(text: string, source: string): readonly [keyof Limits, number] {
  const equals = text.indexOf("=");
  if (equals < 0) throw new SheafError("USAGE", `${source} is NAME=VALUE, such as maxInFlight=1000, not "${text}"`);
  const name = text.slice(0, equals).trim();
  const value = text.slice(equals + 1).trim();
  const known = names.find((each) => each === name);
  if (known === undefined) {
    const near = nearest(name, names);
    const hint = near.length > 0 ? `Nearest: ${near.join(", ")}` : `Limits: ${names.join(", ")}`;
    throw new SheafError("USAGE", `${source}: there is no limit "${name}"`, { hint });
  }
  if (/^[1-9]\d{0,14}$/.test(value)) return [known, Number(value)];
  throw new SheafError("USAGE", `${source}: ${known} is a whole number above 0, not "${value}"`);
}
