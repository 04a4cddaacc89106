// `npm test`: installs what is missing, then every gate. Arguments name single gates: `npm test -- types unit`.

import process from "node:process";
import { ensureInstalled, goOnWith } from "./bootstrap.mjs";
import { ensureChromium } from "./chromium.mjs";
import { ensureNats } from "./nats.mjs";
import { ensurePostgres } from "./postgres.mjs";

ensureInstalled();
ensureChromium();
ensureNats();
ensurePostgres();
await goOnWith("scripts/check.mjs", process.argv.slice(2));
