// What the ledger offers: data only, so that a browser or another service can import it.

import { contract, entity, service } from "sheaf";
import { z } from "zod";

/** Money is whole cents. */
export const Cents = z.number().int();
const Amount = Cents.positive();
/** Names a transfer. Whoever asks for one chooses it, and may ask again with the same one. */
const TransferId = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, "a transfer id is 1 to 64 letters, digits, dots, dashes");
const AccountId = z.string().min(1).max(128);
const Step = z.object({ transfer: TransferId, cents: Amount });
const Sum = z.object({ transfers: z.number().int(), cents: Cents });

export const Statement = z.object({
  /** What may be spent. */
  cents: Cents,
  /** What transfers ever took out, less what came back, and ever brought. */
  sent: Sum,
  got: Sum,
  open: z.boolean(),
});

export const Account = entity("account", {
  state: Statement,
  commands: {
    /** Puts the first money in; once, however often it is called. */
    open: { input: z.object({ cents: Cents.nonnegative() }) },
    /** Opens the account, too. */
    deposit: { input: z.object({ cents: Amount }), output: z.object({ cents: Cents }) },
    withdraw: {
      input: z.object({ cents: Amount }),
      output: z.object({ cents: Cents }),
      errors: { INSUFFICIENT: z.object({ short: Cents }) },
    },
    close: { errors: { NOT_EMPTY: z.object({ cents: Cents }) } },
    // What transfers send.
    pay: { input: Step },
    credit: { input: Step },
    takeBack: { input: Step },
  },
  queries: {
    balance: { output: Cents, consistency: "causal" },
    statement: { output: Statement },
  },
});

const Order = z
  .object({ from: AccountId, to: AccountId, cents: Amount })
  .refine((order) => order.from !== order.to, { message: "from and to are the same account", path: ["to"] });
/** The id was used before, for this. */
const Another = z.object({ from: z.string(), to: z.string(), cents: Cents });

/** "done", "refused" and "returned" are the ends. Money is in flight in "paid" and "returning". */
export const Phase = z.enum(["new", "begun", "paid", "done", "refused", "returning", "returned"]);
export const Status = z.object({ phase: Phase, from: z.string(), to: z.string(), cents: Cents, late: z.boolean() });

export const Transfer = entity("transfer", {
  state: Status,
  commands: {
    /** Says how far it is. Asking again changes nothing. */
    begin: { input: Order, output: z.object({ phase: Phase }), errors: { ANOTHER_TRANSFER: Another } },
    // What accounts send.
    paid: {},
    refused: {},
    credited: {},
    unwanted: {},
    returned: {},
    // What its timer does.
    remind: {},
  },
  queries: { status: { output: Status, consistency: "causal" } },
});

export const Bank = service("bank", {
  procedures: {
    /** Begins to move money between two accounts. `status` of the transfer tells how it ends. */
    transfer: {
      input: z.object({ id: TransferId, from: AccountId, to: AccountId, cents: Amount }),
      output: z.object({ id: TransferId, phase: Phase }),
      errors: { ANOTHER_TRANSFER: Another },
    },
  },
});

export const ledger = contract("ledger", { entities: [Account, Transfer], services: [Bank] });
