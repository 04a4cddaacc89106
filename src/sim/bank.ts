// Is money conserved? Accounts move it in steps: the sender sets it aside, the receiver takes it in once, the sender
// forgets it. At every moment each cent is in a balance, or set aside and not yet taken in (PROMISES W4).

export type BankAccount = {
  readonly key: string;
  readonly cents: number;
  /** Set aside for others and not yet known to have arrived, by transfer. */
  readonly outgoing: Readonly<Record<string, { readonly to: string; readonly cents: number }>>;
  /** Transfers taken in. */
  readonly taken: readonly string[];
};

/** Problems in words, none when all is well. The accounts are read while nothing is being transferred. */
export function checkBank(accounts: readonly BankAccount[], totalCents: number): string[] {
  const problems: string[] = [];
  const byKey = new Map(accounts.map((account) => [account.key, account]));
  let total = 0;
  for (const account of accounts) {
    total += account.cents;
    if (account.cents < 0) problems.push(`${account.key} is overdrawn by ${-account.cents}`);
    if (new Set(account.taken).size !== account.taken.length)
      problems.push(`${account.key} took in one transfer twice`);
    for (const [id, { to, cents }] of Object.entries(account.outgoing)) {
      const receiver = byKey.get(to);
      if (receiver === undefined) problems.push(`${id} goes to ${to}, which does not exist`);
      else if (!receiver.taken.includes(id)) total += cents;
    }
  }
  if (total !== totalCents)
    problems.push(`the bank holds ${total} and not ${totalCents}, transfers under way included`);
  return problems;
}
