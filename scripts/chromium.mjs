// The browser of the browser tests: Debian's chromium package, installed when it is missing and this is root. In CI its
// absence is a failure; elsewhere it is said aloud and the browser tests are left out. Old syntax: Node 20 runs this file.

import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import process from "node:process";

const works = (command, args) => spawnSync(command, args, { stdio: "ignore" }).status === 0;

/** Whether anything here drives a browser at all. */
function isNeeded() {
  const manifest = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"));
  return "playwright-core" in manifest.devDependencies;
}

function install() {
  const options = { stdio: ["ignore", 2, 2], env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" } };
  return ["update", "install -y --no-install-recommends chromium"].every(
    (step) => spawnSync("apt-get", step.split(" "), options).status === 0,
  );
}

/** Sees to it that `chromium` can be run where browser tests exist; ends the process when it cannot be had in CI. */
export function ensureChromium() {
  if (!isNeeded() || works("chromium", ["--version"])) return;
  const isRoot = process.getuid !== undefined && process.getuid() === 0;
  if (isRoot && works("apt-get", ["--version"]) && install() && works("chromium", ["--version"])) return;
  process.stderr.write(
    `chromium is missing and could not be installed. Run:\n\n  sudo apt-get update && sudo apt-get install -y chromium\n\n`,
  );
  if (process.env.CI) process.exit(1);
  process.stderr.write(`THE BROWSER TESTS ARE LEFT OUT OF THIS RUN.\n`);
}
