// The ledger: `sheaf dev` and `sheaf start` run what this file exports by default.

import { app } from "sheaf";
import { account } from "./account.ts";
import { bank } from "./bank.ts";
import { ledger } from "./contracts.ts";
import { transfer } from "./transfer.ts";

export default app(ledger, { entities: [account, transfer], services: [bank] });
