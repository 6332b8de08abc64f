/**
 * The OpenAPI document of the query service, from the same schemas that the requests are checked with. A test compares
 * its calls and their roles with the handlers, and its codes with `docs/errors.md`.
 */
import type { Application } from 'express';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { SwaggerModule, type OpenAPIObject } from '@nestjs/swagger';
import { boolean, integer, object, string, type Schema } from './openapi-schemas.js';
import { auditPaths, auditSchemas } from './openapi-audit.js';
import { decisionPaths } from './openapi-decisions.js';
import { directionsPaths, directionsSchemas } from './openapi-directions.js';
import { dpiaPaths, dpiaSchemas } from './openapi-dpia.js';
import { generationPaths, generationSchemas } from './openapi-generations.js';
import { governancePaths, governanceSchemas } from './openapi-governance.js';
import { operationsPaths, operationsSchemas } from './openapi-operations.js';
import { searchPaths, searchSchemas } from './openapi-searches.js';
import { subjectPaths, subjectSchemas } from './openapi-subjects.js';

export function openApiDocument(version: string): OpenAPIObject {
  const document = {
    openapi: '3.1.0',
    info: {
      title: 'Custody Face Search: query service',
      version,
      description: 'Possible matches for a person to review. A candidate is never an identification.',
    },
    security: [{ bearer: [] }],
    paths: {
      ...searchPaths,
      ...decisionPaths,
      ...governancePaths,
      ...generationPaths,
      ...dpiaPaths,
      ...auditPaths,
      ...directionsPaths,
      ...subjectPaths,
      ...operationsPaths,
    },
    components: {
      securitySchemes: {
        bearer: {
          type: 'http',
          scheme: 'bearer',
          bearerFormat: 'JWT',
          description: 'Of the configured issuer. The names in a call’s security are roles: one of them is needed',
        },
      },
      schemas,
    },
  };
  return document as unknown as OpenAPIObject;
}

const schemas: Record<string, Schema> = {
  ...searchSchemas,
  ...governanceSchemas,
  ...generationSchemas,
  ...dpiaSchemas,
  ...auditSchemas,
  ...directionsSchemas,
  ...subjectSchemas,
  ...operationsSchemas,
  Problem: object(
    {
      type: { type: 'string', pattern: '^urn:custody-face-search:error:' },
      title: string,
      status: integer,
      code: { type: 'string', pattern: '^[A-Z][A-Z_]+$', description: 'See docs/errors.md' },
      detail: string,
      retryable: boolean,
      details: { type: 'object' },
    },
    ['details'],
  ),
};

/** `/docs` for people, `/openapi.json` and `/docs-json` for programs; none needs a token. */
export function serveOpenApi(app: NestExpressApplication): void {
  const document = openApiDocument('1');
  SwaggerModule.setup('docs', app, document);
  const express = app.getHttpAdapter().getInstance() as Application;
  express.get('/openapi.json', (_request, response) => void response.json(document));
}
