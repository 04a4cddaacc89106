export { connect, type ConnectedClient, type ConnectOptions } from "./connect.ts";
export type { EventsOptions, ReadEvent, TopicEvents } from "./events.ts";
export type { ClientHost } from "./host.ts";
