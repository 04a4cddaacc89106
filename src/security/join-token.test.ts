import assert from "node:assert/strict";
import { createHash, createHmac, randomBytes } from "node:crypto";
import { test } from "node:test";
import fc from "fast-check";
import type { Crypto } from "../host/index.ts";
import { joinProof, mintToken, readJoinAddress, readToken, tokenSecret } from "./join-token.ts";

const crypto = {
  sha256: (bytes: Uint8Array) => createHash("sha256").update(bytes).digest(),
  hmacSha256: (key: Uint8Array, bytes: Uint8Array) => createHmac("sha256", key).update(bytes).digest(),
} as unknown as Crypto;
const dice = { bytes: (length: number) => randomBytes(length) };
const key = randomBytes(32);
const root = randomBytes(32);
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
const mint = (expiresAt: number, name?: string): string => mintToken({ crypto, dice }, key, root, { expiresAt, name });

test("join tokens: what was minted is what is read, with and without a name", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 2 ** 47 }),
      fc.option(fc.stringMatching(/^[a-z0-9]{1,64}$/), { nil: undefined }),
      (expiresAt, name) => {
        const read = readToken(crypto, mint(expiresAt, name));
        assert.deepEqual([Buffer.from(read.root), read.expiresAt, read.name], [root, expiresAt, name]);
        assert.equal(hex(read.secret), hex(tokenSecret(crypto, key, root, read)));
      },
    ),
  );
});

test("join tokens: no two are the same, and nothing that a token says can be changed without its secret (J1)", () => {
  assert.notEqual(mint(1000), mint(1000));
  const token = readToken(crypto, mint(1000, "a"));
  const changes = [{ expiresAt: 1001 }, { name: "b" }, { name: undefined }, { id: randomBytes(10) }];
  for (const change of changes)
    assert.notEqual(hex(tokenSecret(crypto, key, root, { ...token, ...change })), hex(token.secret));
  assert.notEqual(hex(tokenSecret(crypto, randomBytes(32), root, token)), hex(token.secret));
  assert.notEqual(hex(tokenSecret(crypto, key, randomBytes(32), token)), hex(token.secret));
});

test("join tokens: every mistyped or shortened one is told from a whole one", () => {
  const token = mint(Date.now(), "node-7");
  for (let at = 0; at < token.length; at++) {
    const other = token[at] === "A" ? "B" : "A";
    assert.throws(() => readToken(crypto, token.slice(0, at) + other + token.slice(at + 1)), { code: "USAGE" });
    assert.throws(() => readToken(crypto, token.slice(0, at)), { code: "USAGE" });
    assert.throws(() => readToken(crypto, token.slice(0, at) + token.slice(at + 1)), { code: "USAGE" });
  }
  for (const odd of ["", "sj_", `${token}A`, `${token}=`, token.toUpperCase(), ` ${token}`, "sj_".padEnd(1000, "A")])
    assert.throws(() => readToken(crypto, odd), { code: "USAGE" });
});

test("join tokens: a proof is good for one connection, key and name only (J2)", () => {
  const [secret, binding] = [randomBytes(16), randomBytes(32)];
  assert.deepEqual(joinProof(crypto, secret, binding), joinProof(crypto, secret, binding));
  assert.notDeepEqual(joinProof(crypto, secret, binding), joinProof(crypto, secret, randomBytes(32)));
  assert.notDeepEqual(joinProof(crypto, secret, binding), joinProof(crypto, randomBytes(16), binding));
});

test("join addresses: host, port and token are read, and everything else is refused", () => {
  assert.deepEqual(readJoinAddress("db-1.internal:4002#sj_x"), { host: "db-1.internal", port: 4002, token: "sj_x" });
  assert.deepEqual(readJoinAddress("[::1]:65535#sj_x"), { host: "::1", port: 65_535, token: "sj_x" });
  for (const odd of ["", "a:1", "a#t", "a:0#t", "a:65536#t", ":1#t", "a:b#t", "::1:1#t", "a:1#", "[]:1#t"])
    assert.throws(() => readJoinAddress(odd), { code: "USAGE" }, odd);
});

test("join tokens: one that version 1 made stays readable, to the byte", () => {
  const fixed = (fill: number, length: number): Uint8Array => new Uint8Array(length).fill(fill);
  const golden =
    "sj_AQICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICBwcHBwcHBwcHBwGjGFxQAIjB_F2ExL_bhu7Yp5BZXzpub2RlLTHCzhHd";
  const made = mintToken({ crypto, dice: { bytes: (length) => fixed(7, length) } }, fixed(1, 32), fixed(2, 32), {
    expiresAt: 1_800_000_000_000,
    name: "node-1",
  });
  assert.equal(made, golden);
  const read = readToken(crypto, golden);
  assert.deepEqual(
    [hex(read.root), hex(read.id), read.expiresAt, read.name],
    ["02".repeat(32), "07".repeat(10), 1_800_000_000_000, "node-1"],
  );
});
