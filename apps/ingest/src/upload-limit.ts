/**
 * How much may be held of images that come over HTTP and are not in the log yet. Beyond it a caller is told to come back:
 * the log is where images wait, and when that takes no more, memory must not be what does.
 */
import { Failure } from '#domain/errors.js';

export class UploadLimit {
  private heldBytes = 0;

  /**
   * @param heldBytesMax of all that are being received, or wait for Kafka's acknowledgement
   * @param bodyBytesMax of one
   */
  constructor(
    private readonly heldBytesMax: number,
    readonly bodyBytesMax: number,
  ) {}

  /**
   * Keeps the place until what is done with the upload is over.
   *
   * @param bytes what is held of it at most
   * @throws Failure UPLOADS_BUSY
   */
  async run<T>(bytes: number, upload: () => Promise<T>): Promise<T> {
    if (this.heldBytes + bytes > this.heldBytesMax) {
      throw new Failure('UPLOADS_BUSY', 'As many images are being taken as may; try again later.', true);
    }
    this.heldBytes += bytes;
    try {
      return await upload();
    } finally {
      this.heldBytes -= bytes;
    }
  }
}
