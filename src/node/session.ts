// What a caller has seen goes in and out with its calls. At the owner nothing is ever behind that, unless the journal was
// rolled back; then the caller is told, not answered from the past.

import { SheafError, type Tick, utf8 } from "../base/index.ts";
import type { Clock, Host } from "../host/index.ts";
import type { Cluster } from "../journal/index.ts";
import { advance, type Call, type Reply, type Seen, type Sessions, sessions } from "../rpc/index.ts";
import type { Shard, Shards } from "../shards/index.ts";

const secretFile = "session-secret";

/** The cluster's session tokens. Their key comes from the encryption key where there is one, else from a secret in the
 *  node's own folder, so that tokens outlive a restart. */
export function openSessions(host: Host, cluster: Cluster, encryptionKey: Uint8Array | undefined): Sessions {
  const root = encryptionKey ?? secret(host);
  return sessions(host.crypto, host.crypto.hmacSha256(root, utf8("sheaf session key")), cluster.id);
}

function secret(host: Host): Uint8Array {
  const kept = host.disk.read(secretFile);
  if (kept?.length === 32) return kept;
  const fresh = host.dice.bytes(32);
  host.disk.write(secretFile, fresh);
  return fresh;
}

/** Carries out a call for a caller that keeps a session. */
export async function inSession(
  call: Call,
  tokens: Sessions,
  shards: Shards,
  clock: Clock,
  carry: (call: Call) => Promise<Reply>,
): Promise<Reply> {
  const seen = tokens.read(call.session ?? "");
  const { target } = call;
  if (target.kind === "procedure") return { ...(await carry(call)), session: tokens.make(seen) };
  const shard = shards.of(target.entity, target.key);
  await notBehind(shard, seen, call.deadline, clock);
  const reply = await carry(call);
  const { generation, seq } = shard.fold;
  return { ...reply, session: tokens.make(advance(seen, shard.number, generation, seq)) };
}

/** Rejects DATA_ROLLED_BACK when the caller has seen more of this shard than there is. */
async function notBehind(shard: Shard, seen: Seen, deadline: Tick, clock: Clock): Promise<void> {
  const wanted = seen.get(shard.number);
  if (!wanted || reaches(shard, wanted)) return;
  await new Promise<void>((resolve, reject) => {
    const late = (): void => reject(new SheafError("DEADLINE", undefined, { outcome: "not-applied" }));
    const timer = clock.after(Math.max(0, deadline - clock.tick()), late);
    shard.settled((error) => {
      timer.cancel();
      if (error) reject(error);
      else resolve();
    });
  });
  if (!reaches(shard, wanted)) {
    throw new SheafError("DATA_ROLLED_BACK", `shard ${shard.number} is behind what this session has seen of it`, {
      hint: "the engine lost data or was restored from an older copy; begin a new session to go on with what is there",
    });
  }
}

const reaches = ({ fold }: Shard, wanted: { generation: number; seq: number }): boolean =>
  wanted.generation === fold.generation && wanted.seq <= fold.seq;
