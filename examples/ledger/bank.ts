// The bank's counter: takes orders. It keeps nothing itself; all that must last is in the transfer.

import { isDeclared } from "sheaf";
import { Bank, Transfer } from "./contracts.ts";

export const bank = Bank.implement({
  async transfer({ input: { id, ...order }, call, fail }) {
    try {
      return { id, ...(await call.entity(Transfer, id).begin(order)) };
    } catch (error) {
      if (isDeclared(error, Transfer, "begin", "ANOTHER_TRANSFER")) return fail("ANOTHER_TRANSFER", error.data);
      throw error;
    }
  },
});
