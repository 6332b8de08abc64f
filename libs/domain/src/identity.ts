/** Who asks. Roles are held by people; `service` by systems. */
export const ROLES = [
  'officer',
  'operator',
  'investigating-officer',
  'data-protection',
  'auditor',
  'threshold-approver',
  'service',
] as const;
export type Role = (typeof ROLES)[number];

export interface Actor {
  /** The identity provider's subject: a warrant number or account, never a name. */
  readonly id: string;
  readonly roles: readonly Role[];
  /** The system that speaks for the actor, when it is not the actor. */
  readonly system?: string;
}

/**
 * Whether two ids are one person's, where a rule needs two people: accounts that differ in case, width or blanks alone
 * are taken for one. Who may do what is by the id exactly as it is.
 */
export function isSamePerson(a: string, b: string): boolean {
  return plainId(a) === plainId(b);
}

function plainId(id: string): string {
  return id.normalize('NFKC').trim().toLowerCase();
}

export function hasRole(actor: Actor, allowed: readonly Role[]): boolean {
  return actor.roles.some((role) => allowed.includes(role));
}
