import { Controller, Get, Header, Inject, Param, ParseIntPipe, StreamableFile } from '@nestjs/common';
import type { Actor } from '#domain/identity.js';
import { searchId } from '#domain/ids.js';
import { AllowRoles, CurrentActor } from '#platform/roles.guard.js';
import { SearchPictures, type Picture } from './search-pictures.js';

@Controller('v1/searches')
export class SearchPicturesController {
  constructor(@Inject(SearchPictures) private readonly pictures: SearchPictures) {}

  @Get(':searchId/probe')
  @AllowRoles('operator', 'officer', 'investigating-officer')
  @Header('Cache-Control', 'no-store')
  @Header('X-Content-Type-Options', 'nosniff')
  async probe(@CurrentActor() actor: Actor, @Param('searchId') id: string): Promise<StreamableFile> {
    return sent(await this.pictures.probe(actor, searchId(id)));
  }

  @Get(':searchId/candidates/:rank/image')
  @AllowRoles('operator', 'officer', 'investigating-officer')
  @Header('Cache-Control', 'no-store')
  @Header('X-Content-Type-Options', 'nosniff')
  async candidate(
    @CurrentActor() actor: Actor,
    @Param('searchId') id: string,
    @Param('rank', ParseIntPipe) rank: number,
  ): Promise<StreamableFile> {
    return sent(await this.pictures.candidate(actor, searchId(id), rank));
  }
}

function sent({ bytes, contentType }: Picture): StreamableFile {
  return new StreamableFile(bytes, { type: contentType, length: bytes.length });
}
