/** The HTTP interface of the query service, as the command line uses it. */
import { Failure, Refusal } from '#domain/errors.js';
import type { Role } from '#domain/identity.js';
import type { Settings } from '#platform/settings.js';
import { signLocalToken } from './local-keys.js';

interface Problem {
  readonly code?: string;
  readonly detail?: string;
  readonly retryable?: boolean;
}

const REQUEST_TIMEOUT_MS = 60_000;

export class ServiceClient {
  constructor(
    private readonly settings: Settings,
    private readonly role: Role,
    private readonly subject: string = `cli-${role}`,
  ) {}

  get baseUrl(): string {
    return process.env['CUSTODY_URL'] || `http://127.0.0.1:${this.settings.QUERY_PORT}`;
  }

  /** @throws Refusal or Failure with the service's own code; Failure SERVICE_UNREACHABLE */
  async call<T>(method: 'GET' | 'POST', path: string, body?: FormData | object): Promise<T> {
    const response = await this.request(method, path, body, AbortSignal.timeout(REQUEST_TIMEOUT_MS));
    return (await response.json()) as T;
  }

  /** An answer that may take as long as it is. @throws as {@link call} */
  async download(path: string): Promise<ReadableStream<Uint8Array>> {
    return (await this.request('GET', path, undefined, undefined)).body!;
  }

  private async request(
    method: 'GET' | 'POST',
    path: string,
    body: FormData | object | undefined,
    signal: AbortSignal | undefined,
  ): Promise<Response> {
    const form = body instanceof FormData;
    let response: Response;
    try {
      response = await fetch(this.baseUrl + path, {
        method,
        headers: {
          authorization: `Bearer ${await this.token()}`,
          ...(body !== undefined && !form && { 'content-type': 'application/json' }),
        },
        ...(body !== undefined && { body: form ? body : JSON.stringify(body) }),
        ...(signal !== undefined && { signal }),
      });
    } catch (cause) {
      if (cause instanceof Failure) throw cause;
      throw new Failure('SERVICE_UNREACHABLE', `Nothing answers at ${this.baseUrl}: is the system running?`, true, {
        cause,
      });
    }
    if (response.ok) return response;
    const problem = (await response.json().catch(() => ({}))) as Problem & { details?: Record<string, unknown> };
    const code = problem.code ?? `HTTP_${response.status}`;
    const text = problem.detail ?? response.statusText;
    if (response.status < 500) throw new Refusal(code, text, problem.details);
    throw new Failure(code, text, problem.retryable ?? false);
  }

  /** CUSTODY_TOKEN where the issuer is not the local one. */
  private token(): Promise<string> {
    const given = process.env['CUSTODY_TOKEN'];
    return given === undefined || given === ''
      ? signLocalToken(this.settings, [this.role], this.subject)
      : Promise.resolve(given);
  }
}
