import { describe, expect, it } from 'vitest';
import type { Actor, Role } from '#domain/identity.js';
import { foldOperator } from '#domain/operator-search.js';
import { foldRetrospective } from '#domain/retrospective-search.js';
import { roleFor, scopesOf } from './search-access.js';
import { newId, operatorSearch, received } from './search-events-for-tests.js';
import type { ViewedSearch } from './search-tables.js';

const byOfficer: ViewedSearch = { kind: 'operator', search: foldOperator(undefined, operatorSearch(newId())) };
const retrospective: ViewedSearch = { kind: 'retrospective', search: foldRetrospective(undefined, received(newId())) };

const actor = (id: string, ...roles: Role[]): Actor => ({ id, roles });

describe('a search', () => {
  it.each<[string, Actor, ViewedSearch, Role | undefined]>([
    ['its officer', actor('officer-1', 'officer'), byOfficer, 'officer'],
    ['another officer', actor('officer-2', 'officer'), byOfficer, undefined],
    ['its officer in another role', actor('officer-1', 'operator', 'auditor'), byOfficer, undefined],
    ['an operator', actor('op-2', 'operator'), retrospective, 'operator'],
    ['the named officer', actor('io-1', 'investigating-officer'), retrospective, 'investigating-officer'],
    [
      'the named officer who is also an operator',
      actor('io-1', 'operator', 'investigating-officer'),
      retrospective,
      'investigating-officer',
    ],
    ['another investigating officer', actor('io-2', 'investigating-officer'), retrospective, undefined],
    ['the named officer without the role', actor('io-1', 'officer'), retrospective, undefined],
    ['an auditor', actor('a-1', 'auditor'), retrospective, undefined],
    ['data-protection staff', actor('dp-1', 'data-protection'), retrospective, undefined],
  ])('is shown to %s as their role allows', (_who, who, search, role) => {
    expect(roleFor(who, search)).toBe(role);
  });
});

describe('a list of searches', () => {
  it('has for each role what it may see, and for several all of it', () => {
    expect(scopesOf(actor('x', 'auditor'))).toEqual({ roles: ['auditor'], scopes: [{}] });
    expect(scopesOf(actor('x', 'operator')).scopes).toEqual([{ kind: 'retrospective' }]);
    expect(scopesOf(actor('x', 'officer', 'investigating-officer'))).toEqual({
      roles: ['investigating-officer', 'officer'],
      scopes: [
        { kind: 'retrospective', officer: 'x' },
        { kind: 'operator', by: 'x' },
      ],
    });
    expect(scopesOf(actor('x', 'data-protection', 'service')).scopes).toEqual([]);
  });
});
