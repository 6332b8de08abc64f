/** `custody pack …`: brings a model pack onto this disk, and says whether it does here what it did where it was prepared. */
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Failure, Refusal } from '#domain/errors.js';
import { fetchModelPack } from '#face/model-pack-fetch.js';
import { calibrationOf, loadModelPack, type ModelPack } from '#face/model-pack.js';
import { comparePack, makeGoldens, readPackGoldens, type PackParity } from '#face/pack-check.js';
import { cacheFolder } from '#platform/cache-folder.js';
import { localModelPackFolder, localSample, projectFolder } from './local-assets.js';

const GOLDENS_FILE = 'goldens.json';

export interface PackCheckOptions {
  readonly goldens?: string;
  readonly writeGoldens?: string;
}

/** Prints the folder and nothing else on stdout, so that it can be given to another command. */
export async function fetchPack(manifest: string): Promise<void> {
  const pack = await fetchModelPack(manifest, join(cacheFolder(), 'model-packs'), { onProgress: say });
  describe(pack).forEach(say);
  process.stdout.write(`${pack.folder}\n`);
}

/**
 * @param folder the default pack's when it is left out
 * @throws Refusal PACK_GOLDENS_MISSING; Failure PACK_DIFFERS and those of loading a pack
 */
export async function checkPack(folder: string | undefined, options: PackCheckOptions): Promise<void> {
  const pack = await loadModelPack(folder ?? (await localModelPackFolder(say)));
  for (const line of describe(pack)) process.stdout.write(`${line}\n`);
  const photographs = await (await localSample(say)).readAll();
  if (options.writeGoldens !== undefined) {
    const goldens = await makeGoldens(pack, photographs);
    await writeFile(options.writeGoldens, `${JSON.stringify(goldens, null, 2)}\n`);
    const faces = Object.values(goldens.photographs).reduce((sum, found) => sum + found.length, 0);
    process.stdout.write(`wrote      ${options.writeGoldens}: ${faces} faces in ${photographs.length} photographs\n`);
    return;
  }
  const path = options.goldens ?? goldensOf(pack);
  const parity = await comparePack(pack, await readPackGoldens(path), photographs);
  process.stdout.write(`${describeParity(parity)}\n`);
  if (!parity.holds) {
    throw new Failure(
      'PACK_DIFFERS',
      'The pack does not do here what its golden values say: do not use it before it is known why.',
      false,
    );
  }
}

/** Beside the pack's own files, or those that come with this project. */
function goldensOf({ folder, modelId }: ModelPack): string {
  const shipped = join(projectFolder(), 'deploy', 'model-packs', 'goldens', `${modelId}.json`);
  const found = [join(folder, GOLDENS_FILE), shipped].find((path) => existsSync(path));
  if (found !== undefined) return found;
  throw new Refusal(
    'PACK_GOLDENS_MISSING',
    `There are no golden values of this pack: make ${join(folder, GOLDENS_FILE)} with --write-goldens where it is known to work.`,
  );
}

function describe(pack: ModelPack): readonly string[] {
  const { manifest, modelId, folder } = pack;
  const { licence, detector, embedder } = manifest;
  const warning = licence.evaluationOnly ? ', for evaluation only' : '';
  return [
    `pack       ${manifest.name} ${manifest.version} in ${folder}`,
    `modelId    ${modelId}`,
    `licence    ${licence.spdx}, ${licence.holder}${warning}`,
    ...(licence.note === '' ? [] : [`           ${licence.note}`]),
    `detector   ${detector.kind}, ${detector.inputWidth} x ${detector.inputHeight}, faces from ${detector.confidenceThreshold}`,
    `embedder   ${embedder.template} at ${embedder.size} px, ${embedder.colour}, ${embedder.dimension} dimensions, ${embedder.metric}`,
    `calibrated on ${calibrationOf(pack).measuredOn}`,
  ];
}

function describeParity(parity: PackParity): string {
  const { facesFound, facesExpected, facesMore, photographs, pointDifferencePxMax, templateDifferenceMax } = parity;
  return [
    `faces      ${facesFound} of ${facesExpected} in ${photographs} photographs, ${facesMore} more; points within ${pointDifferencePxMax.toFixed(2)} px`,
    `templates  largest difference of a component ${templateDifferenceMax.toExponential(1)}`,
    parity.holds ? 'parity     holds' : 'parity     does not hold',
  ].join('\n');
}

/** Progress, which is not the answer. */
function say(line: string): void {
  process.stderr.write(`${line}\n`);
}
