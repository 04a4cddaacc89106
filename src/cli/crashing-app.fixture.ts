// An app with a command that ends the process, for what is said and done about such.

import process from "node:process";
import { z } from "zod";
import { app, entity } from "../index.ts";
import { Echo } from "./bench-app.ts";

const Count = z.object({ count: z.number() });
const Thing = entity("thing", {
  state: Count,
  commands: { add: { output: z.number() }, crash: { input: z.object({ how: z.string() }) } },
  queries: { count: { output: z.number() } },
});

/** The default export that an app file has. */
export { crashing as default };
const crashing = app("crashing", {
  entities: [
    Thing.implement({
      initial: () => ({ count: 0 }),
      add: ({ state }) => ++state.count,
      crash: () => process.exit(9),
      count: ({ state }) => state.count,
    }),
  ],
  services: [Echo.implement({ say: ({ input }) => input })],
});
