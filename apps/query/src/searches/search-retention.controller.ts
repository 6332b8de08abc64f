import { Body, Controller, HttpCode, Inject, Param, Post } from '@nestjs/common';
import { parseRetentionEndForm } from '#contracts/search-forms.js';
import type { Actor } from '#domain/identity.js';
import { searchId } from '#domain/ids.js';
import { AllowRoles, CurrentActor } from '#platform/roles.guard.js';
import { SearchRetention, type RetentionEnded } from './search-retention.js';

@Controller('v1/searches')
export class SearchRetentionController {
  constructor(@Inject(SearchRetention) private readonly retention: SearchRetention) {}

  @Post(':searchId/retention-end')
  @HttpCode(200)
  @AllowRoles('data-protection')
  end(@CurrentActor() actor: Actor, @Param('searchId') id: string, @Body() body: unknown): Promise<RetentionEnded> {
    return this.retention.end(actor, searchId(id), parseRetentionEndForm(body));
  }
}
