// What callers are told whose command or query does not begin.

import { SheafError } from "../base/index.ts";
import type { CompiledApp, CompiledEntity } from "../model/index.ts";
import type { Attempt } from "./attempt.ts";

export const reentrant = ({ task }: Attempt): SheafError =>
  new SheafError("REENTRANT", `${task.operation.label} of ${task.key} waits for the call that it is part of`);

export function unknownEntity(name: string, app: CompiledApp): SheafError {
  return new SheafError("UNKNOWN_TARGET", `there is no entity "${name}"`, {
    hint: `entities: ${[...app.entities.keys()].join(", ") || "none"}`,
  });
}

export function unknownOperation(entity: CompiledEntity, kind: "command" | "query", name: string): SheafError {
  const names = [...entity.operations.values()]
    .filter((operation) => operation.kind === kind)
    .map((operation) => operation.name);
  return new SheafError("UNKNOWN_TARGET", `${entity.contract.name} has no ${kind} "${name}"`, {
    hint: names.length > 0 ? `it has: ${names.join(", ")}` : `it has no ${kind === "query" ? "queries" : "commands"}`,
  });
}
