// `sheaf doctor`: looks at this machine, the data folder and the running node, and says what is wrong and what to do.
// Ends with 6 when something is wrong; what is merely unusual is shown and does not count.

import type { Finding } from "./findings.ts";
import { machineChecks } from "./doctor-machine.ts";
import { nodeChecks } from "./doctor-node.ts";
import type { Run } from "./context.ts";
import type { RemoteOptions } from "./remote.ts";

const marks = { ok: ["green", "✓"], warn: ["yellow", "▲"], bad: ["red", "✕"], unknown: ["dim", "?"] } as const;

export const doctor: Run<RemoteOptions> = async (context, _args, options) => {
  const { output } = context;
  const findings: Finding[] = [...machineChecks(context, options), ...(await nodeChecks(context, options))];
  const { paint } = output.terminal.out;
  output.list("sheaf.doctor/v1", findings, {
    id: (finding) => `${finding.state} ${finding.check}`,
    columns: [
      { title: "", value: ({ state }) => marks[state][1], style: ({ state }) => marks[state][0] },
      { title: "check", value: ({ check }) => check },
      { title: "found", value: ({ found }) => found },
      { title: "why", value: ({ why }) => why ?? "" },
      { title: "do", value: ({ fix }) => fix ?? "" },
    ],
  });
  const bad = findings.filter(({ state }) => state === "bad").length;
  const odd = findings.filter(({ state }) => state === "warn" || state === "unknown").length;
  const summary =
    bad === 0
      ? paint("green", odd === 0 ? "nothing is wrong" : `nothing is broken; ${odd} marked ▲ or ? to look at`)
      : paint("red", `${bad} ${bad === 1 ? "thing is" : "things are"} wrong`);
  output.note(summary);
  return bad === 0 ? 0 : 6;
};
