// What the app offers: data only, so that a browser or another service can import it.

import { entity } from "sheaf";
import { z } from "zod";

export const Counter = entity("counter", {
  state: z.object({ count: z.number().int() }),
  commands: {
    add: { input: z.object({ by: z.number().int() }), output: z.object({ count: z.number().int() }) },
    reset: {},
  },
  queries: { current: { output: z.number().int() } },
});
