// Processor time that a node spends on working out where all shards belong, anew and after one member has come or gone.
//
//   node src/cluster/placement.bench.ts

import { type Member, placementOf, trackMembers, type View } from "./index.ts";
import { memberNamed } from "./world.fixture.ts";

const rounds = 20;

function viewOf(members: readonly Member[]): View {
  const [me] = members as [Member];
  const seen = trackMembers(me, 0).view().members[0]!;
  const all = members.map((member) => ({ ...seen, member }));
  const byId = new Map(all.map((one) => [one.member.id, one]));
  return { version: 1, members: all, byId, excluded: false, mayClaim: true, settledSince: 0 };
}

for (const [nodes, shards] of [
  [3, 64],
  [100, 64],
  [100, 1024],
  [1000, 64],
  [1000, 1024],
] as const) {
  const view = viewOf(Array.from({ length: nodes }, (_, n) => memberNamed(`node-${n}`)));
  placementOf(view, shards, 3);
  const before = process.cpuUsage().user;
  for (let round = 0; round < rounds; round++) placementOf(view, shards, 3);
  const ms = (process.cpuUsage().user - before) / 1000 / rounds;
  console.log(JSON.stringify({ nodes, shards, ms: Number(ms.toFixed(2)) }));
}
