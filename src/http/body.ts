// Request bodies: JSON only, read with a cap that holds while the bytes arrive.

import { SheafError, type Limits } from "../base/index.ts";
import { tooLarge, type Incoming } from "./incoming.ts";
import { parseJson, type JsonLimits } from "./json.ts";

export type BodyLimits = JsonLimits & Pick<Limits, "maxRequestBytes">;

/** `application/json`, with or without `charset=utf-8`. */
const isJson = (type: string): boolean =>
  type === "application/json" ||
  /^application\/json\s*;\s*charset="?utf-8"?\s*$/i.test(type) ||
  type.trim().toLowerCase() === "application/json";

/** What a Content-Type names, its parameters aside. */
export const mediaType = (type: string): string => (type.split(";", 1)[0] ?? "").trim().toLowerCase();

/** The body's bytes. A declared length is judged before anything is read; what comes is counted besides. */
function readBytes(request: Incoming, max: number): Promise<Uint8Array> {
  const declared = request.header("content-length");
  if (declared !== undefined && !/^\d{1,15}$/.test(declared))
    throw new SheafError("MALFORMED", "Content-Length is not a number");
  if (declared !== undefined && Number(declared) > max) throw tooLarge(max);
  return request.read(max);
}

/** The JSON value of a request's body, or undefined when it has none. `also`: content types that are taken besides JSON's own. Throws
 *  TOO_LARGE, UNSUPPORTED_MEDIA or MALFORMED. */
export async function readJson(request: Incoming, limits: BodyLimits, also: readonly string[] = []): Promise<unknown> {
  const encoding = request.header("content-encoding");
  if (encoding !== undefined && encoding.toLowerCase() !== "identity") {
    throw new SheafError("UNSUPPORTED_MEDIA", "compressed bodies are not read", {
      hint: "Send the body without Content-Encoding.",
    });
  }
  const type = request.header("content-type");
  const wrongType = type !== undefined && !isJson(type) && !also.includes(mediaType(type));
  if (wrongType && request.header("content-length") !== "0") throw notJson(type);
  const bytes = await readBytes(request, limits.maxRequestBytes);
  if (bytes.length === 0) return undefined;
  if (type === undefined) throw notJson("none");
  return parseJson(bytes, limits);
}

const notJson = (type: string): SheafError =>
  new SheafError("UNSUPPORTED_MEDIA", `the body's content type is ${type.slice(0, 80)}`, {
    hint: "Send Content-Type: application/json.",
  });
