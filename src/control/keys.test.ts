// API keys: who gets in, for how long, and what is left behind.

import assert from "node:assert/strict";
import { test } from "node:test";
import { SheafError } from "../base/index.ts";
import { fixtureHost, type FixtureHost } from "../http/http.fixture.ts";
import { keyIdOf, mintKey, type Principal } from "../security/index.ts";
import { apiKeys, cacheMs, type Keys } from "./index.ts";
import { systemShards, type SystemShards } from "./keys.fixture.ts";

const admin: Principal = { id: "admin", roles: ["admin"] };

function setUp(): { host: FixtureHost; shards: SystemShards; keys: Keys } {
  const host = fixtureHost();
  const shards = systemShards(host);
  return { host, shards, keys: apiKeys({ host, calls: shards.calls, search: shards.search }) };
}

const verdict = async (keys: Keys, bearer: string | undefined): Promise<string> => {
  const found = await keys.authenticate({ bearer });
  return found.ok ? found.principal.id : found.reason;
};

test("keys: a key that was made lets its holder in under its own name and roles", async () => {
  const { keys } = setUp();
  const { id, key } = await keys.create(admin, { name: "ci", roles: ["app"] });
  assert.match(key, /^sk_[a-z2-7]{16}_[a-z2-7]{48}$/);
  assert.deepEqual(await keys.authenticate({ bearer: key }), {
    ok: true,
    principal: { id: `key:${id}`, roles: ["app"] },
  });
});

test("keys: the text of a key is stored nowhere and logged nowhere", async () => {
  const { host, keys, shards } = setUp();
  const { key } = await keys.create(admin, { name: "ci", roles: ["app"] });
  await keys.authenticate({ bearer: key });
  const secret = key.split("_")[2] ?? "";
  const everywhere = JSON.stringify([
    shards.seen,
    await shards.search("sheaf.key", "", undefined, 10),
    await keys.list(undefined, 10),
    host.logged,
  ]);
  assert.ok(!everywhere.includes(secret));
  assert.ok(!JSON.stringify(await keys.list(undefined, 10)).includes("hash"));
});

test("keys: whatever is not exactly a key in force is refused, and says why only to logs", async () => {
  const { host, keys } = setUp();
  const { key } = await keys.create(admin, { name: "a", roles: ["app"] });
  const other = mintKey(host.dice, host.crypto).text;
  const mixed = (() => {
    // The id of a real key with another secret and a checksum that fits.
    const fake = { ...host.dice, bytes: (n: number) => (n === 10 ? idBytes(key) : host.dice.bytes(n)) };
    return mintKey(fake, host.crypto).text;
  })();
  assert.equal(keyIdOf(mixed, host.crypto), keyIdOf(key, host.crypto));
  const flipped = key.slice(0, -1) + (key.endsWith("a") ? "b" : "a");
  const refused: [string | undefined, string][] = [
    [undefined, "missing"],
    [other, "unknown"],
    [mixed, "wrong"],
    [flipped, "malformed"],
    ...[
      "",
      "sk_",
      key.slice(0, -1),
      `${key}a`,
      key.toUpperCase(),
      key.replace("sk_", "pk_"),
      ` ${key}`,
      `${key}\n`,
      key.replace("_", "-"),
      `${key} ${key}`,
      "ключ",
      "🌾".repeat(20),
      "\u0000".repeat(68),
      "sk_".padEnd(1_000_000, "a"),
      "null",
      "undefined",
      "[object Object]",
      "' or 1=1 --",
      "../../etc/passwd",
      key.replace(/[a-z2-7]$/, "1"),
      `${key.slice(0, 20)}${"a".repeat(48)}`,
      key.split("").toReversed().join(""),
    ].map((text): [string, string] => [text, "malformed"]),
  ];
  for (const [bearer, reason] of refused)
    assert.equal(await verdict(keys, bearer), reason, String(bearer).slice(0, 80));
});

/** The ten bytes that a key's id is made of. */
function idBytes(key: string): Uint8Array {
  let bits = "";
  for (const letter of key.split("_")[1] ?? "")
    bits += "abcdefghijklmnopqrstuvwxyz234567".indexOf(letter).toString(2).padStart(5, "0");
  return Uint8Array.from(bits.match(/.{8}/g) ?? [], (byte) => Number.parseInt(byte, 2));
}

test("keys: a key is refused from the moment that it expires", async () => {
  const { host, keys } = setUp();
  const { key, id } = await keys.create(admin, { name: "short", roles: ["app"], expiresAt: host.clock.now() + 1_000 });
  assert.equal(await verdict(keys, key), `key:${id}`);
  host.pass(999);
  assert.equal(await verdict(keys, key), `key:${id}`);
  host.pass(1);
  assert.equal(await verdict(keys, key), "expired");
});

test("keys: a revocation is effective at once here and within five seconds at every other gateway (C1)", async () => {
  const { host, shards, keys } = setUp();
  const elsewhere = apiKeys({ host, calls: shards.calls, search: shards.search });
  const { id, key } = await keys.create(admin, { name: "a", roles: ["app"] });
  assert.equal(await verdict(keys, key), `key:${id}`);
  assert.equal(await verdict(elsewhere, key), `key:${id}`);
  await keys.revoke(admin, id);
  assert.equal(await verdict(keys, key), "revoked");
  assert.ok(cacheMs + 2_000 <= 5_000, "a look-up under way adds at most its own deadline");
  host.pass(cacheMs);
  assert.equal(await verdict(elsewhere, key), "revoked");
  await keys.revoke(admin, id);
  await assert.rejects(keys.revoke(admin, "nosuchkeynosuchk"), { code: "NOT_FOUND" });
});

test("keys: between look-ups a key costs none, and guesses are not remembered", async () => {
  const { host, shards, keys } = setUp();
  const { key } = await keys.create(admin, { name: "a", roles: ["app"] });
  const lookups = (): number => shards.seen.filter(({ target }) => target.name === "get").length;
  await Promise.all(Array.from({ length: 50 }, () => verdict(keys, key)));
  assert.equal(lookups(), 1);
  const guess = mintKey(host.dice, host.crypto).text;
  await verdict(keys, guess);
  await verdict(keys, guess);
  assert.equal(lookups(), 3);
});

test("keys: when keys cannot be looked up nobody is let in, and nothing was applied (C2)", async () => {
  const { host, shards, keys } = setUp();
  const { key, id } = await keys.create(admin, { name: "a", roles: ["app"] });
  shards.down = new SheafError("DEADLINE");
  await assert.rejects(async () => keys.authenticate({ bearer: key }), { code: "NOT_READY", outcome: "not-applied" });
  shards.down = undefined;
  assert.equal(await verdict(keys, key), `key:${id}`, "a failure is not remembered");
  shards.down = new SheafError("ENGINE_UNAVAILABLE");
  host.pass(cacheMs);
  await assert.rejects(async () => keys.authenticate({ bearer: key }), { code: "NOT_READY" });
});

test("keys: use is noted at most once a minute, and never waited for", async () => {
  const { host, shards, keys } = setUp();
  const { key } = await keys.create(admin, { name: "a", roles: ["app"] });
  const touches = (): number => shards.seen.filter(({ target }) => target.name === "touch").length;
  for (let i = 0; i < 5; i++) await verdict(keys, key);
  assert.equal(touches(), 1);
  host.pass(60_000);
  await verdict(keys, key);
  assert.equal(touches(), 2);
  const [view] = await keys.list(undefined, 10);
  assert.equal(view?.lastUsedAt, host.clock.now());
});

test("keys: a key with an unknown role, none, or an odd name is not made", async () => {
  const { keys, shards } = setUp();
  for (const options of [
    { name: "a", roles: ["root"] },
    { name: "a", roles: [] },
    { name: "", roles: ["app"] },
    { name: "a\nb", roles: ["app"] },
    { name: "x".repeat(101), roles: ["app"] },
  ]) {
    await assert.rejects(keys.create(admin, options), { code: "BAD_INPUT" });
  }
  assert.equal(shards.seen.length, 0);
});

test("keys: no two of 2,000 keys share an id or a text, and all pass their checksum", () => {
  const { host } = setUp();
  const texts = new Set<string>();
  const ids = new Set<string>();
  for (let i = 0; i < 2_000; i++) {
    const { id, text } = mintKey(host.dice, host.crypto);
    assert.equal(keyIdOf(text, host.crypto), id);
    texts.add(text);
    ids.add(id);
  }
  assert.deepEqual([texts.size, ids.size], [2_000, 2_000]);
});
