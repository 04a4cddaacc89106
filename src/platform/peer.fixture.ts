// What the tests of connections between nodes share: authorities and identities in a folder that is gone afterwards, listeners and
// dialers that remember what they were told.

import { generateKeyPairSync } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { defaultLimits, type Limits, type SheafError } from "../base/index.ts";
import type { Log } from "../host/index.ts";
import type { Pipe } from "../rpc/index.ts";
import { realClock } from "./clock.ts";
import { type ClusterCa, ensureCa } from "./cluster-ca.ts";
import { type CertifiedIdentity, issuedIdentity, type PeerIdentity } from "./identity.ts";
import { dialPeer, type DialPeerOptions } from "./peer-dial.ts";
import { listenPeers, type ListenPeersOptions, type PeerListener } from "./peer-listener.ts";
import type { PeerEnd, PeerLoss } from "./peer-pipe.ts";

export type After = { after(fn: () => void | Promise<void>): void };

export const cluster = "0f".repeat(16);
export const limits: Limits = { ...defaultLimits, headersTimeoutMs: 5_000 };

const said = new WeakMap<Log, string[]>();
const silent = (): Log => {
  const lines: string[] = [];
  const say = (message: string, fields?: object): void => void lines.push(`${message} ${JSON.stringify(fields)}`);
  const log: Log = { debug: say, info: say, warn: say, error: say };
  said.set(log, lines);
  return log;
};
export const newWorld = (): ListenPeersOptions["world"] => ({ clock: realClock(), log: silent() });
export const world = newWorld();
export const logOf = ({ log }: Pick<ListenPeersOptions["world"], "log">): readonly string[] => said.get(log) ?? [];

export function folder(t: After): string {
  const path = mkdtempSync(join(tmpdir(), "sheaf-peer-"));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

export const newCa = (t: After, id = cluster): ClusterCa =>
  ensureCa(join(folder(t), "ca"), { cluster: id, now: Date.now() });

export function identityOf(t: After, ca: ClusterCa, name: string): CertifiedIdentity {
  const identity = issuedIdentity(ca, { name, world });
  t.after(() => identity.close());
  return identity;
}

export const newPublicKey = (): Uint8Array =>
  generateKeyPairSync("ec", { namedCurve: "P-256" }).publicKey.export({ type: "spki", format: "der" });

export const until = async (holds: () => boolean): Promise<void> => {
  for (const ends = Date.now() + 30_000; !holds();) {
    if (Date.now() > ends) throw new Error(`never came true: ${holds.toString()}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
};

export type Session = {
  readonly peer: string;
  readonly pipe: Pipe;
  readonly got: Uint8Array[];
  drained: number;
  readonly ends: { readonly why: string; readonly loss: PeerLoss }[];
};

export function sessionOf(
  pipe: Pipe,
  peer: string,
  on?: (session: Session, bytes: Uint8Array) => void,
): [Session, PeerEnd] {
  const session: Session = { peer, pipe, got: [], drained: 0, ends: [] };
  return [
    session,
    {
      message(bytes) {
        session.got.push(bytes);
        on?.(session, bytes);
      },
      drained: () => void session.drained++,
      closed: (why, loss) => void session.ends.push({ why, loss }),
    },
  ];
}

export type Listening = { readonly listener: PeerListener; readonly port: number; readonly sessions: Session[] };

export async function listening(
  t: After,
  identity: PeerIdentity,
  given: Partial<ListenPeersOptions> & { on?: (session: Session, bytes: Uint8Array) => void } = {},
): Promise<Listening> {
  const sessions: Session[] = [];
  const open = (pipe: Pipe, peer: string): PeerEnd => {
    const [session, end] = sessionOf(pipe, peer, given.on);
    sessions.push(session);
    return end;
  };
  const listener = await listenPeers({ port: 0, identity, limits, world, open, ...given });
  t.after(() => listener.close());
  return { listener, port: listener.port, sessions };
}

export type Dialed =
  | { readonly kind: "opened"; readonly session: Session }
  | { readonly kind: "failed"; readonly error: SheafError; readonly loss: PeerLoss };

export function dialing(
  port: number,
  identity: PeerIdentity,
  given: Partial<DialPeerOptions> & { on?: (session: Session, bytes: Uint8Array) => void } = {},
): Promise<Dialed> {
  return new Promise((resolve) => {
    dialPeer(
      { host: "127.0.0.1", port, identity, limits, world, ...given },
      {
        opened(pipe, peer) {
          const [session, end] = sessionOf(pipe, peer, given.on);
          resolve({ kind: "opened", session });
          return end;
        },
        failed: (error, loss) => resolve({ kind: "failed", error, loss }),
      },
    );
  });
}

/** A connection that must succeed. */
export async function connected(...given: Parameters<typeof dialing>): Promise<Session> {
  const dialed = await dialing(...given);
  if (dialed.kind === "failed") throw dialed.error;
  return dialed.session;
}
