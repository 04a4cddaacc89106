// The bank's counter: drives a transfer through its steps. It keeps nothing itself; all that must last is in the transfer.

import { isDeclared } from "sheaf";
import { Bank, Transfer } from "./contracts.ts";

export const bank = Bank.implement({
  async transfer({ input: { id, from, to, cents }, call, fail }) {
    const transfer = call.entity(Transfer, id);
    try {
      await transfer.begin({ from, to, cents });
    } catch (error) {
      if (isDeclared(error, Transfer, "begin", "ANOTHER_TRANSFER")) return fail("ANOTHER_TRANSFER", error.data);
      throw error;
    }
    const { phase, short } = await transfer.move();
    if (phase === "refused") return fail("INSUFFICIENT", { short });
    await transfer.finish();
    return { id };
  },

  async resume({ input: { id }, call }) {
    const transfer = call.entity(Transfer, id);
    await transfer.move();
    await transfer.finish();
    return { id, phase: (await transfer.show()).phase };
  },
});
