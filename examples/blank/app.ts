// What `sheaf dev` and `sheaf start` run.

import { app } from "sheaf";
import { counter } from "./counter.ts";

export default app("counters", { entities: [counter] });
