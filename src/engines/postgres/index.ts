export { postgresEngine, type PostgresOptions } from "./engine.ts";
