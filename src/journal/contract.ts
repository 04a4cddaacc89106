// The kit that every engine passes: what the runtime relies on, and nothing an engine may do otherwise. An engine's own
// test file hands over its test function, its asserts and a way to open it; nothing here knows where data is kept.

import { journalRules } from "./contract-journal.ts";
import { registryRules } from "./contract-registry.ts";
import { restorationRules } from "./contract-restoration.ts";
import { snapshotRules } from "./contract-snapshots.ts";
import { tailAndWatchRules } from "./contract-tail.ts";
import type { KitTools } from "./contract-tools.ts";
import type { Engine } from "./engine.ts";

export type { KitTools } from "./contract-tools.ts";

/** One engine's storage, empty at first. */
export type EngineBed = {
  /** A handle on the same storage; several stand for several processes. The kit closes what it opens. */
  open(): Promise<Engine>;
  /** Removes the storage. Every handle was closed before. */
  destroy(): Promise<void>;
};

/** Registers the kit's tests under `name`. `bed` is called once per test. */
export function engineContract(name: string, tools: KitTools, bed: () => Promise<EngineBed>): void {
  for (const rule of [...journalRules, ...tailAndWatchRules, ...snapshotRules, ...registryRules, ...restorationRules])
    tools.test(`${name} engine: ${rule.says}`, async () => {
      const storage = await bed();
      const opened: Engine[] = [];
      const open = async (): Promise<Engine> => {
        const engine = await storage.open();
        opened.push(engine);
        return engine;
      };
      try {
        await rule.holds({ open, assert: tools.assert });
      } finally {
        await Promise.allSettled(opened.map((engine) => engine.close()));
        await storage.destroy();
      }
    });
}
