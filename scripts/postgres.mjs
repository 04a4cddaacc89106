// The PostgreSQL of the engine's tests, 15 or newer: POSTGRES_BIN (the folder of initdb and postgres) when it is set, else
// the path, else Debian's package, installed when it is missing and this is root, without a cluster of its own and without
// starting anything. In CI its absence is a failure; elsewhere it is said aloud and the tests that need it are left out.
// Old syntax: Node 20 runs this file.

import { spawnSync } from "node:child_process";
import { appendFileSync, existsSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

const oldest = 15;
const debians = "/usr/lib/postgresql";
const clusterSettings = "/etc/postgresql-common/createcluster.conf";
const servicePolicy = "/usr/sbin/policy-rc.d";

/** What to run when there is none. */
export const postgresHint = "sudo apt-get update && sudo apt-get install -y postgresql   (or set POSTGRES_BIN)";

/** Whether `postgres --version` printed a version that is new enough. */
export function isNewEnough(printed) {
  return Number(/\(PostgreSQL\) (\d+)/.exec(printed)?.[1]) >= oldest;
}

/** Folders in which Debian keeps the programs of each version, the newest first. */
function debianFolders() {
  const versions = existsSync(debians) ? readdirSync(debians).filter((name) => /^\d+$/.test(name)) : [];
  return versions.sort((a, b) => Number(b) - Number(a)).map((version) => join(debians, version, "bin"));
}

/** How `initdb` and `postgres` are called here; undefined when there are none that are new enough. */
export function findPostgres() {
  const given = process.env.POSTGRES_BIN;
  for (const folder of given ? [given] : ["", ...debianFolders()]) {
    const [initdb, postgres] = ["initdb", "postgres"].map((name) => (folder === "" ? name : join(folder, name)));
    const [made, ran] = [initdb, postgres].map((path) => spawnSync(path, ["--version"], { encoding: "utf8" }));
    if (made.status === 0 && ran.status === 0 && isNewEnough(ran.stdout)) return { initdb, postgres };
  }
  return undefined;
}

/** Installs what the server is made of; while that runs, nothing that is installed may start a service. */
function install() {
  const apt = (...args) => {
    const options = { stdio: ["ignore", 2, 2], env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" } };
    return spawnSync("apt-get", ["-q", ...args], options).status === 0;
  };
  const add = (name) => apt("install", "-y", "--no-install-recommends", name);
  const isOurs = !existsSync(servicePolicy);
  if (isOurs) writeFileSync(servicePolicy, "#!/bin/sh\nexit 101\n", { mode: 0o755 });
  try {
    const isFresh = !existsSync(clusterSettings);
    if (!apt("update") || !add("postgresql-common")) return;
    if (isFresh) appendFileSync(clusterSettings, "create_main_cluster = false\n");
    add("postgresql");
  } finally {
    if (isOurs) rmSync(servicePolicy, { force: true });
  }
}

/** Sees to it that there is a PostgreSQL to test with; ends the process when there can be none in CI. */
export function ensurePostgres() {
  if (findPostgres() !== undefined) return;
  const isRoot = process.getuid !== undefined && process.getuid() === 0;
  if (isRoot && !process.env.POSTGRES_BIN && existsSync("/usr/bin/apt-get")) install();
  if (findPostgres() !== undefined) return;
  process.stderr.write(
    `There is no PostgreSQL ${oldest} or newer and it could not be installed. Run:\n\n  ${postgresHint}\n\n`,
  );
  if (process.env.CI) process.exit(1);
  process.stderr.write(`THE TESTS OF THE POSTGRESQL ENGINE ARE LEFT OUT OF THIS RUN.\n`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  ensurePostgres();
  process.stdout.write(`${findPostgres()?.postgres ?? "none"}\n`);
}
