/** Calls of the services as a client makes them, with what came back, whatever the status. */
export interface HttpResult {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
}

export interface ProblemBody {
  readonly code: string;
  readonly detail: string;
  readonly details?: Readonly<Record<string, unknown>>;
}

export async function call(
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE',
  url: string,
  token?: string,
  body?: FormData | Uint8Array | object,
  extra: Readonly<Record<string, string>> = {},
): Promise<HttpResult> {
  const json = body !== undefined && !(body instanceof FormData) && !(body instanceof Uint8Array);
  const headers: Record<string, string> = { ...extra };
  if (token !== undefined) headers['authorization'] = `Bearer ${token}`;
  if (json) headers['content-type'] = 'application/json';
  if (body instanceof Uint8Array) headers['content-type'] = 'image/jpeg';
  const response = await fetch(url, {
    method,
    headers,
    ...(body !== undefined && { body: json ? JSON.stringify(body) : (body as FormData | Uint8Array<ArrayBuffer>) }),
  });
  return { status: response.status, headers: response.headers, text: await response.text() };
}

/** @throws Error with the answer when it is not a success */
export function answerOf<T>({ status, text }: HttpResult): T {
  if (status < 200 || status > 299) throw new Error(`${status} ${text}`);
  return JSON.parse(text) as T;
}

/** Status and code of a refusal, to be compared in one line. */
export function refusalOf({ status, headers, text }: HttpResult): string {
  if (headers.get('content-type')?.startsWith('application/problem+json') !== true)
    return `${status} no problem: ${text}`;
  return `${status} ${(JSON.parse(text) as ProblemBody).code}`;
}

/** A figure of a service, by its name and labels as `/metrics` writes them; undefined while there is none. */
export async function metric(serviceUrl: string, nameAndLabels: string): Promise<number | undefined> {
  const { text } = await call('GET', `${serviceUrl}/metrics`);
  const line = text.split('\n').find((candidate) => candidate.startsWith(`${nameAndLabels} `));
  return line === undefined ? undefined : Number(line.slice(nameAndLabels.length + 1));
}
