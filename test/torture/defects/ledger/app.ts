// The ledger, with a defect that its checker must find under torture, and that does not show while no shard moves: a node counts
// what was sent by what it remembers.

import { app, type EntityHandlers } from "sheaf";
import { account } from "../../../../examples/ledger/account.ts";
import { bank } from "../../../../examples/ledger/bank.ts";
import { Account, ledger } from "../../../../examples/ledger/contracts.ts";
import { transfer } from "../../../../examples/ledger/transfer.ts";

const sound = { initial: account.initial, ...account.handlers } as EntityHandlers<typeof Account>;

const sent = new Map<string, number>();

const forgetful = Account.implement({
  ...sound,
  pay(context) {
    const { state, key } = context;
    state.sent.transfers = sent.get(key) ?? 0;
    void sound.pay(context);
    sent.set(key, state.sent.transfers);
  },
});

export default app(ledger, { entities: [forgetful, transfer], services: [bank] });
