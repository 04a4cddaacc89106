// What nodes of an idle cluster tell each other and ask of the engine, for clusters of many sizes: whole nodes in simulation, so
// that a hundred fit in one process, with every message between them counted.

import benchApp from "../../src/cli/bench-app.ts";
import { among, type Counts } from "../../src/node/many.fixture.ts";
import type { Check, Fact } from "../outcome.ts";
import type { Row } from "../row.ts";

/** Up to five nodes all watch all; growth is measured from where each only watches its neighbours. */
const sizes = [3, 10, 30, 100];
const flatFrom = 10;
const shards = 64;
const settleMs = 3000;
const countedMs = 3000;

/** What each node of an idle cluster sends and asks in a second. */
const perNode = (nodes: number): Promise<Counts> =>
  among(benchApp, nodes, shards, async ({ counts, sleep }) => {
    await sleep(settleMs);
    const before = { ...counts };
    await sleep(countedMs);
    const each = (what: keyof Counts): number => (counts[what] - before[what]) / nodes / (countedMs / 1000);
    return { messages: each("messages"), bytes: each("bytes"), asked: each("asked"), members: each("members") };
  });

export const traffic: Row = {
  id: "traffic",
  title: `what each node of an idle cluster with ${shards} shards tells the others and asks of the engine, in simulation`,
  async run({ note }) {
    const [facts, found]: [Fact[], Counts[]] = [[], []];
    for (const nodes of sizes) {
      const counts = await perNode(nodes);
      note(`${nodes} nodes: ${Math.round(counts.messages)} messages/s, ${Math.round(counts.bytes)} bytes/s each`);
      found.push(counts);
      facts.push(
        { name: `${nodes} nodes, messages to other nodes`, value: counts.messages, unit: "/s" },
        { name: `${nodes} nodes, bytes to other nodes`, value: counts.bytes, unit: "bytes/s" },
        { name: `${nodes} nodes, questions to the engine`, value: counts.asked, unit: "/s" },
        { name: `${nodes} nodes, what it answers of who is there`, value: counts.members, unit: "bytes/s" },
      );
    }
    const [first, last] = [found[sizes.indexOf(flatFrom)]!, found.at(-1)!];
    const growth = (what: keyof Counts, says: string): Check => ({
      says: `${says}, ${sizes.at(-1)} nodes ÷ ${flatFrom}`,
      value: last[what] / first[what],
      bound: "at most",
      target: 1.2,
    });
    const checks = [
      growth("bytes", "bytes to other nodes"),
      growth("asked", "questions to the engine"),
      growth("members", "bytes from the engine on who is there"),
    ];
    return {
      facts,
      checks,
      notes: [
        "Headers of TCP and TLS, some 60 bytes for each message, come on top.",
        "Connections that rest are asked once in 0.3 s times the number of nodes: in the seconds counted, few of those of a large cluster are.",
      ],
    };
  },
};
