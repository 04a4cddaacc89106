// A node of the bench's cluster that offers none of its services: it passes calls on to those that do.

import { fileURLToPath } from "node:url";
import benchApp from "../src/cli/bench-app.ts";

export const relayAppFile = fileURLToPath(import.meta.url);
export const relayApp = { ...benchApp, services: [] };

/** The default export that an app file has. */
export { relayApp as default };
