// Request bodies: JSON only, read with a cap that holds while the bytes arrive.

import { concat, SheafError, type Limits } from "../base/index.ts";
import { parseJson, type JsonLimits } from "./json.ts";

export type BodyLimits = JsonLimits & Pick<Limits, "maxRequestBytes">;

const tooLarge = (max: number): SheafError => new SheafError("TOO_LARGE", `the body is over ${max} bytes`);

/** `application/json`, with or without `charset=utf-8`. */
const isJson = (type: string): boolean =>
  type === "application/json" ||
  /^application\/json\s*;\s*charset="?utf-8"?\s*$/i.test(type) ||
  type.trim().toLowerCase() === "application/json";

async function drain(stream: ReadableStream<Uint8Array>, max: number): Promise<Uint8Array> {
  const reader = stream.getReader();
  const parts: Uint8Array[] = [];
  let length = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return concat(parts);
    length += value.length;
    if (length > max) {
      // Not awaited: a source that never ends may never finish cancelling either.
      void reader.cancel().catch(() => undefined);
      throw tooLarge(max);
    }
    parts.push(value);
  }
}

/** The body's bytes. A declared length is checked first and then held against what came; without one the stream is counted. */
async function readBytes(request: Request, max: number): Promise<Uint8Array> {
  const declared = request.headers.get("content-length");
  try {
    if (declared === null) return request.body === null ? new Uint8Array(0) : await drain(request.body, max);
    if (!/^\d{1,15}$/.test(declared)) throw new SheafError("MALFORMED", "Content-Length is not a number");
    if (Number(declared) > max) throw tooLarge(max);
    const bytes = new Uint8Array(await request.arrayBuffer());
    if (bytes.length > max) throw tooLarge(max);
    return bytes;
  } catch (error) {
    if (error instanceof SheafError) throw error;
    throw new SheafError("MALFORMED", "the body broke off", { cause: error });
  }
}

/** The JSON value of a request's body, or undefined when it has none. Throws TOO_LARGE, UNSUPPORTED_MEDIA or MALFORMED. */
export async function readJson(request: Request, limits: BodyLimits): Promise<unknown> {
  const encoding = request.headers.get("content-encoding");
  if (encoding !== null && encoding.toLowerCase() !== "identity") {
    throw new SheafError("UNSUPPORTED_MEDIA", "compressed bodies are not read", {
      hint: "Send the body without Content-Encoding.",
    });
  }
  const type = request.headers.get("content-type");
  const wrongType = type !== null && !isJson(type);
  if (wrongType && request.headers.get("content-length") !== "0") throw notJson(type);
  const bytes = await readBytes(request, limits.maxRequestBytes);
  if (bytes.length === 0) return undefined;
  if (type === null) throw notJson("none");
  return parseJson(bytes, limits);
}

const notJson = (type: string): SheafError =>
  new SheafError("UNSUPPORTED_MEDIA", `the body's content type is ${type.slice(0, 80)}`, {
    hint: "Send Content-Type: application/json.",
  });
