import { CodedError } from './errors.js';

/** The code that `run` is refused or fails with; undefined when it returns. Anything else that is thrown is a bug. */
export function codeOf(run: () => unknown): string | undefined {
  try {
    run();
    return undefined;
  } catch (error) {
    return codeOfThrown(error);
  }
}

/** The same for what resolves or rejects later. */
export async function codeOfAsync(run: () => Promise<unknown>): Promise<string | undefined> {
  try {
    await run();
    return undefined;
  } catch (error) {
    return codeOfThrown(error);
  }
}

function codeOfThrown(thrown: unknown): string {
  if (thrown instanceof CodedError) return thrown.code;
  throw thrown;
}
