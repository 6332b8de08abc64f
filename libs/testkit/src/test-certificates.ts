/** A certificate authority of a test's own, and what it signs: by openssl, good for two days. */
import { execFile } from 'node:child_process';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const NEW_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
const DAYS = '2';

export class TestAuthority {
  private constructor(
    private readonly folder: string,
    private readonly name: string,
  ) {}

  static async create(folder: string, name = 'test-authority'): Promise<TestAuthority> {
    await mkdir(folder, { recursive: true });
    const authority = new TestAuthority(folder, name);
    const files = ['-keyout', authority.file('key'), '-out', authority.file('crt')];
    await run('openssl', ['req', '-x509', ...NEW_KEY, ...files, '-days', DAYS, '-subj', `/CN=${name}`]);
    return authority;
  }

  get certificateFile(): string {
    return this.file('crt');
  }

  /**
   * Signs a certificate for `127.0.0.1` with this common name, and puts it and its key into place under `folder` at once:
   * where such files are already, they are replaced.
   */
  async issue(commonName: string, folder: string): Promise<{ certFile: string; keyFile: string }> {
    await mkdir(folder, { recursive: true });
    const [certFile, keyFile] = [join(folder, `${commonName}.crt`), join(folder, `${commonName}.key`)];
    const [request, extensions] = [`${keyFile}.csr`, `${keyFile}.ext`];
    await run('openssl', [
      ...['req', ...NEW_KEY, '-keyout', `${keyFile}.new`, '-out', request, '-subj', `/CN=${commonName}`],
    ]);
    await writeFile(extensions, 'subjectAltName=IP:127.0.0.1,DNS:localhost\n');
    const signedBy = ['-CA', this.file('crt'), '-CAkey', this.file('key'), '-CAcreateserial'];
    await run('openssl', [
      ...['x509', '-req', '-in', request, ...signedBy, '-days', DAYS, '-extfile', extensions],
      ...['-out', `${certFile}.new`],
    ]);
    await rename(`${keyFile}.new`, keyFile);
    await rename(`${certFile}.new`, certFile);
    return { certFile, keyFile };
  }

  private file(kind: 'key' | 'crt'): string {
    return join(this.folder, `${this.name}.${kind}`);
  }
}

/** Puts the contents of several PEM files into one. */
export async function joinPem(into: string, ...files: readonly string[]): Promise<void> {
  const parts = await Promise.all(files.map((file) => readFile(file, 'utf8')));
  await writeFile(`${into}.new`, parts.join(''));
  await rename(`${into}.new`, into);
}
