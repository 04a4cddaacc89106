// Every error a caller can meet, as data. The catalogue yields the type of codes, HTTP statuses, CLI exit codes,
// the documentation pages and the test that each has one.

/** `now`: retry at once, elsewhere. `later`: retry after a pause. `never`: the same call will fail again. */
export type Retry = "now" | "later" | "never";
/** Whether the call took effect. `unknown` is said only when it truly cannot be told. */
export type Outcome = "applied" | "not-applied" | "unknown";

export type ErrorKind = {
  readonly retry: Retry;
  readonly outcome: Outcome;
  readonly http: number;
  /** CLI exit code. */
  readonly exit: number;
  readonly says: string;
};

const kind = (http: number, exit: number, retry: Retry, outcome: Outcome, says: string): ErrorKind => ({
  retry,
  outcome,
  http,
  exit,
  says,
});

export const catalogue = {
  // What the caller sent.
  BAD_INPUT: kind(400, 2, "never", "not-applied", "the input does not fit the contract"),
  MALFORMED: kind(400, 2, "never", "not-applied", "the request could not be read"),
  TOO_LARGE: kind(413, 2, "never", "not-applied", "the request, record or state is over its size limit"),
  UNSUPPORTED_MEDIA: kind(415, 2, "never", "not-applied", "the content type is not one this endpoint reads"),
  UNKNOWN_TARGET: kind(404, 3, "never", "not-applied", "no such entity, service, command, query or procedure"),
  NOT_FOUND: kind(404, 3, "never", "not-applied", "there is nothing at this address"),
  WRONG_METHOD: kind(405, 2, "never", "not-applied", "this address does not take that HTTP method"),
  UNAUTHENTICATED: kind(401, 4, "never", "not-applied", "the caller could not be identified"),
  FORBIDDEN: kind(403, 4, "never", "not-applied", "the caller may not do this"),
  PRECONDITION_FAILED: kind(412, 5, "never", "not-applied", "the entity is not at the version that If-Match names"),
  PURGED: kind(410, 5, "never", "not-applied", "an operator purged the job before anybody began it"),
  IDEMPOTENCY_MISMATCH: kind(422, 5, "never", "not-applied", "this idempotency key was used with another input"),
  TOO_OLD: kind(409, 5, "never", "unknown", "the operation is older than the window in which repeats are recognised"),
  BAD_SESSION: kind(400, 2, "never", "not-applied", "the session token is forged or of another cluster"),
  // What the application did.
  DECLARED: kind(422, 1, "never", "not-applied", "the handler refused with an error that its contract declares"),
  HANDLER_FAILED: kind(
    500,
    1,
    "later",
    "not-applied",
    "the handler threw something that its contract does not declare",
  ),
  BAD_OUTPUT: kind(500, 1, "never", "not-applied", "the handler returned what its contract does not allow"),
  BAD_STATE: kind(
    500,
    1,
    "never",
    "not-applied",
    "the handler left a state that the schema does not allow; nothing was kept",
  ),
  STATE_TOO_NEW: kind(500, 1, "later", "not-applied", "the state was written by a newer version of this entity"),
  REENTRANT: kind(409, 5, "never", "not-applied", "the call would wait for itself"),
  POISONED: kind(409, 5, "never", "not-applied", "this command crashed the process too often and is parked"),
  // The runtime under load or failure.
  OVERLOADED: kind(429, 7, "later", "not-applied", "a queue on the way is full"),
  IDEMPOTENCY_FULL: kind(429, 7, "later", "not-applied", "the shard remembers as many idempotency keys as it may"),
  DEADLINE: kind(504, 7, "later", "unknown", "the deadline passed before the answer came"),
  CANCELLED: kind(499, 7, "later", "unknown", "the caller gave up"),
  CALL_LOST: kind(504, 7, "later", "unknown", "the connection broke before the answer came"),
  UNREACHABLE: kind(503, 7, "later", "not-applied", "no connection could be made"),
  NOT_OWNER: kind(503, 7, "now", "not-applied", "another node owns this shard"),
  NOT_HOSTED: kind(503, 7, "later", "not-applied", "no node of the cluster hosts this at the moment"),
  EXTERNAL_FAILED: kind(502, 7, "later", "unknown", "a service outside of the cluster did not answer as it should"),
  NOT_READY: kind(503, 7, "later", "not-applied", "the shard is still being opened"),
  STOPPING: kind(503, 7, "later", "not-applied", "the node is stopping"),
  ENGINE_UNAVAILABLE: kind(503, 7, "later", "not-applied", "the engine does not answer"),
  ENGINE_FULL: kind(507, 7, "later", "not-applied", "the engine has no space left"),
  OUTCOME_UNKNOWN: kind(504, 7, "later", "unknown", "the engine did not say whether the write was kept"),
  // Data and set-up.
  CORRUPT: kind(500, 1, "never", "not-applied", "stored bytes fail their checksum or chain; the shard is quarantined"),
  QUARANTINED: kind(503, 7, "never", "not-applied", "the shard is quarantined until an operator decides"),
  DATA_ROLLED_BACK: kind(409, 5, "never", "not-applied", "the journal is behind what this caller has already seen"),
  WRONG_CLUSTER: kind(500, 5, "never", "not-applied", "the engine holds another cluster"),
  NO_CLUSTER: kind(500, 3, "never", "not-applied", "the engine holds no cluster yet"),
  WRONG_KEY: kind(500, 4, "never", "not-applied", "the encryption key is not the one this cluster was made with"),
  ENGINE_REFUSED: kind(500, 1, "never", "not-applied", "the engine cannot be used as it is set up"),
  UNTRUSTED: kind(500, 4, "never", "not-applied", "a certificate or key is not one that this cluster may trust"),
  IN_USE: kind(500, 5, "never", "not-applied", "another process is using this"),
  USAGE: kind(400, 2, "never", "not-applied", "the command line or configuration is not understood"),
  INTERNAL: kind(500, 1, "later", "unknown", "a defect in Sheaf"),
} as const satisfies Record<string, ErrorKind>;

export type ErrorCode = keyof typeof catalogue;

/** One thing wrong with a value: where (path of keys and indexes from the root) and what. */
export type Issue = { readonly path: readonly (string | number)[]; readonly message: string };

/** A shard's owner, and the epoch of its claim. */
export type Owner = { readonly node: string; readonly epoch: number };

export type ErrorDetail = {
  /** Overrides the catalogue's outcome where the thrower knows better. */
  readonly outcome?: Outcome | undefined;
  readonly retry?: Retry | undefined;
  readonly retryAfterMs?: number | undefined;
  /** What to do about it, one sentence. */
  readonly hint?: string | undefined;
  readonly issues?: readonly Issue[] | undefined;
  /** For DECLARED: the name the contract gives the error. */
  readonly name?: string | undefined;
  /** For DECLARED: the error's value as the contract declares it. */
  readonly data?: unknown;
  /** Session token of what its receiver has seen with it. */
  readonly session?: string | undefined;
  /** For NOT_OWNER, between nodes: whom the one that was asked takes for the owner. */
  readonly owner?: Owner | undefined;
  readonly cause?: unknown;
};

/** The one error class. What crosses a wire is `code`, `message`, `retry`, `outcome` and the details; never a stack. */
export class SheafError extends Error {
  override readonly name = "SheafError";
  readonly code: ErrorCode;
  readonly retry: Retry;
  readonly outcome: Outcome;
  readonly retryAfterMs: number | undefined;
  readonly hint: string | undefined;
  readonly issues: readonly Issue[] | undefined;
  /** For DECLARED: the declared error's name. */
  readonly error: string | undefined;
  /** For DECLARED: the declared error's value. */
  readonly data: unknown;
  /** Session token of what its receiver has seen with it: also who is refused has seen something. */
  readonly session: string | undefined;
  /** For NOT_OWNER, between nodes: who may be. */
  readonly owner: Owner | undefined;

  constructor(code: ErrorCode, message?: string, detail: ErrorDetail = {}) {
    const kind: ErrorKind = catalogue[code];
    super(message ?? kind.says, detail.cause === undefined ? undefined : { cause: detail.cause });
    this.code = code;
    this.retry = detail.retry ?? kind.retry;
    this.outcome = detail.outcome ?? kind.outcome;
    this.retryAfterMs = detail.retryAfterMs;
    this.hint = detail.hint;
    this.issues = detail.issues;
    this.error = detail.name;
    this.data = detail.data;
    this.session = detail.session;
    this.owner = detail.owner;
  }
}

/** OVERLOADED, without the trace of where it was made: finding that takes longer than all else of a refusal, and there are
 *  many where there is too much to do. */
export function overloaded(message: string, retryAfterMs: number): SheafError {
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = 0;
  try {
    return new SheafError("OVERLOADED", message, { retryAfterMs });
  } finally {
    Error.stackTraceLimit = stackTraceLimit;
  }
}

/** The same error, but for what is given. */
export function amended(error: SheafError, detail: ErrorDetail): SheafError {
  const { code, message, retry, outcome, retryAfterMs, hint, issues, error: name, data, session, owner } = error;
  const same = { retry, outcome, retryAfterMs, hint, issues, name, data, session, owner, cause: error };
  return new SheafError(code, message, { ...same, ...detail });
}

/** What a thrown value says, whatever was thrown. */
export function messageOf(error: unknown): string {
  try {
    return error instanceof Error ? error.message : String(error);
  } catch {
    return "a value that cannot be shown";
  }
}

/** The error as a SheafError: itself, or `fallback` with the original as its cause. */
export function asSheafError(error: unknown, fallback: ErrorCode = "INTERNAL"): SheafError {
  if (error instanceof SheafError) return error;
  const message = messageOf(error);
  return new SheafError(fallback, message, { cause: error });
}
