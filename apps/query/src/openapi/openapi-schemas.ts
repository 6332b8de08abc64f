/** The JSON Schemas that the OpenAPI document is put together from. */
import { z } from 'zod';

export type Schema = Record<string, unknown>;

export function jsonSchema(schema: z.ZodType): Schema {
  const { $schema: _dialect, ...rest } = z.toJSONSchema(schema, { unrepresentable: 'any', io: 'input' });
  return rest;
}

/** Of a body: one of these fields, and no second one. */
export function exactlyOneOf(properties: Record<string, Schema>): Schema {
  return { properties, oneOf: Object.keys(properties).map((name) => ({ required: [name] })) };
}

export const object = (properties: Record<string, Schema>, optional: readonly string[] = []): Schema => ({
  type: 'object',
  properties,
  required: Object.keys(properties).filter((name) => !optional.includes(name)),
});
export const string = { type: 'string' };
export const number = { type: 'number' };
export const integer = { type: 'integer' };
export const boolean = { type: 'boolean' };
export const instant = { type: 'string', format: 'date-time' };
export const nullable = (schema: Schema): Schema => ({ anyOf: [schema, { type: 'null' }] });
export const arrayOf = (items: Schema): Schema => ({ type: 'array', items });
export const byPartition = {
  type: 'object',
  additionalProperties: integer,
  description: 'By template partition, exclusive offset',
};
export const box = object({ left: number, top: number, right: number, bottom: number });
/** Measures that old records lack are optional. */
export const faceQuality = object(
  {
    eyeDistancePx: number,
    embeddingNorm: number,
    detectionConfidence: number,
    yawDegrees: number,
    pitchDegrees: number,
    rollDegrees: number,
    sharpness: number,
    luminanceMean: number,
    underExposedShare: number,
    overExposedShare: number,
    warnings: arrayOf(string),
    advice: arrayOf({ type: 'string', description: 'A warning in words: what to do about it' }),
  },
  [
    'yawDegrees',
    'pitchDegrees',
    'rollDegrees',
    'sharpness',
    'luminanceMean',
    'underExposedShare',
    'overExposedShare',
    'advice',
  ],
);
export const detectedFace = object({ index: integer, box, confidence: number, quality: faceQuality }, ['quality']);
export const rotation = {
  type: 'integer',
  enum: [0, 90, 180, 270],
  description: 'Clockwise degrees by which the picture was turned, after its EXIF orientation, so as to be upright',
};
/** What boxes are given in. */
export const uprightPicture = object({ width: integer, height: integer, rotation });

export const faceChoice = {
  type: 'string',
  pattern: '^(\\d{1,3}|largest|central)$',
  description: 'Index of a returned box, `largest` or `central`',
};
const externalId = { type: 'string', pattern: '^[!-~]{1,128}$' };
/** As custody systems give them. */
export const imageIdField = externalId;
export const subjectIdField = externalId;
