import { expect, it } from 'vitest';
import { UsageTally } from '#domain/usage-report.js';
import { usageCsv } from './usage-report.js';

it('the CSV has a column for each figure; what is withheld or does not apply is empty', () => {
  const tally = new UsageTally();
  const use = { month: '2026-03', hit: true, wrongLead: false } as const;
  for (let i = 0; i < 5; i++) tally.add({ ...use, kind: 'operator', ground: 'missing', outcome: 'confirmed' });
  tally.add({ ...use, kind: 'retrospective', ground: 'cctv', outcome: 'rejected', wrongLead: true });
  expect(usageCsv(tally.rows(5)).split('\r\n')).toEqual([
    'month,kind,ground,searches,hits,wrong leads,confirmed,none,missing,suspect-added,rejected,no-match,inconclusive,no-candidates,failed,open',
    '2026-03,operator,missing,5,5,0,5,0,0,,,,,,,',
    '2026-03,retrospective,cctv,,,,,,,,,,,,,',
    '',
  ]);
});
