/**
 * The pictures that a person compares: a retrospective search's probe and the custody photographs that it returned. Each
 * look is in the audit, as a disclosure, before the bytes leave.
 */
import type { AuditLog } from '#audit/audit-log.js';
import { Refusal } from '#domain/errors.js';
import type { HeldImage } from '#domain/held-image.js';
import type { Actor, Role } from '#domain/identity.js';
import type { ImageId, SearchId } from '#domain/ids.js';
import type { FoundCandidate } from '#domain/search-answer.js';
import { inspectImage } from '#face/decode.js';
import { custodyImageName, type ImageStore } from '#platform/image-store.js';
import { keptProbe } from './kept-probe.js';
import { roleFor } from './search-access.js';
import type { ViewedSearch } from './search-tables.js';
import type { SearchView } from './search-view.js';
import { isCandidateWithdrawn, type DispositionOf } from './shown-search.js';

export interface Picture {
  readonly bytes: Buffer;
  readonly contentType: string;
}

export class SearchPictures {
  constructor(
    private readonly view: SearchView,
    private readonly images: ImageStore,
    private readonly audit: AuditLog,
    private readonly dispositionOf: DispositionOf,
    /** The image as it is held now. */
    private readonly heldOf: (id: ImageId) => HeldImage | undefined = () => undefined,
  ) {}

  /**
   * The probe as it was sent.
   *
   * @throws Refusal SEARCH_NOT_FOUND, NOT_YOUR_SEARCH, PROBE_GONE; Failure AUDIT_UNAVAILABLE
   */
  async probe(actor: Actor, id: SearchId): Promise<Picture> {
    const { viewed, role } = this.permitted(actor, id);
    const bytes = viewed.kind === 'retrospective' ? await keptProbe(this.images, viewed.search) : undefined;
    if (bytes === undefined || viewed.kind !== 'retrospective') {
      throw new Refusal('PROBE_GONE', 'The probe is not kept, or no longer.');
    }
    const { format } = await inspectImage(bytes);
    await this.audit.append([
      {
        operation: 'disclosure',
        action: 'probe-shown',
        actor: actor.id,
        role,
        purpose: 'review',
        searchId: id,
        recipients: [actor.id],
        probeSha256: viewed.search.probeSha256,
      },
    ]);
    return { bytes, contentType: `image/${format}` };
  }

  /**
   * The custody photograph that the candidate's template was made of: upright, without metadata.
   *
   * @throws Refusal SEARCH_NOT_FOUND, NOT_YOUR_SEARCH, CANDIDATE_NOT_FOUND, CANDIDATE_WITHDRAWN, CANDIDATE_IMAGE_GONE;
   *   Failure AUDIT_UNAVAILABLE
   */
  async candidate(actor: Actor, id: SearchId, rank: number): Promise<Picture> {
    const { viewed, role } = this.permitted(actor, id);
    const candidate = candidatesOf(viewed).find((one) => one.rank === rank);
    if (candidate === undefined)
      throw new Refusal('CANDIDATE_NOT_FOUND', `The search has no candidate of rank ${rank}.`);
    this.refuseWithdrawn(viewed, candidate);
    const bytes = await this.photographOf(candidate);
    if (bytes === undefined) {
      throw new Refusal('CANDIDATE_IMAGE_GONE', 'The photograph was replaced or removed since the search.');
    }
    await this.audit.append([
      {
        operation: 'disclosure',
        action: 'candidate-image-shown',
        actor: actor.id,
        role,
        purpose: 'review',
        searchId: id,
        subjectIds: [candidate.subjectId],
        imageIds: [candidate.imageId],
        recipients: [actor.id],
        detail: { rank },
      },
    ]);
    // Erased or restricted meanwhile, it must not leave.
    this.refuseWithdrawn(viewed, candidate);
    return { bytes, contentType: 'image/jpeg' };
  }

  /** What was searched. A correction of the metadata keeps the same photograph under the record that it came with. */
  private async photographOf({ imageId, sourceOffset }: FoundCandidate): Promise<Buffer | undefined> {
    const bytes = await this.images.get(custodyImageName(imageId, sourceOffset));
    const held = this.heldOf(imageId);
    if (bytes !== undefined || held?.photographFrom === undefined) return bytes;
    const isSame = held.photographFrom <= sourceOffset && sourceOffset < held.sourceOffset;
    return isSame ? this.images.get(custodyImageName(imageId, held.sourceOffset)) : undefined;
  }

  private permitted(actor: Actor, id: SearchId): { readonly viewed: ViewedSearch; readonly role: Role } {
    const viewed = this.view.get(id);
    if (viewed === undefined) throw new Refusal('SEARCH_NOT_FOUND', 'There is no such search.');
    const role = roleFor(actor, viewed);
    if (role === undefined) throw new Refusal('NOT_YOUR_SEARCH', 'This search is not yours to see.');
    return { viewed, role };
  }

  private refuseWithdrawn(viewed: ViewedSearch, candidate: FoundCandidate): void {
    if (!isCandidateWithdrawn(viewed, candidate, this.dispositionOf)) return;
    const { rank } = candidate;
    throw new Refusal('CANDIDATE_WITHDRAWN', 'The candidate was withdrawn: the image may no longer be used.', { rank });
  }
}

function candidatesOf({ kind, search }: ViewedSearch): readonly FoundCandidate[] {
  return kind === 'refused' ? [] : (search.answer?.candidates ?? []);
}
