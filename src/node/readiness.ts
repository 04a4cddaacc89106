// May this node take traffic? What `/readyz` says, and why.
//
// Y1. It says no while calls to this node would mostly fail and those to another might not. One shard that is on its way
//     from a dead node to another is no reason: every node would say no at once.

import type { Operator } from "../admin/index.ts";
import type { Shard } from "../shards/index.ts";
import type { Membership, Placed } from "./membership.ts";

type Readiness = ReturnType<Operator["ready"]>;

const saidOf = (checks: Readiness["checks"]): Readiness => ({
  ok: Object.values(checks).every((says) => says === "ok"),
  checks,
});

export function readiness(parts: Placed): Readiness {
  const { membership } = parts;
  return membership ? amongOthers(parts, membership) : alone(parts);
}

/** Nobody else would serve what this node does not. */
function alone({ state, leaving, shards }: Placed): Readiness {
  const closed = shards.all.filter((shard) => shard.tenure.kind !== "serving");
  const [first] = closed;
  return saidOf({
    node: leaving ? "it is stopping" : state === "ready" ? "ok" : state,
    engine: shards.isAnswered() ? "ok" : "the engine does not answer",
    shards: first
      ? `${closed.length} of ${shards.all.length} not served; shard ${first.number} is ${first.tenure.kind}`
      : "ok",
  });
}

function amongOthers({ state, leaving, shards }: Placed, membership: Membership): Readiness {
  const { excluded, mayClaim } = membership.view;
  const drains = membership.self.state === "draining";
  const copies = shards.all.filter(({ number, tenure }) => tenure.kind !== "closed" || membership.isCopy(number));
  const lost = copies.filter((shard) => !isServed(shard, membership));
  return saidOf({
    node: leaving ? "it is stopping" : drains ? "it is draining" : state === "ready" ? "ok" : state,
    engine: mayClaim || excluded ? "ok" : "the engine does not answer",
    cluster: excluded ? "cut off from others that go on without this node" : "ok",
    shards: 2 * lost.length > copies.length ? `${lost.length} of ${copies.length} copies here have no owner` : "ok",
  });
}

/** By this node, or by another that it knows of. A quarantined shard is served by nobody who reads its journal. */
const isServed = (shard: Shard, membership: Membership): boolean =>
  shard.tenure.kind !== "quarantined" && membership.ownerOf(shard) !== undefined;
