import assert from "node:assert/strict";
import { engineContract } from "../../journal/index.ts";
import { postgresEngine } from "./engine.ts";
import { serverOfThisFile, serverTest } from "./server.fixture.ts";

const server = serverOfThisFile();
let beds = 0;

engineContract("postgres", { test: serverTest, assert }, async () => {
  const { url, sql } = await server();
  const schema = `kit_${++beds}`;
  return {
    open: () => postgresEngine({ url: url(), schema }),
    destroy: async () => void (await sql(`DROP SCHEMA IF EXISTS ${schema} CASCADE`)),
  };
});
