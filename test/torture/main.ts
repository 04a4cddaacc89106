// Proof with real processes: a cluster of three nodes under load, and faults that strike it.
//
//   npm run torture -- --engine embedded|postgres|nats [--app own|ledger|booking] [--minutes 5] [--faults kill,pause,…] [--seed N] [--json]
//
// Prints a table, a row per fault. Exit code 0: nothing lost, doubled or stale, and enough was seen; 1: not so; 2: not understood;
// 130: ended by Ctrl-C before its time, with the table so far. Writes nothing but a temporary folder.

import process from "node:process";
import { parseArgs } from "node:util";
import { engineNames } from "./engine.ts";
import { faults } from "./faults.ts";
import { enterPrivateWorld } from "./private-world.ts";
import { reportOf, textOf } from "./report.ts";
import { torture, type TortureOptions, type WorkloadName, workloads } from "./torture.ts";

const names = Object.keys(workloads) as WorkloadName[];
const usage = `npm run torture -- --engine ${engineNames.join("|")} [--app ${names.join("|")}] [--minutes 5] [--faults LIST] [--seed N] [--json]

  --defect   of an example: its application has a defect that must be found

faults:
${Object.entries(faults)
  .map(([name, { says }]) => `  ${name.padEnd(10)} ${says}`)
  .join("\n")}
`;

function optionsOf(args: readonly string[]): (Omit<TortureOptions, "say" | "stopped"> & { json: boolean }) | undefined {
  try {
    const { values } = parseArgs({
      args: [...args],
      options: {
        engine: { type: "string", default: "embedded" },
        app: { type: "string", default: "own" },
        defect: { type: "boolean", default: false },
        minutes: { type: "string", default: "5" },
        faults: { type: "string" },
        seed: { type: "string" },
        json: { type: "boolean", default: false },
        help: { type: "boolean", short: "h", default: false },
      },
    });
    const engine = engineNames.find((name) => name === values.engine);
    const workload = names.find((name) => name === values.app);
    const minutes = Number(values.minutes);
    const asked = values.faults?.split(",") ?? Object.keys(faults);
    const seed = values.seed === undefined ? Date.now() % 1_000_000 : Number(values.seed);
    const isKnown = asked.every((name) => Object.hasOwn(faults, name));
    if (values.help || engine === undefined || workload === undefined || !isKnown) return undefined;
    const isDefective = values.defect;
    if (isDefective && workloads[workload].defective === undefined) return undefined;
    if (!(minutes >= 0) || !Number.isSafeInteger(seed)) return undefined;
    return { workload, isDefective, engine, minutes, faults: asked, seed, json: values.json };
  } catch {
    return undefined;
  }
}

async function main(): Promise<number> {
  const options = optionsOf(process.argv.slice(2));
  if (options === undefined) {
    process.stderr.write(usage);
    return 2;
  }
  const code = await enterPrivateWorld();
  if (code !== undefined) return code;
  const stop = new AbortController();
  const end = (): void => {
    if (stop.signal.aborted) process.exit(130);
    process.stderr.write("ending after this strike …\n");
    stop.abort();
  };
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, end);
  const say = (line: string): void => void process.stderr.write(`${line}\n`);
  say(`app ${options.workload}, engine ${options.engine}, seed ${options.seed}, faults ${options.faults.join(" ")}`);
  const report = reportOf(await torture({ ...options, say, stopped: stop.signal }));
  const { workload, engine, seed } = options;
  process.stdout.write(
    options.json ? `${JSON.stringify({ app: workload, engine, seed, ...report })}\n` : `${textOf(report)}\n`,
  );
  if (!report.isGreen) return 1;
  return stop.signal.aborted ? 130 : 0;
}

process.exitCode = await main().catch((error: Error) => {
  process.stderr.write(`${error.message}\n`);
  return 1;
});
