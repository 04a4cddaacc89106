// What a key that a user chose names: an operation of one caller on one target (F7). Different operations have different
// names whatever their parts hold, since the two line ends in a name are its own: those in a part are escaped. Types and
// commands hold no slash, so the first and the last of the middle line are its own too.

const odd = /[\n\0]/;
const escaped = (part: string): string =>
  odd.test(part) ? part.replaceAll("\0", "\0\0").replaceAll("\n", "\0n") : part;

/** The id under which a chosen key is remembered. Kept in records: it never changes. */
export const scopedId = (principal: string, type: string, key: string, command: string, chosen: string): string =>
  `${escaped(principal)}\n${type}/${escaped(key)}/${command}\n${escaped(chosen)}`;
