// What a caller has seen goes in and out with its calls. An owner is never behind that, unless the journal was rolled back;
// then the caller is told, not answered from the past. A follower waits a little for what is on its way, else sends the
// call on to the owner.

import {
  amended,
  asSheafError,
  type ErrorCode,
  fromHex,
  type Generation,
  isThereOf,
  joinSeen,
  type Millis,
  type Seen,
  type Seq,
  SheafError,
  type Tick,
  toHex,
  utf8,
  withoutHeld,
} from "../base/index.ts";
import { Secret } from "../control/index.ts";
import type { Clock, Host } from "../host/index.ts";
import type { Cluster } from "../journal/index.ts";
import { type Call, type Consistency, type Derive, type Reply, type Sessions, sessions } from "../rpc/index.ts";
import { system } from "../security/index.ts";
import type { Shard, Shards } from "../shards/index.ts";

const secretFile = "session-secret";
const shareMs: Millis = 10_000;
/** How long a follower waits for what its caller has seen. */
const followerPatienceMs: Millis = 50;
const lookEveryMs: Millis = 2;

/** What one cluster makes of its secret: session tokens, and draws that are the same on every node. */
export type Secrets = { readonly tokens: Sessions; readonly derive: Derive };

export function openSecrets({ crypto }: Host, { id }: Cluster, root: Uint8Array): Secrets {
  const key = crypto.hmacSha256(root, utf8("sheaf draw key"));
  return {
    tokens: sessions(crypto, crypto.hmacSha256(root, utf8("sheaf session key")), id),
    derive: (label) => crypto.hmacSha256(key, utf8(`${id} ${label}`)),
  };
}

/** The secret of a node that is alone, kept in its own folder so that tokens outlive a restart. */
export function ownSecret(host: Host): Uint8Array {
  const kept = host.disk.read(secretFile);
  if (kept?.length === 32) return kept;
  const fresh = host.dice.bytes(32);
  host.disk.write(secretFile, fresh);
  return fresh;
}

/** The secret that all nodes share. The first that asks offers its own, so that tokens it gave out stay good. */
export async function sharedSecret(host: Host, call: (call: Call) => Promise<Reply>): Promise<Uint8Array> {
  const { output } = await call({
    target: { kind: "command", entity: Secret.name, key: "session", name: "share" },
    input: toHex(ownSecret(host)),
    principal: system,
    deadline: host.clock.tick() + shareMs,
  });
  return fromHex(output as string);
}

/** Refusals that show something of the state that they were computed from. */
const telling: ReadonlySet<ErrorCode> = new Set([
  "DECLARED",
  "HANDLER_FAILED",
  "BAD_OUTPUT",
  "BAD_STATE",
  "STATE_TOO_NEW",
  "PRECONDITION_FAILED",
]);

/** Carries out a call for a caller that keeps a session. Its answer, a refusal too, tells what has been seen with it: the
 *  shard as it is by then, all that its writers had seen, and what the handler saw elsewhere. */
export async function inSession(
  call: Call,
  tokens: Sessions,
  shards: Shards,
  clock: Clock,
  level: (call: Call) => Consistency,
  carry: (call: Call) => Promise<Reply>,
): Promise<Reply> {
  const before = tokens.read(call.session ?? "");
  const { target } = call;
  if (target.kind === "procedure") {
    const reply = await carry(call);
    return { ...reply, session: reply.session ?? tokens.make(before) };
  }
  const shard = shards.of(target.entity, target.key);
  // Any copy answers an eventual query, however far behind.
  if (shard.held !== undefined || level(call) !== "eventual") await notBehind(shard, before, call, clock);
  // While a handler waits, its shard may be opened anew from further back: what it looked at is what counts.
  const { fold } = shard;
  const since = ({ session = "" }: { readonly session?: string | undefined }): string => {
    const here = shard.fold === fold ? fold.seen : joinSeen(fold.seen, shard.fold.seen);
    const all = joinSeen(joinSeen(before, tokens.read(session)), here);
    return tokens.make(withoutHeld(all, shard.number, reachedBy(shard)));
  };
  try {
    const reply = await carry(call);
    return { ...reply, session: since(reply) };
  } catch (thrown) {
    const error = asSheafError(thrown);
    if (shard.ground.host.faults.mutant("C8")) throw amended(error, { session: undefined });
    if (error.session === undefined && !telling.has(error.code)) throw error;
    throw amended(error, { session: since(error) });
  }
}

/** Rejects DATA_ROLLED_BACK when the caller has seen more of this shard than there is, and NOT_OWNER when a follower has
 *  not yet seen what the caller has. */
async function notBehind(shard: Shard, seen: Seen, call: Call, clock: Clock): Promise<void> {
  const isReached = (): boolean => isThereOf(seen, shard.number, reachedBy(shard));
  if (isReached() || shard.ground.host.faults.mutant("M11")) return;
  if (shard.tenure.kind === "following") return followed(shard, isReached, call.deadline, clock);
  await new Promise<void>((resolve, reject) => {
    const late = (): void => reject(new SheafError("DEADLINE", undefined, { outcome: "not-applied" }));
    const timer = clock.after(Math.max(0, call.deadline - clock.tick()), late);
    shard.settled((error) => {
      timer.cancel();
      if (error) reject(error);
      else resolve();
    });
  });
  if (!isReached()) {
    throw new SheafError("DATA_ROLLED_BACK", `shard ${shard.number} is behind what this session has seen of it`, {
      hint: "the engine lost data or was restored from an older copy; begin a new session to go on with what is there",
    });
  }
}

async function followed(shard: Shard, isReached: () => boolean, deadline: Tick, clock: Clock): Promise<void> {
  const until = Math.min(deadline, clock.tick() + followerPatienceMs);
  while (!isReached()) {
    if (clock.tick() >= until || shard.tenure.kind !== "following") throw new SheafError("NOT_OWNER");
    await new Promise<void>((resolve) => void clock.after(lookEveryMs, resolve));
  }
}

const reachedBy =
  ({ fold }: Shard) =>
  (generation: Generation, seq: Seq): boolean =>
    fold.reaches(generation, seq);
