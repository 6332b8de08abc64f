import 'reflect-metadata';
import { describe, expect, it } from 'vitest';
import type { Role } from '#domain/identity.js';
import { routesOf } from '#platform/routes.js';
import { CONTROLLERS } from './query.module.js';

const routes = routesOf(CONTROLLERS);

describe('the routes of the query service', () => {
  it('all say who may call them: the guard lets through whatever says nothing', () => {
    expect(routes.length).toBeGreaterThan(5);
    for (const { route, roles } of routes) expect(roles ?? [], route).not.toEqual([]);
  });

  it.each([
    ['POST /v1/searches/operator', ['officer']],
    ['POST /v1/searches/:searchId/outcome', ['officer']],
    ['POST /v1/searches/:searchId/operator-decision', ['operator']],
    ['POST /v1/searches/:searchId/peer-review', ['operator']],
    ['POST /v1/searches/:searchId/officer-decision', ['investigating-officer']],
    ['POST /v1/searches/:searchId/retention-end', ['data-protection']],
    ['POST /v1/searches/retrospective', ['operator']],
    ['POST /v1/erasures', ['data-protection']],
    ['GET /v1/erasures/:erasureId', ['data-protection']],
    ['POST /v1/erasures/:erasureId/approval', ['data-protection']],
    ...['restrictions', 'retirements', 'evidence-holds'].flatMap((path): [string, Role[]][] => [
      [`POST /v1/${path}`, ['data-protection']],
      [`GET /v1/${path}`, ['data-protection']],
      [`DELETE /v1/${path}/:directionId`, ['data-protection']],
    ]),
    ['PATCH /v1/images/:imageId', ['data-protection']],
    ['GET /v1/exports/images', ['data-protection']],
    ['GET /v1/subjects/:subjectId/access-report', ['data-protection']],
    ['GET /v1/subjects/:subjectId/searchable', ['data-protection', 'auditor']],
    ['POST /v1/disposals', ['data-protection', 'service']],
    ['GET /v1/reviews-due', ['data-protection']],
    ['POST /v1/reviews', ['data-protection']],
    ['PUT /v1/suspensions/:kind', ['threshold-approver', 'data-protection']],
    ['DELETE /v1/suspensions/:kind', ['threshold-approver', 'data-protection']],
    ['GET /v1/reports/usage', ['auditor']],
    ['GET /v1/reports/dpia', ['data-protection', 'auditor']],
    ['POST /v1/thresholds', ['threshold-approver']],
    ['POST /v1/thresholds/:version/approval', ['threshold-approver']],
    ['POST /v1/model-overrides', ['threshold-approver']],
    ['POST /v1/replica-retirements', ['data-protection']],
    ['POST /v1/model-overrides/:overrideId/approval', ['threshold-approver']],
    ['DELETE /v1/model-overrides/:overrideId', ['threshold-approver']],
    ['POST /v1/gallery-switches', ['threshold-approver']],
    ['POST /v1/gallery-retirements', ['threshold-approver']],
    ['POST /v1/gallery-retirements/:modelId/destruction', ['data-protection']],
    ['GET /v1/audit', ['auditor']],
    ['GET /v1/audit/export', ['auditor']],
    ['GET /v1/audit/proof', ['auditor']],
    ['POST /v1/audit/destructions', ['data-protection']],
  ])('%s is for the role %j alone', (route, roles) => {
    expect(routes.find((one) => one.route === route)?.roles).toEqual(roles);
  });
});
