/** The import direction: apps → kafka | face | gallery | audit | platform | evaluation → contracts → domain. */
const middle = '^libs/(kafka|face|gallery|audit|platform|evaluation)/';
const notTests = '(\\.test\\.ts$|^libs/testkit/|^test/|conformance\\.ts$|-for-tests\\.ts$)';

/** @type {import('dependency-cruiser').IConfiguration} */
module.exports = {
  forbidden: [
    {
      name: 'no-circular',
      severity: 'error',
      from: {},
      to: { circular: true },
    },
    {
      name: 'apps-never-import-apps',
      severity: 'error',
      from: { path: '^apps/([^/]+)/' },
      to: { path: '^apps/', pathNot: '^apps/$1/' },
    },
    {
      name: 'libs-never-import-apps',
      severity: 'error',
      from: { path: '^libs/', pathNot: notTests },
      to: { path: '^apps/' },
    },
    {
      name: 'domain-imports-nothing',
      comment: 'Pure types and rules: not even Node built-ins.',
      severity: 'error',
      from: { path: '^libs/domain/', pathNot: notTests },
      to: { pathNot: '^libs/domain/' },
    },
    {
      name: 'contracts-import-domain-only',
      severity: 'error',
      from: { path: '^libs/contracts/', pathNot: notTests },
      to: { path: '^libs/', pathNot: '^libs/(contracts|domain)/' },
    },
    {
      name: 'middle-libs-do-not-import-each-other',
      severity: 'error',
      from: { path: '^libs/(kafka|face|gallery|audit|platform|evaluation)/', pathNot: notTests },
      to: { path: middle, pathNot: '^libs/$1/' },
    },
    {
      name: 'testkit-is-for-tests',
      severity: 'error',
      from: { path: '^(apps|libs)/', pathNot: notTests },
      to: { path: '^libs/testkit/' },
    },
    {
      name: 'kafkajs-only-in-libs-kafka',
      severity: 'error',
      from: { pathNot: '^libs/(kafka|contracts/src/murmur2\\.test\\.ts|testkit)/|murmur2\\.test|^test/' },
      to: { path: 'node_modules/kafkajs' },
    },
    {
      name: 'native-engines-behind-their-lib',
      severity: 'error',
      from: { pathNot: '^(libs/(gallery|face|testkit)/|test/)' },
      to: { path: 'node_modules/(hnswlib-node|onnxruntime-node|sharp)' },
    },
    {
      name: 'nest-only-at-the-edges',
      severity: 'error',
      from: {
        path: '^(apps|libs)/',
        pathNot: `^libs/platform/|(main|openapi|nest-transport|\\.module|\\.controller|\\.filter|\\.interceptor)\\.ts$|${notTests}`,
      },
      to: { path: 'node_modules/(@nestjs|express|rxjs|reflect-metadata)' },
    },
    {
      name: 'no-dev-dependencies-in-production',
      severity: 'error',
      from: { path: '^(apps|libs)/', pathNot: notTests },
      to: { dependencyTypes: ['npm-dev'], dependencyTypesNot: ['type-only'], pathNot: 'node_modules/@types/' },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '^dist/' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: { conditionNames: ['source', 'import', 'node', 'default'], exportsFields: ['exports'] },
  },
};
