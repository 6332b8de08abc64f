import { Controller, HttpCode, Inject, Post } from '@nestjs/common';
import { Failure } from '#domain/errors.js';
import { AllowRoles } from '#platform/roles.guard.js';
import { GalleryReplica } from './gallery-replica.js';

@Controller('v1/snapshots')
export class SnapshotsController {
  constructor(@Inject(GalleryReplica) private readonly replica: GalleryReplica) {}

  /** Writes a snapshot now, for example before a node is taken out. Answers when it is verified. */
  @Post()
  @HttpCode(204)
  @AllowRoles('service')
  async write(): Promise<void> {
    if (await this.replica.snapshot('demand')) return;
    throw new Failure(
      'SNAPSHOT_NOT_WRITTEN',
      'The snapshot could not be written; the log of the service says why.',
      true,
    );
  }
}
