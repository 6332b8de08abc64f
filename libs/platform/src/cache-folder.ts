import { homedir } from 'node:os';
import { join } from 'node:path';

/**
 * Where what was fetched once is kept between runs (model packs, sample photographs, the local broker): derived, safe
 * to delete. `CACHE_DIR`, else the place that the platform's convention gives.
 */
export function cacheFolder(env: NodeJS.ProcessEnv = process.env): string {
  if (isSet(env['CACHE_DIR'])) return env['CACHE_DIR'];
  const base = isSet(env['XDG_CACHE_HOME']) ? env['XDG_CACHE_HOME'] : join(homedir(), '.cache');
  return join(base, 'custody-face-search');
}

/** An empty variable counts as absent: that is how compose files and shells say "none". */
function isSet(value: string | undefined): value is string {
  return value !== undefined && value !== '';
}
