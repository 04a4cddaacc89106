// What a mistyped name might have meant.

/** Edits between two words, cut off above 3 (Levenshtein). */
function edits(a: string, b: string): number {
  if (Math.abs(a.length - b.length) > 3) return 4;
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const substitute = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min((row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, substitute));
    }
    row = next;
  }
  return row[b.length] ?? 4;
}

/** Up to eight of the names that exist, the nearest first. */
export function nearest(word: string, names: Iterable<string>): string[] {
  const asked = word.slice(0, 64).toLowerCase();
  return [...names]
    .map((name) => ({ name, far: edits(asked, name.toLowerCase()) }))
    .sort((a, b) => a.far - b.far || (a.name < b.name ? -1 : 1))
    .slice(0, 8)
    .map(({ name }) => name);
}
