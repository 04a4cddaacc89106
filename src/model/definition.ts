// Checks that entity and service definitions share. What a definition gets wrong is said when it is loaded, not when it is called.

import { SheafError } from "../base/index.ts";
import { checkFields, checkMember, checkRecord } from "./names.ts";
import type { Handler, Level } from "./shape.ts";
import { isSchema } from "./state.ts";

const levels: readonly unknown[] = ["strong", "causal", "eventual"] satisfies Level[];

const usage = (message: string): SheafError => new SheafError("USAGE", message);

/** Throws USAGE unless `operations` maps names to objects of schemas under `fields`. */
export function checkOperations(what: string, kind: string, operations: unknown, fields: readonly string[]): void {
  checkRecord(`${what}: the ${kind} definitions`, operations);
  for (const [name, operation] of Object.entries(operations)) {
    checkMember(`${what}: ${kind}`, name);
    const whose = `${what}: ${kind} ${name}`;
    checkFields(whose, operation, fields);
    const { input, output, errors, consistency } = operation as Readonly<Record<string, unknown>>;
    for (const [side, schema] of Object.entries({ input, output })) {
      if (schema !== undefined && !isSchema(schema)) throw usage(`${whose}: ${side} must be a Standard Schema`);
    }
    if (consistency !== undefined && !levels.includes(consistency)) {
      throw usage(`${whose}: consistency is "strong", "causal" or "eventual", not ${JSON.stringify(consistency)}`);
    }
    if (errors !== undefined) checkErrors(whose, errors);
  }
}

function checkErrors(whose: string, errors: unknown): void {
  checkRecord(`${whose}: errors`, errors);
  for (const [name, schema] of Object.entries(errors)) {
    checkMember(`${whose}: error`, name);
    if (!isSchema(schema))
      throw usage(`${whose}: error ${name} needs a Standard Schema of its data (z.undefined() for none)`);
  }
}

/** A copy of the definitions by name that nothing can change. */
export function frozenMembers<T extends Readonly<Record<string, object>>>(members: T): T {
  const copy = Object.entries(members).map(([name, member]) => [name, Object.freeze({ ...member })] as const);
  return Object.freeze(Object.fromEntries(copy)) as T;
}

/** The handlers by name, without `initial`. Throws USAGE when `given` does not have exactly the functions in `names`. */
export function handlersOf(what: string, given: object, names: readonly string[]): Readonly<Record<string, Handler>> {
  checkRecord(`${what}: the implementation`, given);
  const members: Readonly<Record<string, unknown>> = given;
  const handlers = Object.create(null) as Record<string, Handler>;
  for (const name of names) {
    const handler = members[name];
    if (typeof handler !== "function") throw usage(`${what}: the implementation has no function "${name}"`);
    if (name !== "initial") handlers[name] = handler as Handler;
  }
  const extra = Object.keys(members).find((name) => !names.includes(name));
  if (extra !== undefined) throw usage(`${what}: the implementation has "${extra}", which is not in the contract`);
  return Object.freeze(handlers);
}
