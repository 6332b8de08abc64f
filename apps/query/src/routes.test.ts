import 'reflect-metadata';
import { describe, expect, it } from 'vitest';
import type { Role } from '#domain/identity.js';
import { ErasuresController } from './erasures.controller.js';
import { GalleriesController } from './galleries.controller.js';
import { SearchesController } from './searches.controller.js';

/** What Nest's decorators and AllowRoles leave on a handler. */
interface Route {
  readonly route: string;
  readonly roles: readonly Role[] | undefined;
}

function routesOf(controller: { readonly prototype: object; readonly name: string }): Route[] {
  const base = Reflect.getMetadata('path', controller) as string;
  return Object.entries(Object.getOwnPropertyDescriptors(controller.prototype)).flatMap(([name, { value }]) => {
    if (name === 'constructor') return [];
    const path =
      typeof value === 'function' ? (Reflect.getMetadata('path', value as object) as string | undefined) : undefined;
    if (path === undefined) return [];
    const method = ['GET', 'POST', 'PUT', 'DELETE', 'PATCH'][Reflect.getMetadata('method', value as object) as number];
    const roles = Reflect.getMetadata('custody:roles', value as object) as Role[] | undefined;
    return [{ route: `${method} /${base}/${path}`.replace(/\/+/g, '/').replace(/\/$/, ''), roles }];
  });
}

const routes = [ErasuresController, GalleriesController, SearchesController].flatMap(routesOf);

describe('the routes of the query service', () => {
  it('all say who may call them: the guard lets through whatever says nothing', () => {
    expect(routes.length).toBeGreaterThan(5);
    for (const { route, roles } of routes) expect(roles ?? [], route).not.toEqual([]);
  });

  it.each([
    ['POST /v1/searches/operator', ['officer']],
    ['POST /v1/searches/retrospective', ['operator']],
    ['POST /v1/erasures', ['data-protection']],
  ])('%s is for the role %j alone', (route, roles) => {
    expect(routes.find((one) => one.route === route)?.roles).toEqual(roles);
  });
});
