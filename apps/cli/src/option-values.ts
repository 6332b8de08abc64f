/** What the options of a command may be. What is nothing of the kind is refused before anything is done. */
import { InvalidArgumentError, Option } from 'commander';
import { dateOrInstantSchema } from '#contracts/record-schemas.js';

/** A whole number from 1 to 999. */
export function countOption(flags: string, description: string): Option {
  return new Option(flags, description).argParser((text) => {
    if (!/^[1-9]\d{0,2}$/.test(text)) throw new InvalidArgumentError('It is a whole number above 0.');
    return Number(text);
  });
}

/** @throws InvalidArgumentError */
export function rate(text: string): number {
  const value = Number(text);
  if (!(value > 0 && value < 1)) throw new InvalidArgumentError('A rate is above 0 and below 1.');
  return value;
}

/**
 * @param least inclusive
 * @returns a parser, which throws InvalidArgumentError
 */
export function wholeFrom(least: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    // An empty text, which a shell makes of a variable that is not set, would count as 0.
    if (!/^\d+$/.test(text) || !Number.isSafeInteger(value) || value < least) {
      throw new InvalidArgumentError(`A whole number, at least ${least}.`);
    }
    return value;
  };
}

/** A date is its first instant in UTC. @returns the text as it is. @throws InvalidArgumentError */
export function dateOrInstant(text: string): string {
  // Whatever is compared with what is no date is neither before nor after it: nothing would be found, and all seem well.
  if (!dateOrInstantSchema.safeParse(text).success) {
    throw new InvalidArgumentError('A date or an instant, ISO 8601, such as 2026-03-01 or 2026-03-01T09:30:00Z.');
  }
  return text;
}
