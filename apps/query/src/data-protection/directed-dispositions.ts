/** What the log of dispositions lacks of what is directed, image by image. */
import { dispositionRecord } from '#contracts/disposition-record.js';
import type { OutgoingRecord } from '#contracts/outgoing-record.js';
import { dispositionsUnder } from '#domain/direction.js';
import type { Disposition } from '#domain/disposition.js';
import { offset, type ImageId } from '#domain/ids.js';
import type { DirectionFollower } from '#kafka/direction-follower.js';
import { QUERY_SOURCE } from '../query-source.js';
import type { GalleryRegister } from './gallery-register.js';

export class DirectedDispositions {
  constructor(
    private readonly directions: Pick<DirectionFollower, 'suppressionOf'>,
    private readonly dispositionOf: (id: ImageId) => Disposition | undefined,
    private readonly register: Pick<GalleryRegister, 'image'>,
  ) {}

  /** In order; none when everything that is directed of the images is in force as far as this replica has read. */
  missingOf(imageIds: Iterable<ImageId>): readonly OutgoingRecord[] {
    return [...imageIds].flatMap((imageId) => {
      const held = this.register.image(imageId);
      const suppression = this.directions.suppressionOf(imageId, held?.subjectId);
      const known = this.dispositionOf(imageId);
      return dispositionsUnder(suppression, imageId, known, held?.sourceOffset ?? offset(0)).map((disposition) =>
        dispositionRecord(imageId, disposition, QUERY_SOURCE),
      );
    });
  }
}
