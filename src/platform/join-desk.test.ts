import assert from "node:assert/strict";
import { createHash, createPublicKey, type KeyObject, sign, X509Certificate } from "node:crypto";
import { once } from "node:events";
import { test } from "node:test";
import { connect, type TLSSocket } from "node:tls";
import { joinProof, type JoinToken, readToken } from "../security/index.ts";
import type { ClusterCa } from "./cluster-ca.ts";
import { realCrypto } from "./crypto.ts";
import { newKey, publicOf } from "./identity.ts";
import { joinBinding, possession, readOne, vouching, writeOne } from "./join-desk.ts";
import { type After, identityOf, listening, newCa } from "./peer.fixture.ts";
import { joinProtocol } from "./peer-trust.ts";

type Desk = { readonly ca: ClusterCa; readonly port: number };

async function desk(t: After): Promise<Desk> {
  const ca = newCa(t);
  const { port } = await listening(t, identityOf(t, ca, "issuer"), { issuer: ca });
  return { ca, port };
}

const token = (ca: ClusterCa): JoinToken => readToken(realCrypto, ca.mint({ now: Date.now(), ttlMs: 60_000 }));

async function asking(port: number): Promise<TLSSocket> {
  const socket = connect({ host: "127.0.0.1", port, rejectUnauthorized: false, ALPNProtocols: [joinProtocol] });
  await once(socket, "secureConnect");
  return socket;
}

/** The issuer's answer: a certificate, or a code. */
async function answer(socket: TLSSocket, fields: readonly unknown[]): Promise<X509Certificate | string> {
  const said = new Promise<unknown[]>((resolve) => readOne(socket, (heard) => resolve(heard as unknown[])));
  writeOne(socket, fields);
  const [first] = await said;
  socket.destroy();
  return typeof first === "string" ? first : new X509Certificate(first as Uint8Array);
}

/** A newcomer's question as it is right, for the connection that it is asked on. */
function question(socket: TLSSocket, key: KeyObject, by: JoinToken, name = "a"): unknown[] {
  const binding = joinBinding(socket, publicOf(key), name);
  const proof = joinProof(realCrypto, by.secret, binding);
  return ["join", name, publicOf(key), sign("sha256", possession(binding), key), by.id, by.expiresAt, by.name, proof];
}

test("join desk: a certificate is for the key that asked for it, and for no other that is shown", async (t) => {
  const { ca, port } = await desk(t);
  const by = token(ca);
  const [own, foreign] = [newKey(), newKey()];
  const socket = await asking(port);
  const fields = question(socket, own, by);
  const binding = joinBinding(socket, publicOf(foreign), "a");
  const stolen = [...fields];
  stolen[2] = publicOf(foreign);
  stolen[7] = joinProof(realCrypto, by.secret, binding);
  assert.equal(await answer(socket, stolen), "UNAUTHENTICATED");
  const again = await asking(port);
  const good = await answer(again, question(again, own, by));
  assert.ok(good instanceof X509Certificate && good.checkPrivateKey(own));
});

test("join desk: what was heard on one connection is good on no other, nor for another name (J2)", async (t) => {
  const { ca, port } = await desk(t);
  const [by, key] = [token(ca), newKey()];
  const first = await asking(port);
  const heard = question(first, key, by);
  first.destroy();
  const second = await asking(port);
  assert.equal(await answer(second, heard), "UNAUTHENTICATED");
  // Even by one who holds the key: the proof of the token is of the other connection.
  const third = await asking(port);
  const mixed = question(third, key, by);
  mixed[7] = heard[7];
  assert.equal(await answer(third, mixed), "UNAUTHENTICATED");
  const fourth = await asking(port);
  const renamed = question(fourth, key, by);
  renamed[1] = "b";
  assert.equal(await answer(fourth, renamed), "UNAUTHENTICATED");
});

test("join desk: a certificate is renewed only when its own key vouches for the next", async (t) => {
  const { ca, port } = await desk(t);
  const [by, key, next] = [token(ca), newKey(), newKey()];
  const first = await asking(port);
  const held = await answer(first, question(first, key, by));
  assert.ok(held instanceof X509Certificate);
  const renewal = (socket: TLSSocket, by: KeyObject): unknown[] => {
    const binding = joinBinding(socket, publicOf(next), "a");
    const mine = sign("sha256", possession(binding), next);
    return ["renew", "a", publicOf(next), mine, new Uint8Array(held.raw), sign("sha256", vouching(binding), by)];
  };
  const thief = await asking(port);
  assert.equal(await answer(thief, renewal(thief, next)), "UNAUTHENTICATED");
  const owner = await asking(port);
  const renewed = await answer(owner, renewal(owner, key));
  assert.ok(renewed instanceof X509Certificate && renewed.checkPrivateKey(next));
});

test("join desk: questions of every wrong shape are refused, and the issuer goes on", async (t) => {
  const { ca, port } = await desk(t);
  const [by, key] = [token(ca), newKey()];
  const socket = await asking(port);
  const right = question(socket, key, by);
  socket.destroy();
  for (let at = 0; at < right.length; at++) {
    for (const wrong of [undefined, 1.5, "x", new Uint8Array(), { a: 1 }, "a".repeat(5_000)]) {
      const asked = await asking(port);
      const fields = question(asked, key, by);
      // Absent and no name are the same; any other text claims another token.
      if (at === 6 && typeof wrong !== "string") continue;
      fields[at] = wrong;
      const code = await answer(asked, fields);
      assert.ok(
        typeof code === "string" && ["MALFORMED", "UNAUTHENTICATED", "USAGE"].includes(code),
        `${at} ${String(code)}`,
      );
    }
  }
  const last = await asking(port);
  const good = await answer(last, question(last, key, by));
  assert.ok(good instanceof X509Certificate);
  const hash = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
  assert.equal(
    hash(good.publicKey.export({ type: "spki", format: "der" })),
    hash(createPublicKey(key).export({ type: "spki", format: "der" })),
  );
});
