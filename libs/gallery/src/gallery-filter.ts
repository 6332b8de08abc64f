import { Refusal } from '#domain/errors.js';
import type { GalleryFilter, TemplateMetadata } from '#domain/gallery.js';

/**
 * A filter as a function. Each part that is present must hold; a template without the attribute does not pass.
 *
 * @throws Refusal BAD_FILTER when a date cannot be read
 */
export function compileFilter(filter: GalleryFilter): (metadata: TemplateMetadata) => boolean {
  const from = filter.capturedFrom === undefined ? undefined : timeMs(filter.capturedFrom);
  const to = filter.capturedTo === undefined ? undefined : timeMs(filter.capturedTo);
  const excluded = filter.excludeImageIds === undefined ? undefined : new Set<string>(filter.excludeImageIds);
  return (metadata) => {
    if (filter.force !== undefined && metadata.force !== filter.force) return false;
    if (filter.sex !== undefined && metadata.sex !== filter.sex) return false;
    if (filter.ageBand !== undefined && metadata.ageBand !== filter.ageBand) return false;
    if (excluded?.has(metadata.imageId) === true) return false;
    if (from === undefined && to === undefined) return true;
    // An absent or unreadable date is NaN, which no comparison holds for.
    const capturedMs = Date.parse(metadata.capturedAt ?? '');
    return (
      (from === undefined ? !Number.isNaN(capturedMs) : capturedMs >= from) && (to === undefined || capturedMs < to)
    );
  };
}

/** Whether the filter asks for anything. */
export function isFiltering(filter: GalleryFilter | undefined): filter is GalleryFilter {
  return filter !== undefined && Object.values(filter).some((part) => part !== undefined);
}

function timeMs(text: string): number {
  const ms = Date.parse(text);
  if (Number.isNaN(ms)) throw new Refusal('BAD_FILTER', 'The dates of a filter are in ISO 8601.');
  return ms;
}
