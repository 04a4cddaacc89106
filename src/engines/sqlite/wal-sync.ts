// Makes durable what has been committed to journal.db: a sync of its write-ahead log, done while no lock is held, so that
// processes that share the file sync side by side and none keeps the others waiting for a disk.
//
// Y1. The log holds transactions in order: one sync covers all that was committed before it, by whichever process.
// Y2. After a sync that failed a later one proves nothing, since the system may have let go of what the first was to keep.
//     Then all is carried into journal.db and that is synced (a checkpoint) before anything is called durable again.

import { closeSync, fdatasyncSync, openSync } from "node:fs";
import type { DatabaseSync } from "node:sqlite";
import { messageOf, SheafError } from "../../base/index.ts";

export type WalSync = {
  /** Returns once all that was committed before is durable. Throws ENGINE_UNAVAILABLE. */
  sync(): void;
  /** Throws ENGINE_UNAVAILABLE while a sync that failed has not been made good. */
  check(): void;
  close(): void;
};

const unsynced = (cause: unknown): SheafError =>
  new SheafError("ENGINE_UNAVAILABLE", `the disk did not sync the journal: ${messageOf(cause)}`, {
    cause,
    hint: "look at the system log: the disk may be failing",
  });

/** `db` is a connection to the file at `path`, outside of any transaction whenever something is called. `syncFile` is
 *  another than the system's in tests only. */
export function openWalSync(db: DatabaseSync, path: string, syncFile: (file: number) => void = fdatasyncSync): WalSync {
  db.prepare("SELECT count(*) FROM head").get(); // The log is there from the first read on.
  const log = openSync(`${path}-wal`, "r+");
  let failed: unknown;

  function check(): void {
    if (failed === undefined) return;
    const { log, checkpointed } = db.prepare("PRAGMA wal_checkpoint(PASSIVE)").get() as {
      log: number;
      checkpointed: number;
    };
    if (checkpointed < log) throw unsynced(failed);
    failed = undefined;
  }
  return {
    sync() {
      check();
      try {
        syncFile(log);
      } catch (error) {
        failed = error;
        throw unsynced(error);
      }
    },
    check,
    close: () => closeSync(log),
  };
}
