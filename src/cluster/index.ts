export { type Accusation, mostAccused, standAside } from "./exclusion.ts";
export { Balance, type Endpoint, verdictOf } from "./balance.ts";
export { RetryBudget } from "./balance-budget.ts";
export * from "./member.ts";
export * from "./members.ts";
export { copies, type Placement, placementOf, rank } from "./placement.ts";
export * from "./plan.ts";
export * from "./timing.ts";
export * from "./view.ts";
