// What nodes of an idle cluster tell each other and ask of the engine, for clusters of many sizes, in simulation: three whole
// nodes, with every message that they send counted, among members whose other halves are left out (many.fixture.ts). And what
// each of them has of somebody's coming and going.

import benchApp from "../../src/cli/bench-app.ts";
import { neighboursOf } from "../../src/cluster/index.ts";
import { among, type Counts, idle, type Many } from "../../src/node/many.fixture.ts";
import type { Check, Fact } from "../outcome.ts";
import type { Row } from "../row.ts";

/** Up to five nodes all watch all; growth is measured from where each only watches its neighbours. */
const sizes = [3, 10, 30, 100, 300, 1000];
const flatFrom = 10;
const shards = 64;
const whole = 3;

const kinds = ["messages", "bytes", "asked", "members"] as const;

/** What each whole node sends and asks in so many milliseconds after a change, over what it does without. */
async function more({ nodes, counts, sleep }: Many, ms: number, change: () => void): Promise<Counts> {
  const quiet = { ...counts };
  await sleep(ms);
  const before = { ...counts };
  change();
  await sleep(ms);
  const of = (kind: keyof Counts): number =>
    (counts[kind] - before[kind] - (before[kind] - quiet[kind])) / nodes.length;
  return { messages: of("messages"), bytes: of("bytes"), asked: of("asked"), members: of("members") };
}

/** By what happened: what it costs each of the others in the seconds after it. */
const changes = (nodes: number): Promise<Record<string, Counts>> =>
  among(
    benchApp,
    whole,
    shards,
    async (many) => {
      const {
        nodes: [first],
        crowd,
        extra,
        sleep,
      } = many;
      await sleep(5000);
      // Only whole nodes tell the others of one that they watch.
      const near = neighboursOf(
        first!.node.id,
        [...many.nodes, ...crowd].map(({ name }) => name),
      );
      const [watched, far] = [true, false].map((isNear) => crowd.find(({ name }) => near.has(name) === isNear));
      return {
        "a node joins": await more(many, 3000, () => void extra("late")),
        "a node is killed": await more(many, 10_000, () => far!.kill()),
        "a node freezes that one of the three watches": await more(many, 10_000, () => watched!.host.pause()),
      };
    },
    nodes - whole,
  );

export const traffic: Row = {
  id: "traffic",
  title: `what each node of an idle cluster with ${shards} shards tells the others and asks of the engine, in simulation`,
  async run({ note }) {
    const [facts, found]: [Fact[], Counts[]] = [[], []];
    for (const nodes of sizes) {
      const counts = await among(benchApp, whole, shards, idle, nodes - whole);
      note(`${nodes} nodes: ${Math.round(counts.messages)} messages/s, ${Math.round(counts.bytes)} bytes/s each`);
      found.push(counts);
      facts.push(
        { name: `${nodes} nodes, messages to other nodes`, value: counts.messages, unit: "/s" },
        { name: `${nodes} nodes, bytes to other nodes`, value: counts.bytes, unit: "bytes/s" },
        { name: `${nodes} nodes, questions to the engine`, value: counts.asked, unit: "/s" },
        { name: `${nodes} nodes, what it answers of who is there`, value: counts.members, unit: "bytes/s" },
      );
    }
    for (const nodes of [30, 300])
      for (const [what, counts] of Object.entries(await changes(nodes)))
        for (const kind of kinds)
          facts.push({ name: `${nodes} nodes, ${what}, ${says[kind]}`, value: counts[kind], unit: "more" });
    const [first, last] = [found[sizes.indexOf(flatFrom)]!, found.at(-1)!];
    const growth = (what: keyof Counts): Check => ({
      says: `${says[what]}, ${sizes.at(-1)} nodes ÷ ${flatFrom}`,
      value: last[what] / first[what],
      bound: "at most",
      target: 1.2,
    });
    return {
      facts,
      checks: kinds.map(growth),
      notes: [
        "Headers of TCP and TLS, some 60 bytes for each message, come on top.",
        "Connections that rest are asked once in 0.3 s times the number of nodes: in the seconds counted, few of those of a large cluster are.",
        "Of a change: what each whole node sends and reads more, in 3 s of a join and in 10 s of a loss.",
      ],
    };
  },
};

const says: { readonly [kind in keyof Counts]: string } = {
  messages: "messages to other nodes",
  bytes: "bytes to other nodes",
  asked: "questions to the engine",
  members: "bytes from the engine on who is there",
};
