// sheaf/testing: run an application in a test. `testApp` for what handlers do, `simulate` for what happens to them when
// machines crash, answers get lost and two nodes believe they own the same shard. Both are virtual-time and repeatable.

export {
  /** One node, memory engine, a clock that the test moves. */
  testApp,
  type TestApp,
  type TestAppOptions,
  type JournalItem,
  /** Whole nodes in one process, with faults from a seed. */
  simulate,
  type Simulation,
  type SimulateOptions,
  type CallerSettings,
  type Tally,
  /** Every fault by name, and what it does. */
  faultCatalogue,
  faultNames,
  type FaultName,
  /** What callers asked and learnt. */
  type CallRecord,
  describeCall,
  type Audit,
  type Folded,
  type LogLine,
  /** Checkers for what happened. */
  checkLinearizable,
  type Model,
  type Operation,
  type Verdict,
  impossible,
  register,
  type RegisterInput,
  counter,
  type CounterInput,
  checkSet,
  type SetAttempt,
  type SetRead,
  checkBank,
  type BankAccount,
  checkCounter,
  type Count,
} from "./sim/index.ts";
