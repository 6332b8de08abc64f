import { Controller, HttpCode, Inject, Post } from '@nestjs/common';
import { AllowRoles } from '#platform/roles.guard.js';
import { GalleryReplica } from './gallery-replica.js';

@Controller('v1/snapshots')
export class SnapshotsController {
  constructor(@Inject(GalleryReplica) private readonly replica: GalleryReplica) {}

  /** Writes a snapshot now, for example before a node is taken out. Answers when it is verified. */
  @Post()
  @HttpCode(204)
  @AllowRoles('service')
  write(): Promise<void> {
    return this.replica.snapshot('demand');
  }
}
