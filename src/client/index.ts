export { connect, type ConnectedClient, type ConnectOptions } from "./connect.ts";
export type { ClientHost } from "./host.ts";
