import { openAsBlob } from 'node:fs';
import { hostname } from 'node:os';
import { basename } from 'node:path';
import Table from 'cli-table3';
import { Refusal } from '#domain/errors.js';
import type { DescribedFace } from '#domain/face.js';
import type { Candidate, SearchAnswer } from '#domain/search-answer.js';
import type { Settings } from '#platform/settings.js';
import { ServiceClient } from './service-client.js';

const POLL_MS = 250;
const ANSWER_MS_MAX = 120_000;

interface Shown {
  readonly searchId: string;
  readonly state: string;
  readonly answer: SearchAnswer | null;
  readonly faces: readonly DescribedFace[] | null;
  readonly failure: { readonly code: string; readonly detail: string } | null;
}

export async function search(
  settings: Settings,
  image: string,
  options: Readonly<Record<string, string | boolean | undefined>>,
): Promise<void> {
  const { kind, json, identityUnconfirmed, ...fields } = options;
  const form = new FormData();
  const blob = await openAsBlob(image).catch((cause: unknown) => {
    throw new Refusal('IMAGE_NOT_FOUND', `${image} cannot be read.`, undefined, { cause });
  });
  form.set('image', blob, basename(image));
  for (const [name, value] of Object.entries(fields)) if (typeof value === 'string') form.set(name, value);
  if (identityUnconfirmed === true) form.set('identityUnconfirmed', 'true');
  if (kind === 'operator') {
    if (!form.has('deviceId')) form.set('deviceId', hostname());
    const answer = await new ServiceClient(settings, 'officer')
      .call<SearchAnswer & { statement: string }>('POST', '/v1/searches/operator', form)
      .catch((error: unknown) => {
        const faces = error instanceof Refusal ? error.details?.['faces'] : undefined;
        if (faces !== undefined) process.stdout.write(describeFacesFound(faces as readonly DescribedFace[]));
        throw error;
      });
    process.stdout.write(json === true ? `${JSON.stringify(answer, null, 2)}\n` : describe(answer, answer.statement));
    return;
  }
  const client = new ServiceClient(settings, 'operator');
  let shown = await client.call<Shown>('POST', '/v1/searches/retrospective', form);
  const deadline = Date.now() + ANSWER_MS_MAX;
  while (['QUEUED', 'RECEIVED', 'SEARCHING'].includes(shown.state) && Date.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    shown = await client.call<Shown>('GET', `/v1/searches/${shown.searchId}`).catch((error: unknown) => {
      // Not taken up yet.
      if (error instanceof Refusal && error.code === 'SEARCH_NOT_FOUND') return shown;
      throw error;
    });
  }
  if (json === true) process.stdout.write(`${JSON.stringify(shown, null, 2)}\n`);
  else if (shown.answer !== null)
    process.stdout.write(describe(shown.answer, `search ${shown.searchId}: ${shown.state}`));
  else if (shown.failure !== null) throw new Refusal(shown.failure.code, shown.failure.detail);
  else
    process.stdout.write(
      `${describeFacesFound(shown.faces ?? [])}search ${shown.searchId}: ${shown.state}, ${shown.faces?.length ?? 0} faces to choose from\n`,
    );
}

/** What a person chooses from: `--face` takes the index. */
function describeFacesFound(faces: readonly DescribedFace[]): string {
  if (faces.length === 0) return '';
  const table = new Table({ head: ['face', 'left', 'top', 'eyes apart', 'what to know'], style: { head: [] } });
  for (const { index, box, quality } of faces) {
    const eyes = quality === undefined ? '' : `${Math.round(quality.eyeDistancePx)} px`;
    table.push([index, box.left, box.top, eyes, (quality?.advice ?? []).join('\n')]);
  }
  return `${table.toString()}\n`;
}

/** The ranked candidates as a table, with what was searched and what it means. */
export function describe(answer: SearchAnswer, statement: string): string {
  const table = new Table({
    head: ['rank', 'score', 'above threshold', 'subject', 'image', 'force', 'captured'],
    style: { head: [] },
  });
  for (const candidate of answer.candidates) {
    if ('withdrawn' in candidate) {
      table.push([candidate.rank, '', 'withdrawn since', '', '', '', '']);
      continue;
    }
    const { rank, score, aboveThreshold, subjectId, imageId, force, capturedAt } = candidate satisfies Candidate;
    table.push([
      rank,
      score.toFixed(4),
      aboveThreshold ? 'yes' : 'no',
      subjectId,
      imageId,
      force ?? '',
      capturedAt ?? '',
    ]);
  }
  const { gallery, threshold, probe } = answer;
  const { quality, rotation = 0 } = probe;
  const evaluated = threshold.evaluated ? '' : ', not evaluated at this size';
  const override = threshold.override;
  return [
    ...(answer.candidates.length > 0 ? [table.toString()] : []),
    statement,
    `${gallery.enrolled} templates searched (${answer.mode}), ${gallery.partitionsAnswered} of ${gallery.partitionsTotal} partitions; ` +
      `threshold ${threshold.score} (version ${threshold.version}${evaluated})`,
    ...(override === undefined
      ? []
      : [`used without an approved evaluation, by decision of ${override.by.join(' and ')}: ${override.reason}`]),
    ...(rotation === 0 ? [] : [`probe: it lies on its side or head, and was turned by ${rotation} degrees`]),
    ...(quality.advice ?? quality.warnings).map((advice) => `probe: ${advice}`),
    '',
  ].join('\n');
}
