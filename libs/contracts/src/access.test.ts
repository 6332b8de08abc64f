import { describe, expect, it } from 'vitest';
import { modelId } from '#domain/ids.js';
import {
  accessOf,
  type AccessOperation,
  covers,
  OWN_PRINCIPALS,
  OUTSIDE_PRINCIPALS,
  PRINCIPALS,
  principalsWith,
  topicsUsedBy,
} from './access.js';
import { CUSTODY_IMAGES, CUSTODY_OUTCOMES, desiredTopics, galleryTemplates, SEARCHES_EVENTS } from './topics.js';

const model = modelId('0123456789abcdef');
const topics = desiredTopics({ modelId: model, profile: 'local', replication: 1 });
const names = topics.map(({ name }) => name);

describe('the table of access', () => {
  it.each(names)('has for %s somebody who writes it and somebody who reads it', (name) => {
    expect(principalsWith('write', name)).not.toEqual([]);
    expect(principalsWith('read', name)).not.toEqual([]);
  });

  it.each(PRINCIPALS)('grants %s nothing twice, and nothing on a topic that there is not', (principal) => {
    const all = accessOf(principal);
    const rights = all.map(({ operation, resource }) => `${operation} ${resource.kind} ${resource.name}`);
    expect(new Set(rights).size).toBe(rights.length);
    for (const { resource } of all.filter((access) => access.resource.kind === 'topic')) {
      expect(
        names.some((name) => covers(resource, 'topic', name)),
        resource.name,
      ).toBe(true);
    }
  });

  it('lets the command line create and set every topic, and no service any', () => {
    expect(topicsUsedBy('custody-cli', topics)).toEqual(topics);
    for (const operation of ['create', 'alter-configs'] as const) {
      for (const name of names) expect(principalsWith(operation, name)).toEqual(['custody-cli']);
    }
  });

  it('lets the systems outside do what their contract is, and nothing else', () => {
    for (const principal of OUTSIDE_PRINCIPALS) {
      expect(accessOf(principal).every(({ operation }) => operation === 'read' || operation === 'write')).toBe(true);
    }
    const topicsOf = (operation: 'read' | 'write', principal: (typeof OUTSIDE_PRINCIPALS)[number]) =>
      names.filter((name) => principalsWith(operation, name).includes(principal));
    expect(topicsOf('write', 'custody-system')).toEqual([CUSTODY_IMAGES]);
    expect(topicsOf('read', 'custody-system')).toEqual([CUSTODY_OUTCOMES]);
    expect(topicsOf('read', 'case-system')).toEqual([SEARCHES_EVENTS]);
  });

  it('lets only those who make templates, hold them or compact their log write to a gallery', () => {
    expect(principalsWith('write', galleryTemplates(model))).toEqual([
      'custody-ingest',
      'custody-generation',
      'custody-index',
      'custody-query',
    ]);
  });

  it.each(PRINCIPALS)('grants %s to describe nothing that it may describe anyway', (principal) => {
    const all = accessOf(principal);
    const implying: Partial<Record<AccessOperation, readonly AccessOperation[]>> = {
      describe: ['read', 'write', 'delete'],
      'describe-configs': ['alter-configs'],
    };
    for (const { resource, operation: granted } of all) {
      const others = all.filter((one) => one.resource.kind === resource.kind && one.resource.name === resource.name);
      expect(others.filter(({ operation }) => implying[granted]?.includes(operation))).toEqual([]);
    }
  });

  it('lets each service describe what it uses, so that it can tell what is missing from what is denied', () => {
    const naming = ['read', 'write', 'describe', 'delete'];
    for (const principal of OWN_PRINCIPALS) {
      for (const { resource } of accessOf(principal)) {
        const operations = accessOf(principal)
          .filter((access) => access.resource.name === resource.name)
          .map(({ operation }) => operation);
        expect(
          operations.some((operation) => naming.includes(operation)),
          `${principal} ${resource.name}`,
        ).toBe(true);
      }
    }
  });
});
