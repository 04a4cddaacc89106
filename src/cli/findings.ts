// What a check found.

/** `unknown`: could not be looked at, which is neither good nor bad. */
export type Finding = {
  readonly check: string;
  readonly state: "ok" | "warn" | "bad" | "unknown";
  /** The evidence. */
  readonly found: string;
  /** Why it matters; null where that is plain or nothing is wrong. */
  readonly why: string | null;
  /** What to do; null when nothing needs doing. */
  readonly fix: string | null;
};

export const finding = (
  state: Finding["state"],
  check: string,
  found: string,
  fix: string | null = null,
  { why = null }: { readonly why?: string | null } = {},
): Finding => ({ check, state, found, why, fix });
