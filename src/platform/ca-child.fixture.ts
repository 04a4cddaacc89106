// A process that makes a certificate authority, or finds one, when it is told to: for a test of several at once.

import { ensureCa } from "./cluster-ca.ts";

const [dir = "", cluster = ""] = process.argv.slice(2);
process.once("message", () => {
  process.send?.(ensureCa(dir, { cluster, now: Date.now() }).root);
  process.disconnect();
});
process.send?.("ready");
