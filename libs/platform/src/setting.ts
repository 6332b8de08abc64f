/** One setting: what it may hold, its default and its meaning; and the forms that several have. */
import { z } from 'zod';

/** In digits: coercion alone takes a blank for 0, and 0x50 for a port. */
export const count = (min: number, max: number): z.ZodType<number> =>
  z.string().regex(/^\d+$/, 'must be a whole number').transform(Number).pipe(z.number().min(min).max(max));
export const share = z
  .string()
  .regex(/^(\d+(\.\d+)?|\.\d+)$/, 'must be a number from 0 to 1')
  .transform(Number)
  .pipe(z.number().min(0).max(1));
export const port = count(0, 65_535);
export const list = z
  .string()
  .transform((text) =>
    text
      .split(',')
      .map((part) => part.trim())
      .filter((part) => part !== ''),
  )
  .pipe(z.array(z.string()).min(1));

export interface Setting<T> {
  readonly schema: z.ZodType<T>;
  /** As text; a function where it follows from the machine or another setting. */
  readonly preset: string | ((text: (name: string) => string) => string);
  /** The preset in words, where it is computed. */
  readonly presetText?: string;
  readonly meaning: string;
}

/** What a table of settings holds when it is read. */
export type Values<Table extends Readonly<Record<string, Setting<unknown>>>> = {
  readonly [Name in keyof Table]: z.infer<Table[Name]['schema']>;
};

export function setting<T>(
  schema: z.ZodType<T>,
  preset: Setting<T>['preset'],
  meaning: string,
  presetText?: string,
): Setting<T> {
  return { schema, preset, meaning, ...(presetText !== undefined && { presetText }) };
}
