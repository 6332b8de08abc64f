import { InvalidArgumentError } from 'commander';
import { describe, expect, it } from 'vitest';
import { countOption, dateOrInstant, rate, wholeFrom } from './option-values.js';

const count = (text: string): unknown => countOption('--n <n>', 'n').parseArg!(text, undefined);

describe('an option', () => {
  it.each(['2026-03-01', '2026-03-01T09:30:00Z', '2026-03-01T09:30:00.5+01:00'])('is a date: %s', (text) => {
    expect(dateOrInstant(text)).toBe(text);
    expect(Date.parse(text)).not.toBeNaN();
  });

  it.each(['yesterday', '', '1', '2026', '2026-02-30', '2026-3-1', '01/03/2026', '2026-03-01T09:30:00', ' 2026-03-01'])(
    'is refused that is no date: "%s"',
    (text) => expect(() => dateOrInstant(text)).toThrow(InvalidArgumentError),
  );

  it('is a number from the least on', () => {
    expect(wholeFrom(0)('0')).toBe(0);
    expect(wholeFrom(100)('100')).toBe(100);
    expect(() => wholeFrom(100)('99')).toThrow(InvalidArgumentError);
    expect(count('12')).toBe(12);
    expect(rate('0.01')).toBe(0.01);
  });

  it.each(['', ' ', '-1', '1.5', '1e3', '0x10', 'ten', '99999999999999999999'])(
    'is refused that is no whole number: "%s"',
    (text) => {
      expect(() => wholeFrom(0)(text)).toThrow(InvalidArgumentError);
      expect(() => count(text)).toThrow(InvalidArgumentError);
    },
  );

  it.each(['', '0', '1', '-0.1', 'half', 'NaN'])('is refused that is no rate: "%s"', (text) => {
    expect(() => rate(text)).toThrow(InvalidArgumentError);
  });
});
