// `npm start`: the example bank as a cluster of three nodes on this machine, from a fresh clone too. Arguments go to `sheaf dev`.

import process from "node:process";
import { ensureInstalled, goOnWith } from "./bootstrap.mjs";

ensureInstalled();
await goOnWith("bin/sheaf.mjs", ["dev", "examples/ledger/app.ts", "--nodes", "3", ...process.argv.slice(2)]);
