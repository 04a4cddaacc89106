// An application whose parts run in processes of their own: `sheaf start --roles`.

import assert from "node:assert/strict";
import process from "node:process";
import { test } from "node:test";
import { connect } from "../client/index.ts";
import app, { Counter, Echo } from "./bench-app.ts";
import { benchApp, startCluster, until } from "./cluster.fixture.ts";
import { folder, sheaf } from "./cli.fixture.ts";

type Row = {
  readonly name: string;
  readonly entities: boolean;
  readonly services: readonly string[];
  readonly owns: number;
};

test(
  "roles: parts run where they are hosted, any gateway takes any call, and what nobody hosts says so",
  { timeout: 240_000 },
  async (t) => {
    const [journal, one, two, three] = [folder(t), folder(t), folder(t), folder(t)];
    const part = (data: string, name: string, roles: string): ReturnType<typeof startCluster> =>
      startCluster(t, data, 1, ["--engine", `sqlite:${journal}`, "--name", name, "--roles", roles], false);
    const state = await part(one, "state", "entities");
    const edge = await part(two, "edge", "gateway");
    const client = connect(app.contract, { url: edge.gateways });
    t.after(() => client.close());
    const say = (): Promise<unknown> => client.service(Echo).say({ by: 1, memo: "hi" });
    assert.deepEqual(await client.entity(Counter, "a").add({ by: 2, memo: "" }), { total: 2 });
    await assert.rejects(say(), { code: "NOT_HOSTED", outcome: "not-applied" });

    const echo = await part(three, "echo", "echo");
    const spoke = await until("the edge has heard of the node", () => say().catch(() => undefined));
    assert.deepEqual(spoke, { by: 1, memo: "hi" });
    const ls = await sheaf(["node", "ls", "--data", two, "--json"]);
    assert.equal(ls.code, 0, ls.err);
    const rows = (JSON.parse(ls.out) as { data: Row[] }).data;
    assert.deepEqual(
      rows.map(({ name, entities, services, owns }) => [name, entities, services, owns]),
      [
        ["echo", false, ["echo"], 0],
        ["edge", false, [], 0],
        ["state", true, [], 8],
      ],
    );
    assert.match((await sheaf(["status", "--data", two])).out, /^edge\t.*\tgateway\t/m);

    const { pid } = [...echo.nodes.values()][0]!;
    process.kill(pid, "SIGKILL");
    assert.deepEqual(await client.entity(Counter, "a").add({ by: 2, memo: "" }), { total: 4 }, "the rest goes on");
    assert.equal(await edge.stop(), 0);
    assert.equal(await state.stop(), 0);
  },
);

test(
  "roles: entities that were kept apart are where they are hosted, and everything else goes on without them",
  { timeout: 240_000 },
  async (t) => {
    const [journal, one, two] = [folder(t), folder(t), folder(t)];
    const part = (data: string, name: string, ...flags: string[]): ReturnType<typeof startCluster> =>
      startCluster(t, data, 1, ["--engine", `sqlite:${journal}`, "--name", name, ...flags], false);
    const rest = await part(one, "rest", "--roles", "rest,echo", "--apart", "counter:3");
    const client = connect(app.contract, { url: rest.gateways });
    t.after(() => client.close());
    const add = (): Promise<unknown> => client.entity(Counter, "a").add({ by: 2, memo: "" });
    assert.deepEqual(await client.service(Echo).say({ by: 1, memo: "hi" }), { by: 1, memo: "hi" });
    await assert.rejects(add(), { code: "NOT_HOSTED", outcome: "not-applied" });
    const counters = await part(two, "counters", "--roles", "counter");
    assert.deepEqual(await until("the others have heard of the node", () => add().catch(() => undefined)), {
      total: 2,
    });
    const ls = await sheaf(["node", "ls", "--data", one, "--json"]);
    const rows = (JSON.parse(ls.out) as { data: (Row & { readonly hosts: readonly string[] })[] }).data;
    assert.deepEqual(
      rows.map(({ name, hosts, services, owns }) => [name, hosts, services, owns]),
      [
        ["counters", ["counter"], [], 3],
        ["rest", ["rest"], ["echo"], 5],
      ],
    );
    assert.match((await sheaf(["status", "--data", one])).out, /^counters\t.*\tcounter\t/m);
    assert.equal(await counters.stop(), 0);
    assert.equal(await rest.stop(), 0);
  },
);

test(
  "roles: a role that the application does not have is refused before anything is made",
  { timeout: 60_000 },
  async (t) => {
    const data = folder(t);
    const start = (roles: string, ...more: string[]): ReturnType<typeof sheaf> =>
      sheaf([
        "start",
        benchApp,
        "--data",
        data,
        "--create",
        "--insecure",
        "--port",
        "0",
        "--admin-port",
        "0",
        "--roles",
        roles,
        ...more,
      ]);
    const wrong = await start("eco");
    assert.equal(wrong.code, 2);
    assert.match(wrong.err, /no role "eco"[\s\S]*entities, services, gateway[\s\S]*echo/);
    assert.match((await start("rest", "--apart", "cuonter")).err, /no entity "cuonter"[\s\S]*counter/);
    assert.match((await start("rest", "--apart", "counter:8", "--shards", "8")).err, /not enough shards/);
    assert.match((await start("rest", "--apart", "counter:1:2")).err, /ENTITY\[\+ENTITY…\]\[:SHARDS\]/);
    assert.equal((await start("")).code, 2);
    assert.equal((await start("echo,")).code, 2);
    assert.match((await sheaf(["start", benchApp, "--data", data])).err, /NO_CLUSTER/);
  },
);
