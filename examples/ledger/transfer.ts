// One transfer between two accounts: three entities that are not one commit, and a conversation between them.
//
//   begun      the sender's account is asked to pay
//   paid       it has paid: the money is in flight, and the receiver's account is asked to take it
//   done       it has arrived
//
//   refused    the sender had too little, and nothing moved
//   returning  nobody has opened the receiver's account: the money is in flight, back to the sender
//   returned   it is back
//
// Each step is one commit of one entity, and what it `send`s is part of that commit. So whatever dies when, the next step comes, once:
// money that has left an account and not reached the other is in this transfer, and nobody has to ask again. A phase is what the
// transfer has been told; an account is ahead of it by the message that is on its way.
//
// A transfer that has not ended after ten seconds is `late`. That is a mark for people and changes nothing else: the money stays in
// flight and arrives when what holds it up is over. When that is a defect in a step, the message that could not be carried out
// is a dead letter (`sheaf dlq ls`): mend the step and redrive it. To drop it would be to lose the money.

import { Account, Transfer } from "./contracts.ts";

export const transfer = Transfer.implement({
  initial: () => ({ phase: "new", from: "", to: "", cents: 0, late: false }),

  begin({ key, state, input, fail, send, after }) {
    if (state.phase === "new") {
      Object.assign(state, input);
      state.phase = "begun";
      send.entity(Account, state.from).pay({ transfer: key, cents: state.cents });
      after(10_000, "remind", { id: "late" });
    }
    const { phase, from, to, cents } = state;
    const same = from === input.from && to === input.to && cents === input.cents;
    return same ? { phase } : fail("ANOTHER_TRANSFER", { from, to, cents });
  },

  paid({ key, state, send }) {
    state.phase = "paid";
    send.entity(Account, state.to).credit({ transfer: key, cents: state.cents });
  },

  credited({ state, cancel }) {
    state.phase = "done";
    cancel("late");
  },

  refused({ state, cancel }) {
    state.phase = "refused";
    cancel("late");
  },

  unwanted({ key, state, send }) {
    state.phase = "returning";
    send.entity(Account, state.from).takeBack({ transfer: key, cents: state.cents });
  },

  returned({ state, cancel }) {
    state.phase = "returned";
    cancel("late");
  },

  remind({ state }) {
    state.late = true;
  },

  status: ({ state }) => ({ ...state }),
});
