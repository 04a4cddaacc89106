// A process with a listener for peers, to be killed by a test.

import { limits, world } from "./peer.fixture.ts";
import { listenPeers } from "./peer-listener.ts";

const { port } = await listenPeers({
  port: 0,
  identity: { kind: "plain", cluster: "0f".repeat(16), name: "a" },
  limits,
  world,
  open: () => ({ message() {}, drained() {}, closed() {} }),
});
process.stdout.write(JSON.stringify({ port }));
