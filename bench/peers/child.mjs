// The process of one peer: runs the module that it is told and says where it serves. Ends with its parent.

import process from "node:process";

const [name, given] = process.argv.slice(2);
process.on("disconnect", () => process.exit(0));
const { serve } = await import(`./${name}.mjs`);
process.send(await serve(JSON.parse(given)));
