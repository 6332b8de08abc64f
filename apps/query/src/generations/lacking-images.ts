/** Which images the gallery of a model lacks that another has, and why: for whoever decides whether that is acceptable. */
import type { AuditLog } from '#audit/audit-log.js';
import type { GenerationGap } from '#domain/generation-gap.js';
import { hasRole, type Actor, type Role } from '#domain/identity.js';
import type { ImageId, ModelId } from '#domain/ids.js';

export interface LackingPage {
  readonly modelId: ModelId;
  readonly lacking: number;
  /** By imageId. */
  readonly images: readonly Omit<GenerationGap, 'modelId'>[];
  /** The imageId to go on after; null at the end. */
  readonly nextCursor: string | null;
}

const READERS: readonly Role[] = ['threshold-approver', 'data-protection', 'auditor'];

export class LackingImages {
  constructor(
    private readonly gaps: { of(model: ModelId): ReadonlyMap<ImageId, GenerationGap> },
    private readonly audit: AuditLog,
  ) {}

  /** @throws Failure AUDIT_UNAVAILABLE, and nothing is shown */
  async list(
    actor: Actor,
    modelId: ModelId,
    { cursor, limit }: { readonly cursor?: string | undefined; readonly limit: number },
  ): Promise<LackingPage> {
    const gaps = this.gaps.of(modelId);
    const after = [...gaps.keys()].sort().filter((id) => cursor === undefined || id > cursor);
    const images = after.slice(0, limit).map((id) => {
      const { modelId: _model, ...gap } = gaps.get(id)!;
      return gap;
    });
    await this.audit.append([
      {
        operation: 'consultation',
        action: 'lacking-images-listed',
        actor: actor.id,
        role: READERS.find((role) => hasRole(actor, [role]))!,
        purpose: 'model change',
        modelId,
        imageIds: images.map(({ imageId }) => imageId),
        subjectIds: [...new Set(images.map(({ subjectId }) => subjectId))],
      },
    ]);
    const nextCursor = after.length > limit ? images.at(-1)!.imageId : null;
    return { modelId, lacking: gaps.size, images, nextCursor };
  }
}
