/** The document against the handlers and the table of codes: what it promises is what is there. */
import 'reflect-metadata';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Role } from '#domain/identity.js';
import { routesOf } from '#platform/routes.js';
import { openApiDocument } from './openapi.js';
import { CONTROLLERS } from '../query.module.js';

interface Operation {
  readonly operationId: string;
  readonly security: readonly { readonly bearer: readonly Role[] }[];
  readonly parameters?: readonly { readonly name: string; readonly in: string }[];
  readonly responses: Readonly<Record<string, { readonly description: string; readonly content?: object }>>;
}

const document = openApiDocument('1');
const operations = Object.entries(document.paths as unknown as Record<string, Record<string, Operation>>).flatMap(
  ([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({
      call: `${method.toUpperCase()} ${path}`,
      path,
      operation,
    })),
);
const ofPeople = operations.filter(({ path }) => path.startsWith('/v1/'));

/** Status by code, as `docs/errors.md` has it. */
function documentedStatuses(): Map<string, string> {
  const rows = readFileSync(join(import.meta.dirname, '../../../../docs/errors.md'), 'utf8').matchAll(
    /^\| `([A-Z_]+)` +\|[^|]*\|[^|]*\| *([^|]*?) *\|/gm,
  );
  return new Map([...rows].map(([, code, status]) => [code!, status!]));
}

describe('the OpenAPI document', () => {
  it('has every call of the handlers, for their roles, and no other', () => {
    const handled = routesOf(CONTROLLERS).map(({ route, roles }) => ({
      call: route.replace(/:(\w+)/g, '{$1}'),
      roles: [...(roles ?? [])].sort(),
    }));
    const promised = ofPeople.map(({ call, operation }) => ({
      call,
      roles: operation.security.flatMap(({ bearer }) => bearer).sort(),
    }));
    const byCall = (a: { call: string }, b: { call: string }): number => (a.call < b.call ? -1 : 1);
    expect(promised.sort(byCall)).toEqual(handled.sort(byCall));
  });

  it('names each call once', () => {
    const ids = operations.map(({ operation }) => operation.operationId);
    expect(new Set(ids).size).toBe(ids.length);
  });

  it('describes each part of each path', () => {
    for (const { call, path, operation } of operations) {
      const inPath = (operation.parameters ?? []).filter((one) => one.in === 'path').map(({ name }) => name);
      expect(inPath, call).toEqual([...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name));
    }
  });

  it('refers to nothing that it lacks', () => {
    const references = [...JSON.stringify(document).matchAll(/"#\/components\/schemas\/(\w+)"/g)].map(
      ([, name]) => name,
    );
    expect(references.length).toBeGreaterThan(0);
    expect(Object.keys(document.components!.schemas!)).toEqual(expect.arrayContaining(references));
  });

  it('gives each code the status that the table of codes gives it', () => {
    const statuses = documentedStatuses();
    expect(statuses.size).toBeGreaterThan(100);
    for (const { call, operation } of ofPeople) {
      for (const [status, { description }] of Object.entries(operation.responses)) {
        if (Number(status) < 400) continue;
        const codes = description.match(/\b[A-Z]+_[A-Z_]+\b|\bINTERNAL\b/g) ?? [];
        expect(codes, `${call} ${status}`).not.toEqual([]);
        for (const code of codes) expect(statuses.get(code)?.split(' or '), `${call} ${code}`).toContain(status);
      }
    }
  });

  it('says of every call who is refused, and that a failure is a problem with a code', () => {
    for (const { call, operation } of ofPeople) {
      expect(Object.keys(operation.responses), call).toEqual(
        expect.arrayContaining(['400', '401', '403', '500', '503']),
      );
      for (const [status, { content }] of Object.entries(operation.responses)) {
        if (Number(status) >= 400) expect(Object.keys(content ?? {}), call).toEqual(['application/problem+json']);
      }
    }
  });
});
