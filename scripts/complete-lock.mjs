// Completes package-lock.json, here and in bench/: `npm ci` refuses a lock file in which an optional package of another platform
// is missing, and npm leaves those out that the registry it asked does not carry. Run it after any change of dependencies. What
// it adds is pinned by the package that asks for it; a hash is added by npm on a machine that can see the package.

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { root } from "./bootstrap.mjs";

const systems = ["aix", "android", "darwin", "freebsd", "linux", "netbsd", "openbsd", "openharmony", "sunos", "win32"];
const processors = ["arm", "arm64", "ia32", "loong64", "mips64el", "ppc64", "riscv64", "s390x", "wasm32", "x64"];

/** Where a native package runs, as its name says: `@x/binding-linux-x64-musl`. */
function platformOf(name) {
  const words = name.split(/[/-]/);
  const cpu = words.find((word) => processors.includes(word));
  const os = cpu === "wasm32" ? undefined : words.find((word) => systems.includes(word));
  const isMusl = words.some((word) => word.startsWith("musl"));
  const libc =
    os !== "linux" ? undefined : isMusl ? "musl" : words.some((word) => word.startsWith("gnu")) ? "glibc" : undefined;
  return { cpu, os, libc };
}

/** The lock with an entry for each optional package that one of its packages names, and how many it added. */
export function completed(lock) {
  const packages = { ...lock.packages };
  let added = 0;
  for (const entry of Object.values(lock.packages)) {
    for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
      const path = `node_modules/${name}`;
      if (path in packages) continue;
      const { cpu, os, libc } = platformOf(name);
      packages[path] = {
        version,
        ...(cpu && { cpu: [cpu] }),
        ...(entry.dev && { dev: true }),
        ...(libc && { libc: [libc] }),
        ...(entry.license && { license: entry.license }),
        optional: true,
        ...(os && { os: [os] }),
      };
      added += 1;
    }
  }
  const sorted = Object.entries(packages).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return { lock: { ...lock, packages: Object.fromEntries(sorted) }, added };
}

if (process.argv[1] === join(root, "scripts", "complete-lock.mjs")) {
  for (const name of ["package-lock.json", "bench/package-lock.json"]) {
    const file = join(root, name);
    const { lock, added } = completed(JSON.parse(readFileSync(file, "utf8")));
    if (added > 0) writeFileSync(file, `${JSON.stringify(lock, null, 2)}\n`);
    process.stdout.write(`${name}: ${added} entries added\n`);
  }
}
