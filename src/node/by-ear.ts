// A planted defect of the membership, for tests that prove that the suite would notice.

import type { View } from "../cluster/index.ts";
import type { Peers } from "./peers.ts";

/** The view of one who believes only what it hears itself: a planted defect. */
export function byEar(view: View, me: string, peers: Peers): View {
  const members = view.members.map((seen) => {
    const isHeard = seen.member.id === me || peers.get(seen.member.id)?.state === "up";
    return { ...seen, standing: isHeard ? ("alive" as const) : ("dead" as const) };
  });
  return {
    ...view,
    members,
    byId: new Map(members.map((seen) => [seen.member.id, seen])),
    excluded: false,
    mayClaim: true,
  };
}
