import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { engineContract } from "../../journal/index.ts";
import { embeddedEngine } from "./engine.ts";

engineContract("embedded", { test, assert }, async () => {
  const dir = await mkdtemp(join(tmpdir(), "sheaf-engine-"));
  return { open: () => embeddedEngine({ dir }), destroy: () => rm(dir, { recursive: true }) };
});
