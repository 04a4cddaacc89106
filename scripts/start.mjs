// `npm start`: the example bank on this machine, from a fresh clone too. Arguments go to `sheaf dev`.

import process from "node:process";
import { ensureInstalled, goOnWith } from "./bootstrap.mjs";

ensureInstalled();
await goOnWith("bin/sheaf.mjs", ["dev", "examples/ledger/app.ts", ...process.argv.slice(2)]);
