import { describe, expect, it } from 'vitest';
import { readSettings, SETTINGS, type SettingName } from '#platform/settings.js';
import { plain, projectFiles, readProjectFile, tableRows } from './project-files.js';

const document = readProjectFile('docs/configuration.md');
const services = tableRows(document, 'Settings of the services');

/** Set by npm for what it runs, and by every shell. */
const OF_THE_PLATFORM = ['npm_execpath', 'PATH'];

function namesIn(section: string): string[] {
  return tableRows(document, section)
    .map((row) => plain(row['Variable']))
    .toSorted();
}

/** The words of the table; a computed preset brings its own. */
function presetText(name: SettingName): string {
  const setting: { preset: unknown; presetText?: string } = SETTINGS[name];
  return setting.presetText ?? `\`${String(setting.preset)}\``;
}

/** `process.env['X']`, `this.environment['X']` and the like, in the sources under these folders. */
function variablesRead(folders: RegExp, pattern: RegExp): string[] {
  const names = projectFiles(['.ts'])
    .filter((path) => folders.test(path) && !path.endsWith('.test.ts'))
    .flatMap((path) => [...readProjectFile(path).matchAll(pattern)])
    .map((match) => match[1]!);
  return [...new Set(names)].filter((name) => !OF_THE_PLATFORM.includes(name)).toSorted();
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
    const read = variablesRead(/^(apps|libs\/(?!testkit))/, /\b(?:env|environment)\['(\w+)'\]/g);
    expect(namesIn('Of npm start and the command line')).toEqual(read);
  });

  it('has a row for each variable of the tests, and no other', () => {
    const read = variablesRead(/^(libs\/testkit|test\/(?!conventions))/, /\bprocess\.env\['(\w+)'\]/g);
    expect(namesIn('Of the tests')).toEqual(read);
  });

  it('has presets that pass their own checks', () => {
    expect(Object.keys(readSettings({}))).toEqual(Object.keys(SETTINGS));
  });
});
