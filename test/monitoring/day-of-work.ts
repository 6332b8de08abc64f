/**
 * What people and systems do with the whole system on an ordinary day, in small: enrolments and refusals, searches of both
 * kinds, their outcomes and reviews, somebody over the limit, erasures. So that every panel has something to show.
 */
import type { Role } from '#domain/identity.js';
import type { SearchAnswer } from '#domain/search-answer.js';
import type { SampleFace, SamplePhotographs } from '#face/sample-manifest.js';
import { faceImage, imageWithoutFace } from '#testkit/face-images-for-tests.js';
import { answerOf, call, type HttpResult } from '#testkit/http-for-tests.js';
import type { RunningSystem } from '#testkit/running-system.js';
import { operatorForm, retrospectiveForm } from '#testkit/search-forms-for-tests.js';

/** Of each person whose share of searches a minute is a few more than one of them makes in a day as short as this. */
const OFFICERS = ['officer-1', 'officer-2', 'officer-3', 'officer-4'];
const INVESTIGATOR = 'test-investigating-officer';
/** The rest of the sample's people are searched for in vain, but for the one whose images come and go. */
const PEOPLE_ENROLLED = 14;
const PERSON_ERASED = 19;
/** Another size than what is enrolled at first. */
const PROBE_VARIANT = 6;
const WORDS = 'The same scar over the left eyebrow and the same ear lobes.';
const STATE_WITHIN_MS = 20_000;

interface Tokens {
  readonly officers: readonly string[];
  readonly hasty: string;
  readonly operator: string;
  readonly investigator: string;
  readonly service: string;
  readonly dataProtection: string;
}

interface Shown {
  readonly searchId: string;
  readonly state: string;
  readonly version: number;
}

export class DayOfWork {
  /** Answers that nobody meant to get. */
  readonly unexpected: string[] = [];
  private round = 0;
  private enrolled = 0;
  private erased = 0;

  private constructor(
    private readonly system: RunningSystem,
    private readonly sample: SamplePhotographs,
    private readonly tokens: Tokens,
    private readonly faceless: Buffer,
  ) {}

  static async prepare(system: RunningSystem, sample: SamplePhotographs): Promise<DayOfWork> {
    const token = (role: Role, subject: string): Promise<string> => system.token(role, subject);
    const tokens: Tokens = {
      officers: await Promise.all(OFFICERS.map((name) => token('officer', name))),
      hasty: await token('officer', 'officer-in-a-hurry'),
      operator: await token('operator', 'test-operator'),
      investigator: await token('investigating-officer', INVESTIGATOR),
      service: await token('service', 'custody-suite'),
      dataProtection: await token('data-protection', 'test-data-protection'),
    };
    return new DayOfWork(system, sample, tokens, await imageWithoutFace());
  }

  /** Enrols everybody once, in a burst, as a custody suite's morning does. */
  async begin(): Promise<void> {
    for (let i = 0; i < PEOPLE_ENROLLED; i++) await this.enrol();
  }

  /** Tokens are good for a quarter of an hour: a day is shorter. */
  async workFor(durationMs: number, pauseMs: number): Promise<void> {
    const endMs = Date.now() + durationMs;
    while (Date.now() < endMs) {
      await this.oneRound(this.round++);
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
  }

  private async oneRound(round: number): Promise<void> {
    await this.operatorSearch(round);
    if (round % 2 === 0) await this.enrol();
    if (round % 11 === 1) await this.refusedImage();
    if (round % 5 === 2) await this.retrospectiveSearch(round % 10 === 2);
    if (round % 9 === 4) await this.haste();
    if (round % 6 === 5) await this.comeAndGo();
  }

  private person(index: number): SampleFace {
    const { enrolled } = this.sample.manifest;
    return enrolled[index % enrolled.length]!;
  }

  private async enrol(): Promise<void> {
    const face = this.person(this.enrolled % PEOPLE_ENROLLED);
    const image = await faceImage(this.sample, face, Math.floor(this.enrolled / PEOPLE_ENROLLED));
    await this.put(`day-${this.enrolled++}`, face.subjectId, image);
  }

  private async refusedImage(): Promise<void> {
    const half = (await faceImage(this.sample, this.person(0))).subarray(0, 4_000);
    await this.put(`bad-${this.round}`, 'nobody', this.round % 2 === 0 ? this.faceless : half);
  }

  private async put(imageId: string, subjectId: string, image: Buffer): Promise<void> {
    const url = `${this.system.ingestUrl}/v1/images/${imageId}?subjectId=${subjectId}`;
    this.expected(await call('PUT', url, this.tokens.service, image), 202);
  }

  /** Somebody enrolled, somebody not, and now and then a photograph of nothing; every other outcome is recorded. */
  private async operatorSearch(round: number): Promise<void> {
    const officer = this.tokens.officers[round % OFFICERS.length]!;
    const probe = round % 7 === 3 ? this.faceless : await faceImage(this.sample, this.person(round * 5), PROBE_VARIANT);
    const answer = await call('POST', this.searches('/operator'), officer, operatorForm(probe));
    // Not every one of the sample's faces is found when it is cut out and made smaller.
    if (!this.expected(answer, 200, 422)) return;
    if (answer.status !== 200 || round % 2 === 0) return;
    const { searchId } = answerOf<SearchAnswer>(answer);
    const outcome = { outcome: 'none', notes: 'Somebody else, as his family said.' };
    const url = this.searches(`/${searchId}/outcome`);
    this.expected(await call('POST', url, officer, outcome, consistent(answer)), 200);
  }

  private async retrospectiveSearch(reviewed: boolean): Promise<void> {
    const probe = await faceImage(this.sample, this.person(this.round % PEOPLE_ENROLLED), PROBE_VARIANT);
    const form = retrospectiveForm(probe, { limit: '1' });
    const accepted = await call('POST', this.searches('/retrospective'), this.tokens.operator, form);
    if (!this.expected(accepted, 202) || !reviewed) return;
    const { searchId } = answerOf<Shown>(accepted);
    const found = await this.shownOnceDone(searchId, consistent(accepted));
    if (found?.state !== 'CANDIDATES') return;
    const viewed = await this.decide(searchId, this.tokens.operator, 'candidates/1/viewed', {});
    if (viewed === undefined) return;
    const possible = { outcome: 'possible-match', rank: 1, features: WORDS, expectedVersion: viewed.version };
    await this.decide(searchId, this.tokens.operator, 'operator-decision', possible);
    const seen = await this.decide(searchId, this.tokens.investigator, 'candidates/1/viewed', {});
    if (seen === undefined) return;
    const rejected = { outcome: 'reject', expectedVersion: seen.version };
    await this.decide(searchId, this.tokens.investigator, 'officer-decision', rejected);
  }

  private async decide(id: string, token: string, path: string, body: object): Promise<Shown | undefined> {
    const answer = await call('POST', this.searches(`/${id}/${path}`), token, body);
    return this.expected(answer, 200) ? answerOf<Shown>(answer) : undefined;
  }

  private async shownOnceDone(id: string, consistency: Record<string, string>): Promise<Shown | undefined> {
    const deadlineMs = Date.now() + STATE_WITHIN_MS;
    for (;;) {
      const answer = await call('GET', this.searches(`/${id}`), this.tokens.operator, undefined, consistency);
      if (!this.expected(answer, 200)) return undefined;
      const shown = answerOf<Shown>(answer);
      if (!['RECEIVED', 'SEARCHING'].includes(shown.state)) return shown;
      if (Date.now() > deadlineMs) {
        this.unexpected.push(`${id} is still ${shown.state}`);
        return undefined;
      }
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }

  /** More at once than a person may have running. */
  private async haste(): Promise<void> {
    const atOnce = this.system.settings.CONCURRENCY_LIMIT + 1;
    const answers = await Promise.all(
      Array.from({ length: atOnce }, () =>
        call('POST', this.searches('/operator'), this.tokens.hasty, operatorForm(this.faceless)),
      ),
    );
    for (const answer of answers) this.expected(answer, 422, 429);
  }

  /** Of somebody who is in no open search: what is evidence there would be kept. */
  private async comeAndGo(): Promise<void> {
    const { subjectId } = this.person(PERSON_ERASED);
    const image = await faceImage(this.sample, this.person(PERSON_ERASED), this.erased);
    await this.put(`gone-${this.erased}`, subjectId, image);
    if (this.erased++ > 0) await this.erase(`gone-${this.erased - 2}`);
  }

  private async erase(imageId: string): Promise<void> {
    const request = { imageId, reason: 'The retention period is over', authority: 'DPA s.47' };
    const url = `${this.system.queryUrl}/v1/erasures`;
    this.expected(await call('POST', url, this.tokens.dataProtection, request), 202);
  }

  private searches(path: string): string {
    return `${this.system.queryUrl}/v1/searches${path}`;
  }

  private expected({ status, text }: HttpResult, ...statuses: readonly number[]): boolean {
    const is = statuses.includes(status);
    if (!is) this.unexpected.push(`${status} ${text}`);
    return is;
  }
}

/** What was just answered is in what is asked next. */
function consistent({ headers }: HttpResult): Record<string, string> {
  const token = headers.get('consistency-token');
  return token === null ? {} : { 'consistency-token': token };
}
