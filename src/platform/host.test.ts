import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { utf8, fromUtf8 } from "../base/index.ts";
import { folderDisk } from "./disk.ts";
import { realHost } from "./host.ts";
import type { LineSink } from "./line-sink.ts";
import { realLog } from "./log.ts";
import { realMeter } from "./meter.ts";

const root = mkdtempSync(join(tmpdir(), "sheaf-host-"));
after(() => rmSync(root, { recursive: true, force: true }));
const folder = (): string => mkdtempSync(join(root, "d-"));
const { clock, crypto, compress, dice, close } = realHost({ dir: folder(), log: { level: "silent" } });
after(close);

test("clock: a turn runs what was asked in order, and what is asked during it runs in the next one", async () => {
  const seen: string[] = [];
  await new Promise<void>((resolve) => {
    clock.turn(() => {
      seen.push("a");
      clock.turn(() => (seen.push("c"), resolve()));
    });
    clock.turn(() => seen.push("b"));
  });
  assert.deepEqual(seen, ["a", "b", "c"]);
});

test("clock: a process that stands still while it sets a timer gives Node no negative span", async (t) => {
  const tick = performance.now.bind(performance);
  let looks = 0;
  t.mock.method(performance, "now", () => tick() + 100 * looks++);
  const spans: unknown[] = [];
  const set = t.mock.method(globalThis, "setTimeout");
  await new Promise<void>((resolve) => void clock.after(1, resolve));
  for (const { arguments: given } of set.mock.calls) spans.push(given[1]);
  assert.deepEqual(spans, [0]);
});

test("clock: a timer never fires before its span has passed, and not at all once cancelled", async () => {
  clock.after(1, () => assert.fail("cancelled")).cancel();
  clock.after(2 ** 40, () => assert.fail("centuries early")).cancel();
  const spans = [0, 0.4, 1, 1.5, 3, 7.2];
  await Promise.all(
    spans.map((ms) => {
      const from = clock.tick();
      return new Promise<void>((resolve) => {
        clock.after(ms, () => (assert.ok(clock.tick() - from >= ms), resolve()));
      });
    }),
  );
});

test("dice: ids are UUIDv7, unique, and sort by creation even when the wall clock goes back", async () => {
  const { realDice } = await import("./dice.ts");
  let now = 1_700_000_000_000;
  const backwards = realDice({ now: () => now-- });
  const ids = Array.from({ length: 20_000 }, () => backwards.id());
  assert.deepEqual([...ids].sort(), ids);
  assert.equal(new Set(ids).size, ids.length);
  for (const id of [...ids.slice(0, 10), dice.id()]) {
    assert.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  }
  for (let i = 0; i < 1000; i++) {
    const roll = dice.random();
    assert.ok(roll >= 0 && roll < 1);
  }
  assert.equal(dice.bytes(10_000).length, 10_000);
  assert.notDeepEqual(dice.bytes(16), dice.bytes(16));
});

test("crypto: what was sealed opens only whole, under its own key and associated data", () => {
  const key = dice.bytes(32);
  const aad = utf8("shard 7");
  for (const plain of [new Uint8Array(0), utf8("x"), dice.bytes(70_000)]) {
    const sealed = crypto.seal(key, plain, aad);
    assert.equal(sealed.length, 12 + plain.length + 16);
    assert.deepEqual(new Uint8Array(crypto.open(key, sealed, aad)!), new Uint8Array(plain));
    assert.equal(crypto.open(dice.bytes(32), sealed, aad), undefined);
    assert.equal(crypto.open(key, sealed, utf8("shard 8")), undefined);
    for (const at of [0, 12, sealed.length - 1]) {
      const bent = Uint8Array.from(sealed);
      bent[at]! ^= 1;
      assert.equal(crypto.open(key, bent, aad), undefined);
    }
    for (const cut of [0, 11, 27, sealed.length - 1])
      assert.equal(crypto.open(key, sealed.subarray(0, cut), aad), undefined);
  }
  assert.equal(crypto.equal(utf8("ab"), utf8("abc")), false);
  assert.equal(crypto.equal(utf8("ab"), utf8("ab")), true);
});

test("crypto: SHA-256 and HMAC give the published vectors", () => {
  const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
  assert.equal(hex(crypto.sha256(utf8("abc"))), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  // RFC 4231, test case 2.
  const mac = crypto.hmacSha256(utf8("Jefe"), utf8("what do ya want for nothing?"));
  assert.equal(hex(mac), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
});

test("compress: gives back what was put in, and refuses bombs, garbage and cut input", () => {
  for (const plain of [new Uint8Array(0), utf8("a".repeat(10_000)), dice.bytes(5000)]) {
    const packed = compress.compress(plain);
    assert.deepEqual(new Uint8Array(compress.decompress(packed, plain.length)), new Uint8Array(plain));
    if (plain.length > 1) assert.throws(() => compress.decompress(packed, plain.length - 1));
    assert.throws(() => compress.decompress(packed.subarray(0, packed.length - 1), 20_000));
  }
  assert.throws(() => compress.decompress(utf8("not zstd at all"), 100));
});

test("disk: reads back the newest whole content, whichever way it was written", () => {
  const dir = folder();
  let disk = folderDisk(dir);
  const reopened = (): string | undefined => {
    disk.close();
    disk = folderDisk(dir);
    const bytes = disk.read("attempt");
    return bytes && fromUtf8(bytes);
  };
  assert.equal(disk.read("attempt"), undefined);
  disk.note("attempt", utf8("a long first note, longer than what follows"));
  assert.equal(reopened(), "a long first note, longer than what follows");
  disk.note("attempt", utf8("second"));
  disk.note("attempt", utf8("3"));
  assert.equal(reopened(), "3");
  disk.write("attempt", utf8("written"));
  assert.equal(reopened(), "written");
  disk.note("attempt", utf8(""));
  assert.equal(reopened(), "");
  assert.deepEqual(
    readdirSync(dir).filter((name) => name.endsWith(".tmp")),
    [],
  );
  disk.close();
});

test("disk: a note torn at any byte leaves the note before it", () => {
  const dir = folder();
  const disk = folderDisk(dir);
  disk.note("n", utf8("first"));
  disk.note("n", utf8("second, torn"));
  disk.close();
  const torn = join(dir, "n.note0");
  const whole = readFileSync(torn);
  for (let length = 0; length < whole.length; length++) {
    writeFileSync(torn, whole);
    truncateSync(torn, length);
    assert.equal(fromUtf8(folderDisk(dir).read("n")!), "first");
  }
});

test("disk: a written file that was bent is CORRUPT, never silently absent", () => {
  const dir = folder();
  folderDisk(dir).write("node", utf8("identity"));
  const bytes = readFileSync(join(dir, "node"));
  for (let at = 0; at < bytes.length; at++) {
    const bent = Buffer.from(bytes);
    bent[at]! ^= 0x10;
    writeFileSync(join(dir, "node"), bent);
    assert.throws(() => folderDisk(dir).read("node"), { code: "CORRUPT" });
  }
});

test("disk: only plain names are taken", () => {
  const disk = folderDisk(folder());
  for (const name of ["../x", "a/b", "", ".", "..", ".hidden", "x.tmp", "x.note0", "nul\0", "a".repeat(101)]) {
    assert.throws(() => disk.read(name), /plain/);
    assert.throws(() => disk.write(name, utf8("x")), /plain/);
    assert.throws(() => disk.note(name, utf8("x")), /plain/);
  }
});

test("log: any value makes one line, and lines that were not taken are counted and told of", () => {
  const lines: string[] = [];
  let room = true;
  const sink: LineSink = { terminal: false, write: (line) => room && lines.push(line) > 0 };
  const meter = realMeter();
  const log = realLog({ sink, meter });
  const ring: Record<string, unknown> = { big: 5n, bytes: new Uint8Array(3), when: new Date(Number.NaN), fn: () => 1 };
  ring["self"] = ring;
  Object.defineProperty(ring, "trap", { enumerable: true, get: () => assert.fail("trap") });
  log.info("odd", { ring, error: new Error("why", { cause: 1n }), undefined });
  log.info("big", { text: "x".repeat(100_000) });
  log.debug("not shown");
  room = false;
  for (let i = 0; i < 7; i++) log.warn("lost");
  room = true;
  log.error("back");
  assert.equal(lines.length, 4);
  assert.ok(lines.every((line) => !line.includes("\n") && line.length < 20_000));
  const told = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  assert.deepEqual(
    told.map(({ message }) => message),
    ["odd", "big", "log lines were dropped", "back"],
  );
  assert.equal(told[2]?.["lines"], 7);
  assert.match(meter.render(), /sheaf_log_dropped_lines_total 7/);
});

test("log: text for a terminal never lets a field move the cursor", () => {
  const lines: string[] = [];
  const log = realLog({ format: "text", sink: { terminal: true, write: (line) => lines.push(line) > 0 } });
  log.warn("bad \x1b[2J news", { key: "a\r\nb\x07" });
  assert.doesNotMatch(lines[0]!.replace(/\x1b\[\d+m/g, ""), /[\x00-\x1f]/);
});

/** Runs a child that logs far more than a pipe holds and then says how long it took. */
async function flood(stderr: "unread pipe" | "closed" | "socket"): Promise<string> {
  const script = `
    import { realLog } from ${JSON.stringify(import.meta.resolve("./log.ts"))};
    const log = realLog();
    for (let i = 0; i < 5000; i++) log.info("line " + "x".repeat(500));
    setTimeout(() => { log.info("more"); process.stdout.write("alive"); }, 20);`;
  const run = `"${process.execPath}" --input-type=module -e '${script.replaceAll("'", "'\\''")}'`;
  // The first two are real pipes of a shell; Node itself gives a child a socket.
  const command =
    stderr === "unread pipe"
      ? `${run} 2> >(sleep 1000 & echo $! >&3; wait)`
      : stderr === "closed"
        ? `${run} 2>&-`
        : run;
  const child = spawn("bash", ["-c", command], { stdio: ["ignore", "pipe", "pipe", "pipe"] });
  let out = "";
  let sleeper = "";
  child.stdio[3]!.on("data", (bytes) => (sleeper += bytes));
  child.stdout!.on("data", (bytes) => (out += bytes));
  await new Promise((resolve) => child.once("exit", resolve));
  if (sleeper) process.kill(Number(sleeper));
  child.stderr!.destroy();
  return out;
}

test("log: a process goes on and ends when standard error is full, closed or unread", async () => {
  assert.deepEqual(await Promise.all([flood("unread pipe"), flood("closed"), flood("socket")]), [
    "alive",
    "alive",
    "alive",
  ]);
});

test("meter: what is rendered is what was measured, in both text formats", () => {
  const meter = realMeter();
  meter.counter("sheaf_a_total", "Counts.", { b: "2", a: 'x"\\\n' }).add(2);
  meter.counter("sheaf_a", "Counts.", { a: 'x"\\\n', b: "2" }).add();
  meter.gauge("sheaf_g_bytes", "Level\nof it.").set(-1.5);
  const spans = meter.histogram("sheaf_h_seconds", "Spans.");
  for (const value of [0, -1, 1e-9, 0.25, 0.2500001, 64, 65, 1e30, Number.NaN]) spans.record(value);
  const text = meter.render();
  assert.match(text, /# TYPE sheaf_a_total counter\nsheaf_a_total\{a="x\\"\\\\\\n",b="2"\} 3\n/);
  assert.match(text, /# HELP sheaf_g_bytes Level\\nof it\.\n# TYPE sheaf_g_bytes gauge\nsheaf_g_bytes -1.5\n/);
  assert.match(text, /sheaf_h_seconds_bucket\{le="0.25"\} 4\nsheaf_h_seconds_bucket\{le="0.5"\} 5\n/);
  assert.match(text, /\{le="64"\} 6\n\S*\{le="\+Inf"\} 8\n/);
  assert.match(text, /sheaf_h_seconds_count 8\n$/);
  const open = meter.render("openmetrics");
  assert.match(open, /# TYPE sheaf_a counter\nsheaf_a_total\{/);
  assert.match(open, /# EOF\n$/);
  assert.throws(() => meter.gauge("sheaf_h_seconds", ""), /is a histogram/);
  assert.throws(() => meter.counter("Bad-Name", ""), /lower case/);
});

test("meter: the real host shows what the process costs", () => {
  const host = realHost({ dir: folder(), log: { level: "silent" } });
  assert.match(host.meter.render(), /sheaf_process_rss_bytes [1-9]\d{6,}/);
  host.close();
});
