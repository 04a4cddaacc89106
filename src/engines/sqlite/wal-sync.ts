// Makes durable what has been committed to journal.db: a sync of its write-ahead log, done while no lock is held, so that
// processes that share the file sync side by side and none keeps the others waiting for a disk.
//
// Y1. The log holds transactions in order: one sync covers all that was committed before it, by whichever process.
// Y2. After a sync that failed a later one proves nothing, since the system may have let go of what the first was to keep.
//     Then all is carried into journal.db and that is synced (a checkpoint) before anything is called durable again.

import { closeSync, fdatasync, fdatasyncSync, openSync } from "node:fs";
import type { DatabaseSync } from "node:sqlite";
import { messageOf, SheafError } from "../../base/index.ts";

export type WalSync = {
  /** Returns once all that was committed before is durable. Throws ENGINE_UNAVAILABLE. */
  sync(): void;
  /** Throws ENGINE_UNAVAILABLE while a sync that failed has not been made good. */
  check(): void;
  close(): void;
};

/** As `WalSync`, beside other work of the thread. */
export type WalSyncs = {
  /** Calls back once all that was committed before is durable, or with ENGINE_UNAVAILABLE. Who asks while a sync is under way
   *  shares the next. */
  soon(tell: (error: SheafError | undefined) => void): void;
  close(): void;
};

const unsynced = (cause: unknown): SheafError =>
  new SheafError("ENGINE_UNAVAILABLE", `the disk did not sync the journal: ${messageOf(cause)}`, {
    cause,
    hint: "look at the system log: the disk may be failing",
  });

type Log = { readonly file: number; check(): void; failed(error: unknown): SheafError };

/** `db` is a connection to the file at `path`, outside of any transaction whenever something is called. */
function openLog(db: DatabaseSync, path: string): Log {
  db.prepare("SELECT count(*) FROM head").get(); // The log is there from the first read on.
  let failure: unknown;
  return {
    file: openSync(`${path}-wal`, "r+"),
    check() {
      if (failure === undefined) return;
      type Done = { busy: number; log: number; checkpointed: number };
      const { busy, log, checkpointed } = db.prepare("PRAGMA wal_checkpoint(PASSIVE)").get() as Done;
      // While another is at it, nothing was done here, and both counts are -1.
      if (busy !== 0 || checkpointed < log) throw unsynced(failure);
      failure = undefined;
    },
    failed: (error) => unsynced((failure = error)),
  };
}

/** `syncFile` is another than the system's in tests only. */
export function openWalSync(db: DatabaseSync, path: string, syncFile: (file: number) => void = fdatasyncSync): WalSync {
  const log = openLog(db, path);
  return {
    sync() {
      log.check();
      try {
        syncFile(log.file);
      } catch (error) {
        throw log.failed(error);
      }
    },
    check: log.check,
    close: () => closeSync(log.file),
  };
}

export type SyncFile = (file: number, done: (error: Error | null) => void) => void;

/** `syncFile` is another than the system's in tests only. */
export function openWalSyncs(db: DatabaseSync, path: string, syncFile: SyncFile = fdatasync): WalSyncs {
  const log = openLog(db, path);
  let waiting: Parameters<WalSyncs["soon"]>[0][] = [];
  let runs = false;
  let closing = false;

  function run(): void {
    const told = waiting;
    waiting = [];
    const ended = (error?: SheafError): void => {
      for (const tell of told) tell(error);
      if (waiting.length > 0) return run();
      runs = false;
      if (closing) closeSync(log.file);
    };
    runs = true;
    try {
      log.check();
    } catch (error) {
      return ended(error as SheafError);
    }
    syncFile(log.file, (error) => ended(error ? log.failed(error) : undefined));
  }
  return {
    soon(tell) {
      waiting.push(tell);
      if (!runs) run();
    },
    close() {
      closing = true;
      if (!runs) closeSync(log.file);
    },
  };
}
