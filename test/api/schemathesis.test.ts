/**
 * The whole system against its OpenAPI document: thousands of requests that somebody else's program makes up from it,
 * fitting and not, by people of every role. Nothing of ours fails, no status, content type, header or body that the
 * document does not have, no error that is not a problem with one of its documented codes.
 */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ROLES, type Role } from '#domain/identity.js';
import type { SampleFace, SamplePhotographs } from '#face/sample-manifest.js';
import { faceImage } from '#testkit/face-images-for-tests.js';
import { answerOf, call, type HttpResult } from '#testkit/http-for-tests.js';
import { eventually } from '#testkit/kafka-test-helpers.js';
import { samplePhotographsForTests } from '#testkit/model-pack-for-tests.js';
import { missingForPython } from '#testkit/python-environment.js';
import { RunningSystem } from '#testkit/running-system.js';
import { operatorForm, retrospectiveForm } from '#testkit/search-forms-for-tests.js';
import { signLocalToken } from '../../apps/cli/src/local-keys.js';
import { EXAMPLES, installSchemathesis, runSchemathesis, SEED } from './schemathesis.js';

/** So many that a limit on one person's searches is never what is tried. */
const UNLIMITED = '100000';
/** Below a token's quarter of an hour. */
const TOKENS_ANEW_MS = 8 * 60_000;
const TIMEOUT_MS = 3_600_000;
/** What stops searches or changes what they answer: tried after everything else. */
const DECISIONS_ABOUT_SEARCHING = '^/v1/(suspensions|thresholds|model-overrides)';
/** Calls that nothing which is made up can bring to a success: each needs a search in a state of its own. */
const SUCCESS_SHARE_MIN = 0.75;

const WHY = { reason: 'The court has ordered that it be so', authority: 'Order of the court' };
const PERSONS = ['first', 'second'];
const OFFICER = 'first-investigating-officer';

interface Search {
  readonly searchId: string;
  readonly state: string;
  readonly version: number;
  readonly answer: { readonly candidates: readonly { readonly rank: number }[] } | null;
}

interface CallMade {
  /** Of the document, for example `GET /v1/searches/{searchId}`. */
  readonly operation: string;
  readonly method: string;
  readonly status: number;
  readonly code: string | null;
}

const why = missingForPython();
if (why !== undefined) process.stderr.write(`The OpenAPI document is not tried: ${why}.\n`);

describe.skipIf(why !== undefined)('the services against their OpenAPI document', () => {
  let system: RunningSystem;
  let schemathesis: string;
  let sample: SamplePhotographs;
  let probe: Buffer;
  let folder: string;
  let known: Record<string, unknown>;
  let renewal: NodeJS.Timeout;
  const made = (): string => join(folder, 'calls.jsonl');
  const world = (): string => join(folder, 'world.json');

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'custody-api-'));
    sample = await samplePhotographsForTests();
    [schemathesis, probe, system] = await Promise.all([
      installSchemathesis(),
      faceImage(sample, sample.manifest.probe),
      RunningSystem.start(
        await RunningSystem.environment({
          RATE_LIMIT: UNLIMITED,
          SERVICE_RATE_LIMIT: UNLIMITED,
          CONCURRENCY_LIMIT: '100',
        }),
      ),
    ]);
    await writeFile(join(folder, 'probe.jpg'), probe);
    const tokens = await tokensOfAll();
    known = await whatExists(tokens);
    await writeWorld(tokens);
    renewal = setInterval(() => {
      tokensOfAll()
        .then(writeWorld)
        .catch((error: unknown) => process.stderr.write(`no new tokens: ${String(error)}\n`));
    }, TOKENS_ANEW_MS);
  }, TIMEOUT_MS);

  afterAll(async () => {
    clearInterval(renewal);
    await system?.stopAndForget();
    await rm(folder, { recursive: true, force: true });
  });

  type Tokens = Readonly<Record<string, readonly string[]>>;

  async function tokensOfAll(): Promise<Tokens> {
    const tokens: Record<string, string[]> = {};
    for (const role of ROLES) {
      const subjects = PERSONS.map((person) => `${person}-${role}`);
      tokens[role] = await Promise.all(subjects.map((subject) => signLocalToken(system.settings, [role], subject)));
    }
    return tokens;
  }

  function writeWorld(tokens: Tokens): Promise<void> {
    return writeFile(world(), JSON.stringify({ ...known, tokens, image: join(folder, 'probe.jpg') }));
  }

  /** Ids and words that made-up requests may use. */
  async function whatExists(tokens: Tokens): Promise<Record<string, unknown>> {
    const as = (role: string): string => tokens[role]![0]!;
    const get = (path: string, role: string) => call('GET', `${system.queryUrl}/v1/${path}`, as(role));
    const post = async <T>(path: string, role: string, body: FormData | object): Promise<T> =>
      answerOf<T>(await call('POST', `${system.queryUrl}/v1/${path}`, as(role), body));
    const subjects = (role: Role): string[] => PERSONS.map((person) => `${person}-${role}`);

    const faces: readonly SampleFace[] = sample.manifest.enrolled;
    const imageId = faces.map((face) => face.imageId);
    const subjectId = [...new Set(faces.map((face) => face.subjectId))];
    const searchId = [
      ...(await searchesUnderReview(post, (id) => get(`searches/${id}`, 'operator'))),
      (await post<Search>('searches/operator', 'officer', operatorForm(probe))).searchId,
    ];
    const directionId: string[] = [];
    for (const kind of ['restrictions', 'retirements', 'evidence-holds']) {
      for (const image of imageId.slice(-2)) {
        const direction = { imageId: image, ...WHY };
        directionId.push((await post<{ directionId: string }>(kind, 'data-protection', direction)).directionId);
      }
    }
    const erasure = { imageIds: ['never-held-1', 'never-held-2', 'never-held-3'], ...WHY };
    const { erasureId } = await post<{ erasureId: string }>('erasures', 'data-protection', erasure);
    const { galleries } = answerOf<{ galleries: { modelId: string }[] }>(await get('galleries', 'auditor'));
    const { modelId } = galleries[0]!;
    const override = { modelId, ...WHY };
    const { overrideId } = await post<{ overrideId: string }>('model-overrides', 'threshold-approver', override);
    const { versions } = answerOf<{ versions: { thresholds: { evaluation: object; profiles: object } }[] }>(
      await get('thresholds', 'auditor'),
    );
    const { evaluation, profiles } = versions[0]!.thresholds;
    // The second line of a checkpoint is how many entries it covers.
    const size = Number((await get('audit/checkpoint', 'auditor')).text.split('\n')[1]);
    return {
      ids: {
        searchId,
        imageId,
        subjectId,
        directionId,
        erasureId: [erasureId],
        overrideId: [overrideId],
        rank: [1, 2],
        // That in force, and the two that are proposed next.
        version: [versions.length, versions.length + 1, versions.length + 2],
      },
      words: {
        imageId,
        subjectId,
        modelId: [modelId],
        evaluation: [evaluation],
        profiles: [profiles],
        size: [size],
        rank: [1, 2],
        limit: [5],
        face: ['largest'],
        investigatingOfficer: subjects('investigating-officer'),
        by: subjects('operator'),
        reason: [WHY.reason],
        authority: [WHY.authority],
        proceedingsEnded: [true],
        justification: ['Seen leaving the house at the time of the burglary'],
        features: ['The ears have the same shape, and both have a scar above the left eye'],
        corroboration: ['Another camera shows the same coat at the same time near by'],
        notes: ['Compared the ears and the line of the jaw'],
      },
    };
  }

  /** One in each state that people decide in: a face is to be chosen, an operator decides, an officer, all is over. */
  async function searchesUnderReview(
    post: <T>(path: string, role: string, body: FormData | object) => Promise<T>,
    get: (searchId: string) => Promise<HttpResult>,
  ): Promise<string[]> {
    const submit = async (image: Buffer): Promise<string> => {
      const form = retrospectiveForm(image, { investigatingOfficer: OFFICER });
      return (await post<Search>('searches/retrospective', 'operator', form)).searchId;
    };
    const [face, untouched, atOfficer, closed] = [
      await submit(await sample.read(sample.manifest.probe)),
      await submit(probe),
      await submit(probe),
      await submit(probe),
    ];
    const decide = (id: string, what: string, body: object): Promise<Search> =>
      post<Search>(`searches/${id}/${what}`, 'operator', body);
    for (const id of [atOfficer, closed]) {
      const { answer } = await eventually(async () => {
        const search = answerOf<Search>(await get(id));
        expect(search.state).toBe('CANDIDATES');
        return search;
      });
      for (const { rank } of answer!.candidates) await decide(id, `candidates/${rank}/viewed`, {});
    }
    const versionOf = async (id: string): Promise<number> => answerOf<Search>(await get(id)).version;
    await decide(atOfficer, 'operator-decision', {
      outcome: 'possible-match',
      rank: 1,
      features: 'The ears have the same shape, and both have a scar above the left eye',
      expectedVersion: await versionOf(atOfficer),
    });
    await decide(closed, 'operator-decision', { outcome: 'no-match', expectedVersion: await versionOf(closed) });
    await decide(closed, 'close', { expectedVersion: await versionOf(closed) });
    return [face, untouched, atOfficer, closed];
  }

  /** @returns what it found wrong; empty when nothing */
  async function tryCalls(...which: readonly string[]): Promise<string> {
    const { code, output } = await runSchemathesis(
      schemathesis,
      `${system.queryUrl}/openapi.json`,
      ['--seed', SEED, '--max-examples', EXAMPLES, '--no-shrink', ...which],
      { API_TEST_WORLD: world(), API_TEST_CALLS: made() },
      folder,
    );
    return code === 0 ? '' : `API_TEST_SEED=${SEED}\n${output}\n${problemsOf(system.said)}`;
  }

  async function callsMade(): Promise<CallMade[]> {
    const lines = (await readFile(made(), 'utf8')).trim().split('\n');
    return lines.map((line) => JSON.parse(line) as CallMade);
  }

  test(
    'answer whatever is asked as it says, to people of every role',
    async () => {
      process.stdout.write(`API_TEST_SEED=${SEED}\n`);
      expect(await tryCalls('--exclude-path-regex', DECISIONS_ABOUT_SEARCHING)).toBe('');
      expect(await tryCalls('--include-path-regex', DECISIONS_ABOUT_SEARCHING)).toBe('');
    },
    TIMEOUT_MS,
  );

  test('were asked everything, and have answered most calls with a success too', async () => {
    const calls = await callsMade();
    const document = answerOf<{ paths: Record<string, object> }>(await call('GET', `${system.queryUrl}/docs-json`));
    const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
    );
    expect([...new Set(calls.map(({ operation }) => operation))].sort()).toEqual(operations.sort());
    const succeeded = new Set(calls.filter(({ status }) => status < 300).map(({ operation }) => operation));
    const never = operations.filter((operation) => !succeeded.has(operation));
    process.stdout.write(`${calls.length} calls; ${operations.length} of the document, without a success: `);
    process.stdout.write(`${never.join(', ') || 'none'}\n${tally(calls)}\n`);
    expect(succeeded.size / operations.length).toBeGreaterThanOrEqual(SUCCESS_SHARE_MIN);
  });

  test('have not failed, and every refusal had a code', async () => {
    const calls = await callsMade();
    expect(calls.filter(({ status }) => status >= 500)).toEqual([]);
    expect(calls.filter(({ status, code }) => status >= 400 && code === null)).toEqual([]);
  });
});

/** How often each status was given. */
function tally(calls: readonly CallMade[]): string {
  const counts = new Map<number, number>();
  for (const { status } of calls) counts.set(status, (counts.get(status) ?? 0) + 1);
  return [...counts]
    .sort(([a], [b]) => a - b)
    .map(([status, count]) => `${status}: ${count}`)
    .join(', ');
}

/** What the services themselves said was wrong. */
function problemsOf(said: string): string {
  return said
    .split('\n')
    .filter((line) => /ERROR|crashed/.test(line))
    .slice(-50)
    .join('\n');
}
