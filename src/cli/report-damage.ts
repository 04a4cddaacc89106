// What is done about damage that an engine finds while it tidies: no call fails of it yet, so somebody has to be told.

import type { SheafError } from "../base/index.ts";
import type { Host } from "../host/index.ts";

/** Counts and logs. */
export function damageReport({ meter, log }: Pick<Host, "meter" | "log">): (error: SheafError) => void {
  const damage = meter.counter("sheaf_journal_damage_total", "Damage found in the journal beside calls.");
  return ({ message }) => {
    damage.add();
    log.error("the journal is damaged: its records are folded no more", { reason: message });
  };
}
