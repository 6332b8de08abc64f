import { Module, type DynamicModule } from '@nestjs/common';
import { APP_GUARD, APP_INTERCEPTOR } from '@nestjs/core';
import type { Health } from '#platform/health.js';
import type { TokenVerifier } from '#platform/identity.js';
import type { QueryMetrics } from '#platform/metrics.js';
import { MediaTypeGuard } from '#platform/media-type.guard.js';
import { RolesGuard } from '#platform/roles.guard.js';
import { OperationsModule } from '#platform/service-process.js';
import { AuditDestructions } from './audit/audit-destruction.js';
import { AuditExport } from './audit/audit-export.js';
import type { AuditParts } from './audit/audit-parts.js';
import { AuditReading } from './audit/audit-reading.js';
import { AuditController, AuditKeys } from './audit/audit.controller.js';
import { AccessReports } from './data-protection/access-reports.js';
import { ConsistencyInterceptor } from './searches/consistency.interceptor.js';
import { CustodyDirections } from './data-protection/custody-directions.js';
import { DecisionsController } from './review/decisions.controller.js';
import {
  EvidenceHoldsController,
  RestrictionsController,
  RetirementsController,
} from './data-protection/directions.controller.js';
import { DpiaController } from './governance/dpia.controller.js';
import { DpiaEvidences } from './governance/dpia-evidences.js';
import { Erasures } from './data-protection/erasures.js';
import { ErasuresController } from './data-protection/erasures.controller.js';
import { Galleries } from './searches/galleries.js';
import { GalleriesController } from './searches/galleries.controller.js';
import { GalleryRetirements } from './generations/gallery-retirements.js';
import { GallerySwitches } from './generations/gallery-switches.js';
import { GenerationsController } from './generations/generations.controller.js';
import { LackingImages } from './generations/lacking-images.js';
import { GovernanceDecisions } from './governance/governance-decisions.js';
import { ImageExport } from './data-protection/image-export.js';
import { ImageRetentionController } from './data-protection/image-retention.controller.js';
import { ImageRetention } from './data-protection/image-retention.js';
import { ImagesController } from './data-protection/images.controller.js';
import { ModelOverridesController } from './governance/model-overrides.controller.js';
import { OperatorOutcomes } from './searches/operator-outcome.js';
import { OperatorSearch } from './searches/operator-search.js';
import { Rectification } from './data-protection/rectification.js';
import { ReplicaRetirementsController } from './replicas/replica-retirements.controller.js';
import { ReplicaRetirements } from './replicas/replica-retirements.js';
import { RetrospectiveSubmission } from './review/retrospective-submission.js';
import { SearchAdmission } from './searches/search-admission.js';
import { SearchDecisions } from './review/search-decisions.js';
import { SearchPicturesController } from './searches/search-pictures.controller.js';
import { SearchPictures } from './searches/search-pictures.js';
import { SearchReading } from './searches/search-reading.js';
import { SearchRetentionController } from './searches/search-retention.controller.js';
import { SearchRetention } from './searches/search-retention.js';
import type { SearchView } from './searches/search-view.js';
import { SearchesController } from './searches/searches.controller.js';
import { SearchableImages } from './data-protection/searchable-images.js';
import { SubjectsController } from './data-protection/subjects.controller.js';
import { SuspensionsController } from './governance/suspensions.controller.js';
import { ThresholdsController } from './governance/thresholds.controller.js';
import { UsageReports } from './governance/usage-reports.js';
import { UsageReportsController } from './governance/usage-reports.controller.js';

export const CONTROLLERS = [
  SearchPicturesController,
  SearchRetentionController,
  SearchesController,
  DecisionsController,
  ErasuresController,
  RestrictionsController,
  RetirementsController,
  EvidenceHoldsController,
  GalleriesController,
  GenerationsController,
  ReplicaRetirementsController,
  AuditController,
  SuspensionsController,
  ThresholdsController,
  ModelOverridesController,
  UsageReportsController,
  DpiaController,
  ImagesController,
  ImageRetentionController,
  SubjectsController,
] as const;

@Module({})
export class QueryModule {
  static for(parts: {
    readonly health: Health;
    readonly metrics: QueryMetrics;
    readonly tokens: TokenVerifier;
    readonly auditing: AuditParts;
    readonly operatorSearch: OperatorSearch;
    readonly retrospective: RetrospectiveSubmission;
    readonly decisions: SearchDecisions;
    readonly view: SearchView;
    readonly reading: SearchReading;
    readonly outcomes: OperatorOutcomes;
    readonly pictures: SearchPictures;
    readonly retention: SearchRetention;
    readonly erasures: Erasures;
    readonly directions: CustodyDirections;
    readonly galleries: Galleries;
    readonly replicaRetirements: ReplicaRetirements;
    readonly governance: GovernanceDecisions;
    readonly gallerySwitches: GallerySwitches;
    readonly galleryRetirements: GalleryRetirements;
    readonly lackingImages: LackingImages;
    readonly admission: SearchAdmission;
    readonly usage: UsageReports;
    readonly dpia: DpiaEvidences;
    readonly imageExport: ImageExport;
    readonly imageRetention: ImageRetention;
    readonly accessReports: AccessReports;
    readonly searchableImages: SearchableImages;
    readonly rectification: Rectification;
  }): DynamicModule {
    return {
      module: QueryModule,
      imports: [OperationsModule.for(parts.health, parts.metrics)],
      controllers: [...CONTROLLERS],
      providers: [
        { provide: AuditReading, useValue: parts.auditing.reading },
        { provide: AuditExport, useValue: parts.auditing.copy },
        { provide: AuditDestructions, useValue: parts.auditing.destructions },
        { provide: AuditKeys, useValue: parts.auditing.keys },
        { provide: OperatorSearch, useValue: parts.operatorSearch },
        { provide: RetrospectiveSubmission, useValue: parts.retrospective },
        { provide: SearchDecisions, useValue: parts.decisions },
        { provide: SearchReading, useValue: parts.reading },
        { provide: OperatorOutcomes, useValue: parts.outcomes },
        { provide: SearchPictures, useValue: parts.pictures },
        { provide: SearchRetention, useValue: parts.retention },
        { provide: Erasures, useValue: parts.erasures },
        { provide: CustodyDirections, useValue: parts.directions },
        { provide: Galleries, useValue: parts.galleries },
        { provide: ReplicaRetirements, useValue: parts.replicaRetirements },
        { provide: GovernanceDecisions, useValue: parts.governance },
        { provide: GallerySwitches, useValue: parts.gallerySwitches },
        { provide: GalleryRetirements, useValue: parts.galleryRetirements },
        { provide: LackingImages, useValue: parts.lackingImages },
        { provide: SearchAdmission, useValue: parts.admission },
        { provide: UsageReports, useValue: parts.usage },
        { provide: DpiaEvidences, useValue: parts.dpia },
        { provide: AccessReports, useValue: parts.accessReports },
        { provide: SearchableImages, useValue: parts.searchableImages },
        { provide: ImageExport, useValue: parts.imageExport },
        { provide: ImageRetention, useValue: parts.imageRetention },
        { provide: Rectification, useValue: parts.rectification },
        { provide: APP_INTERCEPTOR, useValue: new ConsistencyInterceptor(parts.view) },
        { provide: APP_GUARD, useValue: new RolesGuard(parts.tokens, parts.health) },
        { provide: APP_GUARD, useValue: new MediaTypeGuard() },
      ],
    };
  }
}
