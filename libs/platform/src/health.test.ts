import { describe, expect, it } from 'vitest';
import { Health } from './health.js';

describe('health', () => {
  it('has started when every condition was fulfilled, and says which it waits for and how far they are', () => {
    const health = new Health(['topics', 'replay']);
    expect(health.startup).toEqual({ ok: false, waitingFor: { topics: 'waiting', replay: 'waiting' } });
    health.progress('replay', '40 of 100');
    health.fulfilled('topics');
    expect(health.startup).toEqual({ ok: false, waitingFor: { replay: '40 of 100' } });
    expect(health.ready.ok).toBe(false);
    health.fulfilled('replay');
    expect(health.startup).toEqual({ ok: true, waitingFor: {} });
    expect(health.ready).toEqual({ ok: true, waitingFor: {} });
  });

  it('is not ready while a condition is lost, yet has started: it is not to be killed for it', () => {
    const health = new Health(['kafka']);
    health.fulfilled('kafka');
    health.lost('kafka', 'no broker answers');
    expect(health.ready).toEqual({ ok: false, waitingFor: { kafka: 'no broker answers' } });
    expect(health.startup.ok).toBe(true);
    health.fulfilled('kafka');
    expect(health.ready.ok).toBe(true);
  });

  it('is not ready any more once it drains, whatever is fulfilled', () => {
    const health = new Health(['kafka']);
    health.fulfilled('kafka');
    health.drain();
    health.fulfilled('kafka');
    expect(health.ready).toEqual({ ok: false, waitingFor: { drain: 'shutting down' } });
  });

  it('serves whoever asks while it drains, and nobody before it has started or while a condition is lost', () => {
    const health = new Health(['kafka']);
    expect(health.serving).toBe(false);
    health.fulfilled('kafka');
    expect(health.serving).toBe(true);
    health.drain();
    expect(health.serving).toBe(true);
    health.lost('kafka', 'no broker answers');
    expect(health.serving).toBe(false);
  });

  it('says what somebody must look at, and is ready nevertheless', () => {
    const health = new Health([]);
    expect(health.alarms).toEqual({});
    health.alarm('audit', 'the log was changed');
    expect(health.alarms).toEqual({ audit: 'the log was changed' });
    health.calm('audit');
    expect(health.alarms).toEqual({});
  });
});
