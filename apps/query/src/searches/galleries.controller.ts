import { Controller, Get, Inject } from '@nestjs/common';
import { ROLES } from '#domain/identity.js';
import { AllowRoles } from '#platform/roles.guard.js';
import { Galleries, type GalleryState } from './galleries.js';

@Controller('v1/galleries')
export class GalleriesController {
  constructor(@Inject(Galleries) private readonly galleries: Galleries) {}

  @Get()
  @AllowRoles(...ROLES)
  list(): Promise<{ readonly galleries: readonly GalleryState[] }> {
    return this.galleries.list();
  }
}
