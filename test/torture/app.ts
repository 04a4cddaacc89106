// The application that is tortured: that of the simulation's gate, so that its checkers fit. Its handlers trust Sheaf to run
// each operation once, so that running one twice shows.

export { gateApp as default } from "../../src/sim/gate-app.ts";
