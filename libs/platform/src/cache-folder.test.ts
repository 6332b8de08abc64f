import { homedir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { cacheFolder } from './cache-folder.js';

test('CACHE_DIR decides, then XDG_CACHE_HOME, then the home folder', () => {
  expect(cacheFolder({ CACHE_DIR: '/a', XDG_CACHE_HOME: '/b' })).toBe('/a');
  expect(cacheFolder({ XDG_CACHE_HOME: '/b' })).toBe(join('/b', 'custody-face-search'));
  expect(cacheFolder({})).toBe(join(homedir(), '.cache', 'custody-face-search'));
});

test('an empty variable counts as absent', () => {
  expect(cacheFolder({ CACHE_DIR: '', XDG_CACHE_HOME: '/b' })).toBe(join('/b', 'custody-face-search'));
});
