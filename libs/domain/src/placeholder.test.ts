import { describe, expect, it } from 'vitest';
import { isPlaceholder } from './placeholder.js';

describe('the text of a form', () => {
  it.each([
    'Enter your justification here',
    '  ENTER   your JUSTIFICATION here... ',
    'Reason for search: reason for search: reason for search',
    'Justification (required field, at least 20 characters)',
    'Lorem ipsum dolor sit amet, consectetur adipiscing elit.',
    'Say in your own words why this search is necessary.',
    'n/a n/a n/a n/a n/a n/a',
    'To be completed later',
    'test test test',
    'Necessary and proportionate, for policing purposes',
    '...',
  ])('is known when it comes back: %j', (text) => {
    expect(isPlaceholder(text)).toBe(true);
  });

  it('is also what another field let one choose', () => {
    const text = 'Suspected of offence (wanted by court)';
    expect(isPlaceholder(text, ['suspected-of-offence', 'wanted-by-court'])).toBe(true);
    expect(isPlaceholder(text)).toBe(false);
  });

  it.each([
    'Found asleep at the railway station and cannot say who she is',
    'Test drive ended in a crash, the driver does not answer',
    'The reason for this search: the man has no papers and gives a name that does not exist.',
    'See above the bridge: a body was found, no documents.',
    'Особа без свідомості, документів немає.',
  ])('is not what somebody wrote: %j', (text) => {
    expect(isPlaceholder(text)).toBe(false);
  });
});
