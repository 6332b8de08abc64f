import { join } from 'node:path';
import { expect, it } from 'vitest';
import { DEFAULT_MODEL } from '#contracts/generated-files.js';
import { modelIdOf, type ModelPackManifest } from '#face/model-pack.js';
import { readProjectFile } from './project-files.js';

it('the generated manifests make the topics of the default model pack', () => {
  const manifest = readProjectFile(join('deploy', 'model-packs', 'faceplugin-0.0.1.json'));
  expect(modelIdOf(JSON.parse(manifest) as ModelPackManifest)).toBe(DEFAULT_MODEL);
});
