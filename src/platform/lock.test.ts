import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { lockFolder } from "./lock.ts";

const root = mkdtempSync(join(tmpdir(), "sheaf-lock-"));
after(() => rmSync(root, { recursive: true, force: true }));

test("folder lock: one holder at a time, in one process too, and free again once released", () => {
  const dir = join(root, "made", "on the way");
  const lock = lockFolder(dir);
  assert.throws(() => lockFolder(dir), { code: "IN_USE", message: `process ${process.pid} is using ${dir}` });
  lock.release();
  lock.release();
  lockFolder(dir).release();
});

test("folder lock: names the process that holds it, and is free the moment that process is killed", async () => {
  const dir = join(root, "killed");
  const script = `import { lockFolder } from ${JSON.stringify(import.meta.resolve("./lock.ts"))};
    globalThis.lock = lockFolder(${JSON.stringify(dir)}); console.log("held"); setInterval(() => {}, 1e6);`;
  for (let round = 0; round < 3; round++) {
    const child = spawn(process.execPath, ["--input-type=module", "-e", script], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    await once(child.stdout, "data");
    assert.throws(() => lockFolder(dir), { code: "IN_USE", message: new RegExp(`process ${child.pid} `) });
    child.kill("SIGKILL");
    await once(child, "exit");
    lockFolder(dir).release();
  }
});

test("folder lock: shared, it lets in others that share and nobody who wants it alone, until the last is gone", () => {
  const dir = join(root, "shared");
  const first = lockFolder(dir, "shared");
  const second = lockFolder(dir, "shared");
  assert.throws(() => lockFolder(dir), { code: "IN_USE" });
  first.release();
  assert.throws(() => lockFolder(dir), { code: "IN_USE" });
  second.release();
  const alone = lockFolder(dir);
  assert.throws(() => lockFolder(dir, "shared"), { code: "IN_USE" });
  alone.release();
});

test("folder lock: a folder that cannot be used is refused with what to do", () => {
  writeFileSync(join(root, "a file"), "");
  assert.throws(() => lockFolder(join(root, "a file")), { code: "ENGINE_REFUSED", hint: /writable/ });
});
