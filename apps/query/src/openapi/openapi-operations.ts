/** What probes and scrapers ask, without a token; the same on every service. */
import { answer } from './openapi-parts.js';
import { object, string, type Schema } from './openapi-schemas.js';

const texts = { type: 'object', additionalProperties: string };

function health(operationId: string, summary: string, mayWait: boolean): Schema {
  return {
    get: {
      operationId,
      summary,
      security: [],
      responses: {
        200: answer('Yes', 'Health'),
        ...(mayWait && { 503: answer('Not yet, or not any more: `waitingFor` says for what', 'Health') }),
      },
    },
  };
}

export const operationsPaths: Record<string, Schema> = {
  '/health/startup': health('isStarted', 'Whether it has started', true),
  '/health/ready': health('isReady', 'Whether it answers, and what is amiss meanwhile', true),
  '/health/live': health('isLive', 'Whether the process runs', false),
  '/metrics': {
    get: {
      operationId: 'getMetrics',
      summary: 'For Prometheus',
      security: [],
      responses: { 200: { description: 'The metrics', content: { 'text/plain': { schema: string } } } },
    },
  },
};

export const operationsSchemas: Record<string, Schema> = {
  Health: object({ status: { type: 'string', enum: ['ok', 'waiting'] }, waitingFor: texts, alarms: texts }, ['alarms']),
};
