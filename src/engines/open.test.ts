import assert from "node:assert/strict";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { inspect } from "node:util";
import { openEngine } from "./index.ts";

const root = mkdtempSync(join(tmpdir(), "sheaf-open-"));
after(() => rmSync(root, { recursive: true, force: true }));

test("engine address: sqlite: with or without slashes is the embedded engine in that folder", async () => {
  for (const [n, before] of ["sqlite:", "sqlite://"].entries()) {
    const engine = await openEngine(`${before}${join(root, String(n))}`, { maxRecordBytes: 1000 });
    assert.deepEqual([engine.name, engine.maxRecordBytes], ["embedded", 1000]);
    assert.ok(existsSync(join(root, String(n), "journal.db")));
    await engine.close();
  }
});

test("engine address: one that is not understood is USAGE, and is not repeated, whatever is in it", async () => {
  const strange = ["", "sqlite:", "x", "mysql://me:hunter2@host/db", "constructor:hunter2", "/var/hunter2", "SQLITE:x"];
  for (const url of strange) {
    await assert.rejects(openEngine(url), (error: unknown) => {
      assert.equal((error as { code?: unknown }).code, "USAGE", url);
      assert.ok(!inspect(error, { depth: 9 }).includes("hunter2"), url);
      return true;
    });
  }
});
