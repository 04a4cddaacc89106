export { type AskWaiting, readChains } from "./cycles.ts";
export { Entities } from "./entities.ts";
export { inboxEntity } from "./inbox.ts";
export type { EntitiesOptions } from "./options.ts";
export { Poison, reasonOf } from "./poison.ts";
export { Work, type WorkOptions } from "./work.ts";
