import {
  createParamDecorator,
  SetMetadata,
  type CanActivate,
  type CustomDecorator,
  type ExecutionContext,
} from '@nestjs/common';
import type { Request } from 'express';
import { Failure, Refusal } from '#domain/errors.js';
import { hasRole, type Actor, type Role } from '#domain/identity.js';
import type { Health } from './health.js';
import type { TokenVerifier } from './identity.js';

export const ROLES_KEY = 'custody:roles';

const ANYONE = 'anyone';

/** Who may call a handler. One that says nothing is closed to everybody. */
export function AllowRoles(...roles: Role[]): CustomDecorator {
  return SetMetadata(ROLES_KEY, roles);
}

/** For what probes and scrapers ask: no token is needed. */
export function AllowAnyone(): CustomDecorator {
  return SetMetadata(ROLES_KEY, ANYONE);
}

interface RequestWithActor extends Request {
  actor?: Actor;
}

export const CurrentActor = createParamDecorator((_: unknown, context: ExecutionContext): Actor => {
  const { actor } = context.switchToHttp().getRequest<RequestWithActor>();
  if (actor === undefined) throw new Error('CurrentActor is used on a handler without AllowRoles');
  return actor;
});

export class RolesGuard implements CanActivate {
  constructor(
    private readonly tokens: Pick<TokenVerifier, 'verify'>,
    private readonly health: Health,
  ) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    const allowed = (Reflect.getMetadata(ROLES_KEY, context.getHandler()) ??
      Reflect.getMetadata(ROLES_KEY, context.getClass())) as Role[] | typeof ANYONE | undefined;
    if (allowed === ANYONE) return true;
    if (allowed === undefined) throw new Refusal('ROLE_NOT_ALLOWED', 'Nobody may call this.');
    // Before the dispositions are read, it would show what must not be shown.
    if (!this.health.serving) {
      throw new Failure('NOT_READY', 'The service is starting, or lacks what it needs; try again.', true);
    }
    const request = context.switchToHttp().getRequest<RequestWithActor>();
    const actor = await this.tokens.verify(request.headers.authorization);
    if (!hasRole(actor, allowed)) {
      throw new Refusal('ROLE_NOT_ALLOWED', `This needs the role ${allowed.join(' or ')}.`);
    }
    request.actor = actor;
    return true;
  }
}
