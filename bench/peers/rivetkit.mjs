// rivetkit on an engine that runs already: an actor that adds to its kept state, called through its client.

import { actor, setup } from "rivetkit";
import { createClient } from "rivetkit/client";

/** Making an actor takes more than a second: few, and made before anything is measured. */
const actors = 4;

const counter = actor({
  state: { total: 0, memo: "" },
  actions: {
    add: async (context, by, memo) => {
      context.state.total += by;
      context.state.memo = memo;
      await context.saveState({ immediate: true });
      return context.state.total;
    },
  },
});

export async function serve(port) {
  const registry = setup({
    use: { counter },
    startEngine: true,
    enginePort: port,
    startServices: false,
    noWelcome: true,
  });
  registry.start();
  const until = performance.now() + 60_000;
  while (!(await registry.routes.health().catch(() => ({ ok: false }))).ok) {
    if (performance.now() > until) throw new Error("rivetkit's engine is not ready");
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return `http://127.0.0.1:${port}`;
}

export async function open(endpoint) {
  const client = createClient({ endpoint });
  const memo = "x".repeat(80);
  const once = (n) => client.counter.getOrCreate([`k${n % actors}`]).add(1, memo);
  // The first are refused until the engine has heard of this registry.
  for (let n = 0, refused = 0; n < actors; n++) {
    await once(n).catch((error) => {
      if (++refused > 4) throw error;
      n--;
    });
  }
  return {
    once,
    close: () => client.dispose(),
  };
}
