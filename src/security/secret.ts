// Comparing secrets.

import { utf8 } from "../base/index.ts";
import type { Crypto } from "../host/index.ts";

/** Whether two secrets are the same text, in time that tells nothing about where they differ, nor how long they are. */
export const sameSecret = (crypto: Crypto, a: string, b: string): boolean =>
  crypto.equal(crypto.sha256(utf8(a)), crypto.sha256(utf8(b)));
