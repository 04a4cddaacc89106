// service(): the contract of a stateless service, and what implements it.

import type { ServiceHandlers } from "./context.ts";
import { checkOperations, frozenMembers, handlersOf } from "./definition.ts";
import type { Only, Procedures } from "./inference.ts";
import { checkFields, checkName } from "./names.ts";
import type { ProcedureShape, ServiceImplementation, ServiceShape } from "./shape.ts";

/** What `service` is given. */
export type ServiceDefinition<P> = {
  /** By name: `input`, `output`, `errors`, each optional. */
  readonly procedures: P & Only<P, ProcedureShape>;
};

/** The contract of a service: data that callers, handlers and tools share. Safe to import anywhere. */
export interface ServiceContract<N extends string, P extends Procedures> extends ServiceShape {
  readonly name: N;
  readonly procedures: P;
  /** Fills the contract in: one handler per procedure. Throws USAGE when one is missing or is not in the contract. */
  implement(handlers: ServiceHandlers<P>): ImplementedService<ServiceContract<N, P>>;
}

/** An implementation of the service contract `C`. */
export interface ImplementedService<C extends ServiceShape = ServiceShape> extends ServiceImplementation {
  readonly contract: C;
}

/**
 * Defines a service: procedures without state. Any node may run any call; nothing is recorded, so a call that is repeated runs again.
 * Names as for `entity`; throws USAGE when one is not allowed.
 *
 * @example
 * export const Rates = service("rates", {
 *   procedures: { quote: { input: z.object({ pair: z.string() }), output: z.object({ rate: z.number() }) } },
 * });
 * export const rates = Rates.implement({ quote: ({ input }) => ({ rate: input.pair === "EURUSD" ? 1.08 : 1 }) });
 */
export function service<const N extends string, P extends Procedures>(
  name: N,
  definition: ServiceDefinition<P>,
): ServiceContract<N, P> {
  const what = `service ${name}`;
  checkName("service", name);
  checkFields(what, definition, ["procedures"]);
  const { procedures } = definition;
  checkOperations(what, "procedure", procedures, ["input", "output", "errors"]);
  const contract: ServiceContract<N, P> = {
    kind: "service",
    name,
    procedures: frozenMembers<P>(procedures),
    implement: (given) => Object.freeze({ contract, handlers: handlersOf(what, given, Object.keys(procedures)) }),
  };
  return Object.freeze(contract);
}
