import type { TemplateMetadata } from './gallery.js';
import type { Offset } from './ids.js';

/** One custody image that is held, and why: an entry of the register of images held. */
export interface HeldImage extends Omit<TemplateMetadata, 'embeddingNorm'> {
  readonly lawfulBasis?: string;
  /** ISO 8601 date or instant, as the custody system gave it. */
  readonly reviewDue?: string;
  /** Index of the face that the template is of, among those found, from left to right. */
  readonly face?: number;
  /** Of a corrected image: the `custody.images` record that its photograph first came from. Inclusive. */
  readonly photographFrom?: Offset;
  /** The `custody.images` record that it came from. Inclusive. */
  readonly sourceOffset: Offset;
  /** When the broker accepted that record. ISO 8601, UTC. */
  readonly acceptedAt: string;
}
