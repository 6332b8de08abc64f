/** A bounded number of holders at a time, each with a resource of its own; the rest wait in order, up to a limit. */
export class Slots<Resource> {
  readonly #free: Resource[];
  readonly #waiting: ((resource: Resource) => void)[] = [];
  readonly #size: number;

  constructor(
    resources: readonly Resource[],
    readonly waitingMax: number,
    /** Makes what is thrown when the queue is full. */
    readonly whenFull: () => Error,
  ) {
    this.#free = [...resources];
    this.#size = resources.length;
  }

  get inUse(): number {
    return this.#size - this.#free.length;
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  /** @throws what `whenFull` makes, at once, when as many wait as may */
  async use<T>(work: (resource: Resource) => Promise<T>): Promise<T> {
    const resource = await this.#take();
    try {
      return await work(resource);
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#free.push(resource);
      else next(resource);
    }
  }

  /** Resolves with every resource in hand, when all work that was asked for before has ended. */
  async drain(): Promise<void> {
    const releases: (() => void)[] = [];
    const taken = Array.from({ length: this.#size }, async () => {
      const resource = this.#free.pop() ?? (await new Promise<Resource>((resolve) => this.#waiting.push(resolve)));
      releases.push(() => this.#free.push(resource));
    });
    await Promise.all(taken);
    for (const release of releases) release();
  }

  #take(): Promise<Resource> {
    const resource = this.#free.pop();
    if (resource !== undefined) return Promise.resolve(resource);
    if (this.#waiting.length >= this.waitingMax) return Promise.reject(this.whenFull());
    return new Promise((resolve) => this.#waiting.push(resolve));
  }
}
