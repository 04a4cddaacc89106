import assert from "node:assert/strict";
import { fork } from "node:child_process";
import { randomBytes, X509Certificate } from "node:crypto";
import { once } from "node:events";
import { chmodSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { readToken } from "../security/index.ts";
import { type ClusterCa, ensureCa, openCa } from "./cluster-ca.ts";
import { realCrypto } from "./crypto.ts";
import { cluster, folder, newCa, newPublicKey } from "./peer.fixture.ts";

const now = Date.now();
const hour = 3_600_000;
const proves =
  (right: Uint8Array) =>
  (secret: Uint8Array): boolean =>
    Buffer.from(right).equals(Buffer.from(secret));

/** Lets one in with a token, as the join desk does. */
function admit(ca: ClusterCa, text: string, name: string, publicKey: Uint8Array, at = now): X509Certificate {
  const token = readToken(realCrypto, text);
  return new X509Certificate(ca.admit({ name, publicKey, now: at }, token, proves(token.secret)).certificate);
}

test("authority: it is made once and found again, its key for its owner's eyes only", (t) => {
  const dir = join(folder(t), "data", "ca");
  assert.equal(openCa(dir), undefined);
  const made = ensureCa(dir, { cluster, now });
  const again = ensureCa(dir, { cluster, now });
  assert.deepEqual([again.root, again.cluster], [made.root, cluster]);
  assert.equal(statSync(join(dir, "ca.pem")).mode & 0o777, 0o600);
  assert.equal(statSync(dir).mode & 0o777, 0o700);
  assert.deepEqual(readdirSync(dir).sort(), ["ca.pem", "names", "used"]);
  assert.throws(() => ensureCa(dir, { cluster: "another", now }), { code: "WRONG_CLUSTER" });
  chmodSync(join(dir, "ca.pem"), 0o640);
  assert.throws(() => openCa(dir), { code: "UNTRUSTED" });
});

test("authority: a damaged one is said to be so and never made anew", (t) => {
  const dir = join(folder(t), "ca");
  ensureCa(dir, { cluster, now });
  const path = join(dir, "ca.pem");
  const whole = readFileSync(path, "utf8");
  const [, key = ""] = whole.split(/(?=-----BEGIN CERT)/).reverse();
  const [certificate = ""] = whole.split(/(?=-----BEGIN CERT)/).reverse();
  const other = join(folder(t), "ca");
  ensureCa(other, { cluster, now });
  const foreign = readFileSync(join(other, "ca.pem"), "utf8").split(/(?=-----BEGIN CERT)/)[0];
  for (const text of ["", "x", key, certificate, whole.slice(0, 200), `${foreign}${certificate}`]) {
    writeFileSync(path, text);
    assert.throws(() => ensureCa(dir, { cluster, now }), { code: "CORRUPT" });
    assert.equal(readFileSync(path, "utf8"), text);
  }
});

test("authority: processes that start at the same time end with the same one (A1)", async (t) => {
  const dir = join(folder(t), "ca");
  const children = Array.from({ length: 6 }, () =>
    fork(fileURLToPath(import.meta.resolve("./ca-child.fixture.ts")), [dir, cluster]),
  );
  await Promise.all(children.map((child) => once(child, "message")));
  const exits = children.map((child) => once(child, "exit"));
  const answers = children.map(async (child) => ((await once(child, "message")) as [string])[0]);
  for (const child of children) child.send("go");
  const roots = new Set(await Promise.all(answers));
  await Promise.all(exits);
  assert.deepEqual([...roots], [openCa(dir)?.root]);
});

test("authority: a node's certificate names it, ends with its day, and is signed by the root", (t) => {
  const ca = newCa(t);
  const root = new X509Certificate(ca.root);
  const { certificate, notAfter } = ca.issue({ name: "a", publicKey: newPublicKey(), now });
  const leaf = new X509Certificate(certificate);
  assert.equal(leaf.subjectAltName, `URI:sheaf://${cluster}/a`);
  assert.equal(notAfter, now + 24 * hour);
  assert.equal(leaf.validToDate.getTime(), Math.floor(notAfter / 1000) * 1000);
  assert.ok(leaf.checkIssued(root) && leaf.verify(root.publicKey));
  assert.notEqual(
    leaf.serialNumber,
    new X509Certificate(ca.issue({ name: "a", publicKey: newPublicKey(), now }).certificate).serialNumber,
  );
  const late = root.validToDate.getTime() - 1000;
  assert.equal(ca.issue({ name: "a", publicKey: newPublicKey(), now: late }).notAfter, late + 1000);
  assert.throws(() => ca.issue({ name: "../a", publicKey: newPublicKey(), now }), { code: "USAGE" });
});

test("join tokens: one is good once, for as long as it says, at the cluster that made it (A2)", (t) => {
  const ca = newCa(t);
  const token = ca.mint({ now, ttlMs: hour });
  const key = newPublicKey();
  assert.equal(admit(ca, token, "a", key).subjectAltName, `URI:sheaf://${cluster}/a`);
  assert.throws(() => admit(ca, token, "b", newPublicKey()), { code: "UNAUTHENTICATED", message: /has been used/ });
  // Its answer was lost.
  assert.ok(admit(ca, token, "a", key).subjectAltName);
  const late = ca.mint({ now, ttlMs: hour });
  assert.throws(() => admit(ca, late, "b", newPublicKey(), now + hour), {
    code: "UNAUTHENTICATED",
    message: /expired/,
  });
  assert.ok(admit(ca, late, "b", newPublicKey(), now + hour - 1));
  const foreign = newCa(t).mint({ now, ttlMs: hour });
  assert.throws(() => admit(ca, foreign, "c", newPublicKey()), {
    code: "UNAUTHENTICATED",
    message: /not made by this/,
  });
  const guess = { id: randomBytes(10), expiresAt: now + hour, name: undefined };
  assert.throws(() => ca.admit({ name: "c", publicKey: newPublicKey(), now }, guess, proves(randomBytes(16))), {
    code: "UNAUTHENTICATED",
  });
  const fresh = readToken(realCrypto, ca.mint({ now, ttlMs: hour }));
  const longer = { ...fresh, expiresAt: fresh.expiresAt + hour };
  assert.throws(() => ca.admit({ name: "c", publicKey: newPublicKey(), now }, longer, proves(fresh.secret)), {
    code: "UNAUTHENTICATED",
  });
});

test("join tokens: two who use one at the same time on two processes' folders are one too many", (t) => {
  const dir = join(folder(t), "ca");
  const [one, two] = [ensureCa(dir, { cluster, now }), ensureCa(dir, { cluster, now })];
  const token = one.mint({ now, ttlMs: hour });
  admit(two, token, "a", newPublicKey());
  assert.throws(() => admit(one, token, "b", newPublicKey()), { message: /has been used/ });
});

test("names: one that is given out is not given again, but by a token for that name (A3)", (t) => {
  const ca = newCa(t);
  ca.issue({ name: "local", publicKey: newPublicKey(), now });
  admit(ca, ca.mint({ now, ttlMs: hour }), "a", newPublicKey());
  const token = ca.mint({ now, ttlMs: hour });
  for (const name of ["a", "local"]) assert.throws(() => admit(ca, token, name, newPublicKey()), { code: "IN_USE" });
  assert.throws(() => ca.issue({ name: "a", publicKey: newPublicKey(), now }), { code: "IN_USE" });
  assert.ok(admit(ca, token, "b", newPublicKey()), "a name that was refused has not used up the token");
  const named = ca.mint({ now, ttlMs: hour, name: "a" });
  assert.throws(() => admit(ca, named, "c", newPublicKey()), {
    code: "UNAUTHENTICATED",
    message: /good for a, not for c/,
  });
  assert.ok(admit(ca, named, "a", newPublicKey()));
});

test("renewals: the key that holds the name may, and nobody once it was removed or moved on (A3)", (t) => {
  const dir = join(folder(t), "ca");
  const ca = ensureCa(dir, { cluster, now });
  const first = admit(ca, ca.mint({ now, ttlMs: hour }), "a", newPublicKey());
  const renew = (held: X509Certificate, name = "a", at = now): X509Certificate =>
    new X509Certificate(ca.renew({ name, publicKey: newPublicKey(), now: at }, held).certificate);
  const second = renew(first);
  // The answer to the renewal was lost.
  const third = renew(first);
  assert.throws(() => renew(second), { code: "UNAUTHENTICATED", message: /another key/ });
  assert.throws(() => renew(third, "b"), { code: "UNAUTHENTICATED" });
  assert.ok(renew(third, "a", now + 20 * 24 * hour), "after some weeks switched off");
  const fourth = renew(third);
  assert.throws(() => renew(fourth, "a", now + 40 * 24 * hour), { message: /ended too long ago/ });
  const foreign = newCa(t);
  const other = admit(foreign, foreign.mint({ now, ttlMs: hour }), "a", newPublicKey());
  assert.throws(() => renew(other), { message: /not of this cluster/ });
  rmSync(join(dir, "names", "a.json"));
  assert.throws(() => renew(fourth), { code: "UNAUTHENTICATED", message: /was removed/ });
});

test("keys: only one on the curve that is used gets a certificate", (t) => {
  const ca = newCa(t);
  const token = ca.mint({ now, ttlMs: hour });
  for (const publicKey of [new Uint8Array(), randomBytes(91), Buffer.concat([newPublicKey(), Buffer.of(0)])])
    assert.throws(() => admit(ca, token, "a", publicKey), { code: "MALFORMED" });
});

test("join tokens: what was used is forgotten only when it could not be used anyway", (t) => {
  const dir = join(folder(t), "ca");
  const ca = ensureCa(dir, { cluster, now });
  admit(ca, ca.mint({ now, ttlMs: hour }), "a", newPublicKey());
  ca.mint({ now: now + 24 * hour, ttlMs: hour });
  assert.equal(readdirSync(join(dir, "used")).length, 1);
  ca.mint({ now: now + 26 * hour, ttlMs: hour });
  assert.equal(readdirSync(join(dir, "used")).length, 0);
});
