import type { Kafka } from 'kafkajs';
import { KafkaConnection } from './kafka-connection.js';

const MEMBERSHIP_LOST = new Set([
  'REBALANCE_IN_PROGRESS',
  'ILLEGAL_GENERATION',
  'UNKNOWN_MEMBER_ID',
  'NOT_COORDINATOR_FOR_GROUP',
]);

/**
 * Heartbeats while a handler works.
 *
 * @param onLost called once: the group shares anew, or this member was given up
 * @returns what ends them
 */
export function keepMembership(
  heartbeat: () => Promise<void>,
  everyMs: number,
  onLost: (error: Error) => void,
): () => void {
  const timer = setInterval(() => {
    heartbeat().catch((error: unknown) => {
      // A broker that cannot be reached says nothing about the membership; kafkajs reconnects by itself.
      if (!MEMBERSHIP_LOST.has((error as { type?: string }).type ?? '')) return;
      clearInterval(timer);
      onLost(error as Error);
    });
  }, everyMs);
  return () => clearInterval(timer);
}

/**
 * Ends the membership of a consumer that was lost in an outage. The broker has kept it through that, and lets nobody else
 * work before it is missed: a session's length after it has come back.
 *
 * @returns whether the group knows it no longer; false when there is nobody to ask
 */
export async function hasLeft(kafka: Kafka, groupId: string, memberId: string): Promise<boolean> {
  let connection: KafkaConnection | undefined;
  try {
    connection = await KafkaConnection.open(kafka);
    await connection.leaveGroup(groupId, memberId);
    return true;
  } catch (error) {
    return (error as { type?: unknown }).type === 'UNKNOWN_MEMBER_ID';
  } finally {
    void connection?.close();
  }
}
