import assert from "node:assert/strict";
import { test } from "node:test";
import { engineContract } from "../../journal/index.ts";
import { postgresEngine } from "./engine.ts";
import { startServer } from "./server.fixture.ts";

const server = await startServer();
let beds = 0;

engineContract("postgres", { test, assert }, async () => {
  const schema = `kit_${++beds}`;
  return {
    open: () => postgresEngine({ url: server.url(), schema }),
    destroy: async () => void (await server.sql(`DROP SCHEMA IF EXISTS ${schema} CASCADE`)),
  };
});
