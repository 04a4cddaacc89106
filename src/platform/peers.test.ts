import assert from "node:assert/strict";
import { test } from "node:test";
import type { Pipe } from "../rpc/index.ts";
import {
  type After,
  cluster,
  identityOf,
  limits,
  newCa,
  sessionOf,
  type Session,
  until,
  world,
} from "./peer.fixture.ts";
import { openPeers, type OpenPeersOptions, type Peers } from "./peers.ts";

async function peers(t: After, given: Partial<OpenPeersOptions> & Pick<OpenPeersOptions, "identity">): Promise<Peers> {
  const opened = await openPeers({ port: 0, limits, world, ...given });
  t.after(() => opened.close());
  return opened;
}

type Tried = { readonly session?: Session; readonly why?: string; readonly refused?: boolean };

const tryTo = (from: Peers, address: string): Promise<Tried> =>
  new Promise((resolve) => {
    from.dial(address, {
      opened(pipe: Pipe) {
        const [session, end] = sessionOf(pipe, address);
        resolve({ session });
        return { ...end, closed: (why) => end.closed(why, "closed") };
      },
      failed: (why, refused) => resolve({ why, refused }),
    });
  });

test("peers of a node: who dials an address before and after anybody listens is sent away, and meanwhile is heard", async (t) => {
  const ca = newCa(t);
  const [a, b] = [
    await peers(t, { identity: identityOf(t, ca, "a") }),
    await peers(t, { identity: identityOf(t, ca, "b") }),
  ];
  const early = await tryTo(a, b.address);
  await until(() => early.session?.ends.length === 1);
  const sessions: Session[] = [];
  const stop = b.listen((pipe) => {
    const [session, end] = sessionOf(pipe, "a");
    sessions.push(session);
    return { ...end, closed: (why) => end.closed(why, "closed") };
  });
  const good = await tryTo(a, b.address);
  good.session?.pipe.send(Uint8Array.of(1));
  await until(() => sessions[0]?.got.length === 1);
  stop();
  const late = await tryTo(a, b.address);
  await until(() => late.session?.ends.length === 1);
  assert.deepEqual([sessions.length, sessions[0]?.ends], [1, []]);
});

test("peers of a node: that nothing listens at an address is told from every other failure", async (t) => {
  const [a, b] = [
    await peers(t, { identity: { kind: "plain", cluster, name: "a" } }),
    await peers(t, { identity: { kind: "plain", cluster, name: "b" } }),
  ];
  await b.close();
  const refused = await tryTo(a, b.address);
  assert.ok(refused.refused, refused.why);
  for (const address of ["", "a", "127.0.0.1", "127.0.0.1:x", "127.0.0.1:70000", "::1:5", "192.0.2.1:5"])
    assert.equal((await tryTo(a, address)).refused, false, address);
});

test("peers of a node: the address for others is one that they can connect to", async (t) => {
  const ca = newCa(t);
  const identity = identityOf(t, ca, "a");
  await assert.rejects(peers(t, { identity, host: "0.0.0.0" }), { code: "USAGE" });
  const wide = await peers(t, { identity, host: "0.0.0.0", advertise: "127.0.0.1" });
  assert.match(wide.address, /^127\.0\.0\.1:\d+$/);
  wide.listen((pipe) => {
    const [, end] = sessionOf(pipe, "");
    return { ...end, closed: (why) => end.closed(why, "closed") };
  });
  assert.ok((await tryTo(wide, wide.address)).session);
  assert.equal((await peers(t, { identity, advertise: "db-1:4002" })).address, "db-1:4002");
  assert.match((await peers(t, { identity, advertise: "fd00::1" })).address, /^\[fd00::1\]:\d+$/);
});
