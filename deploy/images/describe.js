/**
 * Adds the model's networks to a CycloneDX bill of materials: what they are, where they come from, their hashes and
 * licence, and what is not known of them.
 *
 * Usage: node describe.js <manifest of the pack> <bill of materials, rewritten>
 */
import { readFileSync, writeFileSync } from 'node:fs';
import process from 'node:process';

const [manifestFile, sbomFile] = process.argv.slice(2);
const manifest = JSON.parse(readFileSync(manifestFile, 'utf8'));
const sbom = JSON.parse(readFileSync(sbomFile, 'utf8'));

for (const [role, file] of Object.entries(manifest.files)) {
  const source = file.source ?? manifest.source;
  const [purlType, packageName] = source.npmPackage ? ['npm', source.npmPackage] : ['pypi', source.pypiPackage];
  sbom.components.push({
    type: 'machine-learning-model',
    'bom-ref': `model:${manifest.name}:${role}`,
    name: `${manifest.name} ${role}`,
    version: manifest.version,
    description: manifest.licence.note,
    licenses: [{ license: { id: manifest.licence.spdx } }],
    supplier: { name: manifest.licence.holder },
    hashes: [{ alg: 'SHA-256', content: file.sha256 }],
    pedigree: {
      ancestors: [
        {
          type: 'library',
          name: packageName,
          version: source.version,
          purl: `pkg:${purlType}/${packageName.replace('@', '%40')}@${source.version}`,
        },
      ],
      notes: `Taken from ${file.path} of the package, byte for byte.`,
    },
  });
}
writeFileSync(sbomFile, `${JSON.stringify(sbom, null, 2)}\n`);
