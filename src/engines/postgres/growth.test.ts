import assert from "node:assert/strict";
import { addressOf } from "./address.ts";
import { announcer } from "./growth.ts";
import { openLane } from "./lane.ts";
import { dial } from "./link.ts";
import { serverOfThisFile, serverTest as test } from "./server.fixture.ts";

const server = serverOfThisFile();

test("postgres: growth is announced right behind an append, and what is sent behind that still waits for the disk", async () => {
  const { url } = await server();
  const address = addressOf(url(), "public");
  const lane = openLane((ms) => dial(address, ms), 5000);
  const heard = await dial(address, 5000);
  const payload = new Promise((resolve) => heard.onNotification(resolve));
  await heard.ask("LISTEN public_grown", [], 5000);
  assert.ok(announcer(lane, "public_grown").sent(lane, [3, 9]));
  const [row] = await lane.ask<{ is: string }>("SELECT current_setting('synchronous_commit') AS is", []);
  assert.equal(row?.is, "on");
  assert.equal(await payload, "3,9");
  await heard.end();
  await lane.close();
});
