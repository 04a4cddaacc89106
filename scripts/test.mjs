// `npm test`: installs what is missing, then every gate. Arguments name single gates: `npm test -- types unit`.

import process from "node:process";
import { ensureInstalled, goOnWith } from "./bootstrap.mjs";
import { ensureChromium } from "./chromium.mjs";

ensureInstalled();
ensureChromium();
await goOnWith("scripts/check.mjs", process.argv.slice(2));
