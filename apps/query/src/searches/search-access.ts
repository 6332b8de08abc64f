/** Who may see which searches. */
import type { Actor, Role } from '#domain/identity.js';
import type { SearchScope, ViewedSearch } from './search-tables.js';

/** The role in which somebody may see a search with its candidates and pictures; undefined when nobody's. */
export function roleFor(actor: Actor, { kind, search }: ViewedSearch): Role | undefined {
  if (kind === 'operator') return actor.roles.includes('officer') && search.by === actor.id ? 'officer' : undefined;
  // Whoever is named acts here as the officer, whatever else they are elsewhere.
  const isNamed = kind === 'retrospective' && search.request.investigatingOfficer === actor.id;
  if (isNamed && actor.roles.includes('investigating-officer')) return 'investigating-officer';
  // Any of them may be asked for the second review.
  return actor.roles.includes('operator') ? 'operator' : undefined;
}

/**
 * What a list shows to each role: an auditor that searches ran, an operator the retrospective ones, an investigating
 * officer those where they are named, an officer their own.
 */
const SCOPES: readonly { readonly role: Role; readonly scope: (actor: Actor) => SearchScope }[] = [
  { role: 'auditor', scope: () => ({}) },
  { role: 'operator', scope: () => ({ kind: 'retrospective' }) },
  { role: 'investigating-officer', scope: ({ id }) => ({ kind: 'retrospective', officer: id }) },
  { role: 'officer', scope: ({ id }) => ({ kind: 'operator', by: id }) },
];

/** @returns the roles that count, the widest first, and what they may see together */
export function scopesOf(actor: Actor): { readonly roles: readonly Role[]; readonly scopes: readonly SearchScope[] } {
  const held = SCOPES.filter(({ role }) => actor.roles.includes(role));
  return { roles: held.map(({ role }) => role), scopes: held.map(({ scope }) => scope(actor)) };
}
