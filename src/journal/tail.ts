// What every engine's `tail` goes by: what news is, and how much a page holds.

import type { Seq } from "../base/index.ts";
import type { Page } from "./engine.ts";

/** A read, and a whole tail, end once they hold about this many bytes. */
export const maxPageBytes = 8 * 1024 * 1024;

/** Whether a shard read from `from` has anything to tell: entries there, a journal that ends before the entry that the
 *  asker has last, or one that begins only after `from`. */
export const hasNews = (from: Seq, { first, head }: Pick<Page, "first" | "head">): boolean =>
  head.seq >= from || head.seq < from - 1 || first > from;
