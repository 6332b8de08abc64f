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
import { parseChooseFace, parseOperatorForm, parseRetrospectiveForm, uploadedImage } from '#contracts/search-forms.js';
import type { Actor } from '#domain/identity.js';
import { searchId } from '#domain/ids.js';
import { AllowRoles, CurrentActor } from '#platform/roles.guard.js';
import { OperatorSearch, type OperatorSearchAnswer } from './operator-search.js';
import { RetrospectiveSubmission } from './retrospective-submission.js';
import { SearchReading, type SearchPage, type ShownSearch } from './search-reading.js';

/** Kept in memory: an operator's probe never touches a disk. */
const upload = FileInterceptor('image', { limits: { fileSize: IMAGE_SIZE_BYTES_MAX, files: 1, fields: 20 } });

@Controller('v1/searches')
export class SearchesController {
  constructor(
    @Inject(OperatorSearch) private readonly operatorSearch: OperatorSearch,
    @Inject(RetrospectiveSubmission) private readonly retrospective: RetrospectiveSubmission,
    @Inject(SearchReading) private readonly reading: SearchReading,
  ) {}

  @Post('operator')
  @HttpCode(200)
  @AllowRoles('officer')
  @UseInterceptors(upload)
  operator(
    @CurrentActor() actor: Actor,
    @Body() body: unknown,
    @UploadedFile() file: Express.Multer.File | undefined,
  ): Promise<OperatorSearchAnswer> {
    const request = parseOperatorForm(body);
    return this.operatorSearch.run(actor, request, uploadedImage(file?.buffer));
  }

  @Post('retrospective')
  @HttpCode(202)
  @AllowRoles('operator')
  @UseInterceptors(upload)
  async submit(
    @CurrentActor() actor: Actor,
    @Body() body: unknown,
    @UploadedFile() file: Express.Multer.File | undefined,
    @Res({ passthrough: true }) response: Response,
  ): Promise<ShownSearch> {
    const request = parseRetrospectiveForm(body, actor.id);
    const image = uploadedImage(file?.buffer);
    const id = await this.retrospective.submit(actor, request, image, file?.mimetype ?? 'application/octet-stream');
    response.location(`/v1/searches/${id}`);
    return this.reading.submitted(actor, id);
  }

  @Post(':searchId/face')
  @HttpCode(200)
  @AllowRoles('operator')
  async chooseFace(
    @CurrentActor() actor: Actor,
    @Param('searchId') id: string,
    @Body() body: unknown,
  ): Promise<ShownSearch> {
    const { face, expectedVersion } = parseChooseFace(body);
    await this.retrospective.chooseFace(actor, searchId(id), face, expectedVersion);
    return this.reading.one(actor, searchId(id));
  }

  @Get()
  @AllowRoles('operator', 'officer', 'investigating-officer')
  list(@CurrentActor() actor: Actor, @Query() query: Record<string, unknown>): Promise<SearchPage> {
    return this.reading.list(actor, query);
  }

  @Get(':searchId')
  @AllowRoles('operator', 'officer', 'investigating-officer')
  one(@CurrentActor() actor: Actor, @Param('searchId') id: string): Promise<ShownSearch> {
    return this.reading.one(actor, searchId(id));
  }
}
