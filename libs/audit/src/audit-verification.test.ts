import { describe, expect, it } from 'vitest';
import {
  auditEntry,
  auditLeaf,
  destructionStatement,
  encodeAuditEntry,
  type AuditStatement,
} from '#contracts/audit-record.js';
import type { LoggedLeaf, SealedLeaves } from '#contracts/audit-seal-record.js';
import {
  keptEntry,
  verifyAudit,
  type AuditCopy,
  type AuditFinding,
  type AuditFindingKind,
  type HeldSeals,
  type KeptEntry,
} from './audit-verification.js';
import { signCheckpoint, type SignedCheckpoint } from './checkpoint.js';
import { leafHash, MerkleFrontier } from './merkle-tree.js';
import { makeSignerKey, NoteSigner } from './signed-note.js';

const signer = NoteSigner.parse(makeSignerKey('example.org/audit').signerKey)!;
const FIRST_AT_MS = Date.parse('2026-01-01T00:00:00Z');
/** A day after the last of them: nothing was being written. */
const COPIED_AT_MS = FIRST_AT_MS + 86_400_000;
const COPYING_MS = 600_000;

const statement = (i: number): AuditStatement => ({
  operation: 'consultation',
  action: 'operator-search',
  actor: `officer-${i % 7}`,
  role: 'officer',
  purpose: 'missing',
});

interface Written {
  readonly eventId: string;
  readonly body: Buffer;
  readonly logged: LoggedLeaf;
}

function write(i: number, what = statement(i)): Written {
  const at = new Date(FIRST_AT_MS + i * 1000);
  const entry = auditEntry(what, at);
  const body = encodeAuditEntry(entry);
  return {
    eventId: entry.eventId,
    body,
    logged: { leaf: auditLeaf(body), eventId: entry.eventId, loggedAt: at.toISOString() },
  };
}

/** Seconds after the first: ten before the copy. */
const JUST_WRITTEN = 86_390;

/** As the sealer seals: every so many leaves. */
function seal(written: readonly Written[], every: number): { sealed: SealedLeaves[]; checkpoints: SignedCheckpoint[] } {
  const frontier = new MerkleFrontier();
  const sealed: SealedLeaves[] = [];
  const checkpoints: SignedCheckpoint[] = [];
  for (let from = 0; from < written.length; from += every) {
    const leaves = written.slice(from, from + every).map(({ logged }) => logged);
    for (const { leaf } of leaves) frontier.append(leafHash(leaf));
    sealed.push({ from, leaves });
    checkpoints.push(signCheckpoint(signer, frontier.size, frontier.root()));
  }
  return { sealed, checkpoints };
}

/** What somebody who may write to all of Kafka may change; the key and what the verifier holds are out of reach. */
interface Kafka {
  log: LoggedLeaf[];
  bodies: Map<string, Buffer>;
  checkpoints: SignedCheckpoint[];
  sealed: SealedLeaves[];
}

const ENTRIES = 200;
const SEALED_EVERY = 13;
const HELD = 65;
const written = Array.from({ length: ENTRIES }, (_, i) => write(i));
const sealing = seal(written, SEALED_EVERY);
const heldNote: HeldSeals = { checkpoints: sealing.checkpoints.filter(({ size }) => size === HELD), sealed: [] };
const heldCopy: HeldSeals = sealing;
const kept = new Map<Buffer, KeptEntry>();
/** A thousand logs are verified in one test. */
const TIMEOUT_MS = 60_000;
const positions = Array.from({ length: ENTRIES }, (_, i) => i);

function kafka(): Kafka {
  return {
    log: written.map(({ logged }) => logged),
    bodies: new Map(written.map(({ eventId, body }) => [eventId, body])),
    ...sealing,
  };
}

function add({ log, bodies }: Kafka, ...more: readonly Written[]): void {
  for (const { eventId, body, logged } of more) {
    log.push(logged);
    bodies.set(eventId, body);
  }
}

function copyOf({ log, bodies, checkpoints, sealed }: Kafka): AuditCopy {
  const entries = new Map<string, KeptEntry>();
  for (const [eventId, body] of bodies) {
    if (!kept.has(body)) kept.set(body, keptEntry(body));
    entries.set(eventId, kept.get(body)!);
  }
  return {
    copiedAtMs: COPIED_AT_MS,
    copyEndedAtMs: COPIED_AT_MS + COPYING_MS,
    leaves: log,
    entries,
    checkpoints,
    unsignedCheckpoints: 0,
    sealed,
  };
}

/** The first finding after `change`. */
function firstAfter(change: (kafka: Kafka) => void, held: HeldSeals = heldNote): AuditFinding | undefined {
  const changed = kafka();
  change(changed);
  return verifyAudit(copyOf(changed), held).findings[0];
}

function changeLeaf(log: LoggedLeaf[], i: number, leaf: Buffer): void {
  log[i] = { ...log[i]!, leaf };
}

function otherBody(i: number): Buffer {
  const entry = JSON.parse(written[i]!.body.toString()) as { actor: string };
  return Buffer.from(JSON.stringify({ ...entry, actor: 'somebody else' }));
}

/** Each takes what happens to entry `i`, and what it has to be called. */
const CHANGES: readonly (readonly [string, AuditFindingKind, (kafka: Kafka, i: number) => void])[] = [
  ['an entry is changed', 'entry-changed', ({ bodies }, i) => bodies.set(written[i]!.eventId, otherBody(i))],
  ['an entry is no longer JSON', 'entry-changed', ({ bodies }, i) => bodies.set(written[i]!.eventId, Buffer.from('?'))],
  ['an entry is removed', 'entry-missing', ({ bodies }, i) => bodies.delete(written[i]!.eventId)],
  ['a leaf is changed', 'leaf-changed', ({ log }, i) => changeLeaf(log, i, auditLeaf(Buffer.from('another')))],
  [
    'an entry and its leaf are changed together',
    'leaf-changed',
    ({ log, bodies }, i) => {
      bodies.set(written[i]!.eventId, otherBody(i));
      changeLeaf(log, i, auditLeaf(otherBody(i)));
    },
  ],
  ['a leaf is removed', 'removed', ({ log }, i) => log.splice(i, 1)],
  [
    'an entry and its leaf are removed',
    'removed',
    ({ log, bodies }, i) => {
      log.splice(i, 1);
      bodies.delete(written[i]!.eventId);
    },
  ],
  [
    'an entry is slipped in before it',
    'inserted',
    ({ log, bodies }, i) => {
      const another = write(i);
      log.splice(i, 0, another.logged);
      bodies.set(another.eventId, another.body);
    },
  ],
  [
    'a leaf is said to be of another entry',
    'event-id-changed',
    ({ log }, i) => (log[i] = { ...log[i]!, eventId: '00000000-0000-4000-8000-000000000000' }),
  ],
  [
    'the log is cut off from there, with the entries',
    'removed',
    ({ log, bodies }, i) => {
      log.splice(i);
      for (const { eventId } of written.slice(i)) bodies.delete(eventId);
    },
  ],
];

function expectFound(finding: AuditFinding | undefined, kind: AuditFindingKind, i: number): void {
  expect(finding, `position ${i}`).toMatchObject({ kind, index: i, toIndex: i + 1 });
  if (kind !== 'inserted') expect(finding!.eventId, `position ${i}`).toBe(written[i]!.eventId);
  expect(finding!.at).toBe(written[i]!.logged.loggedAt);
}

describe('an audit log that nobody changed', () => {
  it('is verified to its last checkpoint', () => {
    expect(verifyAudit(copyOf(kafka()), heldNote)).toEqual({
      findings: [],
      leaves: ENTRIES,
      entries: ENTRIES,
      destroyed: 0,
      unlogged: 0,
      inFlight: 0,
      checkpoints: sealing.checkpoints.length + 1,
      verifiedTo: ENTRIES,
      unsealed: 0,
    });
  });

  it('may have entries destroyed at the end of their retention, when the log says so, and those alone', () => {
    const below = 40;
    const destruction = { destructionId: '1', belowIndex: below, entries: below };
    const by = { actor: 'dp-1', authority: 'retention policy', reason: 'the end of their retention' };
    const decision = write(JUST_WRITTEN, destructionStatement(destruction, by));
    const decided = kafka();
    decided.log.push(decision.logged);
    decided.bodies.set(decision.eventId, decision.body);
    for (const { eventId } of written.slice(0, below)) decided.bodies.delete(eventId);
    expect(verifyAudit(copyOf(decided), heldNote)).toMatchObject({ findings: [], destroyed: below, unsealed: 1 });
    decided.bodies.delete(written[below]!.eventId);
    expect(verifyAudit(copyOf(decided), heldNote).findings).toMatchObject([{ kind: 'entry-missing', index: below }]);
    // A decision that was changed permits nothing.
    const forged = destructionStatement({ ...destruction, belowIndex: ENTRIES }, by);
    decided.bodies.set(decision.eventId, encodeAuditEntry({ ...auditEntry(forged), eventId: decision.eventId }));
    expect(verifyAudit(copyOf(decided), heldNote).findings).toHaveLength(below + 2);
  });

  it('may have entries without a leaf, whose writer did not come to the end, or has yet to come there', () => {
    const during = kafka();
    for (const { eventId, body } of [write(300), write(JUST_WRITTEN)]) during.bodies.set(eventId, body);
    expect(verifyAudit(copyOf(during), heldNote)).toMatchObject({ findings: [], unlogged: 1, inFlight: 1 });
  });

  it('may have leaves that the next seal will cover, written just before the copy or while it was made', () => {
    const during = kafka();
    add(during, write(JUST_WRITTEN), write((COPIED_AT_MS + COPYING_MS - FIRST_AT_MS) / 1000));
    expect(verifyAudit(copyOf(during), heldNote)).toMatchObject({ findings: [], unsealed: 2 });
    const young = kafka();
    Object.assign(young, { log: [], bodies: new Map(), checkpoints: [], sealed: [] });
    add(young, write(JUST_WRITTEN));
    expect(verifyAudit(copyOf(young))).toMatchObject({ findings: [], unsealed: 1 });
  });
});

describe('an audit log whose dates somebody changed, which no hash covers', () => {
  const redate = (log: LoggedLeaf[], i: number, at: string): LoggedLeaf => (log[i] = { ...log[i]!, loggedAt: at });

  it.each(['2099-01-01T00:00:00.000Z', new Date(COPIED_AT_MS).toISOString()])(
    'has an entry missing that was taken away, though its leaf is dated %s',
    (at) => {
      const taken = firstAfter(({ log, bodies }) => {
        redate(log, 150, at);
        bodies.delete(written[150]!.eventId);
      });
      expect(taken).toMatchObject({ kind: 'entry-missing', index: 150, eventId: written[150]!.eventId });
    },
  );

  it('is not sealed, where a leaf without a seal is of a time after the copy', () => {
    const dated = kafka();
    add(dated, write(JUST_WRITTEN));
    for (const at of ['2099-01-01T00:00:00.000Z', 'no date']) {
      redate(dated.log, ENTRIES, at);
      expect(verifyAudit(copyOf(dated), heldNote).findings).toMatchObject([{ kind: 'not-sealed', index: ENTRIES, at }]);
    }
  });
});

describe(
  'an audit log that somebody changed since a checkpoint that the verifier holds',
  { timeout: TIMEOUT_MS },
  () => {
    for (const [what, kind, change] of CHANGES) {
      it(`is found out, at the very entry, wherever ${what}`, () => {
        for (const i of positions.slice(HELD)) {
          expectFound(
            firstAfter((changed) => change(changed, i)),
            kind,
            i,
          );
        }
      });
    }

    it('is found out, at the first of the two, whichever two entries are swapped', () => {
      for (const i of positions.slice(HELD)) {
        for (const j of [i + 1, i + SEALED_EVERY, ENTRIES - 1].filter((other) => other > i && other < ENTRIES)) {
          const swapped = firstAfter(({ log }) => ([log[i], log[j]] = [log[j]!, log[i]!]));
          expectFound(swapped, 'reordered', i);
        }
      }
    });

    it('is found out in what comes before the checkpoint too', () => {
      for (const [, kind, change] of CHANGES) {
        for (let i = 0; i < HELD; i += 3) {
          expectFound(
            firstAfter((changed) => change(changed, i)),
            kind,
            i,
          );
        }
      }
    });
  },
);

describe(
  'an audit log that somebody changed together with the second copy of its leaves',
  { timeout: TIMEOUT_MS },
  () => {
    const between = (i: number): { from: number; to: number } => {
      const from = Math.floor(i / SEALED_EVERY) * SEALED_EVERY;
      return { from, to: Math.min(from + SEALED_EVERY, ENTRIES) };
    };

    it('is found out between the two checkpoints around the entry, because nobody can sign others', () => {
      for (const i of positions) {
        const finding = firstAfter((changed) => {
          changed.sealed = [];
          changed.bodies.set(written[i]!.eventId, otherBody(i));
          changeLeaf(changed.log, i, auditLeaf(otherBody(i)));
        });
        const { from, to } = between(i);
        const exact = to === from + 1;
        expect(finding).toMatchObject({
          kind: exact ? 'leaf-changed' : 'between-checkpoints',
          index: from,
          toIndex: to,
        });
      }
    });

    it('is found out there too when the second copy says what the log says', () => {
      const i = 150;
      const finding = firstAfter((changed) => {
        changed.bodies.set(written[i]!.eventId, otherBody(i));
        changeLeaf(changed.log, i, auditLeaf(otherBody(i)));
        changed.sealed = changed.sealed.map(({ from, leaves }) => ({
          from,
          leaves: leaves.map((leaf, j) => (from + j === i ? changed.log[i]! : leaf)),
        }));
      });
      expect(finding).toMatchObject({ kind: 'between-checkpoints', index: between(i).from, toIndex: between(i).to });
    });

    it('is found out at the very entry by whoever holds the append-only copy, even when all seals are gone', () => {
      for (const [, kind, change] of CHANGES) {
        for (let i = 0; i < ENTRIES; i += 7) {
          const finding = firstAfter((changed) => {
            change(changed, i);
            changed.sealed = [];
            changed.checkpoints = [];
          }, heldCopy);
          expectFound(finding, kind, i);
        }
      }
    });

    it('is not found out by a single checkpoint when everything after it, seals too, is gone; the append-only copy shows it', () => {
      const cut = (changed: Kafka): void => {
        changed.log.splice(HELD);
        for (const { eventId } of written.slice(HELD)) changed.bodies.delete(eventId);
        changed.checkpoints = changed.checkpoints.filter(({ size }) => size <= HELD);
        changed.sealed = changed.sealed.filter(({ from }) => from < HELD);
      };
      expect(firstAfter(cut, heldNote)).toBeUndefined();
      expect(firstAfter(cut, heldCopy)).toMatchObject({ kind: 'removed', index: HELD });
    });
  },
);

describe('the seals themselves', () => {
  it('are missed, where nobody has signed the log at all', () => {
    const unsigned = { ...kafka(), checkpoints: [], sealed: [] };
    expect(verifyAudit(copyOf(unsigned))).toMatchObject({
      findings: [{ kind: 'not-sealed', index: 0, toIndex: ENTRIES, eventId: written[0]!.eventId }],
      checkpoints: 0,
      unsealed: ENTRIES,
    });
  });

  it('are missed, where the log goes on after the last of them and is older than a sealer takes', () => {
    const further = kafka();
    const [one, other] = [write(ENTRIES), write(ENTRIES + 1)];
    add(further, one, other, write(JUST_WRITTEN));
    expect(verifyAudit(copyOf(further), heldNote)).toMatchObject({
      findings: [{ kind: 'not-sealed', index: ENTRIES, toIndex: ENTRIES + 2, eventId: one.eventId }],
      verifiedTo: ENTRIES,
      unsealed: 3,
    });
  });

  it('are told apart from what nobody with the key has signed', () => {
    const copy = { ...copyOf(kafka()), unsignedCheckpoints: 1 };
    expect(verifyAudit(copy, heldNote).findings).toMatchObject([{ kind: 'checkpoint-unsigned', index: undefined }]);
  });

  it('show that the key has signed two histories', () => {
    const forged = signCheckpoint(signer, HELD, leafHash(Buffer.from('another history')));
    const kinds = verifyAudit(copyOf(kafka()), { checkpoints: [forged], sealed: [] }).findings.map(({ kind }) => kind);
    expect(kinds).toContain('two-histories');
  });
});
