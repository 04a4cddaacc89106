// Who is blamed for a crash of the process, and who never is.

import assert from "node:assert/strict";
import { test } from "node:test";
import { bomb, code, world, type World } from "./world.fixture.ts";

const parked = async (w: World): Promise<readonly string[]> => (await w.run(w.node.parked())).items.map(({ id }) => id);

/** Runs `send` and dies in the command `bomb`. */
async function crash(w: World, send: () => void): Promise<World> {
  bomb.explode = () => {
    w.host.kill();
    throw new Error("the process is gone");
  };
  send();
  await w.host.schedule.run({ done: () => !w.host.alive(), until: w.host.schedule.now() + 60_000 });
  assert.ok(!w.host.alive(), "the process has crashed");
  bomb.explode = () => {};
  return world({ from: w });
}

const quietly = (promise: Promise<unknown>): void => void promise.catch(() => {});

test("poison: a suspect that expires before its turn stays a suspect", async () => {
  let w = await world();
  for (let i = 0; i < 5; i++) w = await crash(w, () => quietly(w.send("a", "bomb", "x")));
  const first = w.send("a", "hang", undefined, { deadline: w.host.clock.tick() + 500 });
  await w.pass(5);
  const expired = w.send("a", "bomb", "x", { deadline: w.host.clock.tick() + 100 });
  await w.run(Promise.allSettled([first, expired]));
  assert.deepEqual(await parked(w), []);
  w = await crash(w, () => quietly(w.send("a", "bomb", "x")));
  assert.equal((await parked(w)).length, 1);
});

test("poison: a slow suspect is not blamed for the crash of another command", async () => {
  let w = await world();
  for (let i = 0; i < 8; i++) {
    w = await crash(w, () => {
      quietly(w.send("a", "hang", undefined, { deadline: w.host.clock.tick() + 20_000 }));
      w.host.clock.after(3000, () => quietly(w.send("b", "bomb", "x", { deadline: w.host.clock.tick() + 20_000 })));
    });
  }
  assert.ok(!(await parked(w)).some((id) => id.includes("hang")));
});

test("poison: a suspect is not blamed for the crash of a command that was running before it", async () => {
  let w = await world();
  w = await crash(w, () => quietly(w.send("a", "bomb", "x")));
  for (let i = 0; i < 8; i++) {
    w = await crash(w, () => {
      quietly(w.send("slow", "hang", undefined, { deadline: w.host.clock.tick() + 20_000 }));
      w.host.clock.after(10, () => {
        bomb.explode = () => {};
        quietly(w.send("a", "hang", undefined, { deadline: w.host.clock.tick() + 20_000 }));
        w.host.clock.after(5000, () => w.host.kill());
      });
    });
  }
  assert.deepEqual(await parked(w), []);
});

test("poison: a command that crashes is found behind others in its mailbox", async () => {
  let w = await world();
  for (let i = 0; i < 6; i++) {
    w = await crash(w, () => {
      quietly(w.send("a", "add", 1));
      quietly(w.send("a", "bomb", "x"));
      quietly(w.send("a", "add", 1));
    });
  }
  assert.deepEqual(
    (await parked(w)).map((id) => id.split("#")[0]),
    ["counter/a/bomb"],
  );
  await assert.rejects(w.ask("a", "bomb", "x"), code("POISONED", "not-applied"));
});

test("poison: a command that crashes inside another is found, and the other is not blamed", async () => {
  let w = await world();
  for (let i = 0; i < 6; i++) w = await crash(w, () => quietly(w.send("a", "plant", "b")));
  assert.deepEqual(
    (await parked(w)).map((id) => id.split("#")[0]),
    ["counter/b/bomb"],
  );
  await assert.rejects(w.ask("b", "bomb", "x"), code("POISONED", "not-applied"));
});

test("poison: a suspect that a running command waits for starts at once", async () => {
  let w = await world();
  w = await crash(w, () => quietly(w.send("a", "plant", "b")));
  const before = w.host.clock.tick();
  await w.ask("a", "plant", "b");
  assert.ok(w.host.clock.tick() - before < 100, `it took ${w.host.clock.tick() - before} ms`);
});

test("poison: many slow suspects keep others waiting for no more than a second in all", async () => {
  let w: World = await world();
  const slow = (): void => {
    for (let i = 0; i < 20; i++)
      quietly(w.send(`slow-${i}`, "hang", undefined, { deadline: w.host.clock.tick() + 60_000 }));
  };
  slow();
  await w.pass(100);
  w.host.kill();
  w = await world({ from: w });
  slow();
  await w.pass(1);
  const before = w.host.clock.tick();
  await w.ask("other", "add", 1, { deadline: before + 60_000 });
  const tookMs = w.host.clock.tick() - before;
  assert.ok(tookMs <= 1000, `another key's command took ${tookMs} ms`);
});
