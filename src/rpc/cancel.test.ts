// Giving up, without an AbortController: what both ends of it hear.

import assert from "node:assert/strict";
import { test } from "node:test";
import { abortSignal, Cancel } from "./cancel.ts";

test("cancel: every listener hears it once, in order; one that left or comes too late does not", () => {
  const cancel = new Cancel();
  const heard: string[] = [];
  const left = (): void => void heard.push("left");
  const late = (): void => void heard.push("late");
  cancel.addEventListener("abort", left);
  cancel.addEventListener("abort", { handleEvent: () => void heard.push("object") });
  const twice = (): void => void heard.push("function");
  cancel.addEventListener("abort", twice);
  cancel.addEventListener("abort", twice);
  cancel.removeEventListener("abort", left);
  assert.equal(cancel.aborted, false);
  cancel.abort("first");
  cancel.abort("second");
  cancel.addEventListener("abort", late);
  assert.deepEqual([heard, cancel.aborted, cancel.reason], [["object", "function"], true, "first"]);
});

test("cancel: a listener that leaves while others are told does not silence them", () => {
  const cancel = new Cancel();
  const heard: number[] = [];
  const leaves = (): void => {
    heard.push(1);
    cancel.removeEventListener("abort", leaves);
  };
  cancel.addEventListener("abort", leaves);
  for (const n of [2, 3]) cancel.addEventListener("abort", () => void heard.push(n));
  cancel.abort(undefined);
  assert.deepEqual(heard, [1, 2, 3]);
});

test("cancel: a true signal made of it follows it, before and after", () => {
  const cancel = new Cancel();
  const before = abortSignal(cancel);
  assert.equal(before.aborted, false);
  cancel.abort("why");
  for (const signal of [before, abortSignal(cancel)]) assert.deepEqual([signal.aborted, signal.reason], [true, "why"]);
  const own = new AbortController().signal;
  assert.equal(abortSignal(own), own);
});
