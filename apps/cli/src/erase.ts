import type { Settings } from '#platform/settings.js';
import { ServiceClient } from './service-client.js';

export async function erase(
  settings: Settings,
  imageId: string,
  options: { readonly reason: string; readonly authority: string },
): Promise<void> {
  const client = new ServiceClient(settings, 'data-protection');
  const accepted = await client.call<{ erasureId: string }>('POST', '/v1/erasures', { imageId, ...options });
  process.stdout.write(
    `erasure ${accepted.erasureId} of ${imageId} is in the log; its outcome comes on custody.outcomes.v1\n`,
  );
}
