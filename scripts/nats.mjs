// The nats-server of the engine's tests, 2.11 or newer: NATS_SERVER when it is set, else one on the path, else Debian's package
// of a newer suite than this machine's, fetched and unpacked into .cache without touching the system. In CI its absence is a
// failure; elsewhere it is said aloud and the tests that need it are left out. Old syntax: Node 20 runs this file.

import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

const cache = fileURLToPath(new URL("../.cache/nats-server", import.meta.url));
const unpacked = join(cache, "usr/sbin/nats-server");
const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg";
/** Debian suites that carry a server that is new enough, in the order they are tried. */
const suites = ["forky", "sid"];

/** What to run when there is none. */
export const natsHint = "node scripts/nats.mjs   (or set NATS_SERVER to a nats-server of 2.11 or newer)";

/** Whether `nats-server --version` printed a version from 2.11 on. */
export function isNewEnough(printed) {
  const [, major, minor] = /v(\d+)\.(\d+)\./.exec(printed) ?? [];
  return Number(major) > 2 || (Number(major) === 2 && Number(minor) >= 11);
}

/** The command of a server that is new enough; undefined when there is none yet. */
export function findNats() {
  const given = process.env.NATS_SERVER;
  return (given ? [given] : ["nats-server", unpacked]).find((command) => {
    const { status, stdout } = spawnSync(command, ["--version"], { encoding: "utf8" });
    return status === 0 && isNewEnough(stdout);
  });
}

const said = (command, args) => spawnSync(command, args, { encoding: "utf8" }).stdout ?? "";

/** The mirror of Debian's own packages that this machine uses. Nothing is fetched, nor need it have been. */
function mirror() {
  const lines = said("apt-get", ["update", "--print-uris"]).split("\n");
  return lines.map((line) => /^'(\S+\/debian)\/dists\//.exec(line)?.[1]).find((uri) => uri !== undefined);
}

/** Runs apt-get on a sources list and in folders of its own, so that the system's lists and packages stay as they are. */
function fetchFrom(suite, uri, work) {
  rmSync(work, { recursive: true, force: true });
  for (const folder of ["state/lists/partial", "cache/archives/partial"])
    mkdirSync(join(work, folder), { recursive: true });
  const signed = existsSync(keyring) ? `[signed-by=${keyring}] ` : "";
  writeFileSync(join(work, "sources.list"), `deb ${signed}${uri} ${suite} main\n`);
  const settings = {
    "Dir::Etc::SourceList": join(work, "sources.list"),
    "Dir::Etc::SourceParts": "/dev/null",
    "Dir::State": join(work, "state"),
    "Dir::Cache": join(work, "cache"),
    "Acquire::Languages": "none",
    "APT::Sandbox::User": "root",
  };
  const lines = Object.entries(settings).map(([name, value]) => `${name} "${value}";\n`);
  writeFileSync(join(work, "apt.conf"), lines.join(""));
  const options = { cwd: work, stdio: ["ignore", 2, 2], env: { ...process.env, APT_CONFIG: join(work, "apt.conf") } };
  const runs = (command, ...args) => spawnSync(command, args, options).status === 0;
  if (!runs("apt-get", "-q", "update") || !runs("apt-get", "-q", "download", "nats-server")) return false;
  const file = readdirSync(work).find((name) => name.endsWith(".deb"));
  return file !== undefined && runs("dpkg-deb", "-x", file, "unpacked");
}

function install() {
  const uri = mirror();
  if (uri === undefined) return;
  const work = `${cache}.${process.pid}`;
  try {
    if (!suites.some((suite) => fetchFrom(suite, uri, work))) return;
    rmSync(cache, { recursive: true, force: true });
    renameSync(join(work, "unpacked"), cache);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** Sees to it that there is a nats-server to test with; ends the process when there can be none in CI. */
export function ensureNats() {
  if (findNats() !== undefined) return;
  if (!process.env.NATS_SERVER) install();
  if (findNats() !== undefined) return;
  process.stderr.write(`There is no nats-server 2.11 or newer and it could not be fetched. Run:\n\n  ${natsHint}\n\n`);
  if (process.env.CI) process.exit(1);
  process.stderr.write(`THE TESTS OF THE NATS ENGINE ARE LEFT OUT OF THIS RUN.\n`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  ensureNats();
  process.stdout.write(`${findNats() ?? "none"}\n`);
}
