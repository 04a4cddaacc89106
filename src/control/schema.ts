// The few schemas that Sheaf's own entities need, as Standard Schemas, so that the runtime depends on no schema library.
// What they accept is exact: a missing, wrong or unknown field is an issue with its path.

import type { StandardSchemaV1 } from "@standard-schema/spec";

type Result<T> = StandardSchemaV1.Result<T>;
type Field<T> = { readonly says: string; readonly fits: (value: unknown) => value is T };
type Fields = Readonly<Record<string, Field<unknown>>>;
type ValueOf<F extends Fields> = { -readonly [N in keyof F]: F[N] extends Field<infer T> ? T : never };

const standard = <T>(validate: (value: unknown) => Result<T>): StandardSchemaV1<T, T> => ({
  "~standard": { version: 1, vendor: "sheaf", validate },
});

export const text: Field<string> = { says: "a string", fits: (value) => typeof value === "string" };
export const texts: Field<string[]> = {
  says: "a list of strings",
  fits: (value): value is string[] => Array.isArray(value) && value.every((item) => typeof item === "string"),
};
export const flag: Field<boolean> = { says: "true or false", fits: (value) => typeof value === "boolean" };
export const time: Field<number> = {
  says: "a time in milliseconds",
  fits: (value): value is number => Number.isSafeInteger(value),
};
/** Bounded, so that it may say how long a list gets. */
export const count: Field<number> = {
  says: "a whole number from 0 to 65,535",
  fits: (value): value is number => Number.isInteger(value) && (value as number) >= 0 && (value as number) < 65_536,
};
export const orNull = <T>(field: Field<T>): Field<T | null> => ({
  says: `${field.says}, or null`,
  fits: (value): value is T | null => value === null || field.fits(value),
});

/** An object with exactly these fields. */
export function record<const F extends Fields>(fields: F): StandardSchemaV1<ValueOf<F>, ValueOf<F>> {
  return standard((value) => {
    if (typeof value !== "object" || value === null || Array.isArray(value))
      return { issues: [{ message: "not an object", path: [] }] };
    const given = value as Readonly<Record<string, unknown>>;
    const issues = Object.entries(fields)
      .filter(([name, field]) => !field.fits(given[name]))
      .map(([name, field]) => ({ message: `not ${field.says}`, path: [name] }));
    for (const name of Object.keys(given))
      if (!Object.hasOwn(fields, name)) issues.push({ message: "unknown field", path: [name] });
    return issues.length > 0 ? { issues } : { value: value as ValueOf<F> };
  });
}

/** One value of a field's kind. */
export const value = <T>(field: Field<T>): StandardSchemaV1<T, T> =>
  standard((given) =>
    field.fits(given) ? { value: given } : { issues: [{ message: `not ${field.says}`, path: [] }] },
  );
