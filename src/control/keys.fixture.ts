// The system entities run straight from their implementations, one call at a time, on a map: enough of a runtime to test keys on.

import { SheafError } from "../base/index.ts";
import type { Host } from "../host/index.ts";
import type { Call, Calls } from "../rpc/index.ts";
import { systemEntities, type Search } from "./index.ts";

export type SystemShards = {
  readonly calls: Calls;
  readonly search: Search;
  readonly seen: Call[];
  /** When set, calls fail with it. */
  down: SheafError | undefined;
};

export function systemShards(host: Host): SystemShards {
  const states = new Map<string, unknown>();
  const run = (call: Call): unknown => {
    const { target } = call;
    if (target.kind === "procedure") throw new SheafError("UNKNOWN_TARGET");
    const found = systemEntities.find(({ contract }) => contract.name === target.entity);
    const handler = found?.handlers[target.name];
    const shape = found?.contract.commands[target.name] ?? found?.contract.queries[target.name];
    if (found === undefined || handler === undefined) throw new SheafError("UNKNOWN_TARGET");
    const checked = shape?.input?.["~standard"].validate(call.input);
    if (checked !== undefined && "issues" in checked && checked.issues !== undefined)
      throw new SheafError("BAD_INPUT", JSON.stringify(checked.issues));
    const state = structuredClone(states.get(target.key) ?? found.initial(target.key));
    const fail = (name: string, data: unknown): never => {
      throw new SheafError("DECLARED", undefined, { name, data });
    };
    const output = handler({ key: target.key, state, input: call.input, now: host.clock.now(), fail } as never);
    const valid = found.contract.state.schema["~standard"].validate(state);
    if ("issues" in valid && valid.issues !== undefined)
      throw new SheafError("BAD_STATE", JSON.stringify(valid.issues));
    if (target.kind === "command") states.set(target.key, state);
    return output;
  };
  const shards: SystemShards = {
    seen: [],
    down: undefined,
    calls: {
      async call(call) {
        shards.seen.push(call);
        if (shards.down !== undefined) throw shards.down;
        return { output: run(call) };
      },
    },
    search: async (_, prefix, after = "", limit) =>
      [...states]
        .map(([key, state]) => ({ key, state }))
        .filter(({ key }) => key.startsWith(prefix) && key > after)
        .sort((a, b) => (a.key < b.key ? -1 : 1))
        .slice(0, limit),
  };
  return shards;
}
