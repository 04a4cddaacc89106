export { embeddedEngine, type EmbeddedOptions } from "./engine.ts";
