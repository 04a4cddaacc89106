export { embeddedEngine, type EmbeddedOptions } from "./engine.ts";
export { sqliteStore, type StoreOptions } from "./store.ts";
