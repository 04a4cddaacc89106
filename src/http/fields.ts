// Header and path fields as values: strict in what is read, so that a typo is an answer and not a surprise.

import { SheafError, utf8, type Limits, type Millis, type Version } from "../base/index.ts";

const malformed = (says: string, hint?: string): SheafError => new SheafError("MALFORMED", says, { hint });

/** Segments of an address's path as sent, percent-encoding kept: `/a/b?c` is `["a", "b"]`. */
export function segmentsOf(url: string): readonly string[] {
  const query = url.indexOf("?");
  return url.slice(1, query < 0 ? url.length : query).split("/");
}

/** One path segment, percent-decoded once. */
export function decodeSegment(segment: string): string {
  if (!segment.includes("%")) return segment;
  try {
    return decodeURIComponent(segment);
  } catch {
    throw malformed("the path is not valid percent-encoded UTF-8");
  }
}

/** An entity key from its path segment: 1 to maxKeyBytes bytes of UTF-8, any characters but controls. */
export function decodeKey(segment: string, limits: Pick<Limits, "maxKeyBytes">): string {
  const key = decodeSegment(segment);
  if (key === "") throw new SheafError("BAD_INPUT", "the key is empty");
  if (key.length > limits.maxKeyBytes || utf8(key).length > limits.maxKeyBytes) {
    throw new SheafError("BAD_INPUT", `the key is over ${limits.maxKeyBytes} bytes`);
  }
  if (/\p{Cc}/u.test(key)) throw new SheafError("BAD_INPUT", "the key holds control characters");
  return key;
}

/** One query parameter, decoded; undefined when absent. Naming it twice is MALFORMED. */
export function queryParameter(url: string, name: string): string | undefined {
  const start = url.indexOf("?");
  if (start < 0) return undefined;
  let found: string | undefined;
  for (const pair of url.slice(start + 1).split("&")) {
    const equals = pair.indexOf("=");
    if ((equals < 0 ? pair : pair.slice(0, equals)) !== name) continue;
    if (found !== undefined) throw malformed(`?${name}= is given twice`);
    try {
      found = equals < 0 ? "" : decodeURIComponent(pair.slice(equals + 1).replaceAll("+", " "));
    } catch {
      throw malformed(`?${name}= is not valid percent-encoded UTF-8`);
    }
  }
  return found;
}

/** `Sheaf-Deadline-Ms`: whole milliseconds from 1; cut to the longest that anybody may wait. */
export function deadlineMs(
  header: string | undefined,
  limits: Pick<Limits, "defaultDeadlineMs" | "maxDeadlineMs">,
): Millis {
  if (header === undefined) return limits.defaultDeadlineMs;
  if (!/^[1-9]\d{0,14}$/.test(header))
    throw malformed("Sheaf-Deadline-Ms is not a whole number of milliseconds above 0");
  return Math.min(Number(header), limits.maxDeadlineMs);
}

/** `Sheaf-Consistency`. */
export function consistency(header: string | undefined): "strong" | "causal" | "eventual" | undefined {
  switch (header) {
    case undefined:
      return undefined;
    case "strong":
    case "causal":
    case "eventual":
      return header;
    default:
      throw malformed("Sheaf-Consistency is not strong, causal or eventual");
  }
}

/** `Idempotency-Key`: visible ASCII, bare or in double quotes as the IETF draft writes it. */
export function idempotencyKey(
  header: string | undefined,
  limits: Pick<Limits, "maxOperationIdLength">,
): string | undefined {
  if (header === undefined) return undefined;
  const key = /^".*"$/.test(header) ? header.slice(1, -1) : header;
  if (key === "" || key.length > limits.maxOperationIdLength || !/^[\x21-\x7e]+$/.test(key)) {
    throw malformed(`Idempotency-Key is not 1 to ${limits.maxOperationIdLength} visible ASCII characters`);
  }
  return key;
}

/** The ETag of an entity version (RFC 9110, strong). */
export const etagOf = (version: Version): string => `"v${version}"`;

/** `If-Match` as a version. One strong tag of ours; a weak or foreign one can never match, which is PRECONDITION_FAILED at once. */
export function ifMatch(header: string | undefined): Version | undefined {
  if (header === undefined) return undefined;
  const ours = /^"v(0|[1-9]\d{0,14})"$/.exec(header);
  if (ours !== null) return Number(ours[1]);
  if (/^(W\/)?"[^",]*"$/.test(header))
    throw new SheafError("PRECONDITION_FAILED", "If-Match names no version of an entity");
  throw malformed("If-Match is not one entity tag", 'Send the ETag of an earlier answer, such as "v42".');
}

/** A valid W3C traceparent, else undefined: a broken one is ignored, as the recommendation says. */
export function traceparent(header: string | undefined): string | undefined {
  if (header === undefined || !/^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/.test(header)) return undefined;
  if (header.startsWith("ff") || header.startsWith("0".repeat(32), 3) || header.startsWith("0".repeat(16), 36))
    return undefined;
  return header;
}

/** The token of `Authorization: Bearer`; undefined when the header is absent or of another scheme. */
export function bearer(header: string | undefined): string | undefined {
  if (header === undefined) return undefined;
  return /^bearer +([^\s]+)$/i.exec(header)?.[1];
}
