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
const Insufficient = z.object({ short: Cents });
/** The id was used before, for this. */
const Another = z.object({ from: z.string(), to: z.string(), cents: Cents });

export const Statement = z.object({
  /** What may be spent. */
  cents: Cents,
  /** Money set aside for transfers that are under way. */
  holds: z.array(z.object({ transfer: TransferId, to: AccountId, cents: Amount })),
  /** Transfers that have come in and are not yet settled at the other side. */
  arrived: z.array(z.object({ transfer: TransferId, cents: Amount })),
  /** Transfers ever sent and received. */
  sent: z.number().int(),
  got: z.number().int(),
  opened: z.boolean(),
});

export const Account = entity("account", {
  state: Statement,
  commands: {
    /** Puts the first money in; once, however often it is called. */
    open: { input: z.object({ cents: Cents.nonnegative() }) },
    deposit: { input: z.object({ cents: Amount }), output: z.object({ cents: Cents }) },
    withdraw: {
      input: z.object({ cents: Amount }),
      output: z.object({ cents: Cents }),
      errors: { INSUFFICIENT: Insufficient },
    },
    // The four steps of a transfer. Each does nothing the second time.
    hold: {
      input: z.object({ transfer: TransferId, to: AccountId, cents: Amount }),
      errors: { INSUFFICIENT: Insufficient },
    },
    receive: { input: z.object({ transfer: TransferId, cents: Amount }) },
    settle: { input: z.object({ transfer: TransferId }) },
    forget: { input: z.object({ transfer: TransferId }) },
  },
  queries: {
    balance: { output: Cents, consistency: "causal" },
    statement: { output: Statement },
  },
});

const Order = z
  .object({ from: AccountId, to: AccountId, cents: Amount })
  .refine((order) => order.from !== order.to, { message: "from and to are the same account", path: ["to"] });

export const Phase = z.enum(["new", "begun", "moved", "done", "refused"]);

export const Transfer = entity("transfer", {
  state: z.object({ phase: Phase, from: z.string(), to: z.string(), cents: Cents, short: Cents }),
  commands: {
    /** Records what is wanted, before any money moves. */
    begin: { input: Order, errors: { ANOTHER_TRANSFER: Another } },
    /** Moves the money, or refuses; says which. */
    move: { output: z.object({ phase: Phase, short: Cents }) },
    /** Cleans up at both accounts. */
    finish: {},
  },
  queries: { show: { output: z.object({ phase: Phase, from: z.string(), to: z.string(), cents: Cents }) } },
});

export const Bank = service("bank", {
  procedures: {
    /** Moves money between two accounts. Asking again with the same id is safe, and finishes what a crash interrupted. */
    transfer: {
      input: z.object({ id: TransferId, from: AccountId, to: AccountId, cents: Amount }),
      output: z.object({ id: TransferId }),
      errors: { INSUFFICIENT: Insufficient, ANOTHER_TRANSFER: Another },
    },
    /** Finishes a transfer that was begun, without having to know what it was. */
    resume: { input: z.object({ id: TransferId }), output: z.object({ id: TransferId, phase: Phase }) },
  },
});

export const ledger = contract("ledger", { entities: [Account, Transfer], services: [Bank] });
