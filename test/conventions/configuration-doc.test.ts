import { describe, expect, it } from 'vitest';
import { readSettings, SETTINGS, type SettingName } from '#platform/settings.js';
import { plain, projectFiles, readProjectFile, tableRows } from './project-files.js';

const document = readProjectFile('docs/configuration.md');
const services = tableRows(document, 'Settings of the services');
const localOnly = tableRows(document, 'Of npm start and the command line');

/** Set by npm itself for what it runs. */
const OF_NPM = ['npm_execpath'];

/** The words of the table; a computed preset brings its own. */
function presetText(name: SettingName): string {
  const setting: { preset: unknown; presetText?: string } = SETTINGS[name];
  return setting.presetText ?? `\`${String(setting.preset)}\``;
}

/** `process.env['X']`, `environment['X']` and `env['X']` of everything but the tests. */
function variablesRead(): string[] {
  const names = projectFiles(['.ts'])
    .filter((path) => /^(apps|libs)\//.test(path) && !path.endsWith('.test.ts'))
    .flatMap((path) => [...readProjectFile(path).matchAll(/\b(?:env|environment)\['(\w+)'\]/g)])
    .map((match) => match[1]!);
  return [...new Set(names)].filter((name) => !OF_NPM.includes(name)).toSorted();
}

describe('docs/configuration.md', () => {
  it('has a row for each setting, in the order of the code, and no other', () => {
    expect(services.map((row) => plain(row['Setting']))).toEqual(Object.keys(SETTINGS));
  });

  it.each(services)('gives $Setting the preset and the meaning that it has', (row) => {
    const name = plain(row['Setting']) as SettingName;
    expect(row['Default']).toBe(presetText(name));
    expect(row['Meaning']).toBe(SETTINGS[name].meaning);
  });

  it('has a row for each variable that is read elsewhere, and no other', () => {
    const inSecondTable = localOnly.map((row) => plain(row['Variable'])).toSorted();
    expect(inSecondTable).toEqual(variablesRead());
  });

  it('has presets that pass their own checks', () => {
    expect(Object.keys(readSettings({}))).toEqual(Object.keys(SETTINGS));
  });
});
