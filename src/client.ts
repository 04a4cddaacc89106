// The public door "sheaf/client": calls to a running application, from Node or a browser. Imports nothing of Node's.

export { type ErrorCode, type Issue, type Outcome, type Retry, SheafError } from "./base/index.ts";
export { type ClientHost, connect, type ConnectedClient, type ConnectOptions } from "./client/index.ts";
export type { CallOptions, CommandOptions, EntityClient, QueryOptions, ServiceClient } from "./model/index.ts";
