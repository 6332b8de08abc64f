/** What an operator asks for with a retrospective search, and the rules that the request must keep. */
import { Refusal } from './errors.js';
import type { FaceChoice } from './face.js';
import type { GalleryFilter } from './gallery.js';
import { isSamePerson } from './identity.js';
import { parseJustification, parseLimit } from './operator-search.js';

export const PROBE_SOURCES = ['cctv', 'mobile', 'social-media', 'other'] as const;
export type ProbeSource = (typeof PROBE_SOURCES)[number];

export const RETROSPECTIVE_LIMIT_DEFAULT = 20;
export const RETROSPECTIVE_LIMIT_MAX = 50;

export interface RetrospectiveSearchRequest {
  readonly crimeReference: string;
  readonly offence: string;
  readonly source: ProbeSource;
  readonly justification: string;
  /** The person who reviews after the operator; never the operator. */
  readonly investigatingOfficer: string;
  /**
   * The index of a box that the operator was shown. With `largest` or `central` the search waits for that index if the
   * probe has several faces: no rule of the software says who is meant.
   */
  readonly face?: FaceChoice;
  readonly filter?: GalleryFilter;
  readonly limit: number;
}

export const REFERENCE_LENGTH_MAX = 200;

/** @throws Refusal FIELD_REQUIRED, FIELD_TOO_LONG */
export function required(name: string, text: string | undefined): string {
  const value = (text ?? '').trim();
  if (value === '') throw new Refusal('FIELD_REQUIRED', `${name} is required.`, { field: name });
  if (value.length > REFERENCE_LENGTH_MAX) {
    throw new Refusal('FIELD_TOO_LONG', `${name} has at most ${REFERENCE_LENGTH_MAX} characters.`, { field: name });
  }
  return value;
}

/** @throws Refusal, with the code of the first rule that the request breaks */
export function parseRetrospectiveSearch(
  fields: {
    readonly crimeReference?: string | undefined;
    readonly offence?: string | undefined;
    readonly source?: string | undefined;
    readonly justification?: string | undefined;
    readonly investigatingOfficer?: string | undefined;
    readonly face: FaceChoice | undefined;
    readonly filter: GalleryFilter | undefined;
    readonly limit?: string | undefined;
  },
  operatorId: string,
): RetrospectiveSearchRequest {
  const source = PROBE_SOURCES.find((known) => known === fields.source);
  const crimeReference = required('crimeReference', fields.crimeReference);
  const offence = required('offence', fields.offence);
  if (source === undefined) {
    throw new Refusal('PROBE_SOURCE_UNKNOWN', `source is one of: ${PROBE_SOURCES.join(', ')}.`);
  }
  const investigatingOfficer = required('investigatingOfficer', fields.investigatingOfficer);
  if (isSamePerson(investigatingOfficer, operatorId)) {
    throw new Refusal('REVIEWERS_NOT_DISTINCT', 'The investigating officer must be another person than the operator.');
  }
  return {
    crimeReference,
    offence,
    source,
    justification: parseJustification(fields.justification),
    investigatingOfficer,
    ...(fields.face !== undefined && { face: fields.face }),
    ...(fields.filter !== undefined && { filter: fields.filter }),
    limit: parseLimit(fields.limit, RETROSPECTIVE_LIMIT_DEFAULT, RETROSPECTIVE_LIMIT_MAX),
  };
}
