// A process that takes the write lock of a journal and keeps it until it is ended: `node` with a writer open beside, so that it
// is one of the cluster's, or `stranger` without.

import { join } from "node:path";
import process from "node:process";
import { DatabaseSync } from "node:sqlite";
import { embeddedEngine } from "./engine.ts";

const [dir = "", as = ""] = process.argv.slice(2);
if (as === "node") await embeddedEngine({ dir });
const db = new DatabaseSync(join(dir, "journal.db"), { timeout: 10_000 });
db.exec("BEGIN IMMEDIATE");
process.stdout.write("holds\n");
setInterval(() => db.isOpen, 1_000);
