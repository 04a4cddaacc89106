// Makes the real clock, dice and timers throw while a world runs, so that nothing unseeded leaks in: code must ask its
// host or its handler context instead. The world's own machinery uses the originals that are saved here.

/** The originals, for the machinery of the simulation only. */
export const real = {
  setImmediate: globalThis.setImmediate,
  clearTimeout: globalThis.clearTimeout,
  setTimeout: globalThis.setTimeout,
  now: Date.now.bind(Date),
};

type Ban = { readonly owner: object; readonly name: string; readonly says: string; readonly instead: string };

const timers = "wait with the handler's `signal` and deadlines, or `host.clock.after` inside Sheaf";
const clocks = "use `now` of the handler context, or `host.clock` inside Sheaf";
const dice = "use `random` or `id` of the handler context, or `host.dice` inside Sheaf";

const ban = (owner: object, path: string, instead: string): Ban => ({
  owner,
  name: path.slice(path.lastIndexOf(".") + 1),
  says: path,
  instead,
});

const bans: readonly Ban[] = [
  ban(Math, "Math.random", dice),
  ban(globalThis, "setTimeout", timers),
  ban(globalThis, "setInterval", timers),
  ban(globalThis, "setImmediate", timers),
  ban(globalThis, "fetch", "call another service with `call` of the handler context"),
  ban(performance, "performance.now", clocks),
  ban(process, "process.hrtime", clocks),
  ban(globalThis.crypto, "crypto.randomUUID", dice),
  ban(globalThis.crypto, "crypto.getRandomValues", dice),
  ban(AbortSignal, "AbortSignal.timeout", timers),
];

const refusal = (says: string, instead: string): Error =>
  new Error(`${says} was used inside a simulation, where it would make a run impossible to repeat: ${instead}`);

/** A Date that can be built from values but refuses to say what time it is. Shares the prototype, so `instanceof` holds. */
function strictDate(Original: DateConstructor): DateConstructor {
  const refuse = (says: string): never => {
    throw refusal(says, clocks);
  };
  function Strict(...args: unknown[]): unknown {
    if (new.target === undefined) return refuse("Date()");
    if (args.length === 0) return refuse("new Date()");
    return Reflect.construct(Original, args, new.target === Strict ? Original : new.target);
  }
  Strict.prototype = Original.prototype;
  Strict.parse = Original.parse;
  Strict.UTC = Original.UTC;
  Strict.now = (): never => refuse("Date.now()");
  return Strict as unknown as DateConstructor;
}

let depth = 0;
let undo: (() => void)[] = [];

function install(): void {
  for (const { owner, name, says, instead } of bans) {
    const before = Object.getOwnPropertyDescriptor(owner, name);
    const refuse = (): never => {
      throw refusal(says, instead);
    };
    Object.defineProperty(owner, name, { value: refuse, configurable: true, writable: true });
    undo.push(() => {
      if (before === undefined) Reflect.deleteProperty(owner, name);
      else Object.defineProperty(owner, name, before);
    });
  }
  const before = globalThis.Date;
  globalThis.Date = strictDate(before);
  undo.push(() => {
    globalThis.Date = before;
  });
}

/** Forbids the globals until the returned function is called. Nests. */
export function forbidGlobals(): () => void {
  if (depth++ === 0) install();
  let held = true;
  return () => {
    if (!held) return;
    held = false;
    if (--depth > 0) return;
    for (const restore of undo) restore();
    undo = [];
  };
}
