import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { SheafError } from "../base/index.ts";
import type { Call, Calls } from "../rpc/index.ts";
import { Account, bank, Rates, type Town, town } from "./client.fixture.ts";
import { connect, type ConnectOptions } from "./index.ts";

type Given = Partial<ConnectOptions> & Parameters<typeof town>[2];

async function inTown(
  t: TestContext,
  calls: Calls["call"],
  given: Given = {},
): Promise<{ client: ReturnType<typeof connect<typeof bank>>; there: Town }> {
  const dir = mkdtempSync(join(tmpdir(), "sheaf-client-"));
  const there = await town({ call: calls }, dir, given);
  const client = connect(bank, { url: there.url, token: "key", ...given });
  t.after(async () => {
    client.close();
    await there.stop();
    rmSync(dir, { recursive: true });
  });
  return { client, there };
}

const caught = (promise: Promise<unknown>): Promise<SheafError> =>
  promise.then(
    () => assert.fail("it resolved"),
    (error: SheafError) => error,
  );

test("a client over http: has seen what each of several calls at once has, and what was answered before", async (t) => {
  const sent: (string | undefined)[] = [];
  const meet = Promise.withResolvers<void>();
  const calls = async ({ session, target: { name } }: Call): Promise<{ output: unknown; session: string }> => {
    sent.push(session);
    if (sent.length === 2) meet.resolve();
    await meet.promise;
    return { output: 1, session: `${name}${sent.length}` };
  };
  const { client } = await inTown(t, calls, { transport: "http", session: "" });
  const account = client.entity(Account, "a");
  await Promise.all([account.balance(), account.close()]);
  assert.deepEqual(client.session?.split(",").sort(), ["balance2", "close2"]);
  const both = client.session;
  await account.balance();
  assert.deepEqual([sent, client.session], [["", "", both], "balance3"]);
});

for (const transport of ["socket", "http", "auto"] as const) {
  test(`a client over ${transport}: calls commands, queries and procedures by their types`, async (t) => {
    const seen: Call[] = [];
    const { client } = await inTown(
      t,
      async (call) => (seen.push(call), { output: call.target.kind === "query" ? 7 : { cents: 1, rate: 2 } }),
      { transport },
    );
    assert.equal(
      (await client.entity(Account, "a/ü 1").deposit({ cents: 5 }, { idempotencyKey: "k", ifVersion: 3 })).cents,
      1,
    );
    assert.equal(await client.entity(Account, "a").balance({ consistency: "strong" }), 7);
    assert.equal((await client.service(Rates).quote({ pair: "EURUSD" })).rate, 2);
    const [deposit, balance, quote] = seen;
    assert.deepEqual(deposit?.target, { kind: "command", entity: "account", key: "a/ü 1", name: "deposit" });
    assert.deepEqual(
      [deposit?.input, deposit?.op?.id, deposit?.op?.issuedAt, deposit?.ifVersion],
      [{ cents: 5 }, "k", undefined, 3],
    );
    assert.deepEqual([balance?.consistency, quote?.target.kind, quote?.principal.id], ["strong", "procedure", "me"]);
  });

  test(`a client over ${transport}: gets declared errors and bad input with all that belongs to them`, async (t) => {
    const { client } = await inTown(
      t,
      async (call) => {
        if (call.target.name === "close")
          throw new SheafError("BAD_INPUT", "no", { issues: [{ path: ["a", 0], message: "odd" }] });
        throw new SheafError("DECLARED", "too little", { name: "INSUFFICIENT", data: { short: 4 } });
      },
      { transport },
    );
    const declared = await caught(client.entity(Account, "a").withdraw({ cents: 5 }));
    assert.deepEqual(
      [declared.code, declared.error, declared.data, declared.outcome],
      ["DECLARED", "INSUFFICIENT", { short: 4 }, "not-applied"],
    );
    const bad = await caught(client.entity(Account, "a").close());
    assert.deepEqual([bad.code, bad.issues], ["BAD_INPUT", [{ path: ["a", 0], message: "odd" }]]);
  });

  test(`a client over ${transport}: keeps a session when it is asked to, and only then`, async (t) => {
    const seen: (string | undefined)[] = [];
    const calls = async (call: Call): Promise<{ output: unknown; session?: string }> => {
      seen.push(call.session === "" ? undefined : call.session);
      return call.session === undefined ? { output: 1 } : { output: 1, session: `${call.session}+` };
    };
    const { client, there } = await inTown(t, calls, { transport, session: "" });
    for (let i = 0; i < 3; i++) await client.entity(Account, "a").balance();
    assert.deepEqual([seen, client.session], [[undefined, "+", "++"], "+++"]);
    using without = connect(bank, { url: there.url, token: "key", transport });
    for (let i = 0; i < 2; i++) await without.entity(Account, "a").balance();
    assert.deepEqual([seen.slice(3), without.session], [[undefined, undefined], undefined]);
  });

  test(`a client over ${transport}: has seen what a refused call saw and wrote before it was refused`, async (t) => {
    const calls = (call: Call): Promise<never> =>
      Promise.reject(new SheafError("HANDLER_FAILED", "secret", { session: call.session && `${call.session}!` }));
    const { client, there } = await inTown(t, calls, { transport, session: "s" });
    for (let i = 0; i < 2; i++) await caught(client.entity(Account, "a").balance());
    assert.equal(client.session, "s!!");
    using without = connect(bank, { url: there.url, token: "key", transport });
    await caught(without.entity(Account, "a").balance());
    assert.equal(without.session, undefined);
  });

  test(`a client over ${transport}: is not told what went wrong inside`, async (t) => {
    const { client } = await inTown(
      t,
      async () => Promise.reject(new SheafError("HANDLER_FAILED", "password is hunter2")),
      { transport },
    );
    const error = await caught(client.entity(Account, "a").close());
    assert.deepEqual([error.code, /hunter2/.test(error.message)], ["HANDLER_FAILED", false]);
  });

  test(`a client over ${transport}: with a wrong token is UNAUTHENTICATED`, async (t) => {
    const { client } = await inTown(t, async () => ({ output: 1 }), { transport, token: async () => "stolen" });
    const error = await caught(client.entity(Account, "a").close());
    assert.deepEqual([error.code, error.outcome], ["UNAUTHENTICATED", "not-applied"]);
  });

  test(`a client over ${transport}: keeps deadlines, and hears of callers that give up`, async (t) => {
    const { client } = await inTown(t, () => new Promise(() => {}), { transport });
    const late = await caught(client.entity(Account, "a").close({ deadlineMs: 60 }));
    assert.deepEqual([late.code, late.outcome], ["DEADLINE", "unknown"]);
    const giveUp = new AbortController();
    const cancelled = caught(client.entity(Account, "a").close({ signal: giveUp.signal }));
    giveUp.abort();
    assert.equal((await cancelled).code, "CANCELLED");
  });

  test(`a client over ${transport}: whose gateway is not there is UNREACHABLE, not applied`, async (t) => {
    const { there, client } = await inTown(t, async () => ({ output: 1 }), { transport });
    await there.stop();
    there.stop = async () => {};
    const error = await caught(client.entity(Account, "a").close({ deadlineMs: 1000 }));
    assert.deepEqual([error.code, error.outcome], ["UNREACHABLE", "not-applied"]);
  });
}

test("a client: many calls at once share one connection", async (t) => {
  const { client, there } = await inTown(t, async (call) => ({
    output: { cents: (call.input as { cents: number }).cents },
  }));
  const all = await Promise.all(
    Array.from({ length: 5000 }, (_, i) => client.entity(Account, `a-${i % 100}`).deposit({ cents: i + 1 })),
  );
  assert.deepEqual(
    all.map(({ cents }) => cents),
    Array.from({ length: 5000 }, (_, i) => i + 1),
  );
  assert.deepEqual([there.sockets.size, there.requests], [1, []]);
});

test("a client: whose connections are destroyed goes on, with the same operations", async (t) => {
  const runs = new Map<string, unknown>();
  const { client, there } = await inTown(t, async (call) => {
    const before = runs.get(call.op!.id);
    if (before !== undefined) assert.deepEqual(call.input, before);
    runs.set(call.op!.id, call.input);
    await new Promise((resolve) => setImmediate(resolve));
    return { output: call.input };
  });
  for (let round = 1; round <= 20; round++) {
    const results = Array.from({ length: 50 }, (_, i) => client.entity(Account, "a").deposit({ cents: i + 1 }));
    if (round % 2 === 0) there.sockets.close();
    const answers = await Promise.all(results);
    assert.equal(answers.length, 50);
    assert.equal(runs.size, round * 50);
  }
});

test("a client: several gateways, one of them dead", async (t) => {
  const { there } = await inTown(t, async () => ({ output: 5 }));
  const { there: gone } = await inTown(t, async () => ({ output: 6 }));
  await gone.stop();
  gone.stop = async () => {};
  for (const transport of ["socket", "http"] as const) {
    for (let i = 0; i < 4; i++) {
      using client = connect(bank, { url: [gone.url, there.url], token: "key", transport });
      assert.equal(await client.entity(Account, "a").balance(), 5);
    }
  }
});

test("a client: uses HTTP where no WebSocket gets through", async (t) => {
  const { client, there } = await inTown(t, async () => ({ output: 5 }), { upgrades: false });
  assert.equal(await client.entity(Account, "a").balance(), 5);
  assert.deepEqual(there.requests, ["/livez", "/entities/account/a/balance"]);
});

test("a client: options that make no sense are USAGE", () => {
  const usage = { code: "USAGE" };
  for (const url of ["", "nonsense", "ftp://x", "http://key@host", "http://host?token=x", "http://host#x", []])
    assert.throws(() => connect(bank, { url }), usage, String(url));
  assert.throws(() => connect(bank, { url: "http://x", deadlineMs: 0 }), usage);
  assert.throws(() => connect(bank, { url: "http://x", transport: "pigeon" as "http" }), usage);
});

test("a client: an odd deadline or idempotency key is refused before anything is sent", async (t) => {
  const { client, there } = await inTown(t, async () => ({ output: 5 }));
  for (const options of [
    { deadlineMs: Number.NaN },
    { deadlineMs: -1 },
    { idempotencyKey: "" },
    { idempotencyKey: "a b" },
    { idempotencyKey: "x".repeat(300) },
  ]) {
    assert.equal((await caught(client.entity(Account, "a").close(options))).code, "USAGE");
  }
  assert.equal(there.sockets.size, 0);
});

test("a client: closes its connection, and what is called later is UNREACHABLE", async (t) => {
  const { client, there } = await inTown(t, async () => ({ output: 5 }));
  await client.entity(Account, "a").balance();
  client.close();
  assert.equal((await caught(client.entity(Account, "a").balance())).code, "UNREACHABLE");
  while (there.sockets.size > 0) await new Promise((resolve) => setImmediate(resolve));
});

test("a caller of the gateway: reaches neither what is not there, nor a command by the name of query, nor odd keys", async (t) => {
  const { client, there } = await inTown(t, async () => ({ output: 5 }), { transport: "socket" });
  const invented: typeof Account = { ...Account, name: "nothing" as "account" };
  const swapped: unknown = { ...Account, commands: {}, queries: { deposit: {}, balance: {} } };
  const calls: [() => Promise<unknown>, string][] = [
    [() => client.entity(invented, "a").balance(), "UNKNOWN_TARGET"],
    [() => client.entity(swapped as typeof Account, "a").deposit({ cents: 5 }), "UNKNOWN_TARGET"],
    [() => client.entity(Account, "a\nb").balance(), "BAD_INPUT"],
    [() => client.entity(Account, "ü".repeat(400)).balance(), "BAD_INPUT"],
  ];
  for (const [call, code] of calls) assert.equal((await caught(call())).code, code);
  const other = connect({ ...bank, name: "shop" }, { url: there.url, token: "key", transport: "socket" });
  assert.equal((await caught(other.entity(Account, "a").balance())).code, "UNKNOWN_TARGET");
  other.close();
});

test("the client door: bundles for browsers with nothing of Node's, under 40 kB", async (t) => {
  const entry = join(import.meta.dirname, "../client.ts");
  const { outputFiles, metafile } = await build({
    entryPoints: [entry],
    bundle: true,
    platform: "browser",
    format: "esm",
    minify: true,
    write: false,
    metafile: true,
  });
  const bytes = outputFiles[0]!.contents;
  const size = gzipSync(bytes).length;
  t.diagnostic(`${bytes.length} bytes, ${size} gzipped`);
  assert.doesNotMatch(outputFiles[0]!.text, /["']node:|\brequire\(/);
  for (const path of Object.keys(metafile.inputs)) assert.doesNotMatch(path, /^node:/);
  assert.ok(size < 40 * 1024, `${size} bytes`);
});
