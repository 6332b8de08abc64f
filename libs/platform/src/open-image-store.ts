import { FolderImageStore } from './folder-image-store.js';
import type { ImageStore, SealedObjects } from './image-store.js';
import type { Settings } from './settings.js';

/**
 * The image store that the settings name: a bucket where IMAGE_STORE_S3_BUCKET is set, else a folder.
 *
 * @throws Failure IMAGE_STORE_KEY_UNREADABLE, IMAGE_STORE_UNAVAILABLE, IMAGE_STORE_KEEPS_VERSIONS
 */
export async function openImageStore(settings: Settings): Promise<ImageStore & SealedObjects> {
  const keyFile = settings.IMAGE_STORE_KEY_FILE;
  if (settings.IMAGE_STORE_S3_BUCKET === '') return FolderImageStore.open(settings.IMAGE_STORE_DIR, keyFile);
  // The SDK takes a while to load, and a folder needs none of it.
  const { S3ImageStore } = await import('./s3-image-store.js');
  return S3ImageStore.open(
    {
      bucket: settings.IMAGE_STORE_S3_BUCKET,
      region: settings.IMAGE_STORE_S3_REGION,
      endpoint: settings.IMAGE_STORE_S3_ENDPOINT === '' ? undefined : settings.IMAGE_STORE_S3_ENDPOINT,
    },
    keyFile,
  );
}
