/** The forms of both searches as a client fills them in. */
const JUSTIFICATION = 'Found asleep at the railway station and cannot say who she is';

export function operatorForm(image: Uint8Array, fields: Readonly<Record<string, string>> = {}): FormData {
  return form(image, {
    grounds: 'missing',
    justification: JUSTIFICATION,
    identityUnconfirmed: 'true',
    deviceId: 'test-device',
    ...fields,
  });
}

export function retrospectiveForm(image: Uint8Array, fields: Readonly<Record<string, string>> = {}): FormData {
  return form(image, {
    crimeReference: 'CR/2026/0001',
    offence: 'burglary',
    source: 'cctv',
    justification: 'Suspect seen leaving the house at the time of the burglary',
    investigatingOfficer: 'test-investigating-officer',
    ...fields,
  });
}

function form(image: Uint8Array, fields: Readonly<Record<string, string>>): FormData {
  const data = new FormData();
  data.set('image', new Blob([new Uint8Array(image)]), 'probe.jpg');
  for (const [name, value] of Object.entries(fields)) data.set(name, value);
  return data;
}
