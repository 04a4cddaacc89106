export * from "./call.ts";
export * from "./caller.ts";
export * from "./pipe.ts";
export * from "./responder.ts";
export * from "./deadlines.ts";
export * from "./handler-context.ts";
export * from "./inner.ts";
export * from "./session-token.ts";
export { inDoubt } from "./pending.ts";
