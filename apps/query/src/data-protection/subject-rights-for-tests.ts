/** What the query service knows of a gallery of one's own, on the tests' broker. For tests only. */
import { randomBytes, randomUUID } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AuditLog } from '#audit/audit-log.js';
import type { AuditStatement } from '#contracts/audit-record.js';
import { retentionPolicySchema } from '#contracts/retention-forms.js';
import { searchEventRecord, type SearchEvent } from '#contracts/search-record.js';
import { encodeTemplate, templateHeaders } from '#contracts/template-record.js';
import { desiredTopics, galleryTemplates } from '#contracts/topics.js';
import type { TemplateKeeping, TemplateMetadata } from '#domain/gallery.js';
import type { HeldImage } from '#domain/held-image.js';
import type { Actor } from '#domain/identity.js';
import type { ImageId, ModelId, Offset, SubjectId } from '#domain/ids.js';
import { DirectionFollower } from '#kafka/direction-follower.js';
import { DispositionFollower } from '#kafka/disposition-follower.js';
import type { KafkaClient } from '#kafka/kafka-client.js';
import type { Publisher } from '#kafka/publisher.js';
import { FolderImageStore } from '#platform/folder-image-store.js';
import { clientForTests, eventually, silentLog } from '#testkit/kafka-test-helpers.js';
import { AuditTrail, type TrailEntry } from '../audit/audit-trail.js';
import { AuditView } from '../audit/audit-view.js';
import { CustodyDirections } from './custody-directions.js';
import { DirectedDispositions } from './directed-dispositions.js';
import { GalleryRegister } from './gallery-register.js';
import { ReviewDates } from './review-dates.js';
import { SearchView } from '../searches/search-view.js';

const WITHIN_MS = 10_000;

export const dataProtection: Actor = { id: 'dp-of-the-team', roles: ['data-protection'] };

export interface SubjectRights {
  readonly kafka: KafkaClient;
  readonly publisher: Publisher;
  readonly audit: AuditLog;
  readonly modelId: ModelId;
  readonly directions: DirectionFollower;
  readonly dispositions: DispositionFollower;
  readonly custodyDirections: CustodyDirections;
  readonly reviewDates: ReviewDates;
  readonly register: GalleryRegister;
  readonly view: SearchView;
  readonly trail: AuditTrail;
  readonly images: FolderImageStore;
  readonly fatal: readonly unknown[];
  close(): Promise<void>;
}

export async function subjectRightsForTests(): Promise<SubjectRights> {
  const home = await mkdtemp(join(tmpdir(), 'subject-rights-'));
  await writeFile(join(home, 'key'), randomBytes(32).toString('base64'));
  const modelId = randomBytes(8).toString('hex') as ModelId;
  const kafka = clientForTests();
  const fatal: unknown[] = [];
  const onFatal = (error: unknown): void => void fatal.push(error);
  await kafka.topicAdmin().applyTopics(desiredTopics({ modelId, profile: 'local', replication: 1 }));
  const publisher = kafka.publisher();
  const audit = new AuditLog(publisher, '/test');
  const policy = retentionPolicySchema.parse(JSON.parse(await readFile('deploy/retention-policy.json', 'utf8')));
  const directions = new DirectionFollower(kafka, silentLog, onFatal);
  const reviewDates = new ReviewDates(policy, directions);
  const dispositions = new DispositionFollower(kafka, silentLog, onFatal);
  await Promise.all([directions.start(), dispositions.start()]);
  const register = await GalleryRegister.open({
    kafka,
    file: join(home, 'register.sqlite'),
    modelId,
    after: Promise.resolve(),
    dispositionOf: (id) => dispositions.get(id),
    reviewOn: (image) => reviewDates.of(image).on,
    log: silentLog,
    onFatal,
  });
  await register.caughtUp();
  await reviewDates.keepUpToDate(register, new AbortController().signal);
  const view = await SearchView.open(kafka, join(home, 'searches.sqlite'), silentLog, onFatal);
  const auditView = await AuditView.open({
    kafka,
    file: join(home, 'audit.sqlite'),
    keys: [],
    log: silentLog,
    onFatal,
  });
  return {
    kafka,
    publisher,
    audit,
    modelId,
    directions,
    dispositions,
    custodyDirections: new CustodyDirections(
      publisher,
      audit,
      directions,
      new DirectedDispositions(directions, (id) => dispositions.get(id), register),
      (id) => dispositions.get(id),
      register,
    ),
    reviewDates,
    register,
    view,
    trail: new AuditTrail(auditView),
    images: await FolderImageStore.open(join(home, 'images'), join(home, 'key')),
    fatal,
    close: async () => {
      await Promise.all([register.close(), view.close(), auditView.close()]);
      await kafka.close();
      await rm(home, { recursive: true });
    },
  };
}

export const newImageId = (): ImageId => `img-${randomUUID()}` as ImageId;
export const newSubjectId = (): SubjectId => `subject-${randomUUID()}` as SubjectId;

/** Puts a template into the log, as ingest does; resolves when the image is in the register. */
export async function enrolForTests(
  { publisher, modelId, register }: SubjectRights,
  metadata: TemplateMetadata,
  more: { readonly keeping?: TemplateKeeping; readonly sourceOffset?: number; readonly acceptedAtMs?: number } = {},
): Promise<HeldImage> {
  const { imageId } = metadata;
  const sourceOffset = (more.sourceOffset ?? 0) as Offset;
  const source = { sourceOffset, acceptedAtMs: more.acceptedAtMs ?? Date.UTC(2026, 1, 3) };
  await publisher.publish({
    topic: galleryTemplates(modelId),
    key: imageId,
    value: encodeTemplate(Float32Array.of(1, 0)),
    headers: templateHeaders({ modelId, metadata, source, ...(more.keeping && { keeping: more.keeping }) }, '/test'),
  });
  return eventually(() => {
    const held = register.image(imageId);
    if (held?.sourceOffset !== sourceOffset) throw new Error(`${imageId} is not in the register`);
    return held;
  });
}

/** Puts events of one search into the log; resolves when the view shows them. */
export async function recordSearch(
  { publisher, view }: SubjectRights,
  ...events: readonly SearchEvent[]
): Promise<void> {
  for (const event of events) {
    const { partition, offset } = await publisher.publish(searchEventRecord(event, '/test'));
    await view.reflects(partition, (offset + 1) as Offset, WITHIN_MS);
  }
}

/** What the audit says about a person, oldest first. */
export async function trailOf({ trail }: SubjectRights, subjectId: SubjectId): Promise<readonly TrailEntry[]> {
  await trail.upToDate();
  return [...trail.about({ subjectId }).entries].reverse();
}

export function auditedBy(actor: string, statement: Partial<AuditStatement>): AuditStatement {
  return { operation: 'disclosure', action: 'search-viewed', actor, role: 'officer', purpose: 'review', ...statement };
}
