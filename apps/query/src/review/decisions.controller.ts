import { Body, Controller, HttpCode, Inject, Param, Post } from '@nestjs/common';
import {
  parseChooseFace,
  parseClose,
  parseOfficerDecision,
  parseOperatorDecision,
  parsePeerReview,
  parseReassign,
  parseRetry,
  parseReviewPartial,
  parseViewed,
  type RequestedAction,
} from '#contracts/decision-forms.js';
import type { Actor } from '#domain/identity.js';
import { searchId } from '#domain/ids.js';
import { IdempotencyKey } from '#platform/idempotency.js';
import { AllowRoles, CurrentActor } from '#platform/roles.guard.js';
import { SearchDecisions } from './search-decisions.js';
import { SearchReading } from '../searches/search-reading.js';
import type { ShownSearch } from '../searches/shown-search.js';

/** Each answers with the search as it is afterwards. */
@Controller('v1/searches/:searchId')
export class DecisionsController {
  constructor(
    @Inject(SearchDecisions) private readonly decisions: SearchDecisions,
    @Inject(SearchReading) private readonly reading: SearchReading,
  ) {}

  @Post('face')
  @HttpCode(200)
  @AllowRoles('operator')
  face(
    @CurrentActor() actor: Actor,
    @Param('searchId') id: string,
    @Body() body: unknown,
    @IdempotencyKey() key: string | undefined,
  ): Promise<ShownSearch> {
    return this.decide(actor, id, 'face', parseChooseFace(body), key);
  }

  @Post('candidates/:rank/viewed')
  @HttpCode(200)
  @AllowRoles('operator', 'investigating-officer')
  viewed(
    @CurrentActor() actor: Actor,
    @Param('searchId') id: string,
    @Param('rank') rank: string,
    @Body() body: unknown,
    @IdempotencyKey() key: string | undefined,
  ): Promise<ShownSearch> {
    return this.decide(actor, id, `candidates/${rank}/viewed`, parseViewed(rank, body), key);
  }

  @Post('operator-decision')
  @HttpCode(200)
  @AllowRoles('operator')
  operatorDecision(
    @CurrentActor() actor: Actor,
    @Param('searchId') id: string,
    @Body() body: unknown,
    @IdempotencyKey() key: string | undefined,
  ): Promise<ShownSearch> {
    return this.decide(actor, id, 'operator-decision', parseOperatorDecision(body), key);
  }

  @Post('peer-review')
  @HttpCode(200)
  @AllowRoles('operator')
  peerReview(
    @CurrentActor() actor: Actor,
    @Param('searchId') id: string,
    @Body() body: unknown,
    @IdempotencyKey() key: string | undefined,
  ): Promise<ShownSearch> {
    return this.decide(actor, id, 'peer-review', parsePeerReview(body), key);
  }

  @Post('officer-decision')
  @HttpCode(200)
  @AllowRoles('investigating-officer')
  officerDecision(
    @CurrentActor() actor: Actor,
    @Param('searchId') id: string,
    @Body() body: unknown,
    @IdempotencyKey() key: string | undefined,
  ): Promise<ShownSearch> {
    return this.decide(actor, id, 'officer-decision', parseOfficerDecision(body), key);
  }

  @Post('reassign')
  @HttpCode(200)
  @AllowRoles('operator')
  reassign(
    @CurrentActor() actor: Actor,
    @Param('searchId') id: string,
    @Body() body: unknown,
    @IdempotencyKey() key: string | undefined,
  ): Promise<ShownSearch> {
    return this.decide(actor, id, 'reassign', parseReassign(body), key);
  }

  @Post('retry')
  @HttpCode(200)
  @AllowRoles('operator')
  retry(
    @CurrentActor() actor: Actor,
    @Param('searchId') id: string,
    @Body() body: unknown,
    @IdempotencyKey() key: string | undefined,
  ): Promise<ShownSearch> {
    return this.decide(actor, id, 'retry', parseRetry(body), key);
  }

  @Post('partial-review')
  @HttpCode(200)
  @AllowRoles('operator')
  partialReview(
    @CurrentActor() actor: Actor,
    @Param('searchId') id: string,
    @Body() body: unknown,
    @IdempotencyKey() key: string | undefined,
  ): Promise<ShownSearch> {
    return this.decide(actor, id, 'partial-review', parseReviewPartial(body), key);
  }

  @Post('close')
  @HttpCode(200)
  @AllowRoles('operator', 'investigating-officer')
  close(
    @CurrentActor() actor: Actor,
    @Param('searchId') id: string,
    @Body() body: unknown,
    @IdempotencyKey() key: string | undefined,
  ): Promise<ShownSearch> {
    return this.decide(actor, id, 'close', parseClose(body), key);
  }

  private async decide(
    actor: Actor,
    id: string,
    action: string,
    requested: RequestedAction,
    key: string | undefined,
  ): Promise<ShownSearch> {
    const search = searchId(id);
    await this.decisions.decide(actor, search, requested, `POST /v1/searches/${id}/${action}`, key);
    return this.reading.one(actor, search);
  }
}
