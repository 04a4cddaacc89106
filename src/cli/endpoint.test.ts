// A cluster that calls a service of another cluster, registered with `sheaf endpoint`.

import assert from "node:assert/strict";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { connect } from "../client/index.ts";
import { Echo } from "./bench-app.ts";
import { folder, sheaf, startServer } from "./cli.fixture.ts";
import { benchApp, until } from "./cluster.fixture.ts";
import outside, { Diary, Parrot } from "./outside-app.fixture.ts";

const outsideApp = fileURLToPath(new URL("./outside-app.fixture.ts", import.meta.url));

test(
  "endpoint: a service of another cluster is called like one's own, from handlers and from outside, where it is registered",
  { timeout: 240_000 },
  async (t) => {
    const [mine, theirs] = [folder(t), folder(t)];
    const other = await startServer(theirs, ["--create", "--insecure"], {}, benchApp);
    // One of a cluster, as nodes mostly are.
    const own = await startServer(mine, ["--create", "--insecure", "--name", "own"], {}, outsideApp);
    const cli = async (...args: string[]): Promise<{ code: number; out: string; err: string }> =>
      sheaf(["endpoint", ...args, "--data", mine]);
    const client = connect(outside.contract, { url: own.gateway });
    t.after(() => client.close());

    await assert.rejects(client.service(Parrot).repeat("hello"), { code: "NOT_HOSTED" });
    const refused = await cli("add", "echo", other.gateway);
    assert.equal(refused.code, 2, "plain HTTP only where it is private");
    assert.match(refused.err, /--private/);
    const unknown = await cli("add", "ecco", other.gateway, "--private");
    assert.equal(unknown.code, 3);
    assert.match(unknown.err, /declares no outside service "ecco"[^]*echo/);
    assert.equal((await cli("add", "echo", other.gateway, "--private")).code, 0);
    assert.match((await cli("ls")).out, new RegExp(`^echo\t${other.gateway}\tprivate\t`, "m"));

    const repeated = await until("the address is known", () =>
      client
        .service(Parrot)
        .repeat("hello")
        .catch(() => undefined),
    );
    assert.equal(repeated, "hello");
    assert.equal(await client.entity(Diary, "a").note("dear diary"), 1);
    assert.deepEqual(await client.service(Echo).say({ by: 5, memo: "x" }), { by: 5, memo: "x" });
    await assert.rejects(client.service(Echo).say({ by: 0.5, memo: "x" }), { code: "BAD_INPUT" });

    assert.equal(await other.end("SIGTERM"), 0);
    await assert.rejects(client.service(Echo).say({ by: 5, memo: "x" }), {
      code: "EXTERNAL_FAILED",
      outcome: "not-applied",
    });
    assert.equal((await cli("remove", "echo")).code, 0);
    assert.equal((await cli("remove", "echo")).code, 3);
    assert.deepEqual((JSON.parse((await cli("ls", "--json")).out) as { data: unknown }).data, []);
    assert.equal(await own.end("SIGTERM"), 0);
  },
);
