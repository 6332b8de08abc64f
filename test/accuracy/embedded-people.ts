/** Templates of Labeled Faces in the Wild, by the pipeline that the services run. */
import { readFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { FacePool } from '#face/face-pool.js';
import { people, type Person } from './faces.js';

const IN_FLIGHT = 2 * availableParallelism();

export interface EmbeddedPerson extends Person {
  /** One for each image, in their order. */
  readonly templates: readonly Float32Array[];
}

/** Every image must have a template: who is left out silently flatters the figures. */
export async function embedEverybody(
  packFolder: string,
  leftOut: ReadonlySet<string> = new Set(),
): Promise<EmbeddedPerson[]> {
  const everybody = (await people()).filter(({ subjectId }) => !leftOut.has(subjectId));
  const templates: Float32Array[][] = everybody.map(() => []);
  const images = everybody.flatMap(({ images: paths }, person) =>
    paths.map((path, place) => ({ path, person, place })),
  );
  const pool = await FacePool.open({ packFolder, processes: availableParallelism() });
  let next = 0;
  const work = async (): Promise<void> => {
    for (let image = images[next++]; image !== undefined; image = images[next++]) {
      const { embedded } = await pool.process(await readFile(image.path), 'central');
      templates[image.person]![image.place] = embedded.template;
    }
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, work)).finally(() => pool.close());
  return everybody.map((person, i) => ({ ...person, templates: templates[i]! }));
}
