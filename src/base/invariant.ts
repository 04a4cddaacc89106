// Broken invariants crash; they are not errors a caller can meet.

/** Throws when a thing that must hold does not. The node crashes: going on would risk data. */
export function invariant(holds: unknown, says: string): asserts holds {
  if (!holds) throw new Error(`invariant broken: ${says}`);
}

/** Marks a switch as exhaustive: a case that is missing does not compile. */
export function never(value: never): never {
  throw new Error(`impossible case: ${JSON.stringify(value)}`);
}
