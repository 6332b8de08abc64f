/**
 * Three questions, kept apart: has it started (how far is the replay), should it get work (what it needs is there; never
 * whether its peers are), and is it alive (does the event loop turn).
 */
export class Health {
  private readonly pending = new Map<string, string>();
  private readonly raised = new Map<string, string>();
  private started = false;
  private draining = false;

  /** @param conditions what must hold before the service has started, by name */
  constructor(conditions: readonly string[]) {
    for (const name of conditions) this.pending.set(name, 'waiting');
  }

  /** Says how far a condition has come, for people who watch a start. */
  progress(condition: string, text: string): void {
    this.pending.set(condition, text);
  }

  fulfilled(condition: string): void {
    this.pending.delete(condition);
    if (this.pending.size === 0) this.started = true;
  }

  /** A condition that held no longer does. */
  lost(condition: string, why: string): void {
    this.pending.set(condition, why);
  }

  /** Fulfilled while nothing is amiss, lost while something is, from the start on. */
  holds(condition: string, amiss: string | undefined): void {
    if (amiss === undefined) this.fulfilled(condition);
    else this.lost(condition, amiss);
  }

  /** Something that somebody must look at, though the service can work: it says so beside its readiness. */
  alarm(name: string, why: string): void {
    this.raised.set(name, why);
  }

  calm(name: string): void {
    this.raised.delete(name);
  }

  get alarms(): Record<string, string> {
    return Object.fromEntries(this.raised);
  }

  /** From now on not ready, though whoever asks still is answered. */
  drain(): void {
    this.draining = true;
  }

  get startup(): { ok: boolean; waitingFor: Record<string, string> } {
    return { ok: this.started, waitingFor: Object.fromEntries(this.pending) };
  }

  /** Whether a request can be answered: what is needed is there. Also while it drains, for whoever asks still. */
  get serving(): boolean {
    return this.started && this.pending.size === 0;
  }

  /** Whether it should be sent requests. */
  get ready(): { ok: boolean; waitingFor: Record<string, string> } {
    const waitingFor = Object.fromEntries(this.pending);
    if (this.draining) waitingFor['drain'] = 'shutting down';
    return { ok: this.serving && !this.draining, waitingFor };
  }
}
