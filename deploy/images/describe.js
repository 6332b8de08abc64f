/**
 * What an image is made of, as CycloneDX: npm's own list of the packages that are installed in it, Debian's packages of
 * its base, Node and tini, and the model's networks: what they are, where they come from, their hashes and licence, and
 * what is not known of them. Beside it, where the model pack comes from, as an in-toto statement.
 *
 * Usage: node describe.js <npm's bill of materials> <model pack> <dpkg's folder of the base> <out>
 *   Writes OUT/faces.cdx.json, OUT/index.cdx.json (without the face pipeline) and OUT/model-pack.provenance.json.
 *   Run after trim.js: what is not in node_modules is not listed.
 */
import { Buffer } from 'node:buffer';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';

const [sbomFile, packFolder, dpkgFolder, out] = process.argv.slice(2);
const manifest = JSON.parse(readFileSync(join(packFolder, 'manifest.json'), 'utf8'));
const sbom = JSON.parse(readFileSync(sbomFile, 'utf8'));

/** dpkg's records: one file, or one a package where the base has no package manager. */
function debianPackages() {
  const folder = join(dpkgFolder, 'status.d');
  const files = existsSync(folder)
    ? readdirSync(folder)
        .filter((name) => !name.endsWith('.md5sums'))
        .map((name) => join(folder, name))
    : [join(dpkgFolder, 'status')];
  return files
    .flatMap((file) => readFileSync(file, 'utf8').split(/\n\n+/))
    .filter((record) => record.startsWith('Package: '))
    .map((record) => {
      const field = (name) => new RegExp(`^${name}: (.*)$`, 'm').exec(record)?.[1] ?? '';
      return debian(field('Package'), field('Version'), field('Architecture'));
    });
}

function debian(name, version, architecture) {
  const purl = `pkg:deb/debian/${encodeURIComponent(name)}@${encodeURIComponent(version)}?arch=${architecture}`;
  return { type: 'library', 'bom-ref': purl, name, version, purl };
}

function tini() {
  const format = '${Package} ${Version} ${Architecture}';
  const [name, version, architecture] = execFileSync('dpkg-query', ['-W', '-f', format, 'tini'], {
    encoding: 'utf8',
  }).split(' ');
  return debian(name, version, architecture);
}

function node() {
  const version = process.version.slice(1);
  const purl = `pkg:generic/node@${version}`;
  return { type: 'platform', 'bom-ref': purl, name: 'node', version, purl };
}

function sourceOf(file) {
  const source = file.source ?? manifest.source;
  const [purlType, name] = source.npmPackage ? ['npm', source.npmPackage] : ['pypi', source.pypiPackage];
  return {
    name,
    version: source.version,
    purl: `pkg:${purlType}/${name.replace('@', '%40')}@${source.version}`,
    source,
  };
}

function network([role, file]) {
  const { name, version, purl } = sourceOf(file);
  return {
    type: 'machine-learning-model',
    'bom-ref': `model:${manifest.name}:${role}`,
    name: `${manifest.name} ${role}`,
    version: manifest.version,
    description: manifest.licence.note,
    licenses: [{ license: { id: manifest.licence.spdx } }],
    supplier: { name: manifest.licence.holder },
    hashes: [{ alg: 'SHA-256', content: file.sha256 }],
    pedigree: {
      ancestors: [{ type: 'library', name, version, purl }],
      notes: `Taken from ${file.path} of the package, byte for byte.`,
    },
  };
}

/** https://slsa.dev/spec/v1.0/provenance; not signed: whoever signs images signs what is in them. */
function provenance() {
  const files = Object.values(manifest.files);
  const sources = new Map(files.map((file) => [sourceOf(file).purl, sourceOf(file).source]));
  return {
    _type: 'https://in-toto.io/Statement/v1',
    subject: files.map(({ path, sha256 }) => ({ name: path, digest: { sha256 } })),
    predicateType: 'https://slsa.dev/provenance/v1',
    predicate: {
      buildDefinition: {
        buildType: 'https://custody.example/face-search/model-pack/v1',
        externalParameters: { pack: manifest.name, version: manifest.version },
        resolvedDependencies: [...sources].map(([uri, { integrity, sha256 }]) => ({
          uri,
          digest: integrity
            ? { sha512: Buffer.from(integrity.replace(/^sha512-/, ''), 'base64').toString('hex') }
            : { sha256 },
        })),
      },
      runDetails: { builder: { id: 'https://custody.example/face-search/deploy/images/Dockerfile' } },
    },
  };
}

/** npm's own tree of an installed folder says the name and version of each package in it. */
function installed(folder) {
  const found = new Set();
  for (const entry of readdirSync(folder, { withFileTypes: true, recursive: true })) {
    if (entry.name !== 'package.json' || !entry.isFile()) continue;
    const { name, version } = JSON.parse(readFileSync(join(entry.parentPath, entry.name), 'utf8'));
    found.add(`${name}@${version}`);
  }
  return found;
}

const base = [...debianPackages(), tini(), node()];
const networks = Object.entries(manifest.files).map(network);
mkdirSync(out, { recursive: true });
for (const [name, folder] of [
  ['faces', 'node_modules'],
  ['index', 'node_modules-without-faces'],
]) {
  const present = installed(folder);
  const packages = sbom.components.filter((component) => present.has(`${component.name}@${component.version}`));
  const refs = new Set([sbom.metadata.component['bom-ref'], ...packages.map((component) => component['bom-ref'])]);
  const described = {
    ...sbom,
    components: [...packages, ...base, ...networks],
    dependencies: sbom.dependencies
      .filter(({ ref }) => refs.has(ref))
      .map(({ ref, dependsOn }) => ({ ref, dependsOn: dependsOn?.filter((other) => refs.has(other)) ?? [] })),
  };
  writeFileSync(join(out, `${name}.cdx.json`), `${JSON.stringify(described, null, 2)}\n`);
}
writeFileSync(join(out, 'model-pack.provenance.json'), `${JSON.stringify(provenance(), null, 2)}\n`);
