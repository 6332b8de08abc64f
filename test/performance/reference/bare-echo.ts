/**
 * A question and its answer over Kafka with kafkajs alone, as fast as it can be written by hand: what is asked within one
 * tick of the event loop is one send, nothing is committed, nothing is parsed. What a search of the gallery costs beyond
 * its two hops is measured against it. `ROLE` is `echo` or `asker`.
 */
import { randomUUID } from 'node:crypto';
import kafkajs, { type Kafka, type Message, type Producer } from 'kafkajs';
import { stopIdlePolling } from '#kafka/kafkajs-workarounds.js';
import { latenciesMs, obey } from '../load-process.js';

/** As large as a template of 512 dimensions, and as the reply with what is found and the 24 partitions that it covers. */
const QUESTION = Buffer.alloc(2048, 7);
const ECHO = Buffer.alloc(4096, 7);
const ID = 'id';

/** Sends what has gathered; meanwhile the next batch gathers. */
class BatchedSends {
  private gathered: Message[] = [];
  private sending = false;

  constructor(
    private readonly producer: Producer,
    private readonly topic: string,
  ) {}

  send(message: Message): void {
    this.gathered.push(message);
    if (this.sending) return;
    this.sending = true;
    setImmediate(() => void this.flush());
  }

  private async flush(): Promise<void> {
    while (this.gathered.length > 0) {
      const messages = this.gathered;
      this.gathered = [];
      await this.producer.send({ topic: this.topic, messages });
    }
    this.sending = false;
  }
}

async function follow(kafka: Kafka, topic: string, onMessage: (id: string) => void): Promise<void> {
  const consumer = kafka.consumer({ groupId: `bare-${randomUUID()}` });
  await consumer.connect();
  await consumer.subscribe({ topic, fromBeginning: false });
  const joined = new Promise<void>((resolve) => consumer.on(consumer.events.FETCH, () => resolve()));
  await consumer.run({
    autoCommit: false,
    eachBatchAutoResolve: false,
    eachBatch: async ({ batch, resolveOffset }) => {
      for (const { headers } of batch.messages) onMessage(String(headers![ID]));
      resolveOffset(batch.lastOffset());
    },
  });
  await joined;
}

async function main(): Promise<void> {
  // Without its idle timer, which would burn CPU while the other side is measured.
  stopIdlePolling();
  const given = process.env as Record<'KAFKA_BROKERS' | 'QUESTIONS' | 'ECHOES' | 'ROLE', string>;
  const brokers = given.KAFKA_BROKERS.split(',');
  const kafka = new kafkajs.Kafka({ brokers, clientId: 'bench-bare', logLevel: kafkajs.logLevel.NOTHING });
  const producer = kafka.producer({ allowAutoTopicCreation: false });
  await producer.connect();
  const [questions, echoes] = [given.QUESTIONS, given.ECHOES];
  if (given.ROLE === 'echo') {
    const sends = new BatchedSends(producer, echoes);
    await follow(kafka, questions, (id) => sends.send({ value: ECHO, headers: { [ID]: id }, partition: 0 }));
    obey(() => Promise.resolve());
    return;
  }
  const sends = new BatchedSends(producer, questions);
  const waiting = new Map<string, () => void>();
  await follow(kafka, echoes, (id) => {
    waiting.get(id)?.();
    waiting.delete(id);
  });
  let asked = 0;
  const ask = (): Promise<void> =>
    new Promise((resolve) => {
      const id = String(asked++);
      waiting.set(id, resolve);
      sends.send({ value: QUESTION, headers: { [ID]: id }, partition: 0 });
    });
  obey(({ inFlight, count }: { inFlight: number; count: number }) => latenciesMs(inFlight, count, ask));
}

await main();
