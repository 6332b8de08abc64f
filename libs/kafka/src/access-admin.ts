/** ACLs as the brokers have them. Only what permits, from every host: that is all that the table is made of. */
import kafkajs, { type AclEntry, type Kafka } from 'kafkajs';
import type { Access, AccessOperation, AccessResource, Principal } from '#contracts/access.js';
import { withAdmin } from './admin-session.js';

const { AclOperationTypes, AclPermissionTypes, AclResourceTypes, ResourcePatternTypes } = kafkajs;

const KINDS = {
  topic: AclResourceTypes.TOPIC,
  group: AclResourceTypes.GROUP,
  cluster: AclResourceTypes.CLUSTER,
} as const satisfies Record<AccessResource['kind'], number>;
const PATTERNS = {
  literal: ResourcePatternTypes.LITERAL,
  prefixed: ResourcePatternTypes.PREFIXED,
} as const satisfies Record<AccessResource['pattern'], number>;
const OPERATIONS = {
  read: AclOperationTypes.READ,
  write: AclOperationTypes.WRITE,
  create: AclOperationTypes.CREATE,
  delete: AclOperationTypes.DELETE,
  describe: AclOperationTypes.DESCRIBE,
  'describe-configs': AclOperationTypes.DESCRIBE_CONFIGS,
  'alter-configs': AclOperationTypes.ALTER_CONFIGS,
} as const satisfies Record<AccessOperation, number>;

export class AccessAdmin {
  constructor(
    private readonly kafka: Kafka,
    /** As the brokers know a principal: `User:custody-ingest`, or `User:CN=custody-ingest`. */
    private readonly brokersNameOf: (principal: Principal) => string,
  ) {}

  /** Granting again what is granted changes nothing. @throws Failure KAFKA_UNAVAILABLE, KAFKA_NOT_AUTHORISED, TOPIC_CHANGE_FAILED */
  async grant(all: readonly Access[]): Promise<void> {
    await withAdmin(this.kafka, (admin) => admin.createAcls({ acl: all.map((access) => this.entry(access)) }));
  }

  /** @throws Failure KAFKA_UNAVAILABLE, KAFKA_NOT_AUTHORISED, TOPIC_CHANGE_FAILED */
  async revoke(all: readonly Access[]): Promise<void> {
    const filters = all.map((access) => this.entry(access));
    await withAdmin(this.kafka, (admin) => admin.deleteAcls({ filters }));
  }

  /**
   * What is granted to one principal, whether the table knows of it or not: each as text that is the same for the same
   * right. @throws Failure KAFKA_UNAVAILABLE, KAFKA_NOT_AUTHORISED, TOPIC_CHANGE_FAILED
   */
  async grantedTo(principal: Principal): Promise<ReadonlySet<string>> {
    const { resources } = await withAdmin(this.kafka, (admin) =>
      admin.describeAcls({
        resourceType: AclResourceTypes.ANY,
        resourcePatternType: ResourcePatternTypes.ANY,
        principal: this.brokersNameOf(principal),
        operation: AclOperationTypes.ANY,
        permissionType: AclPermissionTypes.ANY,
      }),
    );
    return new Set(
      resources.flatMap(({ resourceType, resourceName, resourcePatternType, acls }) =>
        acls.map(({ host, operation, permissionType }) =>
          textOf({ resourceType, resourceName, resourcePatternType, host, operation, permissionType }),
        ),
      ),
    );
  }

  /** In the words of {@link grantedTo}. */
  text(access: Access): string {
    return textOf(this.entry(access));
  }

  private entry({ principal, resource, operation }: Access): AclEntry {
    return {
      principal: this.brokersNameOf(principal),
      host: '*',
      resourceType: KINDS[resource.kind],
      resourceName: resource.name,
      resourcePatternType: PATTERNS[resource.pattern],
      operation: OPERATIONS[operation],
      permissionType: AclPermissionTypes.ALLOW,
    };
  }
}

function textOf(entry: Omit<AclEntry, 'principal'>): string {
  const may = entry.permissionType === AclPermissionTypes.ALLOW ? '' : 'not ';
  const operation = nameIn(OPERATIONS, entry.operation);
  const pattern = nameIn(PATTERNS, entry.resourcePatternType) === 'prefixed' ? '*' : '';
  const host = entry.host === '*' ? '' : ` from ${entry.host}`;
  return `${may}${operation} on ${nameIn(KINDS, entry.resourceType)} ${entry.resourceName}${pattern}${host}`;
}

/** Kafka has more operations and kinds than the table. */
function nameIn(codes: Readonly<Record<string, number>>, code: number): string {
  return Object.entries(codes).find(([, known]) => known === code)?.[0] ?? `(${code})`;
}
