/**
 * What one thread sends another, bundled: a message costs both sides more than most of what is in it. Whatever is sent
 * within one turn of the event loop goes together, and what several messages share is copied once.
 */

/** Of a turn that is long: nobody waits longer for what is done than for what is yet to be done. */
const WAIT_MS_MAX = 1;

export class MessageBundle<Message> {
  #messages: Message[] = [];
  #transfers: ArrayBuffer[] = [];
  #firstAtMs = 0;

  constructor(private readonly post: (messages: readonly Message[], transfers: ArrayBuffer[]) => void) {}

  /** @param transfers what goes over without being copied, and is empty here afterwards */
  send(message: Message, transfers: readonly ArrayBuffer[] = []): void {
    const nowMs = performance.now();
    if (this.#messages.length === 0) {
      this.#firstAtMs = nowMs;
      queueMicrotask(() => this.flush());
    }
    this.#messages.push(message);
    this.#transfers.push(...transfers);
    if (nowMs - this.#firstAtMs >= WAIT_MS_MAX) this.flush();
  }

  /** Sends what there is now. */
  flush(): void {
    if (this.#messages.length === 0) return;
    const [messages, transfers] = [this.#messages, this.#transfers];
    this.#messages = [];
    this.#transfers = [];
    this.post(messages, transfers);
  }
}
