import { Body, Controller, Get, Header, HttpCode, Inject, Post, Query, Res } from '@nestjs/common';
import type { Response } from 'express';
import type { VerifierKey } from '#audit/signed-note.js';
import { parseDestructionForm } from '#contracts/audit-forms.js';
import type { AuditDestruction } from '#contracts/audit-record.js';
import { ROLES, type Actor } from '#domain/identity.js';
import { IdempotencyKey } from '#platform/idempotency.js';
import { AllowRoles, CurrentActor } from '#platform/roles.guard.js';
import { AuditDestructions } from './audit-destruction.js';
import { AuditExport } from './audit-export.js';
import { AuditReading, type AuditPage, type ConsistencyProof, type InclusionProof } from './audit-reading.js';
import { sendLines } from '../line-sink.js';

/** The keys that checkpoints are verified with. */
export class AuditKeys {
  constructor(readonly keys: readonly VerifierKey[]) {}
}

@Controller('v1/audit')
export class AuditController {
  constructor(
    @Inject(AuditReading) private readonly reading: AuditReading,
    @Inject(AuditExport) private readonly copy: AuditExport,
    @Inject(AuditDestructions) private readonly destructions: AuditDestructions,
    @Inject(AuditKeys) private readonly seals: AuditKeys,
  ) {}

  @Get()
  @AllowRoles('auditor')
  list(@CurrentActor() actor: Actor, @Query() query: Record<string, unknown>): Promise<AuditPage> {
    return this.reading.list(actor, query);
  }

  @Get('checkpoint')
  @AllowRoles('auditor')
  @Header('Content-Type', 'text/plain; charset=utf-8')
  checkpoint(@CurrentActor() actor: Actor, @Query() query: Record<string, unknown>): Promise<string> {
    return this.reading.checkpoint(actor, query);
  }

  @Get('proof')
  @AllowRoles('auditor')
  proof(
    @CurrentActor() actor: Actor,
    @Query() query: Record<string, unknown>,
  ): Promise<InclusionProof | ConsistencyProof> {
    return this.reading.proof(actor, query);
  }

  /** Public by nature: it shows nothing of the audit. */
  @Get('keys')
  @AllowRoles(...ROLES)
  @Header('Content-Type', 'text/plain; charset=utf-8')
  keys(): string {
    return this.seals.keys.map(({ text }) => `${text}\n`).join('');
  }

  @Get('export')
  @AllowRoles('auditor')
  async export(@CurrentActor() actor: Actor, @Res() response: Response): Promise<void> {
    await this.copy.begin(actor);
    response.status(200).type('application/x-ndjson').setHeader('Cache-Control', 'no-store');
    try {
      await this.copy.write((lines) => sendLines(response, lines));
      response.end();
    } catch {
      // What was sent lacks its last line, by which whoever reads it knows.
      response.destroy();
    }
  }

  @Post('destructions')
  @HttpCode(200)
  @AllowRoles('data-protection')
  destroy(
    @CurrentActor() actor: Actor,
    @Body() body: unknown,
    @IdempotencyKey() key: string | undefined,
  ): Promise<AuditDestruction> {
    return this.destructions.destroy(actor, parseDestructionForm(body), key);
  }
}
