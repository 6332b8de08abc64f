/** What an operator-initiated search's answer means, in a sentence that an officer can act on. */
import type { FoundAnswer, GalleryReport } from '#domain/search-answer.js';

export function statementOf(answer: FoundAnswer): string {
  const statement = statementOfFound(answer);
  const { partitionsStale, partitionsTotal } = answer.gallery;
  if (partitionsStale.length === 0) return statement;
  const stale = `${partitionsStale.length} of ${partitionsTotal} parts were searched as they stood some time ago`;
  return `${statement} ${stale}: search again for what is new.`;
}

function statementOfFound(answer: FoundAnswer): string {
  const part = notSearched(answer.gallery);
  if (answer.candidates.length > 0) {
    const found = `${answer.candidates.length} possible match(es), to be compared by a person; none is an identification.`;
    return answer.complete ? found : `${found} ${part}`;
  }
  // "Not found" would say more than a part of the gallery can.
  if (!answer.complete) return `No possible match in what was searched. ${part}`;
  return 'Not found in the gallery. Somebody who has no image there cannot be found.';
}

/** What is missing, and whether searching again helps: an image that cannot be used stays out until it is enrolled again. */
function notSearched({ partitionsAnswered, partitionsTotal, unusable }: GalleryReport): string {
  const parts = `Only ${partitionsAnswered} of ${partitionsTotal} parts of the gallery were searched: search again.`;
  const images = `${unusable} image(s) of the gallery could not be searched, until they are enrolled again.`;
  const said = [...(partitionsAnswered < partitionsTotal ? [parts] : []), ...(unusable > 0 ? [images] : [])];
  return said.length > 0 ? said.join(' ') : 'A part of the gallery was changing meanwhile: search again.';
}
