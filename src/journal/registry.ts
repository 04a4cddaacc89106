// What every engine's registry accepts.

import { SheafError } from "../base/index.ts";

/** The largest value: what a member says of itself, many times over. */
export const maxRegistryBytes = 8 * 1024;

/** Throws BAD_INPUT unless the key is 1 to 200 of the characters that every engine can keep. */
export function checkRegistryKey(key: string): void {
  if (/^[a-z0-9._-]{1,200}$/.test(key)) return;
  throw new SheafError("BAD_INPUT", `not a key of the registry: ${JSON.stringify(key)}`.slice(0, 300));
}

/** Throws BAD_INPUT or TOO_LARGE for what `Registry.put` refuses. */
export function checkRegistryEntry(key: string, value: Uint8Array): void {
  checkRegistryKey(key);
  if (value.length <= maxRegistryBytes) return;
  throw new SheafError(
    "TOO_LARGE",
    `the registry's value of ${key} has ${value.length} bytes; it takes ${maxRegistryBytes}`,
  );
}
