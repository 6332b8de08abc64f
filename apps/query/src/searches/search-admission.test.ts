import { randomUUID } from 'node:crypto';
import { beforeEach, describe, expect, it } from 'vitest';
import { codeOf, codeOfAsync } from '#domain/codes-for-tests.js';
import { Failure } from '#domain/errors.js';
import { foldGovernance, NOTHING_DECIDED, type GovernanceState } from '#domain/governance.js';
import type { Actor } from '#domain/identity.js';
import type { ModelId, SearchId } from '#domain/ids.js';
import type { SearchKind } from '#domain/search-answer.js';
import { QueryMetrics } from '#platform/metrics.js';
import { SearchAdmission } from './search-admission.js';
import { SearchPermits } from './search-permits.js';

const OWN_SYSTEM = 'custody-query';
const MINUTE_MS = 60_000;
const limits = { perMinute: 3, systemPerMinute: 5, atATime: 2 };
const suspended = foldGovernance(
  NOTHING_DECIDED,
  {
    type: 'SEARCH_SUSPENDED',
    decisionId: 's',
    by: 'a',
    role: 'data-protection',
    kind: 'retrospective',
    reason: 'r',
    authority: 'a',
  },
  '2026-01-01T00:00:00.000Z',
);

const officer: Actor = { id: 'officer-1', roles: ['officer'] };
let metrics: QueryMetrics;
let admission: SearchAdmission;
beforeEach(() => {
  metrics = new QueryMetrics();
  admission = admissionIn(NOTHING_DECIDED);
});

function admissionIn(state: GovernanceState, given = limits): SearchAdmission {
  const model = { modelId: '00112233aabbccdd' as ModelId, evaluationOnly: false };
  return new SearchAdmission(new SearchPermits({ state }, model, 'local'), given, OWN_SYSTEM, metrics);
}

const done = (): Promise<string> => Promise.resolve('done');

/** Searches that run until they are ended. */
function running(count: number, person: (i: number) => string, kind: SearchKind = 'operator'): () => Promise<void> {
  let end!: () => void;
  const ended = new Promise<void>((resolve) => (end = resolve));
  const searches = Array.from({ length: count }, (_, i) =>
    admission.run(kind, { id: person(i), roles: ['officer'] }, () => ended),
  );
  return async () => {
    end();
    await Promise.all(searches);
  };
}

async function limitedTotal(): Promise<number> {
  const { values } = await metrics.rateLimitedTotal.get();
  return values.reduce((sum, { value }) => sum + value, 0);
}

describe('a person', () => {
  it('may search so many times a minute, is told when again, and takes nothing from others', async () => {
    for (let i = 0; i < limits.perMinute; i++) admission.take(i % 2 === 0 ? 'operator' : 'retrospective', officer);
    let refused: unknown;
    try {
      admission.take('operator', officer);
    } catch (error) {
      refused = error;
    }
    expect(refused).toMatchObject({ code: 'RATE_LIMITED', retryable: true });
    expect((refused as Failure).publicText).toMatch(/3 times a minute/);
    expect((refused as Failure).retryAfterSeconds).toBeGreaterThan(0);
    expect((refused as Failure).retryAfterSeconds).toBeLessThanOrEqual(60);
    admission.take('operator', { id: 'officer-2', roles: ['officer'] });
    expect(await limitedTotal()).toBe(1);
  });

  it('may have a few searches running, of both kinds together, and another one when one has ended', async () => {
    const endAll = running(limits.atATime, () => officer.id);
    for (const kind of ['operator', 'retrospective'] as const) {
      expect(await codeOfAsync(() => admission.run(kind, officer, done))).toBe('CONCURRENCY_LIMITED');
    }
    await endAll();
    expect(await admission.run('operator', officer, done)).toBe('done');
    expect(await limitedTotal()).toBe(2);
  });

  it('gets the place back of a search that failed', async () => {
    admission = admissionIn(NOTHING_DECIDED, { ...limits, perMinute: 100 });
    const fails = (): Promise<never> => Promise.reject(new Failure('GALLERY_AWAY', 'away', true));
    for (let i = 0; i < 10; i++) {
      expect(await codeOfAsync(() => admission.run('operator', officer, fails))).toBe('GALLERY_AWAY');
    }
    expect(await admission.run('operator', officer, done)).toBe('done');
  });
});

describe('a kind of search', () => {
  it('has places of its own: a flood of retrospective requests takes none of the officers’', async () => {
    const endAll = running(16, (i) => `operator-${i}`, 'retrospective');
    const another: Actor = { id: 'operator-16', roles: ['operator'] };
    expect(await codeOfAsync(() => admission.run('retrospective', another, done))).toBe('CONCURRENCY_LIMITED');
    expect(await admission.run('operator', officer, done)).toBe('done');
    await endAll();
    expect(await admission.run('retrospective', another, done)).toBe('done');
  });

  it('that is suspended is refused before anything is counted, and the other is not', async () => {
    admission = admissionIn(suspended);
    for (let i = 0; i < limits.perMinute + 1; i++) {
      expect(await codeOfAsync(() => admission.run('retrospective', officer, done))).toBe('SEARCH_SUSPENDED');
    }
    expect(await admission.run('operator', officer, done)).toBe('done');
    expect(await limitedTotal()).toBe(0);
  });
});

describe('a request on the log', () => {
  const request = (system: string, person: string, sentAtMs: number, searchId = randomUUID() as SearchId) => ({
    searchId,
    system,
    person,
    sentAtMs,
  });

  it('is judged by the minute in which it was sent, whenever and in whatever order it is read', () => {
    for (let hour = 3; hour >= 0; hour--) {
      for (let i = 0; i < limits.systemPerMinute; i++) {
        admission.admitRequest(request('case-system', `person-${i}`, hour * 60 * MINUTE_MS + 1000 * (10 - i)));
      }
    }
    const one = request('case-system', 'person-9', 60 * MINUTE_MS + 30_000);
    expect(codeOf(() => admission.admitRequest(one))).toBe('REQUEST_RATE_LIMITED');
    expect(codeOf(() => admission.admitRequest(request('other-system', 'person-9', one.sentAtMs)))).toBeUndefined();
  });

  it('counts for the person too, whichever systems speak for them', () => {
    for (let i = 0; i < limits.perMinute; i++) admission.admitRequest(request(`system-${i}`, 'operator-1', 1000 + i));
    expect(codeOf(() => admission.admitRequest(request('system-9', 'operator-1', 2000)))).toBe('REQUEST_RATE_LIMITED');
    expect(codeOf(() => admission.admitRequest(request('system-9', 'operator-2', 2000)))).toBeUndefined();
  });

  it('that is tried again, because something was away, counts once', () => {
    const one = request('case-system', 'operator-1', 1000);
    for (let i = 0; i < 100; i++) admission.admitRequest(one);
    expect(codeOf(() => admission.admitRequest(request('case-system', 'operator-1', 1001)))).toBeUndefined();
  });

  it('that came over HTTP was counted there', () => {
    for (let i = 0; i < 100; i++) admission.admitRequest(request(OWN_SYSTEM, 'operator-1', 1000));
    expect(codeOf(() => admission.admitRequest(request('case-system', 'operator-1', 1001)))).toBeUndefined();
  });

  it('is refused while its kind of search is suspended, also one that waited in the queue', () => {
    expect(codeOf(() => admissionIn(suspended).admitRequest(request(OWN_SYSTEM, 'a', 0)))).toBe('SEARCH_SUSPENDED');
  });
});
