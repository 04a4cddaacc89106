// Commands that wait for one entity. Only one runs at a time.

import type { Attempt } from "./attempt.ts";

export type Mailbox = {
  /** The command whose handler has not returned yet. */
  running: Attempt | undefined;
  queue: Attempt[];
  /** Already among those that the next slice looks at. */
  scheduled: boolean;
};

export const emptyMailbox = (): Mailbox => ({ running: undefined, queue: [], scheduled: false });
