// Is there one order of all operations on a thing that explains every answer and respects real time?
// Wing & Gong (1993) with Lowe's linked list and memo on (operations done, state) ("Testing for linearizability", 2017).
// Histories are checked one thing at a time: a system is linearizable exactly when each of its things is (Herlihy & Wing).
//
// C1. An operation whose outcome is unknown may have happened at any time after it began, or never.
// C2. A search that runs out of budget says so: undecided is never a pass.

export type Operation<Input, Output> = {
  readonly input: Input;
  /** What came back; only meaningful when `end` is known. */
  readonly output: Output | undefined;
  /** Points on one clock that orders all events of the run. `end` is undefined when the outcome is unknown. */
  readonly start: number;
  readonly end: number | undefined;
};

/** Says that an answer cannot come from a state. */
export const impossible: unique symbol = Symbol("impossible");

/** The sequential behaviour that the history is held against. */
export type Model<State, Input, Output> = {
  readonly initial: State;
  /** The state afterwards, or `impossible` when `output` cannot be the answer. An unknown answer is `known: false`. */
  step(state: State, input: Input, output: Output | undefined, known: boolean): State | typeof impossible;
  /** Equal for equal states. */
  key(state: State): string | number;
  /** Operations that change nothing: those with unknown outcome are left out. */
  reads(input: Input): boolean;
};

export type Verdict<Input, Output> =
  | { readonly kind: "linearizable"; readonly steps: number }
  | {
      readonly kind: "violation";
      readonly steps: number;
      /** The longest explanation found, in order, and the operation whose answer it cannot reach. */
      readonly explained: readonly Operation<Input, Output>[];
      readonly blocked: Operation<Input, Output>;
    }
  | { readonly kind: "undecided"; readonly steps: number };

/** An operation's beginning or end, in a doubly linked list ordered by time. */
type Mark<Op> = {
  readonly index: number;
  readonly op: Op;
  /** The end belonging to a beginning; undefined on an end, and when the outcome is unknown. */
  end: Mark<Op> | undefined;
  readonly begins: boolean;
  prev: Mark<Op> | undefined;
  next: Mark<Op> | undefined;
};

const defaultBudget = 3_000_000;

export function checkLinearizable<State, Input, Output>(
  model: Model<State, Input, Output>,
  history: readonly Operation<Input, Output>[],
  budget = defaultBudget,
): Verdict<Input, Output> {
  type Op = Operation<Input, Output>;
  const ops = history.filter((op) => op.end !== undefined || !model.reads(op.input));
  const head = link<Op>(ops);
  const done = new Uint32Array((ops.length + 31) >> 5);
  const seen = memo(done);
  const trail: { mark: Mark<Op>; state: State }[] = [];
  let known = ops.filter((op) => op.end !== undefined).length;
  let state = model.initial;
  let steps = 0;
  let best: { explained: readonly Op[]; blocked: Op } | undefined;
  let at = head.next;
  while (known > 0) {
    if (++steps > budget) return { kind: "undecided", steps };
    const mark = at as Mark<Op>;
    if (mark.begins) {
      const isKnown = mark.op.end !== undefined;
      const after = model.step(state, mark.op.input, mark.op.output, isKnown);
      flip(done, mark.index);
      if (after !== impossible && seen(model.key(after))) {
        trail.push({ mark, state });
        state = after;
        lift(mark);
        if (isKnown) known--;
        at = head.next;
      } else {
        flip(done, mark.index);
        at = mark.next;
      }
      continue;
    }
    if (best === undefined || trail.length > best.explained.length)
      best = { explained: trail.map((step) => step.mark.op), blocked: mark.op };
    const last = trail.pop();
    if (last === undefined) return { kind: "violation", steps, ...best };
    state = last.state;
    flip(done, last.mark.index);
    unlift(last.mark);
    if (last.mark.op.end !== undefined) known++;
    at = last.mark.next;
  }
  return { kind: "linearizable", steps };
}

/** Beginnings before ends at the same instant: touching operations count as concurrent. */
function link<Op extends { readonly start: number; readonly end: number | undefined }>(ops: readonly Op[]): Mark<Op> {
  const marks: Mark<Op>[] = [];
  ops.forEach((op, index) => {
    const end: Mark<Op> | undefined =
      op.end === undefined ? undefined : { index, op, end: undefined, begins: false, prev: undefined, next: undefined };
    marks.push({ index, op, end, begins: true, prev: undefined, next: undefined });
    if (end !== undefined) marks.push(end);
  });
  const time = (mark: Mark<Op>): number => (mark.begins ? mark.op.start : (mark.op.end as number));
  marks.sort((a, b) => time(a) - time(b) || Number(b.begins) - Number(a.begins));
  const head: Mark<Op> = {
    index: -1,
    op: undefined as never,
    end: undefined,
    begins: true,
    prev: undefined,
    next: undefined,
  };
  let last = head;
  for (const mark of marks) {
    mark.prev = last;
    last.next = mark;
    last = mark;
  }
  return head;
}

function lift<Op>(mark: Mark<Op>): void {
  cut(mark);
  if (mark.end !== undefined) cut(mark.end);
}

function unlift<Op>(mark: Mark<Op>): void {
  if (mark.end !== undefined) mend(mark.end);
  mend(mark);
}

function cut<Op>(mark: Mark<Op>): void {
  if (mark.prev !== undefined) mark.prev.next = mark.next;
  if (mark.next !== undefined) mark.next.prev = mark.prev;
}

function mend<Op>(mark: Mark<Op>): void {
  if (mark.prev !== undefined) mark.prev.next = mark;
  if (mark.next !== undefined) mark.next.prev = mark;
}

const flip = (bits: Uint32Array, index: number): void => {
  bits[index >> 5] = ((bits[index >> 5] as number) ^ (1 << (index & 31))) >>> 0;
};

/** True the first time that the current bits are met together with a state. */
function memo(bits: Uint32Array): (state: string | number) => boolean {
  const table = new Map<number, { bits: Uint32Array; state: string | number }[]>();
  return (state) => {
    let hash = 0x811c9dc5;
    for (let i = 0; i < bits.length; i++) hash = Math.imul(hash ^ (bits[i] as number), 0x9e3779b1) ^ (hash >>> 13);
    if (typeof state === "number") hash = Math.imul(hash ^ state, 0x85ebca6b);
    else for (let i = 0; i < state.length; i++) hash = Math.imul(hash ^ state.charCodeAt(i), 0x85ebca6b);
    const row = table.get(hash);
    if (row === undefined) {
      table.set(hash, [{ bits: bits.slice(), state }]);
      return true;
    }
    for (const entry of row) if (entry.state === state && same(entry.bits, bits)) return false;
    row.push({ bits: bits.slice(), state });
    return true;
  };
}

function same(a: Uint32Array, b: Uint32Array): boolean {
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
