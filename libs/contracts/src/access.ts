/**
 * Who may do what in Kafka, and why: the one table behind the ACLs, Strimzi's KafkaUsers, the check that each service
 * makes of its own rights, and who sends and reads what in the published contracts. Whatever is not here is denied.
 *
 * A principal is a process with credentials of its own. As Kafka has it, `read`, `write` and `delete` permit to describe as
 * well, and `alter-configs` to describe the settings.
 */
import {
  AUDIT_CHECKPOINTS,
  AUDIT_ENTRIES,
  AUDIT_LOG,
  CUSTODY_DIRECTIONS,
  CUSTODY_DISPOSITIONS,
  CUSTODY_IMAGES,
  CUSTODY_OUTCOMES,
  deadLetters,
  GALLERY_GAPS,
  GALLERY_QUERIES,
  GALLERY_REPLICAS,
  GALLERY_REPLIES,
  GOVERNANCE_DECISIONS,
  SEARCHES_COMMANDS,
  SEARCHES_EVENTS,
  SEARCHES_REQUESTS,
  type DesiredTopic,
} from './topics.js';

/** Processes of this system. */
export const OWN_PRINCIPALS = [
  'custody-ingest',
  'custody-generation',
  'custody-index',
  'custody-query',
  'custody-cli',
] as const;
/** Roles of the systems outside; each such system has credentials of its own, with these rights. */
export const OUTSIDE_PRINCIPALS = ['custody-system', 'case-system'] as const;

export type OwnPrincipal = (typeof OWN_PRINCIPALS)[number];
export type Principal = OwnPrincipal | (typeof OUTSIDE_PRINCIPALS)[number];
export const PRINCIPALS: readonly Principal[] = [...OWN_PRINCIPALS, ...OUTSIDE_PRINCIPALS];

export type AccessOperation =
  'read' | 'write' | 'create' | 'delete' | 'describe' | 'describe-configs' | 'alter-configs';

export interface AccessResource {
  readonly kind: 'topic' | 'group' | 'cluster';
  readonly name: string;
  /** `prefixed`: everything whose name begins with it, also what does not exist yet. */
  readonly pattern: 'literal' | 'prefixed';
}

/** One thing that one principal may do: one ACL. */
export interface Access {
  readonly principal: Principal;
  readonly resource: AccessResource;
  readonly operation: AccessOperation;
  /** What it is for, in a sentence's part. */
  readonly purpose: string;
}

const topic = (name: string): AccessResource => ({ kind: 'topic', name, pattern: 'literal' });
const group = (name: string): AccessResource => ({ kind: 'group', name, pattern: 'literal' });
/** Of every model, also one that nobody has yet; with their dead letters. */
const GALLERIES: AccessResource = { kind: 'topic', name: 'gallery.templates.', pattern: 'prefixed' };
/** One for each model whose gallery is or was built beside another. */
const GENERATION_GROUPS: AccessResource = { kind: 'group', name: 'custody-generation-', pattern: 'prefixed' };
const CLUSTER: AccessResource = { kind: 'cluster', name: 'kafka-cluster', pattern: 'literal' };

const OWN_TOPICS: readonly AccessResource[] = [
  ...[CUSTODY_IMAGES, CUSTODY_DISPOSITIONS, CUSTODY_DIRECTIONS, CUSTODY_OUTCOMES],
  ...[GALLERY_QUERIES, GALLERY_REPLIES, GALLERY_REPLICAS, GALLERY_GAPS],
  ...[SEARCHES_REQUESTS, SEARCHES_COMMANDS, SEARCHES_EVENTS, GOVERNANCE_DECISIONS],
  ...[AUDIT_LOG, AUDIT_ENTRIES, AUDIT_CHECKPOINTS],
  ...[CUSTODY_IMAGES, SEARCHES_REQUESTS, SEARCHES_COMMANDS].map(deadLetters),
].map(topic);
const ALL_TOPICS: readonly AccessResource[] = [...OWN_TOPICS, GALLERIES];

type Grant = readonly [operation: AccessOperation, resources: readonly AccessResource[], purpose: string];

/** Who may do one of these with a topic may see that it is there. */
const NAMING: readonly AccessOperation[] = ['read', 'write', 'delete', 'describe'];
const COMPARES = 'compares its topics with the table at start';
const AUDITS = [
  'write',
  [AUDIT_ENTRIES, AUDIT_LOG].map(topic),
  'puts on record what it does, before it does it',
] as const satisfies Grant;

const GRANTS: Readonly<Record<Principal, readonly Grant[]>> = {
  'custody-ingest': comparing([
    ['read', [topic(CUSTODY_IMAGES)], 'enrols and erases'],
    ['read', [group('custody-ingest')], 'shares the images among its members'],
    ['read', [CUSTODY_DISPOSITIONS, CUSTODY_DIRECTIONS].map(topic), 'follows erasures, restrictions and holds'],
    ['write', [topic(CUSTODY_IMAGES)], 'takes images over HTTP'],
    ['write', [topic(CUSTODY_OUTCOMES)], 'says what became of each image'],
    ['write', [GALLERIES], 'enrols templates, and tombstones in every gallery'],
    ['read', [GALLERIES], 'writes the newest template again behind one that it wrote late'],
    ['write', [topic(CUSTODY_DISPOSITIONS)], 'bounds what is erased'],
    ['write', [topic(CUSTODY_DIRECTIONS)], 'gives receipts of erasures, or restricts instead'],
    ['write', [topic(deadLetters(CUSTODY_IMAGES))], 'refers to what it could not handle'],
    AUDITS,
  ]),
  'custody-generation': comparing([
    ['read', [GALLERIES], 'follows the gallery of the running model'],
    ['read', [GENERATION_GROUPS], 'shares it among its members'],
    ['read', [CUSTODY_DISPOSITIONS, GALLERY_GAPS].map(topic), 'follows erasures and what it lacks'],
    ['write', [GALLERIES], 'builds the gallery of the next model'],
    ['write', [topic(GALLERY_GAPS)], 'says what that gallery lacks'],
    AUDITS,
  ]),
  'custody-index': comparing([
    ['read', [GALLERIES], 'holds the gallery'],
    ['read', [topic(CUSTODY_DISPOSITIONS)], 'follows erasures and restrictions'],
    ['read', [topic(GALLERY_QUERIES)], 'answers queries'],
    ['write', [topic(GALLERY_REPLIES)], 'answers queries'],
    ['write', [topic(GALLERY_REPLICAS)], 'reports what it holds and has destroyed'],
    ['write', [GALLERIES], 'puts right what a late writer has overwritten, and refers to templates that it cannot use'],
  ]),
  'custody-query': [
    ['read', [CUSTODY_DISPOSITIONS, CUSTODY_DIRECTIONS].map(topic), 'follows erasures, restrictions and holds'],
    ['read', [group('custody-directions')], 'has one owner of the directions'],
    ['read', [GALLERY_REPLIES, GALLERY_REPLICAS, GALLERY_GAPS].map(topic), 'gathers answers and reports'],
    ['read', [GALLERIES], 'keeps the register of what is enrolled, and looks whether the erased is gone'],
    ['read', [topic(CUSTODY_IMAGES)], 'looks whether the erased is gone'],
    ['read', [topic(CUSTODY_OUTCOMES)], 'exports what became of each image'],
    ['describe', [group('custody-ingest')], 'says with that how many images have no outcome yet'],
    ['read', [SEARCHES_REQUESTS, SEARCHES_COMMANDS].map(topic), 'owns its share of the searches'],
    ['read', [group('custody-searches')], 'shares them among its replicas'],
    ['read', [SEARCHES_EVENTS, GOVERNANCE_DECISIONS].map(topic), 'keeps its view'],
    ['read', [AUDIT_ENTRIES, AUDIT_LOG, AUDIT_CHECKPOINTS].map(topic), 'shows and proves the audit'],
    ['read', [group('custody-audit-seal')], 'has one sealer of the audit'],
    ['write', [topic(GALLERY_QUERIES)], 'searches'],
    ['write', [SEARCHES_REQUESTS, SEARCHES_COMMANDS, SEARCHES_EVENTS].map(topic), 'takes and decides searches'],
    [
      'write',
      [SEARCHES_REQUESTS, SEARCHES_COMMANDS].map((name) => topic(deadLetters(name))),
      'refers to the unhandled',
    ],
    ['write', [topic(GOVERNANCE_DECISIONS)], 'suspensions, thresholds, model overrides'],
    ['write', [topic(CUSTODY_IMAGES)], 'erases, rectifies, and has its log compacted'],
    ['write', [CUSTODY_DISPOSITIONS, CUSTODY_DIRECTIONS].map(topic), 'restricts, retires, holds, erases'],
    ['write', [GALLERIES], 'has the logs of the galleries compacted'],
    ['write', [GALLERY_REPLICAS, GALLERY_GAPS].map(topic), 'retires replicas and galleries'],
    AUDITS,
    ['write', [topic(AUDIT_CHECKPOINTS)], 'seals the audit'],
    ['delete', [GALLERIES], 'retires a gallery'],
    ['delete', [GENERATION_GROUPS], 'knows how far the gallery of the next model is, and retires one'],
    ['describe-configs', ALL_TOPICS, 'gives the settings of every topic as evidence'],
    ['describe', [topic(deadLetters(CUSTODY_IMAGES))], 'the same, of the one that it has no use for'],
  ],
  'custody-cli': naming([
    ['create', ALL_TOPICS, 'topics apply'],
    ['alter-configs', ALL_TOPICS, 'topics check and apply'],
    ['describe-configs', [CLUSTER], 'topics check: how long the brokers keep what is to go'],
    ['describe', [CLUSTER], 'topics check: the size of the logs'],
    ['read', [CUSTODY_IMAGES, SEARCHES_REQUESTS, SEARCHES_COMMANDS].map(deadLetters).map(topic), 'dead-letters list'],
    ['read', [CUSTODY_IMAGES, SEARCHES_REQUESTS, SEARCHES_COMMANDS].map(topic), 'dead-letters replay: their sources'],
    ['read', [GALLERIES], 'dead-letters list, of the galleries'],
    ['read', [topic(CUSTODY_DISPOSITIONS)], 'dead-letters replay: what is erased stays so'],
    ['read', [topic(CUSTODY_OUTCOMES)], 'enrol'],
    ['write', [topic(CUSTODY_IMAGES)], 'enrol, dead-letters replay'],
    ['write', [topic(SEARCHES_COMMANDS)], 'dead-letters replay'],
    ['write', [AUDIT_ENTRIES, AUDIT_LOG].map(topic), 'dead-letters replay: put on record before'],
    ['write', [CUSTODY_IMAGES, SEARCHES_COMMANDS].map(deadLetters).map(topic), 'dead-letters replay: says so'],
  ]),
  'custody-system': [
    ['write', [topic(CUSTODY_IMAGES)], 'sends images and erasures'],
    ['read', [topic(CUSTODY_OUTCOMES)], 'learns what became of them'],
    ['read', [{ kind: 'group', name: 'custody-system', pattern: 'prefixed' }], 'the same, by several members'],
  ],
  'case-system': [
    ['write', [topic(SEARCHES_REQUESTS)], 'asks for retrospective searches'],
    ['read', [topic(SEARCHES_EVENTS)], 'learns what became of them'],
    ['read', [{ kind: 'group', name: 'case-system', pattern: 'prefixed' }], 'the same, by several members'],
  ],
};

/** Whoever sets a topic must be able to see it; who reads or writes it can. */
function naming(grants: readonly Grant[]): readonly Grant[] {
  const named = new Set(
    grants.flatMap(([operation, resources]) => (NAMING.includes(operation) ? resources.map(({ name }) => name) : [])),
  );
  return [...grants, ['describe', ALL_TOPICS.filter(({ name }) => !named.has(name)), 'topics check']];
}

/** A service compares the settings of the topics that it uses, and no others. */
function comparing(grants: readonly Grant[]): readonly Grant[] {
  const used = new Map(
    grants.flatMap(([, resources]) => resources.filter(({ kind }) => kind === 'topic').map((one) => [one.name, one])),
  );
  return [...grants, ['describe-configs', [...used.values()], COMPARES]];
}

/** Everything that it may do, an ACL each. */
export function accessOf(principal: Principal): readonly Access[] {
  return GRANTS[principal].flatMap(([operation, resources, purpose]) =>
    resources.map((resource) => ({ principal, resource, operation, purpose })),
  );
}

export function covers(resource: AccessResource, kind: AccessResource['kind'], name: string): boolean {
  if (resource.kind !== kind) return false;
  return resource.pattern === 'prefixed' ? name.startsWith(resource.name) : name === resource.name;
}

/** Who may do this with the topic. */
export function principalsWith(operation: AccessOperation, topicName: string): readonly Principal[] {
  return PRINCIPALS.filter((principal) =>
    GRANTS[principal].some(
      ([granted, resources]) => granted === operation && resources.some((one) => covers(one, 'topic', topicName)),
    ),
  );
}

/** Those of the topics that it has anything to do with. */
export function topicsUsedBy(principal: Principal, topics: readonly DesiredTopic[]): readonly DesiredTopic[] {
  return topics.filter(({ name }) => accessOf(principal).some(({ resource }) => covers(resource, 'topic', name)));
}
