// What a check found.

/** `unknown`: could not be looked at, which is neither good nor bad. */
export type Finding = {
  readonly check: string;
  readonly state: "ok" | "warn" | "bad" | "unknown";
  /** The evidence. */
  readonly found: string;
  /** What to do; null when nothing needs doing. */
  readonly fix: string | null;
};

export const finding = (state: Finding["state"], check: string, found: string, fix: string | null = null): Finding => ({
  check,
  state,
  found,
  fix,
});
