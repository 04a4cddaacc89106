// Where a backup lies: a folder of files. What kind of folder is the caller's affair.

export interface Folder {
  /** Names of all that is there. */
  list(): Promise<readonly string[]>;
  /** Makes the file, or adds to its end. */
  append(name: string, bytes: Uint8Array): Promise<void>;
  /** What was added to the file, and its name, are durable when it resolves. */
  sync(name: string): Promise<void>;
  /** Gives a file another name, replacing what had it, at once; durable when it resolves. */
  rename(from: string, to: string): Promise<void>;
  remove(name: string): Promise<void>;
  /** Its bytes, in chunks of at most a few MiB. Rejects NOT_FOUND when there is no such file. */
  read(name: string): AsyncIterable<Uint8Array>;
}
