import assert from "node:assert/strict";
import { test } from "node:test";
import { type Member, packMemberRecord } from "../cluster/index.ts";
import { memoryEngine, type Registry } from "../journal/index.ts";
import { Roll } from "./roll.ts";

const member = (id: string, changes: Partial<Member> = {}): Member => ({
  id,
  name: id,
  peer: `${id}:7400`,
  gateway: null,
  admin: null,
  zone: "",
  weight: 1,
  release: "",
  services: [],
  entities: true,
  hosts: null,
  state: "ready",
  cordoned: false,
  startedAt: 0,
  pid: 1,
  version: "0.1.0",
  ...changes,
});

/** A registry that writes down how it was written to. */
function observed(): { readonly registry: Registry; readonly acts: string[] } {
  const { registry } = memoryEngine();
  const acts: string[] = [];
  const put: Registry["put"] = (key, value) => (acts.push("put"), registry.put(key, value));
  const renew: Registry["renew"] = (key, value) => (acts.push("renew"), registry.renew(key, value));
  return { registry: { ...registry, put, renew }, acts };
}

test("roll: R2 a node is told of to all when it changes, accuses somebody or was forgotten, and renewed in between", async () => {
  const { registry, acts } = observed();
  const roll = new Roll(registry, "a");
  const says = async (state: Member["state"], accuses: readonly string[] = []): Promise<string | undefined> => {
    await roll.tell(member("a", { state }), accuses);
    await roll.look(["a"]);
    return acts.at(-1);
  };
  assert.equal(await says("starting"), "put");
  assert.equal(await says("starting"), "renew");
  assert.equal(await says("ready"), "put");
  assert.equal(await says("ready", ["b"]), "put");
  assert.equal(await says("ready", ["b"]), "renew");
  assert.equal(await says("ready"), "put");
  await registry.delete("a");
  assert.equal(await says("ready"), "renew", "that it was forgotten shows with the next look");
  assert.equal(await says("ready"), "put");
  assert.equal(await says("ready"), "renew");
});

test("roll: a node whose word was lost says it to all again", async () => {
  const { registry, acts } = observed();
  let isLost = true;
  const put: Registry["put"] = (key, value) => (isLost ? Promise.reject(new Error("lost")) : registry.put(key, value));
  const roll = new Roll({ ...registry, put }, "a");
  await assert.rejects(roll.tell(member("a"), []));
  isLost = false;
  await roll.tell(member("a"), []);
  assert.deepEqual(acts, ["put"]);
});

test("roll: R1 a look reads what was put since the last one and what is asked for; R3 who is asked for and not found is gone", async () => {
  const { registry } = observed();
  const [a, b] = [new Roll(registry, "a"), new Roll(registry, "b")];
  await a.tell(member("a"), []);
  await b.tell(member("b"), []);
  await registry.put("c", packMemberRecord({ member: member("c"), beat: 1, accuses: [] }));
  const first = await a.look(["a"]);
  assert.deepEqual([...first.records.keys()].toSorted(), ["a", "b", "c"]);
  assert.deepEqual([...first.looked], ["a"]);
  await b.tell(member("b"), []);
  const quiet = await a.look(["a"]);
  assert.deepEqual([...quiet.read.keys()], ["a"]);
  assert.equal(quiet.records.get("b")?.beat, 1);
  const asked = await a.look(["a", "b"]);
  assert.equal(asked.records.get("b")?.beat, 2);
  await registry.delete("c");
  assert.ok((await a.look(["a"])).records.has("c"));
  assert.ok(!(await a.look(["a", "c"])).records.has("c"));
  await b.tell(member("b", { state: "draining" }), []);
  assert.equal((await a.look(["a"])).records.get("b")?.member.state, "draining");
});
