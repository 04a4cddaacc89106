// What the journals say when all is over (PROMISES W11): read by us alone, from the engine, as a stranger would.

import { setTimeout as sleep } from "node:timers/promises";
import { openEngine } from "../../src/engines/index.ts";
import { type Engine, recordCodec } from "../../src/journal/index.ts";
import { realCompress, realCrypto } from "../../src/platform/crypto.ts";
import { auditJournal } from "../../src/sim/journal-audit.ts";
import { shards } from "./nodes.ts";

/** Somebody who looks at the journals while the nodes work. */
export interface Eye {
  /** How often a shard was taken over so far; undefined when the engine does not say just now. */
  takeovers(): Promise<number | undefined>;
  /** Reads every journal from its first kept record to its last. */
  audit(): Promise<{ readonly records: number; readonly voided: number; readonly problems: readonly string[] }>;
  shut(): Promise<void>;
}

export function openEye(url: string): Eye {
  let engine: Promise<Engine> | undefined;
  const open = (): Promise<Engine> => (engine ??= openEngine(url));
  const shut = async (): Promise<void> => {
    const opened = engine;
    engine = undefined;
    await (await opened?.catch(() => undefined))?.close();
  };
  return {
    async takeovers() {
      const soon = sleep(20_000, undefined, { ref: false });
      const count = async (): Promise<number> => {
        const heads = await (await open()).barrier(Array.from({ length: shards }, (_, shard) => shard));
        return heads.reduce((sum, { epoch }) => sum + epoch, 0);
      };
      return Promise.race([
        count().catch(async () => {
          await shut();
          return undefined;
        }),
        soon,
      ]);
    },
    async audit() {
      const opened = await open();
      const cluster = await opened.identify();
      if (cluster === undefined) return { records: 0, voided: 0, problems: ["the engine holds no cluster any more"] };
      const codec = recordCodec({ cluster: cluster.id, crypto: realCrypto, compress: realCompress });
      const audits = [];
      for (let shard = 0; shard < cluster.shards; shard++) audits.push(await auditJournal(opened, codec, shard));
      return {
        records: audits.reduce((sum, { records }) => sum + records, 0),
        voided: audits.reduce((sum, { voided }) => sum + voided, 0),
        problems: audits.flatMap(({ problems }) => problems),
      };
    },
    shut,
  };
}
