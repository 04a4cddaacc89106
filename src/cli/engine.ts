// `sheaf engine verify`: reads all that an engine keeps of a cluster, and tells what is damaged.

import { checkEngine } from "../backup/index.ts";
import { parseCount, type Run } from "./context.ts";
import { type EngineFlags, atWork, withEngine } from "./kept-engine.ts";
import { tellReport } from "./tell-report.ts";

type VerifyFlags = EngineFlags & { readonly shard?: string };

export const verify: Run<VerifyFlags> = async (context, _args, flags) => {
  const shards = flags.shard === undefined ? undefined : [parseCount(flags.shard, "--shard", 0, 2 ** 15)];
  const report = await atWork(context, flags, (work) =>
    withEngine(context, flags, "look", async (engine) => ({
      ...(await checkEngine({ ...work, engine, shards })),
      facts: { engine: engine.name },
    })),
  );
  if (report === 130) return report;
  return tellReport(context.output, "sheaf.engine.verify/v1", report, report.facts);
};
