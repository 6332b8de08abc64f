import {
  Body,
  Controller,
  Get,
  HttpCode,
  Inject,
  Param,
  Post,
  Query,
  Res,
  UploadedFile,
  UseInterceptors,
} from '@nestjs/common';
import { FileInterceptor } from '@nestjs/platform-express';
import type { Response } from 'express';
import { IMAGE_SIZE_BYTES_MAX } from '#contracts/topics.js';
import { parseOperatorForm, parseOutcomeForm, parseRetrospectiveForm, uploadedImage } from '#contracts/search-forms.js';
import type { Actor } from '#domain/identity.js';
import { searchId } from '#domain/ids.js';
import { IdempotencyKey } from '#platform/idempotency.js';
import { TakesForm } from '#platform/media-type.guard.js';
import { AllowRoles, CurrentActor } from '#platform/roles.guard.js';
import { Admits } from './admission.interceptor.js';
import { OperatorOutcomes } from './operator-outcome.js';
import { OperatorSearch, type OperatorSearchAnswer } from './operator-search.js';
import { RetrospectiveSubmission } from '../review/retrospective-submission.js';
import { SearchAdmission } from './search-admission.js';
import { SearchReading } from './search-reading.js';
import type { SearchPage } from './search-tables.js';
import type { ShownSearch } from './shown-search.js';

/** Kept in memory: an operator's probe never touches a disk. */
const upload = FileInterceptor('image', { limits: { fileSize: IMAGE_SIZE_BYTES_MAX, files: 1, fields: 20 } });

@Controller('v1/searches')
export class SearchesController {
  constructor(
    @Inject(OperatorSearch) private readonly operatorSearch: OperatorSearch,
    @Inject(RetrospectiveSubmission) private readonly retrospective: RetrospectiveSubmission,
    @Inject(SearchAdmission) private readonly admission: SearchAdmission,
    @Inject(SearchReading) private readonly reading: SearchReading,
    @Inject(OperatorOutcomes) private readonly outcomes: OperatorOutcomes,
  ) {}

  @Post('operator')
  @HttpCode(200)
  @AllowRoles('officer')
  @TakesForm()
  @UseInterceptors(Admits('operator'), upload)
  operator(
    @CurrentActor() actor: Actor,
    @Body() body: unknown,
    @UploadedFile() file: Express.Multer.File | undefined,
    @IdempotencyKey() key: string | undefined,
  ): Promise<OperatorSearchAnswer> {
    const request = parseOperatorForm(body);
    const image = uploadedImage(file?.buffer);
    this.admission.take('operator', actor);
    return this.operatorSearch.run(actor, request, image, key);
  }

  @Post(':searchId/outcome')
  @HttpCode(200)
  @AllowRoles('officer')
  async outcome(
    @CurrentActor() actor: Actor,
    @Param('searchId') id: string,
    @Body() body: unknown,
    @IdempotencyKey() key: string | undefined,
  ): Promise<ShownSearch> {
    await this.outcomes.record(actor, searchId(id), parseOutcomeForm(body), key);
    return this.reading.one(actor, searchId(id));
  }

  @Post('retrospective')
  @HttpCode(202)
  @AllowRoles('operator')
  @TakesForm()
  @UseInterceptors(Admits('retrospective'), upload)
  async submit(
    @CurrentActor() actor: Actor,
    @Body() body: unknown,
    @UploadedFile() file: Express.Multer.File | undefined,
    @Res({ passthrough: true }) response: Response,
    @IdempotencyKey() key: string | undefined,
  ): Promise<ShownSearch> {
    const request = parseRetrospectiveForm(body, actor.id);
    const image = uploadedImage(file?.buffer);
    const contentType = file?.mimetype ?? 'application/octet-stream';
    this.admission.take('retrospective', actor);
    const id = await this.retrospective.submit(actor, request, image, contentType, key);
    response.location(`/v1/searches/${id}`);
    return this.reading.submitted(actor, id);
  }

  @Get()
  @AllowRoles('operator', 'officer', 'investigating-officer', 'auditor')
  list(@CurrentActor() actor: Actor, @Query() query: Record<string, unknown>): Promise<SearchPage> {
    return this.reading.list(actor, query);
  }

  @Get(':searchId')
  @AllowRoles('operator', 'officer', 'investigating-officer')
  one(@CurrentActor() actor: Actor, @Param('searchId') id: string): Promise<ShownSearch> {
    return this.reading.one(actor, searchId(id));
  }
}
