// `sheaf start` and the commands that talk to a node, on real processes.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { pack } from "../wire/index.ts";
import { folder, ledgerApp, sheaf, startServer, type TestServer } from "./cli.fixture.ts";

type Document = {
  readonly schema: string;
  readonly data: never;
  readonly next: string | null;
  readonly warnings: readonly string[];
};
const read = (text: string): Document => JSON.parse(text) as Document;

describe("a running node", () => {
  const cleanups: (() => void)[] = [];
  const data = folder({ after: (fn) => void cleanups.push(fn) });
  let server: TestServer;
  /** An address at which nothing listens. */
  let nowhere: string;
  const run = (args: readonly string[], options: Parameters<typeof sheaf>[1] = {}): ReturnType<typeof sheaf> =>
    sheaf([...args, "--data", data], options);

  before(async () => {
    server = await startServer(data);
    const closed = createServer().listen(0, "127.0.0.1");
    await new Promise((resolve) => closed.once("listening", resolve));
    nowhere = `http://127.0.0.1:${(closed.address() as { port: number }).port}`;
    await new Promise((resolve) => closed.close(resolve));
    await run(["call", "account/acc-7/deposit", '{"cents":500}']);
  });
  after(async () => {
    assert.equal(await server.end("SIGTERM"), 0, "SIGTERM stops in good order");
    assert.equal(existsSync(join(data, "node.json")), false);
    for (const cleanup of cleanups) cleanup();
  });

  test("call: runs commands, queries and procedures; the answer is on stdout", async () => {
    assert.deepEqual(JSON.parse((await run(["call", "account/acc-1/deposit", '{"cents":5}'])).out), { cents: 5 });
    assert.equal((await run(["call", "account/acc-1/balance", "--consistency", "strong"])).out, "5\n");
    assert.equal((await run(["entity", "call", "account", "acc-1", "balance"])).out, "5\n");
    const made = await run(["call", "bank/transfer", "-", "--json"], {
      input: '{"id":"t-1","from":"acc-1","to":"acc-2","cents":2}',
    });
    assert.deepEqual(read(made.out), {
      schema: "sheaf.call/v1",
      data: { id: "t-1", phase: "begun" },
      next: null,
      warnings: [],
    });
    const nothing = await run(["call", "account/acc-2/close"]);
    assert.deepEqual([nothing.code, nothing.out], [0, ""]);
  });

  test("call: a key may hold slashes, spaces and percent signs", async () => {
    assert.equal((await run(["call", "account/a/b c%2F/deposit", '{"cents":5}'])).code, 0);
    const { data: view } = read((await run(["entity", "get", "account", "a/b c%2F", "--json"])).out) as {
      data: { key: string; version: number };
    };
    assert.deepEqual([view.key, view.version], ["a/b c%2F", 1]);
  });

  test("call: failures have the exit code of their kind, and say whether they took effect", async () => {
    const cases: readonly [readonly string[], number, RegExp][] = [
      [
        ["call", "account/acc-7/withdraw", '{"cents":501}'],
        1,
        /DECLARED .*\n\n {2}INSUFFICIENT \{"short":1\}\n.*Nothing was changed/,
      ],
      [["call", "account/acc-7/withdraw", '{"cents":-1}'], 2, /BAD_INPUT .*\n\n {2}cents: /],
      [["call", "account/acc-7/withdrew", '{"cents":1}'], 3, /UNKNOWN_TARGET[^]*withdraw/],
      [["call", "acount/acc-7/withdraw", '{"cents":1}'], 3, /UNKNOWN_TARGET[^]*account/],
      [["call", "account/acc-7/deposit", '{"cents":1}', "--if-version", "999"], 5, /PRECONDITION_FAILED/],
      [["call", "account/acc-7/balance", "--deadline", "soon"], 2, /--deadline is a span/],
      [["call", "account/acc-7/balance", "--url", nowhere], 7, /UNREACHABLE[^]*Nothing was changed/],
    ];
    for (const [args, code, says] of cases) {
      const ran = await run(args);
      assert.equal(ran.code, code, `${args.join(" ")}: ${ran.err}`);
      assert.match(ran.err, says);
      assert.equal(ran.out, "");
    }
  });

  test("call: a repeat with the same idempotency key takes effect once, and says so; another input conflicts", async () => {
    const once = ["call", "account/acc-3/deposit", '{"cents":5}', "--idempotency-key", "k1"];
    assert.equal((await run(once)).code, 0);
    const again = await run(once);
    assert.deepEqual(JSON.parse(again.out), { cents: 5 });
    assert.match(again.err, /first call with that idempotency key/);
    const other = await run(["call", "account/acc-3/deposit", '{"cents":6}', "--idempotency-key", "k1"]);
    assert.equal(other.code, 5, other.err);
  });

  test("entity: list, state and history agree with what was done", async () => {
    await run(["call", "account/h-1/deposit", '{"cents":5}']);
    await run(["call", "account/h-1/withdraw", '{"cents":2}']);
    const list = await run(["entity", "ls", "account", "--prefix", "h-"]);
    assert.match(list.out, /^h-1\t2\t\d+\t\{"cents":3/);
    assert.equal((await run(["entity", "ls", "account", "--prefix", "h-", "-q"])).out, "h-1\n");
    const page = read((await run(["entity", "ls", "account", "--limit", "1", "--json"])).out);
    assert.notEqual(page.next, null);
    const history = read((await run(["entity", "history", "account", "h-1", "--json"])).out).data as readonly {
      version: number;
      command: string;
    }[];
    assert.deepEqual(
      history.map(({ version, command }) => [version, command]),
      [
        [2, "withdraw"],
        [1, "deposit"],
      ],
    );
    const none = await run(["entity", "ls", "transfer", "--prefix", "nobody"]);
    assert.deepEqual([none.code, none.out], [0, ""]);
    assert.equal((await run(["entity", "get", "acount", "x"])).code, 3);
  });

  test("status: lists the node with its process and addresses, and every shard", async () => {
    const status = read((await run(["status", "--json"])).out).data as {
      nodes: { pid: number; addresses: object; state: string }[];
      shards: { state: string }[];
    };
    assert.equal(status.nodes[0]!.pid, server.child.pid);
    assert.deepEqual(status.nodes[0]!.addresses, { gateway: server.gateway, admin: server.admin });
    assert.deepEqual(
      status.shards.map(({ state }) => state),
      ["serving", "serving", "serving", "serving"],
    );
  });

  test("doctor: finds nothing wrong with a healthy node, and exit 6 when it is gone", async () => {
    const good = await run(["doctor", "--json"]);
    const findings = read(good.out).data as { check: string; state: string; found: string }[];
    const engine = findings.find(({ check }) => check === "engine")?.found ?? "";
    assert.match(engine, /syncMs \d+(?:\.\d{1,6})?(?:,|$)/, "as many digits as a person reads");
    assert.doesNotMatch(engine, /boot/);
    assert.deepEqual(
      findings.filter(({ state }) => state === "bad"),
      [],
    );
    assert.equal(good.code, 0);
    const gone = await sheaf(["doctor", "--data", data, "--url", nowhere, "--admin", nowhere]);
    assert.equal(gone.code, 6);
    assert.match(gone.out, /✕\tnode\tnothing answers/);
  });

  test("completion: offers what the running node can be asked", async () => {
    const env = { SHEAF_URL: server.gateway, SHEAF_COMPLETION_MS: "10000" };
    assert.match((await sheaf(["__complete", "--", "call", "acc"], { env })).out, /^account\/\n$/);
    assert.match((await sheaf(["__complete", "--", "call", "account/x/wi"], { env })).out, /^account\/x\/withdraw\n$/);
  });

  test("gateway without keys: a page under a foreign name that points here reaches nothing", async () => {
    const port = Number(new URL(server.gateway).port);
    const ask = (head: string): Promise<string> =>
      new Promise((resolve, reject) => {
        const socket = connect(port, "127.0.0.1", () => socket.write(head.replaceAll("\n", "\r\n")));
        socket.once("data", (chunk) => {
          resolve(String(chunk).split("\r\n")[0]!);
          socket.destroy();
        });
        socket.once("error", reject);
      });
    const upgrade =
      "Upgrade: websocket\nConnection: Upgrade\nSec-WebSocket-Version: 13\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
    for (const [host, http, socket] of [
      ["localhost", 200, 101],
      ["evil.example", 403, 403],
    ] as const) {
      const of = `Host: ${host}:${port}`;
      assert.match(await ask(`GET /entities/account/a/balance HTTP/1.1\n${of}\n\n`), new RegExp(` ${http} `));
      assert.match(
        await ask(`GET /connect HTTP/1.1\n${of}\nOrigin: http://${host}:${port}\n${upgrade}\n\n`),
        new RegExp(` ${socket} `),
      );
    }
  });

  test("second start: is refused, naming who runs", async () => {
    const ran = await sheaf(["start", ledgerApp, "--data", data, "--port", "0", "--admin-port", "0"]);
    assert.equal(ran.code, 5);
    assert.match(ran.err, new RegExp(`IN_USE .*process ${server.child.pid}, gateway ${server.gateway}`));
  });
});

test("start: what was acknowledged before kill -9 is there after the next start", async (t) => {
  const data = folder(t);
  let server = await startServer(data);
  for (let round = 1; round <= 3; round++) {
    assert.equal((await sheaf(["call", "account/a/deposit", '{"cents":5}', "--data", data])).code, 0);
    await server.end("SIGKILL");
    server = await startServer(data, ["--insecure"]);
    assert.equal((await sheaf(["call", "account/a/balance", "--data", data])).out, `${round * 5}\n`);
  }
  assert.equal(await server.end("SIGINT"), 0);
});

test("start: an empty folder needs --create", async (t) => {
  const ran = await sheaf(["start", ledgerApp, "--data", folder(t), "--port", "0", "--admin-port", "0"]);
  assert.equal(ran.code, 3);
  assert.match(ran.err, /NO_CLUSTER[^]*--create/);
});

test("start: another cluster's folder, and a wrong or missing encryption key, are refused", async (t) => {
  const data = folder(t);
  const key = randomBytes(32).toString("hex");
  const first = await startServer(data, ["--create", "--insecure"], { SHEAF_ENCRYPTION_KEY: key });
  assert.equal((await sheaf(["call", "account/a/deposit", '{"cents":77123}', "--data", data])).code, 0);
  // An orderly end: what was changed is then in the local store too.
  await first.end("SIGTERM");
  const packed = Buffer.from(pack({ cents: 77_123 }).subarray(1));
  const start = ["start", ledgerApp, "--data", data, "--port", "0", "--admin-port", "0", "--insecure"];
  assert.match((await sheaf(start)).err, /WRONG_KEY/);
  const wrong = await sheaf(start, { env: { SHEAF_ENCRYPTION_KEY: randomBytes(32).toString("base64") } });
  assert.equal(wrong.code, 4, wrong.err);
  assert.equal((await sheaf(start, { env: { SHEAF_ENCRYPTION_KEY: "short" } })).code, 2);
  assert.equal((await sheaf([...start, "--cluster", "other"], { env: { SHEAF_ENCRYPTION_KEY: key } })).code, 5);
  for (const name of ["journal.db", "journal.db-wal"]) {
    const bytes = existsSync(join(data, name)) ? readFileSync(join(data, name)) : Buffer.alloc(0);
    assert.ok(!bytes.includes("deposit"), `${name} holds ciphertext only`);
  }
  const files = readdirSync(data, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  assert.ok(files.some(({ name }) => name === "state.db"));
  for (const { parentPath, name } of files)
    assert.ok(!readFileSync(join(parentPath, name)).includes(packed), `${name} holds no state in clear`);
  const file = join(data, "key");
  writeFileSync(file, `${key}\n`);
  const second = await startServer(data, ["--insecure", "--encryption-key-file", file]);
  assert.equal((await sheaf(["call", "account/a/balance", "--data", data])).out, "77123\n");
  await second.end("SIGTERM");
});

test("start: callers need a key that is in force, over HTTP and as the folder's own operator", async (t) => {
  const data = join(folder(t), "data");
  const server = await startServer(data, ["--create"]);
  t.after(() => server.end("SIGKILL"));
  for (const path of [data, join(data, "admin.token")])
    assert.equal(statSync(path).mode & 0o077, 0, `${path} is the owner's alone`);
  const made = read((await sheaf(["key", "create", "tester", "--data", data, "--json"])).out).data as {
    id: string;
    key: string;
  };
  const call = (token: string): ReturnType<typeof sheaf> =>
    sheaf(["call", "account/a/deposit", '{"cents":5}', "--url", server.gateway], { env: { SHEAF_TOKEN: token } });
  assert.equal((await call("")).code, 4);
  assert.equal((await call("sk_nonsense")).code, 4);
  assert.equal((await call(made.key)).code, 0);
  const admin = await sheaf(["status", "--admin", server.admin], { env: { SHEAF_TOKEN: made.key } });
  assert.equal(admin.code, 4, "a key with the role app does not operate");
  const list = await sheaf(["key", "ls", "--data", data, "--json"]);
  assert.ok(!list.out.includes(made.key), "the key's text is shown once");
  assert.equal((await sheaf(["key", "revoke", made.id, "--data", data])).code, 0);
  assert.equal((await call(made.key)).code, 4);
  assert.equal((await sheaf(["key", "revoke", "nosuchkey", "--data", data])).code, 3);
});

test("start: a port that was asked for and is taken is an error, not another port", async (t) => {
  const other = createServer().listen(0, "127.0.0.1");
  t.after(() => other.close());
  await new Promise((resolve) => other.once("listening", resolve));
  const { port } = other.address() as { port: number };
  const ran = await sheaf([
    "start",
    ledgerApp,
    "--data",
    folder(t),
    "--create",
    "--port",
    String(port),
    "--admin-port",
    "0",
  ]);
  assert.equal(ran.code, 5);
  assert.match(ran.err, /IN_USE[^]*--port/);
});

test("start: limits come from flags and the environment, a flag wins, and nonsense is refused by name", async (t) => {
  const data = folder(t);
  const limits = ["--limit", "maxMailbox=7", "--limit", "maxStateBytes=2000"];
  const server = await startServer(data, ["--create", "--insecure", ...limits], {
    SHEAF_LIMITS: "maxMailbox=9, maxCallDepth=3",
  });
  t.after(() => server.end("SIGKILL"));
  const authorization = `Bearer ${readFileSync(join(data, "admin.token"), "utf8").trim()}`;
  const shown = await fetch(`${server.admin}/admin/v1/limits`, { headers: { authorization } });
  const { maxMailbox, maxStateBytes, maxCallDepth } = (await shown.json()) as Record<string, number>;
  assert.deepEqual([maxMailbox, maxStateBytes, maxCallDepth], [7, 2000, 3]);
  const cases: readonly [string, RegExp][] = [
    ["maxMailbix=7", /no limit "maxMailbix"[^]*Nearest: maxMailbox/],
    ["maxMailbox", /NAME=VALUE/],
    ["maxMailbox=-1", /whole number above 0/],
    ["maxMailbox=1e3", /whole number above 0/],
    ["maxMailbox=20000", /maxMailbox <= maxInFlight/],
    ["maxRecordBytes=999999999", /maxRecordBytes <= 268435456/],
  ];
  for (const [limit, says] of cases) {
    const ran = await sheaf(["start", ledgerApp, "--data", data, "--limit", limit]);
    assert.equal(ran.code, 2, ran.err);
    assert.match(ran.err, says);
  }
  assert.equal((await sheaf(["start", ledgerApp], { cwd: data, env: { SHEAF_LIMITS: "x=1" } })).code, 2);
});

test("start: what does not go together or is no such thing is refused by name", async (t) => {
  const data = folder(t);
  for (const args of [
    ["--nodes", "0"],
    ["--nodes", "2", "--join", "127.0.0.1:1#sj_x"],
    ["--nodes", "2", "--peer-port", "4002"],
    ["--name", "a b"],
    ["--weight", "-1"],
    ["--peer-host", "0.0.0.0", "--create"],
    ["--engine", "nats"],
    ["--engine", "mysql://db"],
    ["--shards", "1025"],
    ["--insecure", "--host", "0.0.0.0"],
  ]) {
    const ran = await sheaf(["start", ledgerApp, "--data", data, ...args]);
    assert.equal(ran.code, 2, args.join(" "));
    assert.match(ran.err, /✗ USAGE/);
  }
});

test("start: a mistake in the app is told with its place and without a stack", async (t) => {
  const dir = folder(t);
  const cases: readonly [string, RegExp][] = [
    ["export default 5;", /does not export an app by default/],
    ["\nconst x: = 5;", /app\.ts:2/],
    ["\n\nthrow new TypeError('boom');", /app\.ts:3:7: TypeError: boom/],
    ["import './gone.ts';", /gone\.ts/],
    ["import 'gone-away';", /✗ USAGE {2}\/[^ ]*app\.ts[^ ]* Cannot find package 'gone-away'[^]*npm install/],
    ["import { entity } from './gone.ts'; export default entity('x', {});", /gone\.ts/],
  ];
  for (const [code, says] of cases) {
    writeFileSync(join(dir, "app.ts"), code);
    const ran = await sheaf(["start", join(dir, "app.ts"), "--data", join(dir, "data"), "--create"]);
    assert.equal(ran.code, 2, ran.err);
    assert.match(ran.err, says);
    assert.doesNotMatch(ran.err, /\n\s+at /);
  }
});
