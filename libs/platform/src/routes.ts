import 'reflect-metadata';
import type { Role } from '#domain/identity.js';
import { ROLES_KEY } from './roles.guard.js';

/** What Nest's decorators and AllowRoles leave on a handler. */
export interface Route {
  /** Method and path, for example `GET /v1/searches/:searchId`. */
  readonly route: string;
  /** Undefined: closed to everybody. */
  readonly roles: readonly Role[] | undefined;
}

interface ControllerClass {
  readonly prototype: object;
  readonly name: string;
}

/** Who may call what, as the guard reads it. */
export function routesOf(controllers: readonly ControllerClass[]): Route[] {
  return controllers.flatMap(routesOfOne);
}

function routesOfOne(controller: ControllerClass): Route[] {
  const base = Reflect.getMetadata('path', controller) as string;
  return Object.entries(Object.getOwnPropertyDescriptors(controller.prototype)).flatMap(([name, { value }]) => {
    if (name === 'constructor') return [];
    const path =
      typeof value === 'function' ? (Reflect.getMetadata('path', value as object) as string | undefined) : undefined;
    if (path === undefined) return [];
    const method = METHODS[Reflect.getMetadata('method', value as object) as number];
    const roles = Reflect.getMetadata(ROLES_KEY, value as object) as Role[] | undefined;
    return [{ route: `${method} /${base}/${path}`.replace(/\/+/g, '/').replace(/\/$/, ''), roles }];
  });
}

/** By Nest's RequestMethod. */
const METHODS = ['GET', 'POST', 'PUT', 'DELETE', 'PATCH'];
