import { Body, Controller, Get, HttpCode, Inject, Post, Query } from '@nestjs/common';
import { parseDisposalForm, parseReviewForm, parseReviewsDueQuery } from '#contracts/retention-forms.js';
import type { Actor } from '#domain/identity.js';
import { IdempotencyKey } from '#platform/idempotency.js';
import { AllowRoles, CurrentActor } from '#platform/roles.guard.js';
import { ImageRetention, type DisposalAnswer, type DueReviews, type ReviewAnswer } from './image-retention.js';

@Controller('v1')
export class ImageRetentionController {
  constructor(@Inject(ImageRetention) private readonly retention: ImageRetention) {}

  @Post('disposals')
  @HttpCode(201)
  @AllowRoles('data-protection', 'service')
  report(
    @CurrentActor() actor: Actor,
    @Body() body: unknown,
    @IdempotencyKey() key: string | undefined,
  ): Promise<DisposalAnswer> {
    return this.retention.report(actor, parseDisposalForm(body), key);
  }

  @Get('reviews-due')
  @AllowRoles('data-protection')
  due(@CurrentActor() actor: Actor, @Query() query: unknown): Promise<DueReviews> {
    return this.retention.due(actor, parseReviewsDueQuery(query));
  }

  @Post('reviews')
  @HttpCode(201)
  @AllowRoles('data-protection')
  review(
    @CurrentActor() actor: Actor,
    @Body() body: unknown,
    @IdempotencyKey() key: string | undefined,
  ): Promise<ReviewAnswer> {
    return this.retention.review(actor, parseReviewForm(body), key);
  }
}
