/**
 * Shares partitions so that partition p of every topic goes to the same member: what belongs together under one key has
 * one owner, whatever topic it came on. (Round robin counts on from topic to topic, and so parts them whenever the
 * number of members does not divide that of the partitions.)
 */
import kafkajs, { type Assignment, type PartitionAssigner } from 'kafkajs';

const NAME = 'SamePartitionAssigner';
const VERSION = 0;
const NO_DATA = Buffer.alloc(0);

/** Partition p goes to member p mod n, in the order of the members' ids. @param partitions ids by topic */
export function sharePartitions(
  memberIds: readonly string[],
  partitions: ReadonlyMap<string, readonly number[]>,
): Map<string, Assignment> {
  const sorted = [...memberIds].sort();
  const shares = new Map<string, Assignment>(sorted.map((member) => [member, {}]));
  for (const [topic, ids] of partitions) {
    for (const id of ids) {
      const share = shares.get(sorted[id % sorted.length]!)!;
      (share[topic] ??= []).push(id);
    }
  }
  return shares;
}

export const samePartitionAssigner: PartitionAssigner = ({ cluster }) => ({
  name: NAME,
  version: VERSION,
  assign({ members, topics }) {
    const partitions = new Map(
      topics.map((topic) => [topic, cluster.findTopicPartitionMetadata(topic).map(({ partitionId }) => partitionId)]),
    );
    const shares = sharePartitions(
      members.map(({ memberId }) => memberId),
      partitions,
    );
    return Promise.resolve(
      [...shares].map(([memberId, assignment]) => ({
        memberId,
        memberAssignment: kafkajs.AssignerProtocol.MemberAssignment.encode({
          version: VERSION,
          assignment,
          userData: NO_DATA,
        }),
      })),
    );
  },
  protocol: ({ topics }) => ({
    name: NAME,
    metadata: kafkajs.AssignerProtocol.MemberMetadata.encode({ version: VERSION, topics, userData: NO_DATA }),
  }),
});
