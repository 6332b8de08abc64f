import { describe, expect, it } from 'vitest';
import type { AuditLog } from '#audit/audit-log.js';
import type { AuditStatement } from '#contracts/audit-record.js';
import type { Disposition } from '#domain/disposition.js';
import type { ImageId, ModelId, SearchId } from '#domain/ids.js';
import type { FoundAnswer } from '#domain/search-answer.js';
import { candidateForTests, foundAnswerForTests } from '#domain/search-answer-for-tests.js';
import { QueryMetrics } from '#platform/metrics.js';
import { OperatorSearch } from './operator-search.js';
import type { SearchView } from './search-view.js';

const officer = { id: 'officer-1', roles: ['officer'] } as const;
const request = {
  grounds: 'Gives a name that is on no record.',
  justification: 'Stopped at the scene; refuses to say who they are.',
  identityUnconfirmed: true,
  deviceId: 'phone-1',
  limit: 5,
} as never;

describe('the answer to an officer', () => {
  it('leaves out who was erased while the audit took what is shown, and says how many are left', async () => {
    const dispositions = new Map<ImageId, Disposition>();
    const [erased, kept] = [candidateForTests(1), candidateForTests(2)];
    const audited: AuditStatement[] = [];
    const audit = {
      append: (entries: readonly AuditStatement[]) => {
        audited.push(...entries);
        if (entries[0]!.operation !== 'disclosure') return Promise.resolve();
        // After the gallery has answered, and before the officer has.
        dispositions.set(erased.imageId, { kind: 'erased', sourceOffset: erased.sourceOffset } as Disposition);
        return Promise.resolve();
      },
    } as unknown as AuditLog;
    const generation = {
      modelId: 'a0d170a0d170a0d1' as ModelId,
      faces: { process: () => Promise.resolve({}) },
      search: {
        run: ({ searchId }: { searchId: SearchId }): Promise<FoundAnswer> =>
          Promise.resolve(foundAnswerForTests(searchId, [erased, kept])),
        stage: (_kind: string, _stage: string, run: () => Promise<unknown>) => run(),
        observePipeline() {},
      },
    };
    const searches = new OperatorSearch(
      { inForce: generation as never },
      audit,
      {} as SearchView,
      (id) => dispositions.get(id),
      new QueryMetrics(),
      { mode: 'auto', withinMs: 1_000 },
    );
    const answer = await searches.run(officer, request, Buffer.from('a photograph'), undefined);
    expect(answer.candidates).toMatchObject([
      { rank: 1, withdrawn: true },
      { rank: 2, imageId: kept.imageId },
    ]);
    expect(JSON.stringify(answer)).not.toContain(erased.imageId);
    expect(answer.statement).toMatch(/^1 possible match/);
    expect(audited.map(({ operation }) => operation)).toEqual(['consultation', 'disclosure']);
  });
});
