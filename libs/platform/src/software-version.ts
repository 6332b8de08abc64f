import { readFileSync } from 'node:fs';
import { findPackageJSON } from 'node:module';

/** Of this project, as its package.json says. */
export function softwareVersion(): string {
  const file = findPackageJSON('.', import.meta.url)!;
  return (JSON.parse(readFileSync(file, 'utf8')) as { readonly version: string }).version;
}
