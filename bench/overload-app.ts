// What the overload row asks too much of: commands whose handlers take a good part of a millisecond of the processor, as those of real
// applications do, so that callers on the same machine can ask for several times what a node can do.

import { fileURLToPath } from "node:url";
import { app, entity } from "../src/model/index.ts";
import { z } from "zod";

export const overloadAppFile = fileURLToPath(import.meta.url);

const handlerMicros = 400;
const Item = z.object({ n: z.number().int(), memo: z.string() });

export const Till = entity("till", {
  state: z.object({ count: z.number().int(), memo: z.string() }),
  commands: {
    add: { input: Item },
    /** Leaves the same to be done by another. */
    pass: { input: Item.extend({ to: z.string() }) },
  },
});

/** Keeps the processor busy. */
function work(): void {
  for (const until = performance.now() + handlerMicros / 1000; performance.now() < until;);
}

const till = Till.implement({
  initial: () => ({ count: 0, memo: "" }),
  add({ state, input: { memo } }) {
    work();
    state.count++;
    state.memo = memo;
  },
  pass({ state, input: { to, ...item }, send }) {
    work();
    state.count++;
    send.entity(Till, to).add(item);
  },
});

/** The default export that an app file has. */
export { overloadApp as default };
const overloadApp = app("overload", { entities: [till] });
