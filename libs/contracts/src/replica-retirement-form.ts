/** The HTTP form with which somebody asserts that a replica of the gallery is gone for good. */
import { z } from 'zod';
import type { ModelId } from '#domain/ids.js';
import { modelIdSchema } from './record-schemas.js';
import { parse } from './search-forms.js';

export const replicaRetirementFormSchema = z.strictObject({
  replicaId: z.string().regex(/^[\w.-]{1,64}$/),
  modelId: modelIdSchema.optional().describe('Of which model’s gallery alone; without it, of each'),
  reason: z.string().trim().min(10).max(2000).describe('How its memory ended and its snapshots were deleted'),
});

export interface ReplicaRetirementRequest {
  readonly replicaId: string;
  readonly modelId?: ModelId | undefined;
  readonly reason: string;
}

/** @throws Refusal BAD_REQUEST naming the field */
export function parseReplicaRetirementForm(body: unknown): ReplicaRetirementRequest {
  return parse(replicaRetirementFormSchema, body);
}
